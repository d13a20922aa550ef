"""Trains K replicas of one model side by side: stacked parameters, lifted losses, one optimiser step for all."""

import zlib
from contextlib import contextmanager
from functools import partial
from math import prod

import torch
from torch import nn
from torch.func import functional_call, stack_module_state
from torch.utils._pytree import tree_map

from models.phase import learned_by
from study.training.cuda_graphs import Captured
from study.training.numerics import precision

NOISE_FLOATS = 2**20  # drawn at a time per replica; whatever K is, so that the pack does not change the noise
FUSED_PIXELS = 256  # beyond it a CPU step is bound by arithmetic, and vmap was measured to slow it by a fifth


class Replicas:
    """K trainings of the model that `build` makes, one per seed. No replica's result depends on the others of its pack.

    Only dropout draws on a generator that the pack shares. `fused` lifts the loss over all replicas; without it each
    is called in turn, to the same result but for rounding. By default it is chosen for speed. On a CUDA device a step
    is captured once and replayed with `graphs`, and multiplies in TF32 with `tf32` (see docs/performance.md for why they
    must be asked for).
    """

    def __init__(self, build, seeds, device="cpu", fused=None, graphs=False, tf32=False):
        self.tf32 = tf32
        self.seeds, self.device = tuple(seeds), torch.device(device)
        self.K = len(self.seeds)
        self.models = [seeded(build, seed).to(self.device) for seed in self.seeds]
        self.model, self.phases = self.models[0], self.models[0].phases
        self.parameters, self.buffers = stack_module_state(self.models)
        small = self.device.type != "cpu" or prod(self.model.shape) <= FUSED_PIXELS
        self.fused = self.K > 1 and small if fused is None else fused
        self.join_memory()
        self.dtype = next(iter(self.parameters.values())).dtype
        self.learned = [learned_by(phase, self.parameters) for phase in self.phases]
        self.plainly = [[divided(phase, model) for model in self.models] for phase in self.phases]
        self.optimisers = [phase.optimiser(learned) for phase, learned in zip(self.phases, self.learned)]
        self.lifted = [lift(self.model, phase.loss) for phase in self.phases]
        self.orders, self.noises = ([self.generator(f"{purpose} {seed}") for seed in self.seeds] for purpose in ("order", "noise"))
        self.random = self.generator(f"dropout {self.seeds}").get_state()
        self.captured = {} if graphs else None  # (phase, shape of a batch) -> its step as a graph
        self.epoch = self.batches = 0

    def join_memory(self):
        """Makes each model's parameters and buffers views of the stacks, which are what the optimisers step."""
        if not self.fused:
            for value in self.parameters.values():
                value.data = channels_last(value.data)
        for k, model in enumerate(self.models):
            for name, own in [*model.named_parameters(), *model.named_buffers()]:
                own.data = (self.parameters | self.buffers)[name].data[k]

    def generator(self, purpose):
        return torch.Generator(self.device).manual_seed(zlib.crc32(purpose.encode()))

    def train_epoch(self, images, levels, batch_size, binarised=False) -> dict:
        """One pass over uint8 `images` (N, C, H, W) of grey levels 0..levels - 1, every replica in its own order.

        Returns "phase/loss" -> (K, steps of that phase) for every phase that had a turn, fetched in one transfer. The
        last, partial batch is dropped; `binarised` draws black or white pixels anew each time, with the grey level as
        probability. Raises ValueError when there is no full batch or a pixel is beyond the levels.
        """
        check_images(images, levels, batch_size)
        for model in self.models:
            model.train()
        logs = [[] for _ in self.phases]
        epoch = torch.tensor(float(self.epoch), device=self.device)
        with self.own_dropout(), precision(self.tf32):
            for x, noises in self.batches_of(images, levels, batch_size, binarised):
                for index, noise in noises.items():
                    logs[index].append(self.stepper(index, x.shape)(x, noise, epoch))
        self.epoch += 1
        return fetch(
            {
                f"{phase.name}/{name}": torch.stack([losses[name] for losses in log], 1)
                for phase, log in zip(self.phases, logs)
                if log
                for name in log[0]
            }
        )

    def batches_of(self, images, levels, batch_size, binarised):
        """Yields images (K, batch, C, H, W) in [0, 1] and the noise of every phase whose turn it is."""
        steps, pixels, shape = len(images) // batch_size, images.flatten(1), images.shape[1:]
        orders = torch.stack(
            [torch.randperm(len(images), generator=order, device=self.device)[: steps * batch_size] for order in self.orders]
        ).view(self.K, steps, batch_size)
        largest = torch.tensor(levels - 1, dtype=self.dtype, device=self.device)
        wanted = [phase.noise for phase in self.phases] + [{"uniform": shape} if binarised else {}]
        floats = batch_size * sum(prod(size) for noise in wanted for size in noise.values())
        block = max(1, NOISE_FLOATS // max(1, floats))
        for start in range(0, steps, block):
            count = min(block, steps - start)
            turns = [[(self.batches + ahead) % phase.every == phase.every - 1 for ahead in range(count)] for phase in self.phases]
            drawn = [
                {name: self.draw(name, (sum(turn), batch_size, *size)) for name, size in noise.items()}
                for noise, turn in zip(wanted, [*turns, [True] * count])
            ]
            for ahead in range(count):
                chosen = orders[:, start + ahead].flatten()
                x = torch.div(pixels.index_select(0, chosen), largest).view(self.K, batch_size, *shape)
                if binarised:
                    x = (next(drawn[-1]["uniform"]) < x).to(self.dtype)
                yield (
                    x,
                    {
                        index: {name: next(values) for name, values in drawn[index].items()}
                        for index, turn in enumerate(turns)
                        if turn[ahead]
                    },
                )
                self.batches += 1

    def draw(self, name, shape):
        """Iterates over `shape`'s first dimension with noise (K, ...), each replica's from its own generator."""
        random = torch.rand if name.startswith("uniform") else torch.randn
        return iter(
            torch.stack([random(shape, generator=generator, dtype=self.dtype, device=self.device) for generator in self.noises], 1)
        )

    def stepper(self, index, shape):
        """The step of a phase as a function of images, noise and epoch."""
        if self.captured is None:
            return partial(self.step, index)
        return self.captured.setdefault((index, shape), Captured(partial(self.step, index)))

    def step(self, index, x, noise, epoch) -> dict:
        """One optimisation step of a phase: tensors in, losses (K,) out, nothing waits for the device."""
        losses, gradients = (self.fused_gradients if self.fused else self.plain_gradients)(index, x, noise, epoch)
        learned = self.learned[index]
        for parameter, gradient in zip(learned, gradients):
            parameter.grad = laid_out_as(parameter, gradient)
        self.optimisers[index].step()
        if clip := self.phases[index].clip:
            with torch.no_grad():
                torch._foreach_clamp_min_(learned, -clip)
                torch._foreach_clamp_max_(learned, clip)
        return {name: value.detach() for name, value in losses.items()}

    def fused_gradients(self, index, x, noise, epoch):
        losses = self.lifted[index](self.parameters | self.buffers, x, noise, epoch)
        return losses, torch.autograd.grad(losses["loss"].sum(), self.learned[index])

    def plain_gradients(self, index, x, noise, epoch):
        losses, gradients = [], []
        for k, (model, (learned, others)) in enumerate(zip(self.models, self.plainly[index])):
            for parameter in others:
                parameter.requires_grad_(False)  # else gradients that nobody asked for are computed as well
            for parameter in learned:
                parameter.requires_grad_(True)
            own_noise = {name: value[k] for name, value in noise.items()}
            losses.append(getattr(model, self.phases[index].loss)(x[k], own_noise, epoch))
            gradients.append(torch.autograd.grad(losses[k]["loss"], learned))
        return (
            {name: stack([values[name] for values in losses]) for name in losses[0]},
            [stack(values) for values in zip(*gradients)],
        )

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

    def sample(self, z):
        """(n, latent_dim) -> (K, n, C, H, W) in [0, 1]: every replica decodes the same latents."""
        return self.call("sample", z)

    def weights(self, k) -> dict:
        """A copy of replica k's own state_dict, as `build()` loads it."""
        return {name: value.clone() for name, value in self.models[k].state_dict().items()}

    def state_dict(self) -> dict:
        """All that training goes on from, bit for bit on a CPU; as with torch's own, its tensors are not copies."""
        return {
            "seeds": list(self.seeds),
            "epoch": self.epoch,
            "batches": self.batches,
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
        self.epoch, self.batches = state["epoch"], state["batches"]
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


def divided(phase, model) -> tuple[list, list]:
    """The parameters of a model that a phase updates, and the others."""
    named = dict(model.named_parameters())
    return learned_by(phase, named), [value for name, value in named.items() if name.split(".")[0] not in phase.learns]


class Method(nn.Module):
    """One method of a model as a module's forward, which is what `functional_call` calls."""

    def __init__(self, model, method):
        super().__init__()
        self.model, self.method = model, method

    def forward(self, *arguments):
        return getattr(self.model, self.method)(*arguments)


def lift(model, method):
    """The method as a function of stacked parameters and buffers, stacked images, stacked noise and the epoch."""
    caller = Method(model, method)

    def one(state, *arguments):
        return functional_call(caller, {f"model.{name}": value for name, value in state.items()}, arguments)

    return torch.vmap(one, in_dims=(0, 0, 0, None), randomness="different")


def channels_last(kernels):
    """Stacked 2-D convolution kernels (K, out, in, height, width) in the order in which a CPU was measured to convolve
    faster by a tenth, "channels last"; anything else as it is. Always a copy: a view or `contiguous` would keep the stride
    of a single channel, by which torch lays out values in one order and gradients in another."""
    if kernels.dim() != 5:
        return kernels
    ordered = kernels.permute(0, 1, 3, 4, 2)
    return ordered.clone(memory_format=torch.contiguous_format).permute(0, 1, 4, 2, 3)


def laid_out_as(parameter, value):
    """`value` in the memory order of `parameter`: the fused optimiser reads both without looking at strides."""
    return value if value.stride() == parameter.stride() else torch.empty_like(parameter).copy_(value)


def stack(values):
    """torch.stack, which would copy even a single tensor."""
    return torch.stack(values) if len(values) > 1 else values[0][None]


def seeded(build, seed):
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return build()


def check_images(images, levels, batch_size):
    if images.dtype != torch.uint8 or (levels < 256 and images.max() >= levels):
        raise ValueError(
            f"images must be uint8 grey levels below {levels}, so that they scale to [0, 1]; these are "
            f"{images.dtype} from {images.min()} to {images.max()}"
        )
    if len(images) < batch_size:
        raise ValueError(f"{len(images)} images do not fill one batch of {batch_size}")


def fetch(losses) -> dict:
    """Brings tensors to the host in one transfer."""
    values = torch.cat([value.flatten() for value in losses.values()]).cpu().split([v.numel() for v in losses.values()])
    return {name: value.view(old.shape) for (name, old), value in zip(losses.items(), values)}
