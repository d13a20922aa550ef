"""What the driver and its workers tell one another through Ray Tune, which carries dicts."""

import json
from dataclasses import asdict, dataclass
from typing import Self

from study.ledger.records import Result
from study.training.checkpoint import CHECKPOINT_S


@dataclass(frozen=True)
class TrialConfig:
    """What a worker is given: which trial, where, and with what."""

    key: str = ""  # of the trial, once one is served
    ledger: str = ""  # address of the study
    token: str = ""  # the word that the driver left there: a worker that reads another one sees another storage
    data_dir: str = ""
    cwd: str = ""  # the driver's, from which relative paths count
    cpus: float = 1.0
    gpus: float = 0.0  # share of an accelerator
    checkpoint_s: float = CHECKPOINT_S  # seconds between checkpoints
    graphs: bool = False  # whether steps are captured as CUDA graphs
    trust: tuple[str, bool] = ("", False)  # what `allow` of study/space/importing.py takes

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
    """A worker's last report on a trial: its result, or why the whole sweep has to stop; neither where the worker died."""

    result: Result | None = None
    stop: str = ""

    def to_tune(self) -> dict:
        """As Tune takes it; the result is text, since Tune flattens dicts."""
        if self.result is None:
            return {"objective": None, "stop": self.stop}
        return {"objective": self.result.objective, "outcome": json.dumps(self.result.to_json())}

    @classmethod
    def from_tune(cls, reported: dict | None) -> Self:
        """From the last report that Tune has of a trial, which may be one of its progress."""
        reported = reported or {}
        text = reported.get("outcome")
        return cls(Result.from_json(json.loads(text)) if text else None, reported.get("stop", ""))
