"""How a pack is trained on a card: found out there, by a few steps of that very pack in every way, and kept with the study.

Cards, their drivers and the versions of torch differ in what is right and what is fast on them. So the first pack of each cell and
program is trained on the side in every Way, from the same state on the same images, and held against the plainest one. What is
equal and fastest is used from then on. No way is in a trial's key: it changes no result beyond rounding.
"""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from models.phase import Adam, RMSprop
from study.errors import first_line
from study.ledger.files import read_json, write_atomic
from study.ledger.folder import DEVICES
from study.ledger.names import cell_of
from study.ledger.records import SelfCheck, Spec
from study.space.from_spec import program_of
from study.training.cuda_graphs import CudaGraph
from study.training.replicas import Replicas

LOSSES = 1e-3  # by how much a loss of any step may differ, of its size where that is above 1
WEIGHTS = 0.05  # and how the weights moved, as a norm: Adam's steps are as large where a gradient is only rounding
SCATTER = 3.0  # times by how much the plainest way differs from itself may be added to both
RATE = 1e-5  # at most, of the steps that are compared: at a high one rounding grows within a few steps
BATCHES = 8  # in an epoch of the comparison, at least: a warm-up, a capture and replays of each phase
TIMED = 2  # such epochs
RESERVE = 1.25  # memory for what is not trained: measuring, drawing, fragments
GAIN = 0.95  # of the time per training that half a pack must come down to, to be preferred


@dataclass(frozen=True)
class Way:
    """How a pack is trained."""

    fused: bool = False  # the loss lifted over all replicas, else of one after the other
    channels_last: bool = False  # kernels in that order
    graphs: bool = False  # steps recorded once and replayed

    def replicas(self, builds: Sequence[Callable], seeds: Sequence[int], device, precision: str, graph: Callable = CudaGraph):
        return Replicas(builds, seeds, device, precision, self.fused, self.channels_last, graph if self.graphs else None)

    def __str__(self):
        return ", ".join(
            ["side by side" if self.fused else "one at a time"]
            + ["channels last"] * self.channels_last
            + ["as graphs" if self.graphs else "eagerly"]
        )


REFERENCE = Way()


@dataclass(frozen=True)
class Tried:
    """What came of a way."""

    way: Way
    step_ms: float  # of the whole pack; 0 where it could not be tried
    peak: int  # bytes at most
    wrong: str  # which step differs by how much, or why there is none; empty where it equals the plainest way


@dataclass(frozen=True)
class Choice:
    """How trainings of a cell are trained on a card: in which way, and how many side by side at most."""

    way: Way
    pack: int
    tried: tuple[Tried, ...] = ()


@dataclass(frozen=True)
class Example:
    """What a pack is tried on: the first of the images that it is for."""

    images: Tensor  # (N, C, H, W) uint8 on the device
    levels: int
    batch_size: int
    binarised: bool = False
    labels: Tensor | None = None

    def epoch_of(self, replicas: Replicas) -> dict[str, Tensor]:
        batches = BATCHES * max(phase.every for phase in replicas.phases)
        few = slice(min(batches, len(self.images) // self.batch_size) * self.batch_size)
        labels = self.labels if self.labels is None else self.labels[few]
        return replicas.train_epoch(self.images[few], self.levels, self.batch_size, self.binarised, labels)


class Choices:
    """Those of a study, kept in its folder: per card, version of torch, cell and program, of the largest pack that there was."""

    def __init__(self, study: Path, log=print):
        self.study, self.log = study, log

    def of(self, specs: Sequence[Spec], builds: Sequence[Callable], seeds: Sequence[int], example: Example) -> Choice:
        """As it was found for such a pack or a larger one before, or is now."""
        place, card = self.place(specs[0], example)
        known = read_json(place, self.log, SelfCheck.from_json)
        if known is None or known.count < len(specs):
            choice = chosen(builds, seeds, example, specs[0].precision)
            tried = list(map(noted, choice.tried))
            known = SelfCheck(cell_of(specs[0].key), card, len(specs), choice.pack, **asdict(choice.way), tried=tried)
            self.keep(place, known)
            for each in choice.tried:
                if each.wrong:
                    self.log(f"{known.cell} on {card}: not {each.way}, since {each.wrong}")
        return Choice(Way(known.fused, known.channels_last, known.graphs), known.pack)

    def limit(self, spec: Spec, example: Example, pack: int) -> None:
        """Have no more than so many of such trainings side by side from now on."""
        place, _ = self.place(spec, example)
        self.keep(place, replace(SelfCheck.from_json(json.loads(place.read_text())), pack=pack))

    def keep(self, place: Path, known: SelfCheck) -> None:
        write_atomic(place, (json.dumps(known.to_json(), indent=1) + "\n").encode())

    def place(self, spec: Spec, example: Example) -> tuple[Path, str]:
        """The file, and the card that it is about."""
        card = f"{torch.cuda.get_device_name(example.images.device)}, torch {torch.__version__}"
        alike = [card, example.batch_size, spec.precision, program_of(spec)]
        return self.study / DEVICES / f"{hashlib.sha256(json.dumps(alike).encode()).hexdigest()[:16]}.json", card


def noted(tried: Tried) -> dict:
    return {"way": str(tried.way), "step_ms": round(tried.step_ms, 4), "peak_mb": tried.peak >> 20, "wrong": tried.wrong}


def chosen(
    builds: Sequence[Callable], seeds: Sequence[int], example: Example, precision: str, graph: Callable = CudaGraph
) -> Choice:
    """The fastest of the ways that equal the plainest one, and how many replicas at most are trained in it side by side."""
    trial = Trials(builds, seeds, example, precision, graph)
    pack = len(builds)
    found = trial.all(pack)
    while pack > 1 and not any(not each.wrong for each in found):
        pack //= 2
        found = trial.all(pack)
    best = min((each for each in found if not each.wrong), key=lambda each: each.step_ms, default=Tried(REFERENCE, 0.0, 0, ""))
    while best.way.fused and pack > 1:
        fewer = trial(best.way, pack // 2)
        if fewer.wrong or 2 * fewer.step_ms >= GAIN * best.step_ms:
            break
        best, pack = fewer, pack // 2
    return Choice(best.way, pack, tuple(found))


class Trials:
    """A few steps of the first replicas of a pack in one way or another, held against those of the first and the last of them alone
    and in the plainest way, and that against itself: on a card the same steps need not be the same numbers. Of replicas that are
    called one after the other those two tell of all."""

    def __init__(self, builds, seeds, example: Example, precision: str, graph: Callable):
        self.builds, self.seeds = [lambda own=build: gentle(own()) for build in builds], list(seeds)
        self.example, self.precision, self.graph = example, precision, graph
        self.expected: dict[int, tuple[Steps, Steps]] = {}  # number of replicas -> what the first and the last do, twice

    def all(self, pack: int) -> list[Tried]:
        """Every way that there is for a model."""
        model = self.builds[0]()
        convolves = any(parameter.dim() == 4 for parameter in model.parameters())
        ways = [Way(fused, ordered, graphs) for fused in (True, False) for ordered in (False, True) for graphs in (True, False)]
        return [self(way, pack) for way in ways if (convolves and not way.fused) or not way.channels_last]

    def __call__(self, way: Way, pack: int) -> Tried:
        ends = sorted({0, pack - 1})
        if pack not in self.expected:
            self.expected[pack] = self.trained(REFERENCE, ends)[0], self.trained(REFERENCE, ends)[0]
        which = range(pack) if way.fused else ends
        share = pack / len(which)
        try:
            own, step_ms, peak = self.trained(way, which)
            if peak and share * peak * RESERVE > memory():
                raise torch.OutOfMemoryError
        except torch.OutOfMemoryError:
            return Tried(way, 0.0, 0, f"{pack} of them do not fit into its memory")
        except RuntimeError as error:  # CUDA's, of a step that cannot be recorded
            return Tried(way, 0.0, 0, f"it ended with {type(error).__name__}: {first_line(error)}")
        places = ends if way.fused else range(len(ends))
        return Tried(way, share * step_ms, round(share * peak), difference(own.of(places), *self.expected[pack]))

    def trained(self, way: Way, which: Sequence[int]) -> tuple["Steps", float, int]:
        """The first epoch of the replicas `which`, milliseconds of a step in the next ones, and the bytes at most that it takes."""
        cuda, before = self.example.images.is_cuda, 0
        if cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()  # by the images, and whatever else there is
        replicas = way.replicas(
            [self.builds[k] for k in which], [self.seeds[k] for k in which], self.example.images.device, self.precision, self.graph
        )
        weights = flat(replicas)
        losses, spent = self.example.epoch_of(replicas), []
        moved = (flat(replicas) - weights).cpu()
        for _ in range(TIMED):
            start = time.perf_counter()
            steps = max(value.shape[1] for value in self.example.epoch_of(replicas).values())
            spent.append(1000 * (time.perf_counter() - start) / steps)
        return Steps(losses, moved), min(spent), torch.cuda.max_memory_allocated() - before if cuda else 0


def memory() -> float:
    """Bytes that this process may still take of its card."""
    return torch.cuda.get_per_process_memory_fraction() * torch.cuda.mem_get_info()[1] - torch.cuda.memory_allocated()


def gentle(model: nn.Module) -> nn.Module:
    """The model with rates of at most RATE."""
    model.phases = [
        replace(phase, optimiser=replace(phase.optimiser, lr=min(RATE, phase.optimiser.lr)))
        if isinstance(phase.optimiser, Adam | RMSprop)
        else phase
        for phase in model.phases
    ]
    return model


def flat(replicas: Replicas) -> Tensor:
    """All parameters, (K, weights)."""
    return torch.cat([value.detach().flatten(1) for value in replicas.parameters.values()], 1)


@dataclass(frozen=True)
class Steps:
    """What replicas did in a few steps."""

    losses: dict[str, Tensor]  # "phase/loss" -> (K, steps)
    moved: Tensor  # (K, weights): how far these moved

    def of(self, places: Sequence[int]) -> "Steps":
        return Steps({name: values[list(places)] for name, values in self.losses.items()}, self.moved[list(places)])


def difference(own: Steps, expected: Steps, again: Steps) -> str:
    """What differs from what was expected, the earliest step first; empty where nothing does. By so much as what was expected
    differed from itself when it was done again, so much more may differ."""
    found, steps = [], 0
    for name, wanted in expected.losses.items():
        values, steps = own.losses[name], max(steps, wanted.shape[1])
        allowed = LOSSES * wanted.abs().clamp(min=1) + SCATTER * (again.losses[name] - wanted).abs().amax(0)
        apart = ((values - wanted).abs() > allowed) | (values.isnan() != wanted.isnan())
        for step in apart.any(0).nonzero()[:1].flatten().tolist():
            worst = int((values - wanted)[:, step].abs().argmax())
            found.append((step, f"{name} of its step {step + 1} is {values[worst, step]:.6g} instead of {wanted[worst, step]:.6g}"))
    if found:
        return min(found)[1]
    apart, scatter = ((each.moved - expected.moved).norm() / expected.moved.norm() for each in (own, again))
    return f"in {steps} steps the weights move otherwise by {apart:.0%}" if apart > WEIGHTS + SCATTER * scatter else ""
