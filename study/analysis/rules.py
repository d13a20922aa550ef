"""When does a table of outcomes speak for a statement, and when against it? One function per kind of statement.

A rule takes values (blocks, arms, seeds) and margins (blocks, 1) in their unit. Every statement has one boundary: it is
shown when the effect is proved to lie on the one side of it, refuted when it is proved to lie on the other, so that it
can never be both. What rises, rises by more than the margin; "not significant" is neither. Every p is two-sided: twice
the one-sided one, for the one word as for the other.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from study.analysis.inference import blocked_sign_flip, equivalence
from study.analysis.outcomes import rate


@dataclass(frozen=True)
class Evidence:
    p_for: float
    p_against: float
    effects: np.ndarray  # (blocks, seeds)
    boundary: float  # what the effect is held against, averaged over blocks
    distance: float  # of the effect from it
    rate: tuple | None = None  # (count, trainings, low, high) where the effect is a rate


def above(effects, boundary) -> Evidence:
    """Effects (blocks, seeds) lie above the boundary (blocks, 1), or below it."""
    over = effects - boundary
    return Evidence(upwards(over), upwards(-over), effects, float(np.mean(boundary)), abs(centre(over)))


def rises(values, margins) -> Evidence:
    """The outcome rises by more than a margin from the first arm to the last; refuted when by less, or when it falls."""
    return above(change(values), margins)


def falls(values, margins) -> Evidence:
    """The mirror image of `rises`."""
    return mirrored(rises(-values, margins))


def doubles(values, margins) -> Evidence:
    """The last arm is more than one doubling above the first, the outcomes being in doublings; refuted when less."""
    return above(change(values), 1)


def stays_below(values, margins) -> Evidence:
    """The last arm is less than a margin above the first; refuted when more."""
    return falls(values, -margins)


def equivalent(values, margins) -> Evidence:
    """The arms differ by less than a margin (two one-sided tests); refuted when they differ by more, which they may in
    two ways (Bonferroni)."""
    steps, margin = change(values), float(margins.mean())
    p_against = min(2 * min(upwards(steps - margins), upwards(-steps - margins)), 1.0)
    return Evidence(two_sided(equivalence(steps, margins)), p_against, steps, margin, abs(abs(centre(steps)) - margin))


def is_below(values, margins) -> Evidence:
    """The one arm is more than a margin below 0; refuted when not."""
    return mirrored(above(-values[:, 0], margins))


def is_flat(values, margins) -> Evidence:
    """The one arm is within a margin of 0; refuted when outside."""
    return equivalent(np.stack([0 * values[:, 0], values[:, 0]], 1), margins)


def exceeds_half(values, margins) -> Evidence:
    """The one arm, a share, is above a half; refuted when below."""
    return above(values[:, 0], 0.5)


def mostly_happens(values, margins) -> Evidence:
    """The one arm's event (0 or 1) happens in more than half of the trainings (binomial test); refuted when in less."""
    found = rate((values.ravel() == 1).tolist())
    p_for, p_against = (two_sided(stats.binomtest(*found[:2], 0.5, side).pvalue) for side in ("greater", "less"))
    return Evidence(p_for, p_against, values[:, 0], 0.5, abs(values.mean() - 0.5), found)


def lowest(values, margins) -> Evidence:
    """The first arm is below every other; refuted when any other is below it (Bonferroni over the others).

    The effect is the difference from the nearest of the others.
    """
    steps = [values[:, 0] - values[:, other] for other in range(1, values.shape[1])]
    nearest = max(steps, key=np.mean)
    p_against = min(min(map(upwards, steps)) * len(steps), 1.0)
    return Evidence(max(upwards(-step) for step in steps), p_against, nearest, 0.0, abs(centre(nearest)))


def highest(values, margins) -> Evidence:
    """The mirror image of `lowest`."""
    return mirrored(lowest(-values, margins))


def mirrored(evidence: Evidence) -> Evidence:
    return replace(evidence, effects=-evidence.effects, boundary=-evidence.boundary)


def change(values) -> np.ndarray:
    """From the first arm to the last (blocks, seeds)."""
    return values[:, -1] - values[:, 0]


def upwards(differences) -> float:
    """p that differences (blocks, seeds) are above 0."""
    return two_sided(blocked_sign_flip(differences, "greater"))


def two_sided(p) -> float:
    return min(2 * float(p), 1.0)


def centre(differences) -> float:
    """Median over seeds of the average over blocks."""
    return float(np.median(differences.mean(0)))
