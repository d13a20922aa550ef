"""What a model asks of the trainer: which parameters learn from which loss, how often, by which optimiser."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Adam:
    """Kingma and Ba 2015, with torch's eps. ValueError for a rate or decays of moments that are none."""

    lr: float
    betas: tuple[float, float]

    def __post_init__(self):
        check_rate(self.lr)
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas={self.betas!r} must be at least 0 and below 1")


@dataclass(frozen=True)
class RMSprop:
    """Tieleman and Hinton 2012, with torch's decay and eps. ValueError for a rate that is none."""

    lr: float

    def __post_init__(self):
        check_rate(self.lr)


def check_rate(lr: float) -> None:
    if not lr >= 0:
        raise ValueError(f"lr={lr!r} must not be negative")


@dataclass(frozen=True)
class Phase:
    """One optimisation step per `every`-th batch; the phases of a model take turns on the same batch.

    `optimiser`: Adam or RMSprop, which step the replicas of a pack side by side, or what makes any other of torch from a list of
    parameters, at the price of one call per replica.
    """

    name: str
    loss: str  # the model's method(x, noise, epoch) -> dict of scalars; "loss" is minimised, all are logged
    learns: tuple[str, ...]  # submodules (or parameters of the model itself) that this phase updates
    optimiser: Adam | RMSprop | Callable[[list[Tensor]], torch.optim.Optimizer]
    every: int = 1
    noise: dict[str, tuple] = field(default_factory=dict)  # name -> shape per image; N(0, 1) or, for "uniform...", U(0, 1)
    clip: float | None = None  # learned parameters are clamped to [-clip, clip] after the step


def learned_by(phase, parameters) -> list:
    return [value for name, value in parameters.items() if name.split(".")[0] in phase.learns]
