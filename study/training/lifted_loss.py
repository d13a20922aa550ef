"""A phase's loss and its gradients for K replicas at once, in either of two ways that differ by no more than rounding."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.func import functional_call

from models.phase import Phase, learned_by, losses_of

Losses = dict[str, Tensor]  # name -> (K,)


class FusedLoss:
    """One call of the loss, lifted over the stacked parameters of all replicas: pays while a step is bound by overhead."""

    def __init__(self, phase: Phase, models: Sequence[nn.Module], state: Mapping[str, Tensor], learned: Sequence[Tensor]):
        self.lifted, self.state, self.learned = lift(Loss(models[0], phase.loss)), state, learned

    def __call__(self, x: Tensor, noise: Mapping[str, Tensor], epoch: Tensor) -> tuple[Losses, Sequence[Tensor]]:
        losses = self.lifted(self.state, x, noise, epoch)
        return losses, torch.autograd.grad(losses["loss"].sum(), self.learned)  # no replica's loss moves with another's parameters


class FusedDraw:
    """The images that the phases of a batch share, by all replicas in one call."""

    def __init__(self, phase: Phase, models: Sequence[nn.Module], state: Mapping[str, Tensor]):
        self.lifted, self.state = lift(Draw(models[0], phase.draws)), state

    def __call__(self, noise: Mapping[str, Tensor]) -> Tensor:
        return self.lifted(self.state, noise)


class DrawOfEach:
    """The same by one replica after another."""

    def __init__(self, phase: Phase, models: Sequence[nn.Module]):
        self.phase, self.models = phase, models
        self.learned = [divided(phase, model)[0] for model in models]

    def __call__(self, noise: Mapping[str, Tensor]) -> Tensor:
        images = []
        for k, (model, learned) in enumerate(zip(self.models, self.learned)):
            for parameter in learned:
                parameter.requires_grad_(True)
            images.append(getattr(model, self.phase.draws)({name: value[k] for name, value in noise.items()}))
        return stack(images)


class LossOfEach:
    """The loss of one replica after another, each within a context of its own: pays where a step is bound by arithmetic."""

    def __init__(self, phase: Phase, models: Sequence[nn.Module], contexts: Sequence[AbstractContextManager]):
        self.phase, self.models, self.contexts = phase, models, contexts
        self.divided = [divided(phase, model) for model in models]

    def __call__(self, x: Tensor, noise: Mapping[str, Tensor], epoch: Tensor) -> tuple[Losses, Sequence[Tensor]]:
        losses, gradients = [], []
        for k, (model, (learned, others)) in enumerate(zip(self.models, self.divided)):
            for parameter in others:
                parameter.requires_grad_(False)  # else gradients that nobody asked for are computed as well
            for parameter in learned:
                parameter.requires_grad_(True)
            own_noise = {name: value[k] for name, value in noise.items()}
            with self.contexts[k]:
                losses.append(losses_of(model, self.phase.loss, x[k], own_noise, epoch))
            gradients.append(torch.autograd.grad(losses[k]["loss"], learned))
        return (
            {name: stack([values[name] for values in losses]) for name in losses[0]},
            [stack(values) for values in zip(*gradients)],
        )


def divided(phase: Phase, model: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """The parameters of a model that a phase updates, and the others."""
    named = dict(model.named_parameters())
    return learned_by(phase, named), [value for name, value in named.items() if name.split(".")[0] not in phase.learns]


class Loss(nn.Module):
    """One loss of a model as a module's forward, which is what `functional_call` calls."""

    def __init__(self, model: nn.Module, loss: str):
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, x, noise, epoch):
        return losses_of(self.model, self.loss, x, noise, epoch)


class Draw(nn.Module):
    """The same of what a phase draws."""

    def __init__(self, model: nn.Module, draws: str):
        super().__init__()
        self.model, self.draws = model, draws

    def forward(self, noise):
        return getattr(self.model, self.draws)(noise)


def lift(caller: nn.Module):
    """A module around a model as a function of stacked parameters and buffers and stacked arguments, of which only the epoch, a
    third one, is the same for all."""

    def one(state, *arguments):
        return functional_call(caller, {f"model.{name}": value for name, value in state.items()}, arguments)

    def lifted(state, *arguments):
        return torch.vmap(one, in_dims=(0, *(0, 0, None)[: len(arguments)]))(state, *arguments)

    return lifted


def stack(values: Sequence[Tensor]) -> Tensor:
    """torch.stack, which would copy even a single tensor."""
    return torch.stack(values) if len(values) > 1 else values[0][None]
