"""What a model asks of the trainer: which parameters learn from which loss, how often, by which optimiser."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Adam:
    """Kingma and Ba 2015, with torch's eps, at the rate lr x decay^epoch. ValueError for a rate or decays that are none."""

    lr: float
    betas: tuple[float, float]
    decay: float = 1.0

    def __post_init__(self):
        check_rate(self.lr, self.decay)
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas={self.betas!r} must be at least 0 and below 1")


@dataclass(frozen=True)
class RMSprop:
    """Tieleman and Hinton 2012, with torch's mean square and eps, at the rate lr x decay^epoch. ValueError for a rate or a decay
    that is none."""

    lr: float
    decay: float = 1.0

    def __post_init__(self):
        check_rate(self.lr, self.decay)


def check_rate(lr: float, decay: float) -> None:
    if not lr >= 0:
        raise ValueError(f"lr={lr!r} must not be negative")
    if not 0 < decay <= 1:
        raise ValueError(f"lr_decay={decay!r} must be above 0 and at most 1")


@dataclass(frozen=True)
class Phase:
    """One optimisation step per `every`-th batch; the phases of a model take turns on the same batch.

    `optimiser`: Adam or RMSprop, which step the replicas of a pack side by side, or what makes any other of torch from a list of
    parameters, at the price of one call per replica.
    """

    name: str
    loss: str  # the model's method(x, noise, epoch) -> dict of scalars; "loss" is minimised, all are logged. Or, where it asks
    # for them, (x, noise, epoch, labels), with the classes (n,) of the images
    learns: tuple[str, ...]  # submodules (or parameters of the model itself) that this phase updates
    optimiser: Adam | RMSprop | Callable[[list[Tensor]], torch.optim.Optimizer]
    every: int = 1
    noise: dict[str, tuple] = field(default_factory=dict)  # name -> shape per image; N(0, 1) or, for "uniform...", U(0, 1)
    draws: str = ""  # the model's method(noise) -> images (n, C, H, W), by what this phase learns: called once a batch, with the
    # noise of its first phase, and given to all its phases as noise[DRAWN]
    clip: float | None = None  # learned parameters are clamped to [-clip, clip] after the step


DRAWN = "drawn"  # among a phase's noise, the images that the phases of a batch share
LABELS = "labels"  # among a phase's noise, the classes of the batch: as they are handed on, where its loss asks for them


def asks_for_labels(model: nn.Module, phase: Phase) -> bool:
    return LABELS in inspect.signature(getattr(model, phase.loss)).parameters


def losses_of(model: nn.Module, loss: str, x: Tensor, noise: Mapping[str, Tensor], epoch: Tensor) -> dict[str, Tensor]:
    """What a phase's loss gives, with the labels where they came with the noise."""
    own = {name: value for name, value in noise.items() if name != LABELS}
    return getattr(model, loss)(x, own, epoch, *([noise[LABELS]] if LABELS in noise else []))


def example(model: nn.Module, phase: Phase, x: Tensor) -> dict[str, Tensor]:
    """What a loss is given besides images (n, C, H, W), all of it 0."""
    labels = {LABELS: torch.zeros(len(x), dtype=torch.int64, device=x.device)} if asks_for_labels(model, phase) else {}
    shared = {DRAWN: torch.zeros_like(x)} if phase.draws else {}
    return {name: x.new_zeros(len(x), *size) for name, size in phase.noise.items()} | shared | labels


def learned_by(phase, parameters) -> list:
    return [value for name, value in parameters.items() if name.split(".")[0] in phase.learns]
