"""Optimisers of stacked parameters (K, ...): every replica steps at a rate of its own, to the same bits in a pack of any size."""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.phase import Adam, Phase, RMSprop

EPS = 1e-8  # torch's
DECAY = 0.99  # of RMSprop's mean square, torch's
PLAIN = {"weight_decay": 0.0, "eps": EPS, "amsgrad": False, "maximize": False}  # of the fused kernel's further options none


def stacked(phases: Sequence[Phase], learned: Sequence[Tensor]) -> "Stacked | OneEach":
    """What steps the tensors (K, ...) that a phase learns; `phases`: that phase of each of the K models."""
    settings = [phase.optimiser for phase in phases]
    alike = len({getattr(each, "betas", None) for each in settings}) == 1 < len(settings)
    kinds = {Adam: ScaledAdam if alike and learned[0].is_cuda else StackedAdam, RMSprop: StackedRMSprop}
    return kinds.get(type(settings[0]), OneEach)(settings, [parameter.detach() for parameter in learned])


class Stacked:
    """One optimiser of K replicas, whose memory begins with zeros."""

    names: tuple[str, ...]  # of what it remembers of each parameter, as torch calls it

    def __init__(self, settings: Sequence, learned: Sequence[Tensor]):
        self.settings, self.learned = settings, learned
        self.memory = {name: [torch.zeros_like(parameter) for parameter in learned] for name in self.names}

    def step(self, gradients: Sequence[Tensor], epoch: Tensor) -> None:
        """One step of all replicas, in place. Gradients (K, ...) lie in memory as the parameters do; `epoch` (): epochs before."""
        raise NotImplementedError

    def memory_of(self, k: int) -> dict[str, list[Tensor]]:
        """Replica k's: views, name -> one for each parameter."""
        return {name: [value[k] for value in values] for name, values in self.memory.items()}

    def check(self, memory, turns: int) -> None:
        """ValueError for what cannot be a replica's memory after so many steps."""
        if outline(memory) != outline(self.memory_of(0)):
            raise ValueError("the memory of an optimiser is not that of this model's")

    def load(self, memories: Sequence[dict], turns: int) -> None:
        """Goes on from the memory of each replica after `turns` steps."""
        for k, memory in enumerate(memories):
            for name, values in self.memory_of(k).items():
                for own, saved in zip(values, memory[name]):
                    own.copy_(saved)


class StackedAdam(Stacked):
    """torch's fused kernel on the rows of one replica after another, which was measured to take no longer than one call with
    equal rates over the stacks: see docs/performance.md."""

    names = "exp_avg", "exp_avg_sq"

    def __init__(self, settings: Sequence[Adam], learned: Sequence[Tensor]):
        super().__init__(settings, learned)
        self.rows = [rows(learned), *(rows(values) for values in self.memory.values())]
        self.turns = torch.zeros((), device=learned[0].device)  # a tensor, which a CUDA graph counts up

    def step(self, gradients: Sequence[Tensor], epoch: Tensor) -> None:
        self.turns += 1
        turns = [self.turns] * len(self.learned)
        for adam, parameters, means, squares, own in zip(self.settings, *self.rows, rows(gradients)):
            first, second = adam.betas
            rate = adam.lr if adam.decay == 1 else adam.lr * adam.decay**epoch
            torch._fused_adam_(parameters, own, means, squares, [], turns, lr=rate, beta1=first, beta2=second, **PLAIN)

    def load(self, memories: Sequence[dict], turns: int) -> None:
        super().load(memories, turns)
        self.turns.fill_(turns)


class ScaledAdam(StackedAdam):
    """The same for equal betas, in one call for all replicas, which takes steps at the rate 1 from 0; these are then scaled by each
    replica's rate and added. On a card a call for one replica leaves most of it idle."""

    def __init__(self, settings: Sequence[Adam], learned: Sequence[Tensor]):
        super().__init__(settings, learned)
        self.steps = [torch.zeros_like(parameter) for parameter in learned]
        self.rates = Rates(settings, learned)

    def step(self, gradients: Sequence[Tensor], epoch: Tensor) -> None:
        self.turns += 1
        (first, second), turns = self.settings[0].betas, [self.turns] * len(self.learned)
        torch._foreach_zero_(self.steps)
        moments = self.memory["exp_avg"], self.memory["exp_avg_sq"]
        torch._fused_adam_(self.steps, gradients, *moments, [], turns, lr=1.0, beta1=first, beta2=second, **PLAIN)
        torch._foreach_addcmul_(self.learned, self.steps, self.rates.at(epoch))


class Rates:
    """The rate of every replica in a form that is broadcast over each learned tensor (K, ...)."""

    def __init__(self, settings: Sequence[Adam] | Sequence[RMSprop], learned: Sequence[Tensor]):
        self.rates = [of_each([each.lr for each in settings], parameter) for parameter in learned]
        decays = [each.decay for each in settings]
        self.decays = [of_each(decays, parameter) for parameter in learned] if min(decays) < 1 else []

    def at(self, epoch: Tensor) -> list[Tensor]:
        """epoch (): epochs before."""
        return [rate * decay**epoch for rate, decay in zip(self.rates, self.decays)] or self.rates


class StackedRMSprop(Stacked):
    names = ("square_avg",)

    def __init__(self, settings: Sequence[RMSprop], learned: Sequence[Tensor]):
        super().__init__(settings, learned)
        self.rates = Rates(settings, learned)

    def step(self, gradients: Sequence[Tensor], epoch: Tensor) -> None:
        squares = self.memory["square_avg"]
        torch._foreach_mul_(squares, DECAY)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - DECAY)
        for parameter, rate, gradient, square in zip(self.learned, self.rates.at(epoch), gradients, squares):
            parameter.addcdiv_(rate * gradient, square.sqrt().add_(EPS), value=-1)


class OneEach:
    """Any optimiser of torch: one for each replica, on its rows."""

    def __init__(self, settings: Sequence, learned: Sequence[Tensor]):
        self.build, self.parameters = settings[0], rows(learned)
        self.optimisers = [build(list(parameters)) for build, parameters in zip(settings, self.parameters)]

    def step(self, gradients: Sequence[Tensor], epoch: Tensor) -> None:
        for optimiser, parameters, own in zip(self.optimisers, self.parameters, rows(gradients)):
            for parameter, gradient in zip(parameters, own):
                parameter.grad = gradient
            optimiser.step()

    def memory_of(self, k: int) -> dict:
        return self.optimisers[k].state_dict()["state"]

    def check(self, memory, turns: int) -> None:
        """Its form must be that of a new one's after a step, and its steps, where it counts them, so many."""
        expected = self.after_a_step() if turns else {}
        if outline(memory) != outline(expected) or any(own["step"] != turns for own in memory.values() if "step" in own):
            raise ValueError(f"the memory of an optimiser is not that of {turns} steps")

    def after_a_step(self) -> dict:
        twins = [torch.zeros_like(parameter) for parameter in self.parameters[0]]
        for twin in twins:
            twin.grad = torch.zeros_like(twin)
        optimiser = self.build(twins)
        optimiser.step()
        return optimiser.state_dict()["state"]

    def load(self, memories: Sequence[dict], turns: int) -> None:
        for optimiser, memory in zip(self.optimisers, memories):
            optimiser.load_state_dict(optimiser.state_dict() | {"state": memory})  # saved settings may be another device's
            for parameter, moments in optimiser.state.items():
                for name, value in moments.items():
                    if value.shape == parameter.shape:
                        moments[name] = laid_out_as(parameter, value)


def rows(stacks: Sequence[Tensor]) -> list[tuple[Tensor, ...]]:
    """Tensors (K, ...) -> for each of the K replicas its views of all of them."""
    return list(zip(*(stack.unbind(0) for stack in stacks)))


def of_each(values: Sequence[float], like: Tensor) -> Tensor:
    """K numbers in a form that is broadcast over `like`, (K, ...)."""
    return torch.tensor(values, dtype=like.dtype, device=like.device).view(-1, *[1] * (like.dim() - 1))


def laid_out_as(parameter: Tensor, value: Tensor) -> Tensor:
    """`value` in the memory order of `parameter`: fused optimisers read both without looking at strides."""
    return value if value.stride() == parameter.stride() else torch.empty_like(parameter).copy_(value)


def outline(value):
    """The form of a state without its numbers: names, shapes and types."""
    if isinstance(value, dict):
        return {name: outline(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [outline(item) for item in value]
    return (tuple(value.shape), value.dtype) if isinstance(value, Tensor) else type(value)
