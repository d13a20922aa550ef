"""Trains K replicas of one model side by side: stacked parameters, lifted losses, one optimiser for all."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from math import prod

import torch
from torch import Tensor, nn
from torch.func import stack_module_state
from torch.utils._pytree import tree_map

from models.phase import DRAWN, Phase, asks_for_labels, learned_by
from study.training.batches import batches, check_images
from study.training.cuda_graphs import Captured
from study.training.lifted_loss import DrawOfEach, FusedDraw, FusedLoss, LossOfEach, stack
from study.training.numerics import products_in
from study.training.optimisers import laid_out_as, outline, rows, stacked
from study.training.randomness import Lent, draws

FUSED_PIXELS = 256  # beyond it a CPU step is bound by arithmetic, and vmap was measured to slow it by a fifth


class Replicas:
    """K trainings side by side: of the models that `builds` make, one for each seed. No replica's result depends on the others.

    The models are of one structure and one program; what they may differ in is what their class names `stackable`
    (study/space/contracts.py). `fused` lifts the loss over all replicas; without it each is called in turn, to the same result but
    for rounding. By default it is chosen for speed; where a loss draws random numbers by itself, as dropout does, each is always
    called in turn. `channels_last` lays kernels out in that order, where replicas are called in turn: by default on a CPU, where it
    was measured to be faster by a tenth. `graph`, such as CudaGraph, records a step once and replays it. What is fastest on a card
    is found out there (study/training/self_check.py). ValueError for models whose phases are not the same.
    """

    def __init__(
        self,
        builds: Sequence[Callable[[], nn.Module]],
        seeds: Sequence[int],
        device="cpu",
        precision: str = "float32",
        fused: bool | None = None,
        channels_last: bool | None = None,
        graph: Callable | None = None,
    ):
        self.precision = precision
        self.seeds, self.device = tuple(seeds), torch.device(device)
        self.K = len(self.seeds)
        self.models = [seeded(build, seed).to(self.device) for build, seed in zip(builds, self.seeds, strict=True)]
        check_alike(self.models)
        self.model, self.phases = self.models[0], self.models[0].phases
        self.asking = [index for index, phase in enumerate(self.phases) if asks_for_labels(self.model, phase)]
        self.parameters, self.buffers = stack_module_state(self.models)  # name -> (K, ...)
        small = self.device.type != "cpu" or prod(self.model.shape) <= FUSED_PIXELS
        drawing = draws(self.model)
        self.fused = not drawing and (self.K > 1 and small if fused is None else fused)
        self.join_memory(not self.fused and (self.device.type == "cpu" if channels_last is None else channels_last))
        self.dtype = next(iter(self.parameters.values())).dtype
        self.orders, self.noises, self.randoms = (
            [self.generator(f"{purpose} {seed}") for seed in self.seeds] for purpose in ("order", "noise", "dropout")
        )
        contexts = [Lent(random) if drawing else nullcontext() for random in self.randoms]
        self.learned = [learned_by(phase, self.parameters) for phase in self.phases]  # of each phase: tensors (K, ...)
        self.losses = [
            FusedLoss(phase, self.models, self.parameters | self.buffers, learned)
            if self.fused
            else LossOfEach(phase, self.models, contexts)
            for phase, learned in zip(self.phases, self.learned)
        ]
        self.draws = {
            index: FusedDraw(phase, self.models, self.parameters | self.buffers) if self.fused else DrawOfEach(phase, self.models)
            for index, phase in enumerate(self.phases)
            if phase.draws
        }
        of_all = list(zip(*(model.phases for model in self.models)))  # of each phase: that of every model
        self.optimisers = [stacked(own, learned) for own, learned in zip(of_all, self.learned)]
        self.clips = [clips(own, learned) for own, learned in zip(of_all, self.learned)]  # of each phase
        self.graph = None if drawing else graph
        self.captured: dict = {}  # (phases due, shape of a batch) -> their step as a graph
        self.epoch = self.batches_done = 0  # trained so far; batches over all epochs, since phases take turns across them

    def join_memory(self, ordered: bool):
        """Makes each model's parameters and buffers views of the stacks, which are what the optimisers step."""
        if ordered:
            for value in self.parameters.values():
                value.data = channels_last(value.data)
        for k, model in enumerate(self.models):
            for name, own in [*model.named_parameters(), *model.named_buffers()]:
                own.data = (self.parameters | self.buffers)[name].data[k]

    def generator(self, purpose: str) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(zlib.crc32(purpose.encode()))

    def train_epoch(
        self, images: Tensor, levels: int, batch_size: int, binarised: bool = False, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        """One pass over uint8 `images` (N, C, H, W) of grey levels 0..levels - 1, every replica in its own order.

        Returns "phase/loss" -> (K, steps of that phase) for every phase that had a turn, fetched in one transfer. The
        last, partial batch is dropped; `binarised` draws black or white pixels anew each time, with the grey level as
        probability. `labels` (N,): the classes, for losses that ask for them. Raises ValueError when there is no full batch, a
        pixel is beyond the levels, or classes are asked for that there are not.
        """
        check_images(images, levels, batch_size)
        for model in self.models:
            model.train()
        logs: list[list] = [[] for _ in self.phases]
        epoch = torch.full((), float(self.epoch), device=self.device)
        with products_in(self.precision):
            for x, due in self.batches(images, levels, batch_size, binarised, labels):  # (K, n, C, H, W) in [0, 1]
                for index, losses in self.step(x, due, epoch).items():
                    logs[index].append(losses)
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

    def step(self, x: Tensor, due: Mapping[int, dict[str, Tensor]], epoch: Tensor) -> dict[int, dict[str, Tensor]]:
        """One optimisation step of each phase that is due, index -> its noise, in turn: index -> its losses, name -> (K,). Replayed
        from a graph where there are such."""
        if self.graph is None:
            return self.update(x, due, epoch)
        form = (*due, x.shape)
        if form not in self.captured:
            self.captured[form] = Captured(self.update, self.graph)
        return self.captured[form](x, due, epoch)

    def update(self, x: Tensor, due: Mapping[int, dict[str, Tensor]], epoch: Tensor) -> dict[int, dict[str, Tensor]]:
        """Tensors in, tensors out: nothing waits for the device, and all that changes is changed in place."""
        found, drawn = {}, self.drawn(due)
        for index, noise in due.items():
            losses, gradients = self.losses[index](x, noise | drawn.get(index, {}), epoch)  # {name: (K,)}, (K, ...) of each learned
            learned = self.learned[index]
            with torch.no_grad():
                self.optimisers[index].step([laid_out_as(*pair) for pair in zip(learned, gradients)], epoch)
                clamp(*self.clips[index])
            found[index] = {name: value.detach() for name, value in losses.items()}
        return found

    def drawn(self, due: Mapping[int, dict[str, Tensor]]) -> dict[int, dict[str, Tensor]]:
        """What the phases of a batch share, where one of them draws: the images by the noise of the first, which only the one that
        draws learns through."""
        for index in due:
            if index in self.draws:
                images = self.draws[index](due[next(iter(due))])
                return {other: {DRAWN: images if other == index else images.detach()} for other in due}
        return {}

    def batches(self, images: Tensor, levels: int, batch_size: int, binarised: bool, labels: Tensor | None = None):
        """Those of an epoch (study/training/batches.py), with this pack's orders, noise and turns."""
        if self.asking and labels is None:
            raise ValueError("the model asks for the classes of its images, and these have none")
        own = self.phases, self.orders, self.noises, self.batches_done, self.dtype
        return batches(images, levels, batch_size, binarised, *own, labels, self.asking)

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
        """All that training goes on from, bit for bit on a CPU: copies in the host's memory, and each replica's by itself under
        "replicas", to go on in this pack or, beside others after as many epochs, in another."""
        return on_host({"epoch": self.epoch, "batches": self.batches_done, "replicas": [self.state_of(k) for k in range(self.K)]})

    def state_of(self, k: int) -> dict:
        """Replica k's, as views of the device's memory."""
        generators = self.orders[k], self.noises[k], self.randoms[k]
        return {
            "seed": self.seeds[k],
            "parameters": {name: value.detach()[k] for name, value in self.parameters.items()},
            "buffers": {name: value[k] for name, value in self.buffers.items()},
            "optimisers": [optimiser.memory_of(k) for optimiser in self.optimisers],
            "random": [generator.get_state() for generator in generators],
        }

    def check_state(self, state):
        """ValueError for other seeds, and where a part is missing, of another shape, or not after so many batches."""
        seeds = [replica["seed"] for replica in state["replicas"]]
        if seeds != list(self.seeds):
            raise ValueError(f"this state belongs to the seeds {seeds}, not {list(self.seeds)}")
        own = self.state_of(0)
        if outline([state["epoch"], state["batches"]]) != outline([self.epoch, self.batches_done]):
            raise ValueError("its epoch or its batches are not numbers")
        for replica in state["replicas"]:
            for part in ("parameters", "buffers", "random"):
                if outline(replica[part]) != outline(own[part]):
                    raise ValueError(f"its {part} are not those of this model")
            if len(replica["optimisers"]) != len(self.phases):
                raise ValueError("its optimisers are not those of this model")
            for phase, optimiser, memory in zip(self.phases, self.optimisers, replica["optimisers"]):
                optimiser.check(memory, turns=state["batches"] // phase.every)

    @torch.no_grad()
    def load_state_dict(self, state):
        """Goes on from the states of K replicas of the same models and seeds, whichever packs they were in; for any other
        ValueError, and nothing is loaded."""
        self.check_state(state)
        for k, replica in enumerate(state["replicas"]):
            for name, value in (self.parameters | self.buffers).items():
                value[k].copy_((replica["parameters"] | replica["buffers"])[name])
            for generator, saved in zip((self.orders[k], self.noises[k], self.randoms[k]), replica["random"]):
                generator.set_state(saved.cpu())
        for index, (phase, optimiser) in enumerate(zip(self.phases, self.optimisers)):
            memories = [replica["optimisers"][index] for replica in state["replicas"]]
            optimiser.load(memories, state["batches"] // phase.every)
        self.captured = {}  # a graph holds on to the memory of an optimiser that makes it anew
        self.epoch, self.batches_done = state["epoch"], state["batches"]


def check_alike(models: Sequence[nn.Module]) -> None:
    """ValueError for models that do not learn the same parameters in the same turns by the same kind of optimiser."""
    forms = [
        [
            (phase.name, phase.loss, phase.learns, phase.every, phase.noise, phase.draws, type(phase.optimiser), bool(phase.clip))
            for phase in model.phases
        ]
        for model in models
    ]
    if any(form != forms[0] for form in forms):
        raise ValueError("the models of a pack must have the same phases, of which only rates and clips may differ")


def clips(phases: Sequence[Phase], learned: Sequence[Tensor]) -> tuple[list[Tensor], list[float]]:
    """Each replica's rows of the learned tensors (K, ...), and how far from 0 each may be; none where a phase does not clip."""
    tensors = [value.detach() for value in learned]
    bounded = [(row, phase.clip) for phase, own in zip(phases, rows(tensors)) for row in own if phase.clip]
    return [row for row, _ in bounded], [bound for _, bound in bounded]


def clamp(values: list[Tensor], bounds: list[float]) -> None:
    """In place, by numbers: tensors of bounds take far longer on a CPU."""
    if values:
        torch._foreach_clamp_max_(values, bounds)
        torch._foreach_clamp_min_(values, [-bound for bound in bounds])


def channels_last(kernels: Tensor) -> Tensor:
    """Stacked 2-D convolution kernels (K, out, in, height, width) in the order "channels last"; anything else as it is. Always a
    copy: a view or `contiguous` would keep the stride of a single channel, by which torch lays out values in one order and
    gradients in another."""
    if kernels.dim() != 5:
        return kernels
    ordered = kernels.permute(0, 1, 3, 4, 2)  # (K, out, height, width, in)
    return ordered.clone(memory_format=torch.contiguous_format).permute(0, 1, 4, 2, 3)


def seeded(build, seed):
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return build()


def on_host(state):
    """The same with copies of its tensors in the host's memory. From a card each stack of them comes in one transfer, and all are
    waited for once."""
    pinned = {}

    def whole(value):
        storage = value.untyped_storage()
        if storage.data_ptr() not in pinned:
            content = torch.empty(0, dtype=torch.uint8, device=value.device).set_(storage)
            pinned[storage.data_ptr()] = torch.empty(content.shape, dtype=torch.uint8, pin_memory=True).copy_(
                content, non_blocking=True
            )
        host = pinned[storage.data_ptr()].untyped_storage()
        return torch.empty(0, dtype=value.dtype).set_(host, value.storage_offset(), value.shape, value.stride())

    found = tree_map(lambda value: whole(value) if isinstance(value, Tensor) and value.is_cuda else value, state)
    if pinned:
        torch.cuda.current_stream().synchronize()
    return tree_map(lambda value: value.clone() if isinstance(value, Tensor) else value, found)


def fetch(losses: dict[str, Tensor]) -> dict[str, Tensor]:
    """Brings tensors to the host in one transfer."""
    values = torch.cat([value.flatten() for value in losses.values()]).cpu().split([v.numel() for v in losses.values()])
    return {name: value.view(old.shape) for (name, old), value in zip(losses.items(), values)}
