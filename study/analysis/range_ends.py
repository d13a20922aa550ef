"""Hyperparameters whose best values lie at an end of their range: the range is too narrow to hold them."""

import math
from collections.abc import Mapping, Sequence

from study.analysis.trainings import FinishedTrial, grouped
from study.ledger.records import is_number

NEAR = 0.1  # of a range, by its own scale: a value this close to an end lies at it


def range_end_notes(speaking: Mapping[str, Sequence[FinishedTrial]]) -> list[str]:
    """A line for each end of a range at which the winners of most replicates lie, with the cells and what to do."""
    found = [
        (name, bound, cell, at, len(trials))
        for cell, trials in speaking.items()
        if len(trials) > 1 and trials[0].spec.replicate is not None
        for name, limits in trials[0].spec.ranges.items()
        if "choices" not in limits
        for bound in ("low", "high")
        if 2 * (at := sum(lies_at(trial.spec.params.get(name), limits, bound) for trial in trials)) > len(trials)
    ]
    return [
        f"{name} is at the {bound} end of its range in most tunings of {len(group)} cells"
        f" ({', '.join(f'{cell}: {at} of {of}' for _, _, cell, at, of in group[:3])}{', ...' * (len(group) > 3)}):"
        f" widen it in the space's propose()"
        for (name, bound), group in grouped(found, lambda row: row[:2]).items()
    ]


def lies_at(value, limits: Mapping, bound: str) -> bool:
    """Whether a value lies within a tenth of a range from its "low" or "high" end."""
    low, high = limits["low"], limits["high"]
    if not is_number(value) or not low < high:
        return False
    if limits.get("log"):
        value, low, high = (math.log(max(number, 1e-300)) for number in (value, low, high))
    share = (value - low) / (high - low)
    return share >= 1 - NEAR if bound == "high" else share <= NEAR
