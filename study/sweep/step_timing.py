"""How long a batch of a pack takes, from steps of few images and of more, before anything has been trained."""

import hashlib
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice, product

import torch

from models.phase import LABELS
from study.errors import UserError
from study.metrics.features import one_thread
from study.space.cells import Budget, Cell
from study.space.hyperparameters import splitting
from study.training.batches import draw
from study.training.replicas import FUSED_PIXELS, Replicas

CELL_S = 0.3  # for timing the steps of one cell
ENOUGH = 16  # trainings of a pack, from which on one more costs what the others do: docs/performance.md
REPEATS = 5  # of a step, of which the quickest counts
FIRST, GROWTH = 2, 4  # images of the first step that is timed, and how many times more the next one has
PROGRAMS = 16  # at most looked at, of those that are searched
HASHES = 1_000_000  # a quarter of a second


def batch_seconds(cell: Cell, budget: Budget, images, pack: int = 1, ranges: Mapping = {}, limit: float = CELL_S) -> float | None:
    """Seconds of one core that one training of a pack takes for a batch: every phase is timed, and counts as often as it has a
    turn, on average over the `ranges` that are searched. Steps of few images come first, then of more, up to a whole batch, as far
    as `limit` seconds go; what is then left of a batch takes as long per image as the difference of the last two. A model of one's
    own is never trained here, where it could take the launch down with it: the project's model that it is derived from stands for
    it. None where there is none, or it raises: its trials will say so."""
    known = of_the_project(cell)
    if known is None:
        return None
    cell, own = known, known.model is not cell.model
    try:
        side_by_side = min(pack, ENOUGH) if math.prod(images.shape) <= FUSED_PIXELS else 1  # the others are called in turn
        with one_thread():
            replicas = Replicas([partial(built, cell, images.shape)] * side_by_side, range(side_by_side))
            turns = turns_of(cell, images.shape, ranges) or [1 / phase.every for phase in replicas.phases]
            spent = timed(partial(step_seconds, replicas, images, turns), budget.batch_size, limit)
    except UserError:
        if own:
            return None
        raise
    except Exception:
        return None
    return spent / replicas.K


def slowdown() -> float:
    """How many times longer than its processor time something takes on this machine now, beside all else that it does."""
    start, idle = time.perf_counter(), time.thread_time()
    hashlib.pbkdf2_hmac("sha256", b"", b"", HASHES)  # one call, without Python's lock, for which other threads may wait
    return max(1.0, (time.perf_counter() - start) / (time.thread_time() - idle))


def of_the_project(cell: Cell) -> Cell | None:
    """The cell with the project's model that its own is or is derived from; None where there is none."""
    model = next((each for each in cell.model.__mro__ if each.__module__.split(".")[0] == "models"), None)
    return replace(cell, model=model) if model else None


def timed(step: Callable[[int], float], whole: int, limit: float) -> float:
    """Seconds of a step of a `whole` batch of images: timed where the limit allows, else on the line through the two largest
    steps that were, since a step has costs that do not grow with it."""
    size = min(FIRST, whole)
    step(size)  # libraries choose their kernels
    end, spent = time.thread_time() + limit, {size: step(size)}
    while size < whole and (len(spent) < 2 or time.thread_time() + GROWTH * spent[size] < end):
        size = min(GROWTH * size, whole)
        spent[size] = step(size)
    last = sorted(spent)[-1:] if size == whole else sorted(spent)[-2:]
    for each in (REPEATS - 1) * last:
        if time.thread_time() + spent[each] < end:
            spent[each] = min(spent[each], step(each))
    per_image = max(0.0, spent[size] - spent[last[0]]) / max(1, size - last[0])
    return spent[size] + per_image * (whole - size)


def step_seconds(replicas: Replicas, images, turns: Sequence[float], size: int) -> float:
    """Processor seconds of a pack's batch of so many images, and of a step of each phase, as often as it has turns."""
    start = time.thread_time()
    train = images.train
    batches = replicas.batches(train.images[:size], images.levels, size, images.binarised, train.labels)
    x, _ = next(iter(batches))
    total, spent = time.thread_time() - start, 0.0

    def noise_of(index):
        drawn = {
            name: next(draw(name, (1, size, *shape), replicas.noises, replicas.dtype))
            for name, shape in replicas.phases[index].noise.items()
        }
        return drawn | ({LABELS: train.labels[:size].expand(replicas.K, -1)} if index in replicas.asking else {})

    for index, (phase, often) in enumerate(zip(replicas.phases, turns, strict=True)):
        first = [0] if phase.draws else []  # by whose noise
        start = time.thread_time()
        replicas.step(x, {each: noise_of(each) for each in (*first, index)}, torch.zeros(()))
        spent = time.thread_time() - start - (spent if first else 0.0)
        total += often * spent
    return total


def turns_of(cell: Cell, shape: Sequence[int], ranges: Mapping) -> list[float]:
    """How often each phase has a turn per batch, on average over the choices that are searched and change the program."""
    apart = {name: values for name, values in splitting(cell, ranges).items() if values is not None}
    if not apart:
        return []
    models = [built(cell, shape, dict(zip(apart, values))) for values in islice(product(*apart.values()), PROGRAMS)]
    return [mean(1 / phase.every for phase in phases) for phases in zip(*(model.phases for model in models))]


def mean(values: Iterable[float]) -> float:
    values = list(values)
    return sum(values) / len(values)


def built(cell: Cell, shape, params: Mapping = {}):
    """The cell's model, or a UserError that says why its settings do not make one."""
    try:
        return cell.build(shape, params)
    except (TypeError, ValueError) as error:
        raise UserError(f"cell {cell.name} cannot be built: {error}") from None
