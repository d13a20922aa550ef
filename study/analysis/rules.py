"""When does a table of outcomes speak for a statement, and when against it? One function per kind of statement.

A rule takes values (..., blocks, arms, seeds), margins in their unit (..., blocks, 2), the least and the largest that they
may be where they are estimated and twice the same where not, and the test of paired differences that its p are of: over
the pairs of these blocks, or over blocks as a sample of a family (study/analysis/inference.py). Axes before the blocks are
studies, each of which gets its own p. Every statement has one boundary: it is shown when the effect is proved to lie on
the one side of it, refuted when it is proved to lie on the other, so that it can never be both. What rises, rises by
more than the margin; "not significant" is neither. Every p is two-sided: twice the one-sided one, for the one word as
for the other.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from study.analysis.inference import blocked_sign_flip, equivalence
from study.analysis.outcomes import rate


@dataclass(frozen=True)
class Evidence:
    p_for: float
    p_against: float
    effects: np.ndarray  # (..., blocks, seeds)
    boundary: float  # what the effect is held against, averaged over blocks
    distance: float  # of the effect from it
    rate: tuple | None = None  # (count, trainings, low, high) where the effect is a rate


def above(effects, boundary, test: Callable) -> Evidence:
    """Effects (..., blocks, seeds) lie above all of the boundary (..., blocks, 2), or below it."""
    p_for, p_against = upwards(effects - most(boundary), test), upwards(least(boundary) - effects, test)
    return Evidence(p_for, p_against, effects, average(boundary), abs(centre(effects) - average(boundary)))


def rises(values, margins, test: Callable = blocked_sign_flip) -> Evidence:
    """The outcome rises by more than a margin from the first arm to the last; refuted when by less, or when it falls."""
    return above(change(values), margins, test)


def falls(values, margins, test: Callable = blocked_sign_flip) -> Evidence:
    """The outcome falls by more than a margin from the first arm to the last; refuted when by less, or when it rises."""
    return mirrored(rises(-values, margins, test))


def doubles(values, margins, test: Callable = blocked_sign_flip) -> Evidence:
    """The last arm is more than one doubling above the first, the outcomes being in doublings; refuted when less."""
    return above(change(values), np.ones_like(margins), test)


def stays_below(values, margins, test: Callable = blocked_sign_flip) -> Evidence:
    """The last arm is less than a margin above the first; refuted when more."""
    return falls(values, -margins[..., ::-1], test)


def stays_above(values, margins, test: Callable = blocked_sign_flip) -> Evidence:
    """The last arm is less than a margin below the first; refuted when more."""
    return mirrored(stays_below(-values, margins, test))


def equivalent(values, margins, test: Callable = blocked_sign_flip) -> Evidence:
    """The arms differ by less than a margin (two one-sided tests); refuted when they differ by more, which they may in
    two ways (Bonferroni)."""
    steps, margin = change(values), average(margins)
    outside = np.minimum(*(upwards(side - most(margins), test) for side in (steps, -steps)))
    within = two_sided(equivalence(steps, least(margins), test))
    return Evidence(within, np.minimum(2 * outside, 1), steps, margin, abs(abs(centre(steps)) - margin))


def alike(values, margins, test: Callable = blocked_sign_flip) -> Evidence:
    """The same where the word for a difference names its side: what lies near the one end of the margin is far from the other,
    so that a side has the level to itself."""
    found = equivalent(values, margins, test)
    return replace(found, p_against=found.p_against / 2)


def is_below(values, margins, test: Callable = blocked_sign_flip) -> Evidence:
    """The one arm is more than a margin below 0; refuted when not."""
    return mirrored(above(-first(values), margins, test))


def is_flat(values, margins, test: Callable = blocked_sign_flip) -> Evidence:
    """The one arm is within a margin of 0; refuted when outside."""
    return equivalent(np.stack([0 * first(values), first(values)], -2), margins, test)


def exceeds_half(values, margins, test: Callable = blocked_sign_flip) -> Evidence:
    """The one arm, a share, is above a half; refuted when below."""
    return above(first(values), np.full_like(margins, 0.5), test)


def below_half(values, margins, test: Callable = blocked_sign_flip) -> Evidence:
    """The one arm, a share, is below a half; refuted when above."""
    return mirrored(above(-first(values), np.full_like(margins, -0.5), test))


def mostly_happens(values, margins, test: Callable = blocked_sign_flip) -> Evidence:
    """The one arm's event (0 or 1) happens in more than half of the trainings of one study; refuted when in less.

    Of pairs as they come, flipped signs of so many halves are the binomial test.
    """
    found = rate((values.ravel() == 1).tolist())
    return replace(exceeds_half(values, margins, test), distance=abs(values.mean() - 0.5), rate=found)


def lowest(values, margins, test: Callable = blocked_sign_flip) -> Evidence:
    """The first arm is below every other; refuted when any other is below it (Bonferroni over the others).

    The effect is the difference from the nearest of the others.
    """
    steps = first(values)[..., None, :, :] - np.moveaxis(values, -2, -3)[..., 1:, :, :]  # (..., others, blocks, seeds)
    p_for, p_against = upwards(-steps, test).max(-1), upwards(steps, test).min(-1) * steps.shape[-3]
    place = steps.mean((-2, -1)).argmax(-1)[..., None, None, None]
    nearest = np.take_along_axis(steps, place, -3).squeeze(-3)
    return Evidence(p_for, np.minimum(p_against, 1), nearest, 0.0, abs(centre(nearest)))


def highest(values, margins, test: Callable = blocked_sign_flip) -> Evidence:
    """The first arm is above every other; refuted when any other is above it (Bonferroni over the others)."""
    return mirrored(lowest(-values, margins, test))


def mirrored(evidence: Evidence) -> Evidence:
    return replace(evidence, effects=-evidence.effects, boundary=-evidence.boundary)


def first(values) -> np.ndarray:
    """The first arm (..., blocks, seeds)."""
    return values[..., 0, :]


def change(values) -> np.ndarray:
    """From the first arm to the last (..., blocks, seeds)."""
    return values[..., -1, :] - first(values)


def upwards(differences, test: Callable):
    """p that differences (..., blocks, seeds) are above 0."""
    return two_sided(test(differences, "greater"))


def two_sided(p):
    return np.minimum(2 * p, 1.0)


def least(margins) -> np.ndarray:
    return margins[..., :1]


def most(margins) -> np.ndarray:
    return margins[..., -1:]


def average(margins):
    """Of margins (..., blocks, 2) over blocks."""
    return np.mean(margins, (-2, -1))


def centre(differences):
    """Median over seeds of the average over blocks."""
    return np.median(differences.mean(-2), -1)
