"""Verdicts while a study grows: the level is spent over at most five looks, so that looking often finds no more by chance.

After t of the planned replicates (a share) alpha t^2 is spent (Kim and DeMets 1987), and the levels of the looks follow
from their being looks at one walk (Lan and DeMets 1983). Chosen by simulation over O'Brien and Fleming's spending, which
decides later, and the permutation boundary of AdaStop (Mathieu et al. 2024), which knows one test only where this takes
the p of any rule (docs/statistics.md).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy import stats

from study.analysis.verdicts import ALPHA, Claim, Verdict, judge

MOST_LOOKS = 5
REACH, STEPS = 9.0, 3_600  # the walk's end is looked at from -REACH to REACH, in so many steps


@dataclass(frozen=True)
class Look:
    """One of the looks that are planned at a study."""

    replicates: int
    level: float  # of all claims together
    made: bool  # whether every cell has so many replicates


def looks_of(first: int, most: int) -> tuple[int, ...]:
    """At most five numbers of replicates to look at, evenly from the first to the most."""
    return tuple(sorted({round(number) for number in np.linspace(first, most, MOST_LOOKS)}))


def helped_by_more(verdicts: Sequence[Verdict]) -> list[Claim]:
    """The claims still open that more replicates would decide: not those that lack cells, whose cells differ from one
    another, or whose effect sits at what would decide it."""
    return [verdict.claim for verdict in verdicts if verdict.word == "undecided" and verdict.enough]


def looks_at(looks: Sequence[int], made: int, claims: int, alpha: float = ALPHA) -> list[Look]:
    """The looks planned, of which so many are made, at a study that is judged by so many claims."""
    each = levels(tuple(looks), alpha / claims)
    return [Look(number, level * claims, index < made) for index, (number, level) in enumerate(zip(looks, each))]


@lru_cache(maxsize=64)
def levels(looks: tuple[int, ...], alpha: float) -> tuple[float, ...]:
    """The level of a two-sided p at each of the looks (numbers of replicates, rising), alpha over all of them.

    Under the null hypothesis a test's statistic is a Brownian walk, of which `density` holds what has not yet crossed a
    boundary; each boundary is set so that what crosses it is what may be spent there.
    """
    ends, half = np.linspace(-REACH, REACH, STEPS + 1), STEPS // 2
    width, density, before, found = 2 * REACH / STEPS, None, 0.0, []
    for time in np.array(looks) / looks[-1]:
        step = stats.norm.pdf(ends, scale=np.sqrt(time - before))
        density = step if density is None else np.convolve(density, step, mode="same") * width
        outer = (density + density[::-1])[:half] * width
        boundary = np.interp(alpha * (time**2 - before**2), outer.cumsum() - outer / 2, -ends[:half])
        found.append(float(2 * stats.norm.sf(boundary / np.sqrt(time))))
        density, before = np.where(np.abs(ends) < boundary, density, 0), time
    return tuple(found)


def judge_at(
    look: int, looks: Sequence[int], claims: Sequence[Claim], rows: Sequence[Mapping], alpha: float = ALPHA
) -> list[Verdict]:
    """The verdicts at a look (from 1) of those planned, which are numbers of replicates: of every claim the first word that
    it got, else what stands against one. Rows of replicates that later looks are for are left out, so that a study that
    ran further is judged as it was.

    The chance that any word at any look is false is at most alpha: a claim that is decided is judged no more, so that the
    first false word needs a p below the level that its look has for one of the claims still open, which are no fewer than
    the false ones.
    """
    decided: dict[str, Verdict] = {}
    for each in looks_at(looks, look, len(claims), alpha)[:look]:
        open_claims = [claim for claim in claims if claim.id not in decided]
        if not open_claims:
            break
        found = judge(open_claims, [row for row in rows if row["seed"] < each.replicates], each.level)
        still = {verdict.claim.id: verdict for verdict in found}
        words = [verdict for verdict in found if verdict.word in ("supported", "refuted")]
        decided |= {verdict.claim.id: replace(verdict, at=each.replicates) for verdict in words}
    return [decided.get(claim.id) or still[claim.id] for claim in claims]
