"""An exponential average of a module's weights over its updates, from which it may be called as well (Yazici et al. 2019)."""

import torch
from torch import nn
from torch.func import functional_call


class Average(nn.Module):
    """The average of a module's parameters; what else the module has, as BatchNorm's statistics, stays its own.

    Early on it forgets faster, at (1 + n) / (10 + n) after n updates, else it would be that of untrained weights for long.
    """

    def __init__(self, module: nn.Module, decay: float):
        super().__init__()
        if not 0 < decay < 1:
            raise ValueError(f"average={decay!r} must lie between 0 and 1")
        self.decay, self.names = decay, [name for name, _ in module.named_parameters()]
        self.register_buffer("updates", torch.zeros(()))
        for name, parameter in module.named_parameters():
            self.register_buffer(name.replace(".", "_"), parameter.detach().clone())

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take in the weights as they are now."""
        kept = ((1 + self.updates) / (10 + self.updates)).clamp(max=self.decay)
        for name, parameter in module.named_parameters():
            own = getattr(self, name.replace(".", "_"))
            own.copy_(parameter + kept * (own - parameter))
        self.updates += 1

    def call(self, module: nn.Module, *arguments):
        """What the module gives with the averaged weights."""
        return functional_call(module, {name: getattr(self, name.replace(".", "_")) for name in self.names}, arguments)
