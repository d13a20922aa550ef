"""From a table of trainings to the verdict on each claim: supported, refuted, undecided or unanswerable.

A claim holds when all its parts hold. A part compares arms (levels of a factor) within blocks (equal in every other
factor) over paired seeds, and its rule gives two p-values: that the part holds, and that it fails by its margin. A
claim's p is the largest of its parts for support, the least times their number for refutation; each list is adjusted
by Holm over the claims. Fidelity and coverage are parts of their own: no single number names a winner.
"""
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from study.outcomes import FACTORS, as_measured, rate
from study.statistics import blocked_sign_flip, equivalence, holm, median_interval, page, seeds_needed, wilson

SEED_DEVIATION = None   # as a margin: one training-seed standard deviation of the cells compared
ALPHA = 0.05
ALL_LEVELS = (0, math.inf)


# Which arms are compared: each is a dict of settings, a tuple among its values meaning any of them

@dataclass(frozen=True)
class Pair:
    """Two arms: what changes is the second less the first."""
    first: Mapping
    second: Mapping

    def arms(self, rows) -> tuple[Mapping, ...]:
        return self.first, self.second

    def __str__(self):
        return f"{described(self.first)} and {described(self.second)}"


@dataclass(frozen=True)
class Only:
    """One arm, to be held against a fixed value."""
    settings: Mapping

    def arms(self, rows) -> tuple[Mapping, ...]:
        return (self.settings,)

    def __str__(self):
        return described(self.settings)


@dataclass(frozen=True)
class Levels:
    """The ordered levels of a factor within a range, as far as all blocks with more than one level share them."""
    factor: str
    range: tuple[float, float] = ALL_LEVELS
    ends: bool = False   # only the first and the last of them

    def arms(self, rows) -> tuple[Mapping, ...]:
        found = defaultdict(set)
        for row in rows:
            if self.range[0] <= row[self.factor] <= self.range[1]:
                found[block_of(row, FACTORS, {self.factor})].add(row[self.factor])
        several = [levels for levels in found.values() if len(levels) > 1]
        shared = sorted(set.intersection(*several)) if several else []
        return tuple({self.factor: level} for level in (shared[::len(shared) - 1] if self.ends and shared else shared))

    def __str__(self):
        low, high = self.range
        return f"two levels of {self.factor}" + (f" from {low:g} to {high:g}" if self.range != ALL_LEVELS else "")


@dataclass(frozen=True)
class Corners:
    """The least and the largest level of several factors at once."""
    factors: tuple[str, ...]

    def arms(self, rows) -> tuple[Mapping, ...]:
        if any(len({row[factor] for row in rows}) < 2 for factor in self.factors):
            return ()
        return tuple({factor: side(row[factor] for row in rows) for factor in self.factors} for side in (min, max))

    def __str__(self):
        return f"two levels of {' and of '.join(self.factors)}"


@dataclass(frozen=True)
class Champion:
    """The cell said to be the best, and then every other cell."""
    settings: Mapping
    factors: tuple[str, ...] = ("model", "net", "depth", "latent_dim")

    def arms(self, rows) -> tuple[Mapping, ...]:
        if not any(matches(row, self.settings) for row in rows):
            return ()
        others = {block_of(row, self.factors) for row in rows if not matches(row, self.settings)}
        return (self.settings, *(dict(zip(self.factors, other)) for other in sorted(others, key=str)))

    def __str__(self):
        return f"{described(self.settings)} and a rival"


# What a claim is made of

@dataclass(frozen=True)
class Part:
    """One comparison of a claim: `measure` of the arms `of` the rows `where`, judged by `rule` with a margin.

    on: the dataset asked about and its stand-ins, the first one present answers; () takes all, as blocks.
    outcome: what a training counts as (study/outcomes.py). within: the factors that are equal inside a block.
    pairs: what is paired, "seeds", or "cells" where seeds cannot be.
    """
    label: str
    measure: str
    rule: Callable
    of: Pair | Only | Levels | Corners | Champion
    where: Mapping = field(default_factory=dict)
    margin: float | None = SEED_DEVIATION
    on: tuple[str, ...] = ()
    outcome: Callable = as_measured
    within: tuple[str, ...] = FACTORS
    stage: str = "confirm"
    pairs: str = "seeds"
    unit: str = ""


@dataclass(frozen=True)
class Claim:
    id: str
    sentence: str
    source: str              # the reports that made it
    spaces: tuple[str, ...]  # the search spaces whose cells answer it, the nearest first
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Table:
    """Values (blocks, arms, seeds), complete: a seed counts when every arm of every block has it."""
    values: np.ndarray
    blocks: tuple[str, ...]
    seeds: tuple
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """What a rule found: two p-values, the effect of each block and seed, and how far it is from what would decide it."""
    p_for: float
    p_against: float
    effects: np.ndarray       # (blocks, seeds)
    distance: float
    rate: tuple | None = None  # (count, trainings, low, high) where the effect is a rate


@dataclass(frozen=True)
class Finding:
    """The answer to one part. effect: median over seeds of the block average, in `unit`, with its 95 % interval, None
    below 5 pairs; `points` are those averages. needed: paired seeds that would decide it, or None."""
    part: Part
    missing: tuple[str, ...] = ()
    effect: float | None = None
    interval: tuple[float, float] | None = None
    points: tuple[float, ...] = ()
    by_block: Mapping[str, float] = field(default_factory=dict)
    seeds: int = 0
    p_for: float | None = None
    p_against: float | None = None
    needed: int | None = None
    diverged: tuple | None = None   # (count, trainings, low, high) of those compared

    @property
    def answered(self) -> bool:
        return self.p_for is not None


@dataclass(frozen=True)
class Verdict:
    """A claim's verdict with the finding that decided it, or that is furthest from deciding it."""
    claim: Claim
    verdict: str             # supported, refuted, undecided, unanswerable
    findings: tuple[Finding, ...]
    deciding: Finding | None = None
    p: float | None = None
    p_holm: float | None = None
    more: str = ""           # what would decide an undecided claim
    missing: tuple[str, ...] = ()


# Rules: values (blocks, arms, seeds) and margins (blocks, 1) -> Evidence

def rises(values, margins) -> Evidence:
    """The last arm is higher than the first, in order over the levels between: Page's test over three or more arms,
    sign-flips over two. Fails when the difference is shown to be below the margin: opposite, or too small to matter."""
    return directional(values, margins, 1)


def falls(values, margins) -> Evidence:
    """The mirror image of `rises`."""
    return directional(values, margins, -1)


def doubles(values, margins) -> Evidence:
    """The second arm is more than twice the first (outcomes in doublings); fails when shown to be less than twice."""
    evidence = directional(values - [[[0], [1]]], 0 * margins, 1)
    return Evidence(evidence.p_for, evidence.p_against, evidence.effects + 1, evidence.distance)


def directional(values, margins, sign: int) -> Evidence:
    steps = sign * (values[:, -1] - values[:, 0])
    if values.shape[1] > 2:
        p_for = min(2 * page(sign * values.transpose(0, 2, 1).reshape(-1, values.shape[1]))[0], 1.0)
    else:
        p_for = one_way(steps)
    effect, margin = centre(steps), margins.mean()
    return Evidence(p_for, blocked_sign_flip(steps - margins, "less"), sign * steps, max(effect, margin - effect))


def stays_below(values, margins) -> Evidence:
    """The last arm is higher than the first by less than the margin; fails when shown to be higher by more."""
    steps = values[:, -1] - values[:, 0]
    return Evidence(blocked_sign_flip(steps - margins, "less"), blocked_sign_flip(steps - margins, "greater"), steps,
                    abs(centre(steps) - margins.mean()))


def equivalent(values, margins) -> Evidence:
    """The arms differ by less than the margin (two one-sided tests); fails when shown to differ by more."""
    steps = values[:, -1] - values[:, 0]
    outside = min(blocked_sign_flip(steps - margins, "greater"), blocked_sign_flip(steps + margins, "less"))
    return Evidence(equivalence(steps, margins), min(2 * outside, 1.0), steps, abs(abs(centre(steps)) - margins.mean()))


def falls_steadily(values, margins) -> Evidence:
    """The one arm's outcome is below minus the margin; fails when shown to be above it."""
    shifted = values[:, 0] + margins
    return Evidence(one_way(-shifted), blocked_sign_flip(shifted, "greater"), values[:, 0], abs(centre(shifted)))


def stays_flat(values, margins) -> Evidence:
    """The one arm's outcome lies within the margin of 0; fails when shown to lie outside."""
    return equivalent(np.stack([0 * values[:, 0], values[:, 0]], 1), margins)


def more_than_half(values, margins) -> Evidence:
    """The one arm's outcome, a share, is above a half; fails when shown to be below."""
    over = values[:, 0] - 0.5
    return Evidence(one_way(over), blocked_sign_flip(over, "less"), values[:, 0], abs(centre(over)))


def mostly(values, margins) -> Evidence:
    """The one arm's event happens to more than half of the trainings (binomial test); fails when to less than half."""
    events, trainings = int(values.sum()), values.size
    p_for, p_against = (float(stats.binomtest(events, trainings, 0.5, side).pvalue) for side in ("greater", "less"))
    rate_found = rate([bool(event) for event in values.ravel()])
    return Evidence(min(2 * p_for, 1.0), p_against, values[:, 0], abs(events / trainings - 0.5), rate_found)


def lowest(values, margins) -> Evidence:
    """The first arm is lower than every other; fails when any other is shown to be lower (Bonferroni over the rivals).
    The effect is the difference to the best of the rivals."""
    rivals = [values[:, 0] - values[:, arm] for arm in range(1, values.shape[1])]
    nearest = max(rivals, key=lambda steps: steps.mean())
    p_against = min(one_way(steps) for steps in rivals) * len(rivals)
    return Evidence(max(one_way(-steps) for steps in rivals), min(p_against, 1.0), nearest, abs(centre(nearest)))


def highest(values, margins) -> Evidence:
    """The mirror image of `lowest`."""
    evidence = lowest(-values, margins)
    return Evidence(evidence.p_for, evidence.p_against, -evidence.effects, evidence.distance)


def one_way(differences) -> float:
    """Two-sided sign-flip p where the differences (blocks, seeds) are positive as claimed, else 1."""
    greater = blocked_sign_flip(differences, "greater")
    return float(min(2 * greater, 1.0))


def centre(effects) -> float:
    """Median over seeds of the average over blocks."""
    return float(np.median(effects.mean(0)))


# From rows to a finding

def matches(row: Mapping, settings: Mapping) -> bool:
    """Whether a row has the settings; a tuple means any of them, and "mnist-binarised" is a form of "mnist"."""
    return all(value_of(row, key) in (value if isinstance(value, tuple) else (value,)) for key, value in settings.items())


def value_of(row: Mapping, key: str):
    return row["dataset"].split("-")[0] if key == "dataset" else row.get(key)


def block_of(row: Mapping, factors, apart=()) -> tuple:
    return tuple(row.get(factor) for factor in factors if factor not in apart)


def described(settings: Mapping) -> str:
    return " ".join(f"{key} {' or '.join(map(str, value if isinstance(value, tuple) else (value,)))}"
                    for key, value in settings.items())


def chosen(part: Part, rows: Sequence[Mapping]) -> list[Mapping]:
    """The rows a part is about: its stage, its settings, and the first of its datasets that is there."""
    rows = [row for row in rows if row["stage"] == part.stage and matches(row, part.where)]
    present = [[row for row in rows if value_of(row, "dataset") == name] for name in part.on]
    return next((found for found in present if found), []) if part.on else rows


def tabulate(rows: Sequence[Mapping], arms: Sequence[Mapping], within: Sequence[str]) -> Table | None:
    """The outcomes of the arms in complete blocks, or None where no block has all arms.

    Blocks with less than half the seeds of the fullest are left out and named: they are not finished, or failed.
    """
    cells, apart = defaultdict(list), {key for arm in arms for key in arm}
    for row in rows:
        for index, arm in enumerate(arms):
            if matches(row, arm):
                cells[block_of(row, within, apart), index, row["seed"]].append(row["value"])
    blocks = {block: shared_seeds(cells, block, len(arms)) for block, _, _ in cells}
    fullest = max(map(len, blocks.values()), default=0)
    whole = sorted((block for block, seeds in blocks.items() if len(seeds) * 2 >= fullest > 1), key=str)
    seeds = sorted(set.intersection(*(blocks[block] for block in whole))) if whole else []
    if len(seeds) < 2:
        return None
    values = [[[np.mean(cells[block, arm, seed]) for seed in seeds] for arm in range(len(arms))] for block in whole]
    return Table(np.array(values), tuple(map(name_of, whole)), tuple(seeds),
                 tuple(name_of(block) for block in blocks if block not in whole))


def shared_seeds(cells: Mapping, block: tuple, arms: int) -> set:
    """The seeds that every arm of a block has."""
    return set.intersection(*({seed for found, index, seed in cells if (found, index) == (block, arm)}
                              for arm in range(arms)))
