"""What a model asks of the trainer: which parameters learn from which loss, how often, by which optimiser."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Phase:
    """One optimisation step per `every`-th batch; the phases of a model take turns on the same batch."""

    name: str
    loss: str  # the model's method(x, noise, epoch) -> dict of scalars; "loss" is minimised, all are logged
    learns: tuple[str, ...]  # submodules (or parameters of the model itself) that this phase updates
    optimiser: Callable[[list[Tensor]], torch.optim.Optimizer]
    every: int = 1
    noise: dict[str, tuple] = field(default_factory=dict)  # name -> shape per image; N(0, 1) or, for "uniform...", U(0, 1)
    clip: float | None = None  # learned parameters are clamped to [-clip, clip] after the step


def adam(lr, betas) -> Callable:
    """Adam in one fused kernel per step, without which it takes a quarter of a small model's step."""

    def build(parameters):
        return torch.optim.Adam(parameters, lr=lr, betas=tuple(betas), fused=True, capturable=parameters[0].is_cuda)

    return build


def rmsprop(lr) -> Callable:
    def build(parameters):
        return torch.optim.RMSprop(parameters, lr=lr, foreach=True, capturable=parameters[0].is_cuda)

    return build


def learned_by(phase, parameters) -> list:
    return [value for name, value in parameters.items() if name.split(".")[0] in phase.learns]
