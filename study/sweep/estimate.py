"""How long what is left of a plan will take: from trainings that were observed, else from a timed step of a pack like its own."""

import json
import math
import time
from collections import defaultdict
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
from study.sweep.plan import Plan, stretches
from study.training.batches import draw
from study.training.replicas import FUSED_PIXELS, Replicas

MEASURING_S = {"search": 0.12, "confirm": 1.0}  # of one training: measuring and drawing, on digits
CELL_S, TIMING_S = 0.3, 10.0  # for timing steps: of one cell, and of all cells of a plan
ENOUGH = 16  # trainings of a pack, from which on one more costs what the others do: docs/performance.md
REPEATS = 5  # of a step, of which the quickest counts
FIRST, GROWTH = 4, 4  # images of the first step that is timed, and how many times more the next one has
PROGRAMS = 16  # at most looked at, of those that are searched
Group = tuple  # see group()


def group(cell: Cell, stage: str) -> Group:
    """Trainings that take about as long: whatever the latent size, and with a system's budget."""
    settings = json.dumps(dict(cell.settings), sort_keys=True)
    return cell.family, cell.net.name, cell.dataset.name, cell.depth, settings, cell.system, stage


def seconds_left(plan: Plan, rate: Mapping[Group, float], slots: int, reached: Mapping[str, int] = {}) -> tuple[float, int] | None:
    """Seconds until all that is left of a plan has run, `slots` packs at a time, and how many of the slots are busy on average;
    None where one of the `rates` is missing. No pack waits for those of another cell, but the stretches of each cell follow one
    another, and a stretch may have fewer packs than there are slots."""
    work, longest = 0.0, 0.0
    for cell in plan.space.cells:
        if (parts := _parts(plan, cell, rate, reached)) is None:
            return None
        work += sum(core for core, _ in parts)
        longest = max(longest, sum(core / packs * math.ceil(packs / slots) for core, packs in parts))
    seconds = max(work / slots, longest)
    return seconds, min(slots, math.ceil(work / seconds)) if seconds else 1


def cell_seconds(plan: Plan, cell: Cell, rate: Mapping[Group, float]) -> float | None:
    """Seconds of one core that a cell still takes; None where a rate is missing."""
    parts = _parts(plan, cell, rate, {})
    return None if parts is None else sum(core for core, _ in parts)


def _parts(plan: Plan, cell: Cell, rate: Mapping[Group, float], reached: Mapping[str, int]) -> list[tuple[float, int]] | None:
    """Of each stretch of a cell seconds of one core, and its packs."""
    found = stretches(plan, cell, reached)
    if any(group(cell, each.stage) not in rate for each in found):
        return None
    return [(each.epochs * rate[group(cell, each.stage)], each.packs) for each in found]


def rates(plan: Plan, data_dir) -> dict[Group, float]:
    """Seconds per epoch of one training in its pack, measuring included, observed or guessed; without those that cannot be
    guessed. Cells whose steps are alike share a timing."""
    known, timings, guessed = observed(plan), {}, []
    for cell in plan.space.cells:
        lacking = [each for each in stretches(plan, cell) if group(cell, each.stage) not in known]
        if lacking and cell.dataset.fingerprint(data_dir) is not None:
            images, budget, longest = (
                cell.dataset.load(data_dir),
                plan.space.budget(cell),
                max(lacking, key=lambda each: each.epochs),
            )
            pack = math.ceil(longest.trainings / longest.packs)
            family, net, _, depth, settings, *_ = group(cell, "")
            like = family, net, images.shape, depth, settings, budget.batch_size, pack
            timings[like] = partial(batch_seconds, cell, budget, images, pack, plan.ranges[cell.name])
            guessed.append((cell, budget, images, like))
    taken = {like: timing(min(CELL_S, TIMING_S / len(timings))) for like, timing in timings.items()}
    for cell, budget, images, like in guessed:
        if (seconds := taken[like]) is not None:
            for stage, measuring in MEASURING_S.items():
                epoch = steps_of(budget, images) * seconds + measuring / budget.epochs
                known.setdefault(group(cell, stage), epoch)
    return known


def steps_of(budget: Budget, images) -> int:
    """Batches of an epoch."""
    trained_on = len(images.train.images) + len(images.validation.images) * budget.whole_training_set
    return trained_on // budget.batch_size


def observed(plan: Plan) -> dict[Group, float]:
    """Seconds per epoch of one training in its pack, measuring included, from the trainings that are finished."""
    seconds, epochs = defaultdict(float), defaultdict(int)
    for trial in plan.trials():
        result = plan.results.get(trial.key)
        if result and result.epochs and "time/train_s" in result.measures:
            name = group(trial.cell, trial.stage)
            seconds[name] += sum(result.measures.get(part) or 0.0 for part in ("time/train_s", "time/measure_s"))
            epochs[name] += result.epochs
    return {name: seconds[name] / epochs[name] for name in epochs}


def batch_seconds(cell: Cell, budget: Budget, images, pack: int = 1, ranges: Mapping = {}, limit: float = CELL_S) -> float | None:
    """Seconds of one core that one training of a pack takes for a batch: every phase is timed, and counts as often as it has a
    turn, on average over the `ranges` that are searched. Steps of few images come first, then of more, up to a whole batch, as far
    as `limit` seconds go; what is then left of a batch counts in proportion. A model of one's own is never trained here, where it
    could take the launch down with it: the project's model that it is derived from stands for it. None where there is none, or it
    raises: its trials will say so."""
    known = of_the_project(cell)
    if known is None:
        return None
    cell, own = known, known.model is not cell.model
    try:
        side_by_side = min(pack, ENOUGH) if math.prod(images.shape) <= FUSED_PIXELS else 1  # the others are called in turn
        with one_thread():
            replicas = Replicas([partial(built, cell, images.shape)] * side_by_side, range(side_by_side))
            turns = turns_of(cell, images.shape, ranges) or [1 / phase.every for phase in replicas.phases]
            size, spent = timed(partial(step_seconds, replicas, images, turns), budget.batch_size, limit)
    except UserError:
        if own:
            return None
        raise
    except Exception:
        return None
    return spent * budget.batch_size / size / replicas.K


def of_the_project(cell: Cell) -> Cell | None:
    """The cell with the project's model that its own is or is derived from; None where there is none."""
    model = next((each for each in cell.model.__mro__ if each.__module__.split(".")[0] == "models"), None)
    return replace(cell, model=model) if model else None


def timed(step: Callable[[int], float], whole: int, limit: float) -> tuple[int, float]:
    """The largest number of images, up to a `whole` batch, whose step could be timed within the limit, and its seconds."""
    end, size = time.thread_time() + limit, min(FIRST, whole)
    step(size)  # libraries choose their kernels
    spent = step(size)
    while size < whole and time.thread_time() + GROWTH * spent < end:
        size = min(GROWTH * size, whole)
        spent = step(size)
    for _ in range(1, REPEATS):
        if time.thread_time() + spent < end:
            spent = min(spent, step(size))
    return size, spent


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
