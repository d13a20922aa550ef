"""Command lines that work as they are typed: from the folder where the user stands, in this environment."""

import os
import shlex
import shutil
import sys
from pathlib import Path

from study.ledger.files import read_own, valid_lines
from study.ledger.folder import LAUNCHES
from study.ledger.opening import STORAGE
from study.ledger.records import json_object

PLANNED_BY = ("replicates", "proposals", "epochs")  # what a launch may be told, without which another plans other trials
ROOT = Path(__file__).resolve().parents[2]


def command(script: str, *arguments) -> str:
    """How a script of study/ is called from the current folder by the interpreter that runs this."""
    return shlex.join([interpreter(), seen_from_here(ROOT / "study" / f"{script}.py"), *map(str, arguments)])


def interpreter() -> str:
    found = shutil.which("python")
    return "python" if found and os.path.abspath(found) == sys.executable else seen_from_here(Path(sys.executable))


def seen_from_here(path: Path) -> str:
    """A path as short as it can be typed: relative where it lies below the current folder."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def of_ledger(script: str, ledger, *more) -> str:
    """The same for a ledger that is at hand."""
    return command(script, *study_arguments(ledger.root.name, storage_of(ledger)), *as_launched(script, ledger), *more)


def from_the_project(script: str, ledger, origin: str, *more) -> str:
    """The same as a page can print it, which does not know where its reader stands: from the project's own folder.

    origin: the folder of the space's file where that is not one of the project's.
    """
    space = str(Path(origin) / f"{ledger.root.name}.py") if origin else ledger.root.name
    words = [*study_arguments(space, storage_of(ledger), ROOT), *as_launched(script, ledger), *map(str, more)]
    return shlex.join(["python", f"study/{script}.py", *words])


def as_launched(script: str, ledger) -> list[str]:
    """Of a launch, the numbers that the last one was given; none where no launch is noted."""
    try:
        noted = read_own(ledger.root / LAUNCHES).split(b"\n") if script == "launch" else []
    except OSError:
        return []
    told = [line["options"] for line in valid_lines(noted, json_object) if isinstance(line.get("options"), dict)]
    numbers = {name: told[-1].get(name) for name in PLANNED_BY} if told else {}
    return [word for name, number in numbers.items() if type(number) is int for word in (f"--{name}", str(number))]


def again(ledger, key: str, origin: str) -> str:
    """What repeats one training, typed in the project's own folder: from a copy of what it was made from, since weights and
    curves of another machine would else take the place of its own."""
    root = ledger.root.resolve()
    root, copy = root.relative_to(ROOT) if root.is_relative_to(ROOT) else root, Path("again") / ledger.root.name
    space = ["--space", str(Path(origin) / f"{ledger.root.name}.py")] if origin else []
    steps = [
        ["mkdir", "-p", copy / "trials" / key],
        ["cp", "-r", root / "features", copy],
        ["cp", root / "trials" / key / "spec.json", copy / "trials" / key],
        ["python", "study/trial.py", copy / "trials" / key / "spec.json", *space],
    ]
    return " && ".join(shlex.join(map(str, step)) for step in steps)


def study_arguments(space: str, storage: Path | str, start: Path = Path()) -> list[str]:
    """What tells a command, called in folder `start`, which study is meant; the default storage needs no word."""
    if isinstance(storage, Path) and storage.resolve() == (start / STORAGE).resolve():
        return ["--space", space]
    if isinstance(storage, Path) and start.is_absolute() and storage.is_relative_to(start):
        storage = storage.relative_to(start)
    return ["--space", space, "--storage", str(storage)]


def storage_of(ledger) -> Path | str:
    return ledger.root.parent if ledger.address == str(ledger.root) else ledger.address.rsplit("/", 1)[0]
