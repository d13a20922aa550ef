"""From a table of trainings to the verdict on each claim: supported, refuted, undecided or unanswerable.

A claim holds when all its parts hold, and fails when one of them fails. Its p for support is the largest of its parts',
its p for refutation the least times their number; either list is adjusted by Holm over the claims tested. Fidelity and
coverage are parts of their own, so that no single number names a winner.

One level for both words: every p is two-sided (study/analysis/rules.py), so each word takes at most half of the level.

A claim says what it is about. "these cells": what holds on average in the cells compared; its pairs are seeds.
"the family": what holds for such models in general, of which the cells are a sample. Then whole cells are flipped too,
the larger p decides, and effect and interval are over cells; a few cells cannot decide it, whatever the number of seeds
(three have a least p of 2 / 2^3), and what holds in them alone is said beside.

A seed stands for whatever differs from one seed to the next, and for nothing else: of luck that all seeds of a cell
share, as that of one tuning for all of them, no test over seeds can know (docs/statistics.md).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from study.analysis.comparisons import Arms, Table, base, described, kind_of, matches, tabulate
from study.analysis.inference import (
    blocked_sign_flip,
    difference_between_blocks,
    family_sign_flip,
    holm,
    median_interval,
    seeds_needed,
)
from study.analysis.outcomes import FACTORS, Rate, as_measured, rate
from study.analysis.rules import Evidence

ALPHA = 0.05
Adjusted = tuple[float, float]  # p, and p by Holm
THESE_CELLS, THE_FAMILY = "these cells", "the family"  # what a claim is about
SEED_DEVIATION = None  # as a margin: one standard deviation over the seeds of the cells compared


@dataclass(frozen=True)
class Part:
    """One statement: what `rule` says about a `measure` of the arms `of`, among the rows `where`."""

    label: str
    measure: str
    rule: Callable
    of: Arms  # Pair, Only, Levels or Champion
    where: Mapping = field(default_factory=dict)
    margin: float | None = SEED_DEVIATION  # in `unit`
    on: tuple[str, ...] = ()  # the dataset asked about, then its stand-ins; () takes all, as blocks
    outcome: Callable = as_measured  # what a training counts as
    within: tuple[str, ...] = FACTORS  # what is equal inside a block
    stage: str = "confirm"
    unit: str = ""


@dataclass(frozen=True)
class Claim:
    id: str
    sentence: str
    source: str  # the reports that made it, by their tags in study/analysis/claims.py
    spaces: tuple[str, ...]  # the search spaces that answer it
    parts: tuple[Part, ...]
    about: str = THESE_CELLS  # or THE_FAMILY, of which the cells are a sample


@dataclass(frozen=True)
class Finding:
    """The answer to one part; unanswered where `missing` says what is not there.

    effect: median of `points`, which are the averages over blocks of every pair, or over seeds of every cell where the
    part is about a family (in the part's unit; a rate is the share of all). pairs: what the points are of, "seeds" or
    "cells". interval: 95 %, None below 5 points. boundary: what it is held against, averaged over blocks.
    needed: points that would decide it, None when no number would. alone: "holds" or "fails" where these cells by
    themselves show it, though not the family. apart: the blocks in which the part holds and those in which it does not,
    each by its own test; both only where the effect differs between cells. diverged: (count, trainings, low, high).
    stands_in_for: the dataset that the part is about, where another one answers for it.
    """

    part: Part
    missing: str = ""
    datasets: tuple[str, ...] = ()
    effect: float | None = None
    interval: tuple[float, float] | None = None
    points: tuple[float, ...] = ()
    pairs: str = "seeds"
    by_block: Mapping[str, float] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    p_for: float | None = None
    p_against: float | None = None
    boundary: float | None = None
    needed: int | None = None
    alone: str = ""
    apart: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    diverged: Rate | None = None
    stands_in_for: str = ""


@dataclass(frozen=True)
class Verdict:
    """The word for a claim, the finding that decided it or stands in its way, and the data that the word is about.

    A claim about MNIST that digits refute is "refuted on digits", which says nothing of MNIST: stands_in_for names it.
    """

    claim: Claim
    word: str  # supported, refuted, undecided, unanswerable
    findings: tuple[Finding, ...]
    deciding: Finding | None = None
    p: float | None = None
    p_holm: float | None = None
    more: str = ""  # what would decide an undecided claim
    enough: int | None = None  # paired replicates that would decide it; None where no number would
    missing: tuple[str, ...] = ()
    at: int | None = None  # replicates at the look that gave the word, of a study that is looked at more than once

    @property
    def speaking(self) -> tuple[Finding, ...]:
        """The findings that the word rests on: one part alone refutes, all parts together support."""
        return (self.deciding,) if self.word == "refuted" else tuple(found for found in self.findings if not found.missing)

    @property
    def datasets(self) -> tuple[str, ...]:
        return tuple(sorted({name for found in self.speaking for name in found.datasets}))

    @property
    def stands_in_for(self) -> tuple[str, ...]:
        return tuple(sorted({found.stands_in_for for found in self.speaking} - {""}))


def judge(claims: Sequence[Claim], rows: Sequence[Mapping], alpha: float = ALPHA) -> list[Verdict]:
    """The verdict on every claim, from rows as in study/analysis/outcomes.py.

    The chance that any word among them is false is at most alpha: half of it for "supported", half for "refuted".
    """
    return concluded(claims, [[weigh(claim, part, rows, alpha / len(claims)) for part in claim.parts] for claim in claims], alpha)


def concluded(claims: Sequence[Claim], weighed: Sequence[Sequence[Finding]], alpha: float = ALPHA) -> list[Verdict]:
    """The verdicts on claims whose parts are weighed, by Holm over all of them."""
    findings = [tuple(parts) for parts in weighed]
    support, refutation = adjusted(map(p_support, findings)), adjusted(map(p_refute, findings))
    return [decide(*each, alpha) for each in zip(claims, findings, support, refutation)]


def weigh(claim: Claim, part: Part, rows: Sequence[Mapping], alpha: float) -> Finding:
    """What the rows say about one part. alpha: the level at which more points, or these cells alone, would decide it."""
    about = chosen(part, rows)
    outcomes, arms, table = compared(part, about)
    if table is None:
        return Finding(part, missing=absent(part, outcomes, arms))
    margins, test = margins_of(part, table), test_of(claim, table)
    evidence, sampled = part.rule(table.values, margins, test), test is family_sign_flip
    points = evidence.effects.mean(1 if sampled else 0)
    interval = median_interval(points)
    counted = None if sampled else evidence.rate
    return Finding(
        part,
        datasets=tuple(sorted({row["dataset"] for row in outcomes})),
        effect=counted[0] / counted[1] if counted else float(np.median(points)),
        interval=counted[2:] if counted else interval and tuple(map(float, interval)),
        points=tuple(points.tolist()),
        pairs="cells" if sampled else table.pairs,
        left_out=table.left_out,
        by_block=dict(zip(table.blocks, np.median(evidence.effects, 1).tolist())),
        p_for=float(evidence.p_for),
        p_against=float(evidence.p_against),
        boundary=float(evidence.boundary),
        needed=needed(evidence.distance, points, alpha, 1 if sampled else len(table.blocks)),
        alone=alone(part.rule(table.values, margins, blocked_sign_flip), alpha) if sampled else "",
        apart=apart(part, table, margins, evidence.effects),
        diverged=rate([row["status"] == "diverged" for row in about if row["status"] != "failed"]),
        stands_in_for=stood_in_for(part, outcomes),
    )


def chosen(part: Part, rows: Sequence[Mapping]) -> list[Mapping]:
    """The rows a part is about: its stage and settings, on the first of its datasets that is there."""
    rows = [row for row in rows if row["stage"] == part.stage and matches(row, part.where)]
    dataset = next((name for name in part.on if any(base(row, "dataset") == name for row in rows)), None)
    return [row for row in rows if not part.on or base(row, "dataset") == dataset]


def compared(part: Part, rows: Sequence[Mapping]) -> tuple[list[dict], tuple[Mapping, ...], Table | None]:
    """The outcomes of a part's rows, the arms among them, and the table of both; None where a side is missing."""
    outcomes = part.outcome(rows, part.measure)
    arms = part.of.arms(outcomes)
    return outcomes, arms, tabulate(outcomes, arms, part.within) if arms else None


def test_of(claim: Claim, table: Table) -> Callable:
    """Whole cells flip too where they are a sample of what a claim is about; where they are the pairs, they do anyway."""
    return family_sign_flip if claim.about == THE_FAMILY and table.pairs == "seeds" else blocked_sign_flip


def stood_in_for(part: Part, rows: Sequence[Mapping]) -> str:
    """The dataset that a part asks about where the rows are of a stand-in, else ''."""
    return part.on[0] if part.on and all(base(row, "dataset") != part.on[0] for row in rows) else ""


def apart(part: Part, table: Table, margins: np.ndarray, effects: np.ndarray) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The blocks in which the part holds, and those in which it does not, each tested by itself; none where effects (blocks,
    seeds) are no proof that blocks differ at all, since of many some pass either test by chance."""
    if difference_between_blocks(effects) > ALPHA:
        return (), ()
    alone = {name: part.rule(table.values[[index]], margins[[index]]) for index, name in enumerate(table.blocks)}
    return (
        tuple(name for name, evidence in alone.items() if evidence.p_for <= ALPHA),
        tuple(name for name, evidence in alone.items() if evidence.p_against <= ALPHA),
    )


def absent(part: Part, outcomes: Sequence[Mapping], arms: Sequence[Mapping]) -> str:
    """What a part lacks, in words."""
    lacking = [arm for arm in arms if not any(matches(row, arm) for row in outcomes)]
    wanted = " and ".join(described(arm) for arm in lacking) or str(part.of)
    where = described({**({"dataset": part.on} if part.on else {}), **part.where})
    pairs = kind_of(row["seed"] for row in outcomes)
    together = "" if lacking or not arms else f", two {pairs} of each in one block"
    return f"{where}: ".lstrip(": ") + f"{wanted}{together}, with {part.measure} ({part.stage})"


def margins_of(part: Part, table: Table) -> np.ndarray:
    """The least and the largest value (blocks, 2) that the margin of every block may have."""
    fixed = part.margin is not SEED_DEVIATION
    return np.full((len(table.blocks), 2), part.margin) if fixed else seed_deviations(table)


def seed_deviations(table: Table) -> np.ndarray:
    """The standard deviation over seeds of every block, pooled over its cells, less and plus its own standard error
    (..., blocks, 2): of a few seeds, taken as known, it would be exceeded too often by chance (docs/statistics.md). Of finished
    trainings, since diverged ones count as the worst value and would make any effect look small. 0 where no cell has two.
    """
    finished = np.ma.masked_array(table.values, ~table.finished)
    degrees = (finished.count(-1) - 1).clip(0)
    squares = (finished.var(-1, ddof=1).filled(0) * degrees).sum(-1, keepdims=True)
    known = degrees.sum(-1, keepdims=True).clip(1)
    return np.sqrt(squares / known) * (1 + np.array([-1, 1]) / np.sqrt(2 * known))


def needed(distance: float, points: np.ndarray, alpha: float, flips: int) -> int | None:
    """Points, more than there are, that would decide a part with power 80 % if its effect is as estimated.
    flips: pairs of one point that change their signs apart from one another."""
    deviation = points.std(ddof=1) if len(points) > 1 else 0.0
    enough = seeds_needed(distance, deviation, alpha, flips)
    return enough and max(enough, len(points) + 1)


def alone(evidence: Evidence, alpha: float) -> str:
    """What the pairs of these cells by themselves show."""
    return "holds" if evidence.p_for <= alpha else "fails" if evidence.p_against <= alpha else ""


def p_support(findings: Sequence[Finding]) -> float | None:
    """All parts must hold, so the weakest speaks for them; None while one is unanswered."""
    return None if any(found.missing for found in findings) else max(found.p_for for found in findings)


def p_refute(findings: Sequence[Finding]) -> float | None:
    """One failing part is enough, so there are as many chances as parts (Bonferroni)."""
    against = [found.p_against for found in findings if not found.missing]
    return min(1.0, len(against) * min(against)) if against else None


def adjusted(p_values: Iterable[float | None]) -> list[Adjusted | None]:
    """(p, p by Holm) over those that are there."""
    p_values = list(p_values)
    there = [p for p in p_values if p is not None]
    corrected = iter(zip(there, holm(there)))
    return [None if p is None else next(corrected) for p in p_values]


def decide(
    claim: Claim, findings: tuple[Finding, ...], support: Adjusted | None, refutation: Adjusted | None, alpha: float
) -> Verdict:
    answered = [found for found in findings if not found.missing]
    missing = tuple(found.missing for found in findings if found.missing)
    if support and support[1] <= alpha:
        return Verdict(claim, "supported", findings, max(answered, key=lambda found: found.p_for), *support)
    if refutation and refutation[1] <= alpha:
        weakest = min(answered, key=lambda found: found.p_against)
        return Verdict(claim, "refuted", findings, weakest, *refutation, missing=missing)
    if missing:
        return Verdict(claim, "unanswerable", findings, missing=missing)
    weakest = max(answered, key=lambda found: found.p_for)
    unsettled = [found for found in answered if min(found.p_for, found.p_against) > alpha] or answered
    more, enough = advice(unsettled), replicates_enough(unsettled)
    return Verdict(claim, "undecided", findings, weakest, p=support[0], p_holm=support[1], more=more, enough=enough)


def replicates_enough(unsettled: Sequence[Finding]) -> int | None:
    """The paired replicates that would decide all these parts, None where no number of them would."""
    beyond = any(found.pairs == "cells" or all(found.apart) or found.needed is None for found in unsettled)
    return None if beyond else max(found.needed for found in unsettled if found.needed)


def advice(unsettled: Sequence[Finding]) -> str:
    """What would decide the parts that are still open."""
    divided = [division(found) for found in unsettled if all(found.apart)]
    if over_cells := [found for found in unsettled if found.pairs == "cells"]:
        return "; ".join([more("cells", over_cells), *filter(None, map(of_these_alone, over_cells)), *divided])
    if divided:
        return "; ".join(["no number of replicates: the effect differs between cells", *divided])
    return more("paired replicates", unsettled)


def more(what: str, findings: Sequence[Finding]) -> str:
    """`3 more paired replicates: --replicates 9`: as many as the part needs that needs most."""
    numbers = [found.needed for found in findings if found.needed is not None]
    if len(numbers) < len(findings):
        return f"no practical number of {what}: the effect sits at what would decide it"
    lacking = max(numbers) - min(len(found.points) for found in findings)
    return f"{lacking} more {what}: " + (f"{max(numbers)} would do" if what == "cells" else f"--replicates {max(numbers)}")


def of_these_alone(found: Finding) -> str:
    return found.alone and f"in these cells alone {found.part.label} {found.alone}"


def division(found: Finding) -> str:
    """`reconstruction holds in depth 1 (+2.1) and not in depth 3 (-0.8)`, at most three cells of each."""
    holds, fails = (
        [f"{name} ({found.by_block[name]:+.3g})" for name in side[:3]] + ["..."] * (len(side) > 3) for side in found.apart
    )
    return f"{found.part.label} holds in {', '.join(holds)} and not in {', '.join(fails)}"
