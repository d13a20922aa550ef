"""What the driver and its workers tell one another through Ray Tune, which carries dicts."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Self

from study.ledger.records import Result
from study.training.checkpoint import CHECKPOINT_S


@dataclass(frozen=True)
class PackConfig:
    """What a worker is given: which trainings, how far, where, and with what."""

    keys: tuple[str, ...] = ()  # of the trials of a pack, once one is served
    until: int = 0  # the epoch up to which they are trained
    ledger: str = ""  # address of the study
    token: str = ""  # the word that the driver left there: a worker that reads another one sees another storage
    data_dir: str = ""
    cwd: str = ""  # the driver's, from which relative paths count
    cpus: float = 1.0
    gpus: float = 0.0  # share of an accelerator
    checkpoint_s: float = CHECKPOINT_S  # seconds between checkpoints
    reference: bool = False  # whether they are trained in the plainest way
    limit_s: float | None = None  # seconds that a training may take
    trust: tuple = ("", False)  # what `allow` of study/space/importing.py takes

    def to_tune(self) -> dict:
        return asdict(self)


@dataclass(frozen=True)
class Progress:
    """A worker's report now and then: the epochs trained, and the objective where it was just measured."""

    epoch: int
    objective: float | None

    def to_tune(self) -> dict:
        return asdict(self)


@dataclass(frozen=True)
class Final:
    """A worker's last report on a pack: the results of the trainings that ended, the objectives of those that wait at a rung,
    or why the whole sweep has to stop; nothing where the worker died."""

    results: tuple[Result, ...] = ()
    waiting: Mapping[str, float | None] = field(default_factory=dict)  # by key
    stop: str = ""

    def to_tune(self) -> dict:
        """As Tune takes it; the results are text, since Tune flattens dicts."""
        objectives = [result.objective for result in self.results if result.objective is not None]
        if self.stop:
            return {"objective": None, "stop": self.stop}
        outcome = {"results": [result.to_json() for result in self.results], "waiting": dict(self.waiting)}
        return {"objective": min(objectives, default=None), "outcome": json.dumps(outcome)}

    @classmethod
    def from_tune(cls, reported: dict | None) -> Self:
        """From the last report that Tune has of a pack, which may be one of its progress."""
        reported = reported or {}
        outcome = json.loads(reported.get("outcome") or "{}")
        return cls(tuple(map(Result.from_json, outcome.get("results", ()))), outcome.get("waiting", {}), reported.get("stop", ""))

    def epoch(self, until: int) -> int:
        """To which a pack came that was to train up to one."""
        return until if self.waiting else max((result.epochs for result in self.results), default=0)

    def __bool__(self) -> bool:
        return bool(self.results or self.waiting or self.stop)
