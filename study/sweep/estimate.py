"""How long what is left of a plan will take: from trainings that were observed, else from a timed step of a pack like its own."""

import json
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from study.metrics.evaluation import SAMPLES, samples_of
from study.space.cells import Budget, Cell
from study.sweep.plan import Plan, stretches
from study.sweep.step_timing import CELL_S, batch_seconds, slowdown

MEASURING_S = {"search": 0.03, "confirm": 0.75}  # of one training where it stops, waits or ends, by the least samples
LOOKS_S = {"search": 0.0, "confirm": 0.75}  # of one training for all looks on its way, with their pictures
TIMING_S = 10.0  # for timing steps of all cells of a plan
Group = tuple  # see group()


@dataclass(frozen=True)
class Rate:
    """What a training in its pack takes, in seconds of the pack."""

    epoch: float
    measuring: float  # at the end of each stretch
    looks: float = 0.0  # at a training on its way, per epoch


def group(cell: Cell, stage: str) -> Group:
    """Trainings that take about as long: whatever the latent size, and with a system's budget."""
    settings = json.dumps(dict(cell.settings), sort_keys=True)
    return cell.family, cell.net.name, cell.dataset.name, cell.depth, settings, cell.system, stage


def seconds_left(plan: Plan, rate: Mapping[Group, Rate], slots: int, reached: Mapping[str, float] = {}) -> tuple[float, int] | None:
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


def cell_seconds(plan: Plan, cell: Cell, rate: Mapping[Group, Rate]) -> float | None:
    """Seconds of one core that a cell still takes; None where a rate is missing."""
    parts = _parts(plan, cell, rate, {})
    return None if parts is None else sum(core for core, _ in parts)


def _parts(plan: Plan, cell: Cell, rate: Mapping[Group, Rate], reached: Mapping[str, float]) -> list[tuple[float, int]] | None:
    """Of each stretch of a cell seconds of one core, and its packs."""
    found = [(each, rate.get(group(cell, each.stage))) for each in stretches(plan, cell, reached)]
    if any(known is None for _, known in found):
        return None
    return [
        (each.epochs * (known.epoch + known.looks) + each.trainings * known.measuring, each.packs) for each, known in found if known
    ]


def rates(plan: Plan, data_dir) -> dict[Group, Rate]:
    """What each group's trainings take, observed or guessed; without those that cannot be guessed. Cells whose steps are alike
    share a timing. The machine is expected to stay as busy with other work as it is now."""
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
    busy = slowdown() if guessed else 1.0
    for cell, budget, images, like in guessed:
        if (seconds := taken[like]) is not None:
            for stage, least in MEASURING_S.items():
                pairs = (samples_of(images, stage) / SAMPLES) ** 2  # most of it compares every sample with every real image
                epoch, looks = steps_of(budget, images) * seconds, LOOKS_S[stage] / budget.confirm.epochs
                known.setdefault(group(cell, stage), Rate(busy * epoch, busy * least * pairs, busy * looks))
    return known


def steps_of(budget: Budget, images) -> int:
    """Batches of an epoch."""
    trained_on = len(images.train.images) + len(images.validation.images) * budget.whole_training_set
    return trained_on // budget.batch_size


def observed(plan: Plan) -> dict[Group, Rate]:
    """The same from the trainings that are finished."""
    trained, measured, epochs, ends = (defaultdict[Group, float](float) for _ in range(4))
    for trial in plan.trials():
        result = plan.results.get(trial.key)
        if result and result.epochs and "time/train_s" in result.measures:
            name = group(trial.cell, trial.stage)
            trained[name] += result.measures.get("time/train_s") or 0.0
            measured[name] += result.measures.get("time/measure_s") or 0.0
            epochs[name] += result.epochs
            ends[name] += 1 + len(trial.rungs)
    return {name: Rate(trained[name] / epochs[name], measured[name] / ends[name]) for name in epochs}
