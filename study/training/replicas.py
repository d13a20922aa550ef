"""Trains K replicas of one model side by side: stacked parameters, lifted losses, one optimiser step for all."""

import zlib
from contextlib import contextmanager
from functools import partial
from math import prod

import torch
from torch import Tensor
from torch.func import stack_module_state
from torch.utils._pytree import tree_map

from models.phase import learned_by
from study.training.batches import batches, check_images
from study.training.cuda_graphs import Captured
from study.training.lifted_loss import FusedLoss, LossOfEach, stack
from study.training.numerics import products_in

FUSED_PIXELS = 256  # beyond it a CPU step is bound by arithmetic, and vmap was measured to slow it by a fifth


class Replicas:
    """K trainings of the model that `build` makes, one per seed. No replica's result depends on the others of its pack.

    Only dropout draws on a generator that the pack shares. `fused` lifts the loss over all replicas; without it each
    is called in turn, to the same result but for rounding. By default it is chosen for speed. On a CUDA device a step
    is captured once and replayed with `graphs`, and multiplies in TF32 with the `precision` "tf32" (see docs/performance.md for
    why they must be asked for).
    """

    def __init__(self, build, seeds, device="cpu", fused: bool | None = None, graphs: bool = False, precision: str = "float32"):
        self.precision = precision
        self.seeds, self.device = tuple(seeds), torch.device(device)
        self.K = len(self.seeds)
        self.models = [seeded(build, seed).to(self.device) for seed in self.seeds]
        self.model, self.phases = self.models[0], self.models[0].phases
        self.parameters, self.buffers = stack_module_state(self.models)  # name -> (K, ...)
        small = self.device.type != "cpu" or prod(self.model.shape) <= FUSED_PIXELS
        self.fused = self.K > 1 and small if fused is None else fused
        self.join_memory()
        self.dtype = next(iter(self.parameters.values())).dtype
        self.learned = [learned_by(phase, self.parameters) for phase in self.phases]  # of each phase: tensors (K, ...)
        self.losses = [self.loss_of(phase, learned) for phase, learned in zip(self.phases, self.learned)]
        self.optimisers = [phase.optimiser(learned) for phase, learned in zip(self.phases, self.learned)]
        self.orders, self.noises = ([self.generator(f"{purpose} {seed}") for seed in self.seeds] for purpose in ("order", "noise"))
        self.random = self.generator(f"dropout {self.seeds}").get_state()
        self.captured: dict | None = {} if graphs else None  # (phase, shape of a batch) -> its step as a graph
        self.epoch = self.batches_done = 0  # trained so far; batches over all epochs, since phases take turns across them

    def join_memory(self):
        """Makes each model's parameters and buffers views of the stacks, which are what the optimisers step."""
        if not self.fused:
            for value in self.parameters.values():
                value.data = channels_last(value.data)
        for k, model in enumerate(self.models):
            for name, own in [*model.named_parameters(), *model.named_buffers()]:
                own.data = (self.parameters | self.buffers)[name].data[k]

    def loss_of(self, phase, learned):
        if self.fused:
            return FusedLoss(phase, self.models, self.parameters | self.buffers, learned)
        return LossOfEach(phase, self.models)

    def generator(self, purpose: str) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(zlib.crc32(purpose.encode()))

    def train_epoch(self, images: Tensor, levels: int, batch_size: int, binarised: bool = False) -> dict[str, Tensor]:
        """One pass over uint8 `images` (N, C, H, W) of grey levels 0..levels - 1, every replica in its own order.

        Returns "phase/loss" -> (K, steps of that phase) for every phase that had a turn, fetched in one transfer. The
        last, partial batch is dropped; `binarised` draws black or white pixels anew each time, with the grey level as
        probability. Raises ValueError when there is no full batch or a pixel is beyond the levels.
        """
        check_images(images, levels, batch_size)
        for model in self.models:
            model.train()
        logs: list[list] = [[] for _ in self.phases]
        epoch = torch.tensor(float(self.epoch), device=self.device)
        with self.own_dropout(), products_in(self.precision):
            for x, due in self.batches(images, levels, batch_size, binarised):  # (K, n, C, H, W) in [0, 1]
                for index, noise in due:
                    logs[index].append(self.step(index, x, noise, epoch))
                self.batches_done += 1
        self.epoch += 1
        return fetch(
            {
                f"{phase.name}/{name}": torch.stack([losses[name] for losses in log], 1)
                for phase, log in zip(self.phases, logs)
                if log
                for name in log[0]
            }
        )

    def step(self, index: int, x: Tensor, noise: dict[str, Tensor], epoch: Tensor) -> dict[str, Tensor]:
        """One optimisation step of a phase: its losses, name -> (K,). Replayed from a graph where graphs are asked for."""
        if self.captured is None:
            return self.update(index, x, noise, epoch)
        return self.captured.setdefault((index, x.shape), Captured(partial(self.update, index)))(x, noise, epoch)

    def update(self, index: int, x: Tensor, noise: dict[str, Tensor], epoch: Tensor) -> dict[str, Tensor]:
        """Tensors in, tensors out: nothing waits for the device, and all that changes is changed in place."""
        losses, gradients = self.losses[index](x, noise, epoch)  # {name: (K,)}, and (K, ...) for each parameter learned
        learned, clip = self.learned[index], self.phases[index].clip
        for parameter, gradient in zip(learned, gradients):
            parameter.grad = laid_out_as(parameter, gradient)
        self.optimisers[index].step()
        if clip:
            with torch.no_grad():
                torch._foreach_clamp_min_(learned, -clip)
                torch._foreach_clamp_max_(learned, clip)
        return {name: value.detach() for name, value in losses.items()}

    def batches(self, images: Tensor, levels: int, batch_size: int, binarised: bool):
        """Those of an epoch (study/training/batches.py), with this pack's orders, noise and turns."""
        return batches(images, levels, batch_size, binarised, self.phases, self.orders, self.noises, self.batches_done, self.dtype)

    @contextmanager
    def own_dropout(self):
        """The device's global generator as this pack left it; others find theirs unchanged afterwards."""
        generator = (
            torch.cuda.default_generators[self.device.index or 0] if self.device.type == "cuda" else (torch.default_generator)
        )
        outside = generator.get_state()
        generator.set_state(self.random)
        try:
            yield
        finally:
            self.random = generator.get_state()
            generator.set_state(outside)

    @torch.no_grad()
    def call(self, method, *arguments, shared=True):
        """A method of every replica in eval mode: results (K, ...). Unshared arguments are (K, n, ...)."""
        results = []
        for k, model in enumerate(self.models):
            model.eval()
            results.append(getattr(model, method)(*(argument if shared else argument[k] for argument in arguments)))
        return tree_map(lambda *values: stack(values), *results)

    def sample(self, z: Tensor) -> Tensor:
        """(n, latent_dim) -> (K, n, C, H, W) in [0, 1]: every replica decodes the same latents."""
        return self.call("sample", z)

    def weights(self, k: int) -> dict[str, Tensor]:
        """A copy of replica k's own state_dict, as `build()` loads it."""
        return {name: value.clone() for name, value in self.models[k].state_dict().items()}

    def state_dict(self) -> dict:
        """All that training goes on from, bit for bit on a CPU; as with torch's own, its tensors are not copies."""
        return {
            "seeds": list(self.seeds),
            "epoch": self.epoch,
            "batches": self.batches_done,
            "buffers": self.buffers,
            "parameters": {name: value.detach() for name, value in self.parameters.items()},
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "random": [self.random, *(generator.get_state() for generator in self.orders + self.noises)],
        }

    def check_state(self, state):
        """ValueError for other seeds, and where a part is missing, of another shape, or not after so many batches."""
        if list(state["seeds"]) != list(self.seeds):
            raise ValueError(f"this state belongs to the seeds {state['seeds']}, not {list(self.seeds)}")
        own = self.state_dict()
        for part in ("parameters", "buffers", "random", "epoch", "batches"):
            if outline(state[part]) != outline(own[part]):
                raise ValueError(f"its {part} are not those of this model")
        if len(state["optimisers"]) != len(self.phases):
            raise ValueError("its optimisers are not those of this model")
        for phase, learned, saved in zip(self.phases, self.learned, state["optimisers"]):
            check_memory(phase, learned, saved["state"], turns=state["batches"] // phase.every)

    @torch.no_grad()
    def load_state_dict(self, state):
        """Goes on from a `state_dict` of the same model and seeds; for any other ValueError, and nothing is loaded."""
        self.check_state(state)
        for name, value in (self.parameters | self.buffers).items():
            value.copy_((state["parameters"] | state["buffers"])[name])
        for optimiser, saved in zip(self.optimisers, state["optimisers"]):
            # the saved settings may be another device's
            optimiser.load_state_dict(optimiser.state_dict() | {"state": saved["state"]})
            for parameter, moments in optimiser.state.items():
                for name, value in moments.items():
                    if value.shape == parameter.shape:
                        moments[name] = laid_out_as(parameter, value)
        self.captured = None if self.captured is None else {}  # a graph holds on to the optimiser's old memory
        self.epoch, self.batches_done = state["epoch"], state["batches"]
        self.random, *states = [saved.cpu() for saved in state["random"]]
        for generator, saved in zip(self.orders + self.noises, states):
            generator.set_state(saved)


def outline(value):
    """The form of a state without its numbers: names, shapes and types."""
    if isinstance(value, dict):
        return {name: outline(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [outline(item) for item in value]
    return (tuple(value.shape), value.dtype) if isinstance(value, torch.Tensor) else type(value)


def check_memory(phase, learned, memory, turns):
    """ValueError unless an optimiser's memory has the form that a new one's has after a step, and has made `turns` steps."""
    twins = [torch.zeros_like(parameter) for parameter in learned] if turns else []
    for twin in twins:
        twin.grad = torch.zeros_like(twin)
    expected = {}
    if twins:
        optimiser = phase.optimiser(twins)
        optimiser.step()
        expected = optimiser.state_dict()["state"]
    if outline(memory) != outline(expected) or any(own["step"] != turns for own in memory.values() if "step" in own):
        raise ValueError(f"the memory of the optimiser of {phase.name} is not that of {turns} steps")


def channels_last(kernels: Tensor) -> Tensor:
    """Stacked 2-D convolution kernels (K, out, in, height, width) in the order in which a CPU was measured to convolve
    faster by a tenth, "channels last"; anything else as it is. Always a copy: a view or `contiguous` would keep the stride
    of a single channel, by which torch lays out values in one order and gradients in another."""
    if kernels.dim() != 5:
        return kernels
    ordered = kernels.permute(0, 1, 3, 4, 2)  # (K, out, height, width, in)
    return ordered.clone(memory_format=torch.contiguous_format).permute(0, 1, 4, 2, 3)


def laid_out_as(parameter: Tensor, value: Tensor) -> Tensor:
    """`value` in the memory order of `parameter`: the fused optimiser reads both without looking at strides."""
    return value if value.stride() == parameter.stride() else torch.empty_like(parameter).copy_(value)


def seeded(build, seed):
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return build()


def fetch(losses: dict[str, Tensor]) -> dict[str, Tensor]:
    """Brings tensors to the host in one transfer."""
    values = torch.cat([value.flatten() for value in losses.values()]).cpu().split([v.numel() for v in losses.values()])
    return {name: value.view(old.shape) for (name, old), value in zip(losses.items(), values)}
