"""Checkpoints of packs: one file for all that train side by side, of which each training can be taken out by itself.

<study>/packs/<cell>.<which trainings>.pt, and in every trial's folder `pack`, the name of the file that it was in last. Whether
a checkpoint's account of a training is whole and its own is asked before any of it is used; what the replicas need is checked
where it is loaded (study/training/replicas.py).
"""

import hashlib
import io
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from study.ledger.files import quarantine, read_own, read_sealed, write_atomic, write_sealed
from study.ledger.folder import IN_PACK, PACKS, ROWS, STATE
from study.ledger.names import cell_of, is_name, is_own_file
from study.ledger.records import EpochRow, Spec

CHECKPOINT_S = 5.0  # seconds between checkpoints of a pack, unless a launch says otherwise: what a crash can cost


@dataclass
class State:
    """How far a training is, as its checkpoint keeps it."""

    diverged_at: int | None = None  # epoch
    epoch: int = 0
    steps: int = 0  # of the phase that has most
    train_s: float = 0.0  # seconds spent in training: its share of its packs'
    measure_s: float = 0.0  # seconds spent in measuring and drawing
    attempts: list[int] = field(default_factory=list)  # the epoch at which each try began


class Checkpoints:
    """Those of the packs of a study, in its folder. `with` them, what was saved is written when they are left."""

    def __init__(self, study: Path, keys: tuple[str, ...] = ()):
        """keys: of the trainings of the pack that is opened."""
        self.study, self.keys = study, keys
        self.opened: dict[str, dict | None] = {}  # file -> what it holds; None where it cannot be read
        self.refused = False  # whether any of them was
        self.sources: dict[str, str] = {}  # key of a training -> the file that its state is from
        self.members: dict[str, dict] = {}  # what was saved last
        self.noted: set[tuple] = set()  # the packs whose trials' folders say which file is theirs
        self.writer = ThreadPoolExecutor(1)  # what is saved is written while training goes on
        self.pending: Future | None = None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.wait()

    def place(self, name: str) -> Path:
        return self.study / PACKS / name

    @property
    def writing(self) -> bool:
        return self.pending is not None and not self.pending.done()

    def wait(self) -> None:
        """Until what was saved last is written."""
        pending, self.pending = self.pending, None
        if pending:
            pending.result()

    def save(self, trainings: Sequence, state: dict, then: Callable = lambda: None) -> None:
        """Have it written where the trainings of a pack are, and call `then`; `state`: that of its Replicas."""
        self.wait()
        keys = tuple(training.spec.key for training in trainings)
        where = {"epoch": state["epoch"], "batches": state["batches"]}
        members = {
            training.spec.key: {"state": asdict(training.state), "curves": training.whole_curves(), "replica": replica, **where}
            for training, replica in zip(trainings, state["replicas"])
        }
        self.members = members
        self.pending = self.writer.submit(self._write, keys, [training.folder for training in trainings], members, then)

    def _write(self, keys: tuple[str, ...], folders: Sequence[Path], members: dict, then: Callable) -> None:
        write_sealed(self.place(file_of(keys)), as_bytes(members))
        if keys not in self.noted:
            for folder in folders:
                write_atomic(folder / IN_PACK, file_of(keys).encode())
            self.noted.add(keys)
        then()

    def keep(self, training) -> None:
        """Write where a training ended, which was saved before, into its own folder."""
        write_sealed(training.folder / STATE, as_bytes(alone(self.members[training.spec.key])))

    def begin_from(self, folder: Path, spec: Spec) -> None:
        """Let a training begin where the shorter one that its spec names ended: with that one's rows, pictures and state. Where
        that is damaged or gone, it begins from nothing and comes to the same."""
        shorter, name = folder.parent / (spec.goes_on_from or ""), file_of((spec.key,))
        if not spec.goes_on_from or (folder / IN_PACK).exists() or not is_own_file(shorter / STATE):
            return
        try:
            import torch

            member = torch.load(io.BytesIO(read_sealed(shorter / STATE)), map_location="cpu", weights_only=True)
            member["state"]["attempts"] = []
            rows = read_own(shorter / ROWS)
        except Exception as error:  # as of any checkpoint
            quarantine(shorter / STATE, f"no state to go on from: {type(error).__name__}")
            return
        for picture in filter(is_own_file, (shorter / "images").glob("*.png")):
            write_atomic(folder / "images" / picture.name, read_own(picture))
        write_atomic(folder / ROWS, rows)
        write_sealed(self.place(name), as_bytes({spec.key: member}))
        write_atomic(folder / IN_PACK, name.encode())

    def load(self, folder: Path, spec: Spec, rows: Mapping[int, EpochRow]) -> tuple[State, dict] | None:
        """The state of a training, and what the checkpoint holds of it; None where there is none to go on from. Its folder says in
        which file it was last, but for a crash just before: then it is further in that of the pack that is opened."""
        known = {name: found for name in self._names(folder, spec, rows) if (found := self._member(name, spec, rows))}
        if not known:
            return None
        self.sources[spec.key] = furthest = max(known, key=lambda name: known[name][0].epoch)
        return known[furthest]

    def _names(self, folder: Path, spec: Spec, rows: Mapping[int, EpochRow]) -> list[str]:
        own = file_of(self.keys) if spec.key in self.keys and rows else ""
        try:
            noted = read_own(folder / IN_PACK).decode()
        except (FileNotFoundError, UnicodeDecodeError):
            noted = ""
        return [name for name in dict.fromkeys((noted, own)) if is_name(name) and "/" not in name]

    def _member(self, name: str, spec: Spec, rows: Mapping[int, EpochRow]) -> tuple[State, dict] | None:
        if (members := self._open(name)) is None:
            return None
        try:
            member = members[spec.key]
            state = State(**{each.name: member["state"][each.name] for each in fields(State)})
            check_state(state, spec, rows)
        except Exception as error:  # whatever a hostile or damaged file leads to
            self._refuse(name, error)
            return None
        return state, member

    def refuse(self, key: str, error: Exception) -> None:
        """Set aside the file that a training's state is from, since it does not fit the model."""
        self._refuse(self.sources[key], error)

    def _open(self, name: str) -> dict | None:
        if name not in self.opened:
            import torch

            self.opened[name] = None
            try:
                content = read_sealed(self.place(name))
                self.opened[name] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            except FileNotFoundError:
                pass
            except Exception as error:  # torch raises a dozen kinds for a file that is cut short or hostile
                self._refuse(name, error)
        return self.opened[name]

    def _refuse(self, name: str, error: Exception) -> None:
        self.opened[name], self.refused = None, True
        if self.place(name).exists():
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
            quarantine(self.place(name), f"not a checkpoint of this pack and its trials' metrics.jsonl: {reason}")


def file_of(keys: tuple[str, ...]) -> str:
    """What the checkpoint of a pack is called."""
    return f"{cell_of(keys[0])}.{hashlib.sha256(' '.join(keys).encode()).hexdigest()[:16]}.pt"


def alone(value):
    """The same with tensors of their own, which else would bring the memory of the whole pack into a file."""
    if isinstance(value, dict):
        return {name: alone(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(alone(item) for item in value)
    return value.clone() if hasattr(value, "clone") else value


def as_bytes(value: dict) -> bytes:
    import torch

    torch.save(value, buffer := io.BytesIO())
    return buffer.getvalue()


def check_state(state: State, spec: Spec, rows: Mapping[int, EpochRow]) -> None:
    """ValueError or TypeError unless it can be what the trial of `spec` with these rows of metrics.jsonl wrote."""
    epoch, diverged = state.epoch, state.diverged_at
    claim(whole(epoch, 0, spec.epochs), "there is no such epoch")
    claim(rows.keys() >= set(range(epoch + 1)), "rows are missing")
    claim(whole(state.steps, 0, 2**53), "its steps are none")
    claim(
        all(isinstance(seconds, float) and 0 <= seconds < math.inf for seconds in (state.train_s, state.measure_s)),
        "its times are none",
    )
    claim(diverged is None or whole(diverged, 1, epoch), "it diverged at no such epoch")
    claim(all(whole(begun, 0, epoch) for begun in state.attempts), "its attempts are none")


def together(trainings: Sequence, phases: Sequence, batches: int) -> dict:
    """The state of Replicas from those of their trainings, which are equally far; ValueError, KeyError or TypeError unless it can
    be theirs. batches: those of one epoch."""
    done = trainings[0].state.epoch * batches
    turns = {phase.name: done // phase.every for phase in phases}
    for training in trainings:
        member = training.saved
        claim((member["epoch"], member["batches"]) == (training.state.epoch, done), "its weights are of another epoch")
        claim(training.state.steps <= done, "its steps are not those of its batches")
        check_curves(member["curves"], logged(training.written, training.state.epoch) if training.confirms else set(), turns)
    return {"epoch": trainings[0].state.epoch, "batches": done, "replicas": [training.saved["replica"] for training in trainings]}


def check_curves(curves: dict, names: set, turns: dict) -> None:
    """A curve is one loss "phase/loss" in every batch that was the phase's turn: (turns,). Search trainings keep none."""
    claim(curves.keys() == names, "curves are missing")
    claim(
        all(curve.is_floating_point() and tuple(curve.shape) == (turns[name.split("/")[0]],) for name, curve in curves.items()),
        "its curves do not hold every step",
    )


def logged(rows: Mapping[int, EpochRow], epoch: int) -> set:
    """The losses that the rows up to an epoch have means of."""
    return {name.removeprefix("loss/") for each in range(epoch + 1) for name in rows[each].values if name.startswith("loss/")}


def whole(value, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def claim(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)
