"""The record on disk, and the only memory of a study: put-once files, atomic checkpoints, one folder per trial.

<storage>/<space>/trials/<key>/   spec.json      what to run, written before it is dispatched
                                  metrics.jsonl  a row per epoch, with the wall time at which it was written
                                  images/        samples-0010.png and the like
                                  pack           which file of packs/ holds where it is
                                  weights.safetensors, curves.safetensors (the losses of every batch)
                                  state.pt       where it ended, if its space trains on from there
                                  result.json    the trial is finished when this exists; the first writer wins
                                  measured-NAME.json  what its weights score, measured once more (study/measure.py)
<storage>/<space>/packs/          where the trials that train side by side go on after a crash; gone when their cell is finished
"""

import contextlib
import fcntl
import os
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from study.errors import UserError
from study.ledger import records
from study.ledger.files import as_written, put_once, read_json, read_own, read_rows, valid_lines
from study.ledger.names import is_key, is_name, is_own_file
from study.ledger.records import CellLine, EpochRow, Looks, Measurement, RealBaseline, Result, Spec, Tracked

LOCK, DRIVING = ".lock", ".driving"  # beside trials/: see Ledger.lock
LOOK_S = 5.0  # for how long at most somebody who only asks whether a study is driven may be in the way
PLANNED = "planned.jsonl"  # beside trials/: a line per cell, its trials as far as they are known; the last line counts
LAUNCHES = "launches.jsonl"  # beside trials/: a line per launch
FLOORS = "floors.json"  # beside trials/: dataset -> what real images score against real ones
LOOKS = "looks.json"  # beside trials/: of a study that grows until its claims are decided
BOUNDS = "bounds.json"  # beside trials/: log-likelihoods over all test images (study/verify.py)
ROWS = "metrics.jsonl"  # in a trial's folder: its epochs
STATE = "state.pt"  # in a trial's folder: where it ended, of a space whose trainings go on from there
PACKS, IN_PACK = "packs", "pack"  # beside trials/: checkpoints; in a trial's folder: the name of its own
DEVICES = "devices"  # beside trials/: how trainings are made on the cards that there were (study/training/self_check.py)
DATA = "data"  # beside trials/: images that the driver published, for machines that have no others


class Ledger:
    """The trials of one study, under `root`. Holds no state: what it answers is what is on disk.

    Another storage is a subclass that study/ledger/opening.py opens, with a folder of its own per machine as `root`. It overrides
    refresh, fetch, publish, publish_later, read, leave, drop_checkpoints, lock and held, and the three that write or rename for
    others, _put_once, _read and _rename, as study/ledger/object_store.py does. OSError where the storage cannot be reached.
    """

    def __init__(self, root):
        self.root = Path(root)
        self.address = str(root)
        self.studies: tuple[Ledger, ...] = (self,)  # those that are read as one (study/ledger/joined.py)

    def refresh(self) -> None:
        """Have all of the study here, for who only reads: in a folder that all share it is."""

    def fetch(self, name: str = "") -> None:
        """Have here what others wrote under root/name: in a folder that all share it is."""

    def fetch_trial(self, key: str) -> None:
        """Have here what others left of a trial, with the checkpoint that it was in last, and the trial that it goes on from."""
        self.fetch(f"trials/{key}")
        if (spec := self.spec(key)) and spec.goes_on_from:
            self.fetch(f"trials/{spec.goes_on_from}")
        with contextlib.suppress(FileNotFoundError):
            name = f"{PACKS}/{read_own(self.folder(key) / IN_PACK).decode(errors='replace')}"
            if is_name(name) and not (self.root / name).exists():
                self.fetch(name)

    def publish(self, name: str) -> None:
        """Let others see what was written under root/name: in a folder that all share they do."""

    def publish_later(self, names: Sequence[str]) -> None:
        """The same of several without waiting for it."""

    def read(self, name: str) -> bytes:
        """What root/name holds for everyone at this moment."""
        return (self.root / name).read_bytes()

    def leave(self, key: str) -> None:
        """A worker is done with a trial."""

    def drop_checkpoints(self, cell: str) -> None:
        """Remove those of a cell, which is finished."""
        for path in self.checkpoints(cell):
            path.unlink(missing_ok=True)

    def checkpoints(self, cell: str) -> list[Path]:
        """The checkpoints of a cell's packs."""
        return sorted(path for path in (self.root / PACKS).glob("*.pt") if path.name.rsplit(".", 2)[0] == cell)

    def folder(self, key: str) -> Path:
        """Where a trial's files are. UserError for what could lead out of the study: a key that is none, or a link."""
        trials = self.root / "trials"
        if not is_key(key):
            raise UserError(f"{key!r} is no trial's key: those are lower-case letters, digits, dots and dashes")
        if linked := next((place for place in (trials, trials / key) if place.is_symlink()), None):
            raise UserError(
                f"{linked} is a link, and trials must lie in their study's own folder; put what it leads to in its place"
            )
        return trials / key

    def keys(self) -> list[str]:
        """The trials that have a folder."""
        trials = self.root / "trials"
        return (
            sorted(entry.name for entry in os.scandir(trials) if is_key(entry.name) and entry.is_dir(follow_symlinks=False))
            if trials.is_dir() and not trials.is_symlink()
            else []
        )

    def files(self, key: str, pattern: str) -> list[Path]:
        """The files of a trial whose names below its folder match, in their order."""
        return sorted(path for path in self.folder(key).glob(pattern) if is_own_file(path) and not path.parent.is_symlink())

    def spec(self, key: str, result: Result | None = None) -> Spec | None:
        """What a trial is to do. Where its result says that it did something else, the spec was changed since. `result`: the
        trial's, from who has read it already."""
        result = result or self.result(key)
        made = result.spec if result else None
        return self._read(self.folder(key) / "spec.json", lambda value: records.trial_spec(value, key, made))

    def result(self, key: str) -> Result | None:
        return self._read(self.folder(key) / "result.json", lambda value: records.trial_result(value, key))

    def measurements(self, key: str) -> list[Measurement]:
        """What the trial's weights scored when they were measured once more, the newest last."""
        read = [
            self._read(path, lambda value: records.trial_measurement(value, key)) for path in self.files(key, "measured-*.json")
        ]
        return sorted(filter(None, read), key=lambda found: found.time)

    def put_measurement(self, found: Measurement) -> bool:
        return self._put_once(self.folder(found.key) / f"measured-{found.name}.json", as_written(found))

    def tracked(self, key: str, log=print) -> Tracked | None:
        """How far a trial has been projected into MLflow."""
        return read_json(self.folder(key) / "tracked.json", log, Tracked.from_json)

    def floors(self) -> dict[str, RealBaseline]:
        """Dataset -> what real images score."""
        return read_json(self.root / FLOORS, check=records.real_baselines) or {}

    def real_baselines(self, features: str) -> dict[str, RealBaseline]:
        """Dataset -> what real images score by the features of that hash."""
        found: dict[str, RealBaseline] = {}
        for path in sorted((self.root / "features").glob(f"real-{features}-*.json"), key=lambda path: path.stat().st_mtime):
            found |= read_json(path, check=records.real_baselines) or {}
        return found

    def study_of(self, key: str) -> "Ledger":
        """The one of them that a trial is read from."""
        return self

    @property
    def notes(self) -> tuple[str, ...]:
        """What whoever reads this must be told."""
        return ()

    def planned(self) -> list[CellLine]:
        """What the last launch meant to do, a line per cell (the last one counts)."""
        return list({line.cell: line for line in read_planned(self.root)}.values())

    def looks(self) -> tuple[int, ...]:
        """The numbers of replicates to look at; none of a study that does not grow until its claims are decided."""
        found = self._read(self.root / LOOKS, lambda value: Looks.from_json(records.unsealed(value)))
        return tuple(found.looks) if found else ()

    def put_looks(self, looks: Sequence[int]) -> bool:
        return self._put_once(self.root / LOOKS, as_written(Looks(list(looks))))

    def put_spec(self, key: str, spec: Spec) -> Spec:
        """Record the spec if there is none yet; the one that stands."""
        self._put_once(self.folder(key) / "spec.json", as_written(spec))
        return self.spec(key) or spec

    def put_result(self, key: str, result: Result) -> bool:
        return self._put_once(self.folder(key) / "result.json", as_written(result))

    def put_once(self, name: str, value: dict) -> bool:
        """Record JSON as root/name if nobody has yet."""
        return self._put_once(self.root / name, value)

    def noted(self, name: str, check):
        """The JSON of root/name as check(value) gives it; None where there is none that is sound."""
        return self._read(self.root / name, check)

    def rows(self, key: str) -> list[EpochRow]:
        """The rows of metrics.jsonl, one per epoch; what a crash left half written at its end is not a row."""
        return read_rows(self.folder(key) / ROWS)

    def reopen(self, key: str) -> None:
        """Forget a failed trial's result, so that it is run again from its last checkpoint; the old one is kept."""
        path = self.folder(key) / "result.json"
        self._rename(path, path.with_name(f"result.failed-{uuid.uuid4().hex[:8]}.json"))

    def start_anew(self, key: str, log=print) -> None:
        """Move what a trial left behind out of the way: nobody knows any more which params it belongs to."""
        aside = self.root / "quarantine" / f"{key}-{uuid.uuid4().hex[:8]}"
        aside.parent.mkdir(exist_ok=True)
        self._rename(self.folder(key), aside)
        log(f"quarantined {aside} (its spec.json was lost); the trial starts anew")

    def failures(self, key: str) -> list[Result]:
        """The results of a trial that were failures, and were reopened."""
        paths = self.files(key, "result.failed-*.json")
        found = [read_json(path, check=lambda value: records.trial_result(value, key)) for path in paths]
        return [result for result in found if result]

    def lock(self):
        """Hold the study: one driver at a time. The lock ends with the process, however that ends.

        Drivers keep one another out by .lock, which nobody else touches. They hold .driving as well, for those who only
        ask: who asks holds that one for a moment, together with others who ask, and a driver waits until they are done.
        """
        with contextlib.ExitStack() as held:
            if not _locked(held.enter_context(self._opened(LOCK)), fcntl.LOCK_EX):
                raise UserError(
                    f"another driver is running this study (its lock is {self.root / LOCK}); wait for it or stop it first"
                )
            driving = held.enter_context(self._opened(DRIVING))
            deadline = time.monotonic() + LOOK_S
            while not _locked(driving, fcntl.LOCK_EX) and time.monotonic() < deadline:
                time.sleep(0.001)
            return held.pop_all()

    def held(self) -> bool:
        """Whether a driver is at work on this study now. Keeps no driver out, and needs no more than to read."""
        try:
            with open(self.root / DRIVING) as file:
                return not _locked(file, fcntl.LOCK_SH)
        except OSError:
            return False

    def _put_once(self, path: Path, value: dict) -> bool:
        return put_once(path, value)

    def _read(self, path: Path, check):
        return read_json(path, check=check)

    def _rename(self, path: Path, new: Path) -> None:
        os.replace(path, new)

    def _opened(self, name: str):
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            return open(self.root / name, "a+")
        except OSError as error:
            raise UserError(
                f"the storage folder {self.root} cannot be written ({error.strerror}); choose another with --storage"
            ) from None


def _locked(file, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False


def read_planned(root: Path) -> list[CellLine]:
    """The lines of planned.jsonl."""
    path = root / PLANNED
    lines = read_own(path).split(b"\n") if is_own_file(path) else []
    rows = valid_lines(lines[:-1], CellLine.from_json)
    if len(rows) < len(lines[:-1]):
        print(
            f"{path} is damaged: {len(lines[:-1]) - len(rows)} of its lines cannot be read; the next launch writes it anew",
            file=sys.stderr,
        )
    return rows


def finished(ledger: Ledger) -> list[tuple[str, Spec, Result]]:
    """(key, spec, result) of every finished trial."""
    rows = []
    for key in ledger.keys():
        if (result := ledger.result(key)) and (spec := ledger.spec(key, result)):
            rows.append((key, spec, result))
    return rows
