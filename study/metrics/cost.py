"""What a training costs, counted: parameters, floating point operations, memory."""

import resource
import sys

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from models.phase import DRAWN, example, learned_by, losses_of


def cost(model: nn.Module, shape: tuple[int, int, int]) -> dict[str, float]:
    """Parameters of a model in train mode on the CPU, and FLOPs of one training step per image of `shape` (C, H, W).

    FLOPs, two per multiply-add, are of matrix products and convolutions, forwards and backwards, of every phase at its rate.
    """
    return {
        "cost/parameters": sum(p.numel() for p in model.parameters()),
        "cost/flops_per_image": sum(_flops(model, phase, shape) / phase.every for phase in model.phases),
    }


def peak_memory_mb(device: str) -> float:
    """The most memory so far, in units of 2^20 bytes: of the accelerator's tensors, or on a processor of this whole process."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def _flops(model, phase, shape, batch=2):
    x, epoch = torch.zeros(batch, *shape), torch.zeros(())  # numbers, since torch takes longer for shapes without
    learned = learned_by(phase, dict(model.named_parameters()))
    given, saved = example(model, phase, x), 0
    with torch.random.fork_rng(devices=[]), Flops() as counted:
        if phase.draws:  # what the first phase then need not make
            given[DRAWN] = getattr(model, phase.draws)(example(model, model.phases[0], x))
            saved = counted.total
        torch.autograd.grad(losses_of(model, phase.loss, x, given, epoch)["loss"], learned)
    return (counted.total - saved) / batch


class Flops(TorchDispatchMode):
    """Counts as torch's FlopCounterMode does, but follows no modules, which a gradient penalty would not allow."""

    total = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """torch would import its compiler, which takes seconds in every worker, to keep it away from what follows."""
        return False

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        result = function(*arguments, **(keywords or {}))
        if count := flop_registry.get(function._overloadpacket):
            self.total += count(*arguments, **(keywords or {}), out_val=result)
        return result
