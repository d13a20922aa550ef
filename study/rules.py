"""When does a table of outcomes speak for a statement, and when against it? One function per kind of statement.

A rule takes values (blocks, arms, seeds) and margins (blocks, 1) in their unit and gives Evidence: the p-value for
calling the statement shown, and that for calling it refuted, which it is when the data exclude it by more than the
margin. "Not significant" is neither.
"""
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from study.outcomes import rate
from study.inference import blocked_sign_flip, equivalence, page


@dataclass(frozen=True)
class Evidence:
    p_for: float
    p_against: float
    effects: np.ndarray         # (blocks, seeds)
    distance: float             # of the effect from what would decide it
    rate: tuple | None = None   # (count, trainings, low, high) where the effect is a rate


def rises(values, margins) -> Evidence:
    """The outcome rises from the first arm to the last: Page's test over three or more arms, sign-flips over two.

    Refuted when the last is shown to be less than a margin above the first: it falls, or rises too little to matter.
    """
    steps = values[:, -1] - values[:, 0]
    rows = values.transpose(0, 2, 1).reshape(-1, values.shape[1])
    p_for = min(2 * page(rows)[0], 1.0) if values.shape[1] > 2 else upwards(steps)
    return Evidence(p_for, below(steps - margins), steps, max(centre(steps), margins.mean() - centre(steps)))


def falls(values, margins) -> Evidence:
    """The mirror image of `rises`."""
    return mirrored(rises(-values, margins))


def doubles(values, margins) -> Evidence:
    """The second arm is more than one doubling above the first, the outcomes being in doublings; refuted when less."""
    steps = values[:, 1] - values[:, 0]
    return Evidence(upwards(steps - 1), below(steps - 1), steps, abs(centre(steps - 1)))


def stays_below(values, margins) -> Evidence:
    """The last arm is less than a margin above the first; refuted when shown to be more."""
    steps = values[:, -1] - values[:, 0]
    return Evidence(below(steps - margins), below(margins - steps), steps, abs(centre(steps - margins)))


def equivalent(values, margins) -> Evidence:
    """The arms differ by less than a margin (two one-sided tests); refuted when shown to differ by more."""
    steps = values[:, -1] - values[:, 0]
    p_against = min(2 * min(below(margins - steps), below(steps + margins)), 1.0)
    return Evidence(float(equivalence(steps, margins)), p_against, steps, abs(abs(centre(steps)) - margins.mean()))


def is_below(values, margins) -> Evidence:
    """The one arm is more than a margin below 0; refuted when shown not to be."""
    over = values[:, 0] + margins
    return Evidence(upwards(-over), below(-over), values[:, 0], abs(centre(over)))


def is_flat(values, margins) -> Evidence:
    """The one arm is within a margin of 0; refuted when shown to be outside."""
    return equivalent(np.stack([0 * values[:, 0], values[:, 0]], 1), margins)


def exceeds_half(values, margins) -> Evidence:
    """The one arm, a share, is above a half; refuted when shown to be below."""
    over = values[:, 0] - 0.5
    return Evidence(upwards(over), below(over), values[:, 0], abs(centre(over)))


def mostly_happens(values, margins) -> Evidence:
    """The one arm's event (0 or 1) happens in more than half of the trainings (binomial test); refuted when in less."""
    found = rate((values.ravel() == 1).tolist())
    p_for, p_against = (float(stats.binomtest(*found[:2], 0.5, side).pvalue) for side in ("greater", "less"))
    return Evidence(min(2 * p_for, 1.0), p_against, values[:, 0], abs(values.mean() - 0.5), found)


def lowest(values, margins) -> Evidence:
    """The first arm is below every other; refuted when any other is shown to be below it (Bonferroni over the others).

    The effect is the difference from the nearest of the others.
    """
    steps = [values[:, 0] - values[:, other] for other in range(1, values.shape[1])]
    nearest = max(steps, key=np.mean)
    p_against = min(min(below(-step) for step in steps) * len(steps), 1.0)
    return Evidence(max(upwards(-step) for step in steps), p_against, nearest, abs(centre(nearest)))


def highest(values, margins) -> Evidence:
    """The mirror image of `lowest`."""
    return mirrored(lowest(-values, margins))


def mirrored(evidence: Evidence) -> Evidence:
    return replace(evidence, effects=-evidence.effects)


def upwards(differences) -> float:
    """p that differences (blocks, seeds) are above 0: the two-sided one where they are, else 1."""
    return min(2 * float(blocked_sign_flip(differences, "greater")), 1.0)


def below(differences) -> float:
    """One-sided p that differences (blocks, seeds) are below 0."""
    return float(blocked_sign_flip(differences, "less"))


def centre(differences) -> float:
    """Median over seeds of the average over blocks."""
    return float(np.median(differences.mean(0)))
