"""A training step as one CUDA graph: the launches of its hundreds of small kernels become a single one."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

WARM_UP = 3  # calls before the capture, which make the optimiser's state and choose the libraries' kernels


class Captured:
    """`step(x, noise, epoch)` -> losses, captured at its fourth call and replayed from then on.

    The step must keep its shapes, wait for nothing and change its parameters, buffers and optimiser in place.
    """

    def __init__(self, step: Callable):
        self.step, self.calls = step, 0
        self.graph: Any = None  # a torch.cuda.CUDAGraph once it is captured

    def __call__(self, x: Tensor, noise: dict[str, Tensor], epoch: Tensor) -> dict[str, Tensor]:
        self.calls += 1
        if self.calls <= WARM_UP:
            return self.step(x, noise, epoch)
        if self.graph is None:
            self.capture(x, noise, epoch)
        torch._foreach_copy_(self.inputs, [x, *noise.values(), epoch])  # a graph reads where it read when captured
        self.graph.replay()
        return {name: value.clone() for name, value in self.losses.items()}  # copies: the next replay writes there too

    def capture(self, x: Tensor, noise: dict[str, Tensor], epoch: Tensor) -> None:
        self.inputs = [value.clone() for value in (x, *noise.values(), epoch)]
        own_x, *own_noise, own_epoch = self.inputs
        self.graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize()
        with torch.cuda.graph(self.graph):
            self.losses = self.step(own_x, dict(zip(noise, own_noise)), own_epoch)
