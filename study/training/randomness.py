"""Random numbers that a loss draws by itself, as dropout does: from the device's global generator, which is lent to one replica at
a time, so that none depends on the others of its pack."""

import torch
from torch import Generator, nn
from torch.func import functional_call

from models.phase import Phase, example
from study.training.lifted_loss import Loss


class Lent:
    """`with` it the device's global generator is where `own` is, and counts on for it; others find theirs unchanged afterwards."""

    def __init__(self, own: Generator):
        self.own, self.common = own, global_generator(own.device)

    def __enter__(self):
        self.before = self.common.get_state()
        self.common.set_state(self.own.get_state())

    def __exit__(self, *exception):
        self.own.set_state(self.common.get_state())
        self.common.set_state(self.before)


def global_generator(device: torch.device) -> Generator:
    return torch.cuda.default_generators[device.index or 0] if device.type == "cuda" else torch.default_generator


def draws(model: nn.Module) -> bool:
    """Whether a loss of a model draws on the global generator while it trains. Neither of them is changed by the question."""
    common = global_generator(next(model.parameters()).device)
    before = common.get_state()
    for phase in model.phases:
        try_out(model, phase)
    after = common.get_state()
    common.set_state(before)
    return not torch.equal(before, after)


def try_out(model: nn.Module, phase: Phase) -> None:
    """Calls a loss on two black images, with copies of the buffers, since BatchNorm's count what they saw."""
    x = next(model.parameters()).new_zeros(2, *model.shape)
    buffers = {f"model.{name}": value.clone() for name, value in model.named_buffers()}
    functional_call(Loss(model.train(), phase.loss), buffers, (x, example(model, phase, x), x.new_zeros(())))
