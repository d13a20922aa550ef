"""What is finished of a study, in a few small files for a repository: without weights and checkpoints, a file per cell.

results/<space>/cells/<cell>.tar.xz   spec, result, rows and last pictures of the cell's finished trials
results/<space>/features/             what they were measured by
results/<space>/planned.jsonl, ...    what else the study's folder says of all of them
results/<space>/report.html           the page, as study/report.py --results makes it

The same trials always make the same bytes, so that a repository grows by what is new.
"""

import io
import re
import tarfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from study.errors import UserError
from study.ledger.files import read_own, write_atomic
from study.ledger.folder import BOUNDS, FLOORS, LOOKS, PLANNED, ROWS, Ledger
from study.ledger.names import cell_of, is_key, is_own_file
from study.ledger.opening import is_space_name

RESULTS = Path(__file__).resolve().parents[2] / "results"  # in the project: where they are
BESIDE = (PLANNED, FLOORS, LOOKS, BOUNDS)
RECORDS = ("spec.json", "result.json", ROWS, "measured-*.json")
OF_A_TRIAL = re.compile(r"(spec|result|measured-[\w.-]+)\.json|metrics\.jsonl|images/[\w-]+\.png", re.ASCII)


def results_of(space: str) -> Path:
    """Where the finished part of a study is, by the name of its space or the path of a folder."""
    return RESULTS / space if is_space_name(space) else Path(space)


def save(ledger: Ledger, folder: Path) -> int:
    """Write what is finished of a study into a folder; the number of its trials."""
    cells = defaultdict(list)
    for key in filter(ledger.result, ledger.keys()):
        cells[cell_of(key)].append(key)
    for cell, keys in cells.items():
        write_atomic(folder / "cells" / f"{cell}.tar.xz", packed(path for key in keys for path in to_keep(ledger, key)))
    for path in [*(ledger.root / name for name in BESIDE), *sorted((ledger.root / "features").glob("*"))]:
        if is_own_file(path):
            write_atomic(folder / path.relative_to(ledger.root), read_own(path))
    return sum(map(len, cells.values()))


def to_keep(ledger: Ledger, key: str) -> list[Path]:
    """The files of a trial that are kept: its records, and of each series of pictures the last."""
    records = [path for pattern in RECORDS for path in ledger.files(key, pattern)]
    last = {path.name.rsplit("-", 1)[0]: path for path in ledger.files(key, "images/*.png")}
    return records + list(last.values())


def packed(paths: Iterable[Path]) -> bytes:
    """Files of trials as a tar file, which says no more of them than name and content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz") as archive:
        for path in paths:
            trial = path.parent.parent if path.parent.name == "images" else path.parent
            entry, content = tarfile.TarInfo(str(path.relative_to(trial.parent))), read_own(path)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def restore(folder: Path, root: Path, replace: bool = False) -> int:
    """Put what a folder holds into that of a study, where what is there stays as it is; the number of trials that are new.
    replace: take at least what is said of all trials from the folder, since it is newer."""
    archives = sorted((folder / "cells").glob("*.tar.xz"))
    if not archives:
        there = ", ".join(sorted(path.name for path in RESULTS.glob("*") if path.is_dir())) or "nothing yet"
        raise UserError(f"{folder} holds no results, which study/results.py writes; {RESULTS} has {there}")
    new = sum(restored(path, root / "trials") for path in archives)
    for path in [*(folder / name for name in BESIDE), *sorted((folder / "features").glob("*"))]:
        target = root / path.relative_to(folder)
        if is_own_file(path) and (replace or not target.exists()):
            write_atomic(target, read_own(path))
    return new


def restored(path: Path, trials: Path) -> int:
    """The trials of one file that were not there; UserError for a file that is damaged or names what is no trial's."""
    new = set()
    try:
        with tarfile.open(path, "r:xz") as archive:
            for entry in archive:
                key, _, name = entry.name.partition("/")
                content = archive.extractfile(entry) if entry.isfile() else None
                if not (content and is_key(key) and OF_A_TRIAL.fullmatch(name)):
                    raise UserError(f"{path} holds {entry.name!r}, which is no file of a trial; take it from the repository anew")
                target = trials / key / name
                if not target.exists():
                    write_atomic(target, content.read())
                    new |= {key} if name == "result.json" else set()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise UserError(f"{path} is damaged ({error}); take it from the repository anew") from None
    return len(new)
