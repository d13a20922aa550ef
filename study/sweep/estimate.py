"""How long what is left of a plan will take, before anything has run: from earlier trials, else from a timed batch."""

import time
from collections import defaultdict

import torch

from study.errors import UserError
from study.metrics.features import one_thread
from study.sweep.plan import Plan, epochs_left

CALL_S = 8e-4  # of one optimisation step, whatever its size
TRIAL_S = 0.5  # of measuring and drawing


def group(cell) -> tuple:
    """Cells that take about as long."""
    return cell.family, cell.net.name, cell.dataset.name, cell.depth


def seconds_left(plan: Plan, rate: dict) -> float | None:
    """Core-seconds of the trials that are left at these `rates`; None where one is missing."""
    total = 0.0
    for cell in plan.space.cells:
        if epochs := epochs_left(plan, cell):
            if group(cell) not in rate:
                return None
            total += epochs * rate[group(cell)] + TRIAL_S * plan.space.replicates
    return total


def rates(plan: Plan, data_dir) -> dict:
    """Group -> seconds per epoch of one training, observed or guessed; without those that cannot be guessed."""
    known = observed(plan)
    for cell in plan.space.cells:
        if group(cell) not in known and epochs_left(plan, cell) and cell.dataset.fingerprint(data_dir) is not None:
            if seconds := guess(cell, plan.space.budget(cell), cell.dataset.load(data_dir)):
                known[group(cell)] = seconds
    return known


def observed(plan: Plan) -> dict:
    """Group -> seconds per epoch of one training, from the trials that are finished."""
    seconds, units = defaultdict(float), defaultdict(float)
    for trial in plan.trials():
        result = plan.results.get(trial.key)
        if result and result.epochs and "time/train_s" in result.measures:
            seconds[group(trial.cell)] += sum(result.measures.get(name) or 0.0 for name in ("time/train_s", "time/measure_s"))
            units[group(trial.cell)] += result.epochs
    return {name: seconds[name] / units[name] for name in units}


def guess(cell, budget, images) -> float | None:
    """Seconds of one epoch of one training on one core. Drawing one batch is timed: forwards and backwards through both
    sides cost about six times that, in every phase. None where the model raises: its trials will say so."""
    steps = len(images.train.images) // budget.batch_size
    try:
        model, z = built(cell, images.shape).eval(), torch.randn(budget.batch_size, cell.latent_dim)
        with torch.no_grad(), one_thread():
            drawing = min(timed(model.sample, z) for _ in range(3))
    except UserError:
        raise
    except Exception:
        return None
    return steps * len(model.phases) * (6 * drawing + CALL_S)


def timed(function, argument) -> float:
    start = time.perf_counter()
    function(argument)
    return time.perf_counter() - start


def built(cell, shape):
    """The cell's model, or a UserError that says why its settings do not make one."""
    try:
        return cell.build(shape)
    except (TypeError, ValueError) as error:
        raise UserError(f"cell {cell.name} cannot be built: {error}") from None
