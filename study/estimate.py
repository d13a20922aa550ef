"""How long what is left of a plan will take, before anything has run: from earlier trials, else from counted FLOPs."""
from collections import defaultdict

import torch
from torch.utils.flop_counter import FlopCounterMode

from study.errors import UserError
from study.plan import Plan, seeds_left

FLOPS = 4e10      # a core's rate on matrix products of this size; an accelerator is far above it
CALL_S = 8e-4     # of one optimisation step, whatever its size
TRIAL_S = 0.5     # of measuring and drawing


def seconds_left(plan: Plan, data_dir) -> float | None:
    """Core-seconds of the trials that are left; None where a dataset has not been decoded yet, so its shape is unknown."""
    known, total = observed(plan), 0.0
    guesses = {}
    for cell in plan.space.cells:
        seeds = seeds_left(plan, cell)
        budget = plan.space.budget(cell)
        group = (cell.family, cell.net.name, cell.dataset.name)
        if not seeds:
            continue
        if group not in known and cell.name not in guesses:
            if cell.dataset.fingerprint(data_dir) is None:
                return None
            guesses[cell.name] = guess(cell, budget, cell.dataset.load(data_dir))
        total += seeds * budget.epochs * known.get(group, guesses.get(cell.name)) + TRIAL_S
    return total


def observed(plan: Plan) -> dict:
    """(model, net, dataset) -> seconds per epoch and seed, from the trials that are finished."""
    seconds, units = defaultdict(float), defaultdict(float)
    for trial in plan.trials():
        result = plan.results.get(trial.key)
        if result and result.get("epochs") and "time/train_s" in result["measures"]:
            group = (trial.cell.family, trial.cell.net.name, trial.cell.dataset.name)
            seconds[group] += result["measures"]["time/train_s"] + result["measures"]["time/measure_s"]
            units[group] += result["epochs"] * len(trial.seeds)
    return {group: seconds[group] / units[group] for group in units}


def guess(cell, budget, images) -> float:
    """Seconds of one epoch of one seed on one core: forward and backward of both sides are about six times a sample."""
    steps = len(images.train.images) // budget.batch_size
    model = built(cell, images.shape).to("meta")  # shapes without numbers: counting costs milliseconds
    with FlopCounterMode(display=False) as counter:
        model.sample(torch.empty(budget.batch_size, cell.latent_dim, device="meta"))
    return steps * len(model.phases) * (6 * counter.get_total_flops() / FLOPS + CALL_S)


def built(cell, shape, params=None):
    """The cell's model, or a UserError that says why its settings do not make one."""
    try:
        return cell.model(shape, cell.net, cell.depth, cell.latent_dim, **cell.settings, **(params or {}))
    except (TypeError, ValueError) as error:
        raise UserError(f"cell {cell.name} cannot be built: {error}") from None
