"""Answers from trainings: effects of factors, chances, shares of variance, tuning curves, rates."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from study.analysis.cell_table import Leader, TableCell, confirmed
from study.analysis.factors import Comparison, comparisons
from study.analysis.inference import superiority, tuning_curve, variance_shares
from study.analysis.outcomes import Rate, as_measured, rates
from study.analysis.trainings import family_order, grouped
from study.analysis.verdicts import ALPHA, Verdict, concluded, weigh
from study.metrics.catalogue import COVERAGE, FIDELITY, FIRST_RUNG, HIGHER, OVER_IMAGES, described

WORDS = ("better", "worse", "equal", "undecided")  # of an effect; equal: within the margin


@dataclass(frozen=True)
class Effect:
    """What changes in a measure from one level of a factor to another, everything else being equal, and what that proves."""

    dataset: str
    model: str  # "" where models or systems are compared
    factor: str
    measure: str
    first: Any
    last: Any
    effect: float  # the median of the points, in the measure's unit
    interval: tuple[float, float] | None  # 95 %; None below five pairs
    points: tuple[float, ...]  # of every replicate, the average over blocks of its paired differences
    blocks: tuple[str, ...]  # settings that differ in the factor only
    left_out: tuple[str, ...]  # blocks that lack a level
    along: tuple[str, ...]  # settings that change together with the factor
    word: str  # one of WORDS
    margin: float  # one deviation over replicates, beyond which a difference matters
    p: float  # of that word, or for equality where it is undecided; by Holm over all effects of the study
    more: str  # what would decide an undecided one
    enough: int | None  # paired replicates that would; None where no number does, and of a decided one


@dataclass(frozen=True)
class Chance:
    """The probability that a new training of one family's best cell beats one of another's, with its 95 % interval."""

    dataset: str
    measure: str
    better: str
    than: str
    share: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class VarianceShares:
    """Shares of a measure's variance: between models, between a model's cells, between a cell's seeds. They sum to 1."""

    dataset: str
    measure: str
    model: float
    cell: float
    seed: float


@dataclass(frozen=True)
class Deviations:
    """How far the trainings of a family's cells lie apart, in doublings of fd_rel (standard deviations, pooled over cells)."""

    dataset: str
    model: str
    replicate: float  # of confirm trainings, each after a tuning of its own
    seed: float  # of search trainings at the published defaults, at the first rung
    tuning: float  # what is left of `replicate` without `seed`


@dataclass(frozen=True)
class Tuning:
    """fd_rel of search trials, averaged over the cells of a dataset and model. Random proposals are independent, so that of
    the best of k an expectation can be said; the sampler's depend on one another, so theirs is the best so far."""

    dataset: str
    model: str
    default: float | None  # at the published defaults
    random: tuple[float, ...]  # expected of the best of k random proposals, k = 1, 2, ...
    tpe: tuple[float, ...]  # the best of the sampler's first k
    best: float | None  # of a replicate's proposals, averaged over replicates and cells
    proposals: int  # of a replicate
    cells: int


@dataclass(frozen=True)
class Stability:
    """How many confirm trainings of a family on a net diverged, and of how many the samples had four classes or fewer."""

    dataset: str
    model: str
    net: str
    diverged: Rate
    collapsed: Rate | None = None  # None where classes are not counted


def effects(rows: Sequence[Mapping]) -> list[Effect]:
    """Of every factor that varies, on every dataset, for fidelity and for coverage. A level is better or worse than another by
    more than the margin, or equal within it; any such word is false in at most 5 % of studies."""
    asked = [(each, measure, each.claim(measure)) for each in comparisons(rows) for measure in (FIDELITY, COVERAGE)]
    weighed = [weigh(claim, claim.parts[0], each.rows, ALPHA / len(asked)) for each, _, claim in asked]
    there = [(each, measure, claim, found) for (each, measure, claim), found in zip(asked, weighed) if not found.missing]
    verdicts = concluded([claim for _, _, claim, _ in there], [[found] for *_, found in there])
    return [effect_of(each, measure, verdict) for (each, measure, *_), verdict in zip(there, verdicts)]


def effect_of(each: Comparison, measure: str, verdict: Verdict) -> Effect:
    (found,) = verdict.findings
    assert found.effect is not None and found.boundary is not None and verdict.p_holm is not None, "no part of it is missing"
    return Effect(
        **{name: getattr(each, name) for name in ("dataset", "model", "factor", "first", "last", "along")},
        measure=measure,
        effect=found.effect,
        interval=found.interval,
        points=found.points,
        blocks=tuple(found.by_block),
        left_out=found.left_out,
        word=word_of(verdict.word, found.effect, measure),
        margin=found.boundary,
        p=verdict.p_holm,
        more=verdict.more,
        enough=verdict.enough,
    )


def word_of(alike: str, effect: float, measure: str) -> str:
    """The word for the last level beside the first, from the verdict on their being alike."""
    if alike != "refuted":
        return "equal" if alike == "supported" else "undecided"
    return "better" if (effect > 0) == (described(measure).better == HIGHER) else "worse"


def image_shares(rows: Sequence[Mapping]) -> dict[str, float]:
    """Dataset -> what the choice of held-out images does to a cell's fd_rel, as a share of what replicates do: of either the
    standard deviation, the median over cells. No interval holds it, since all models meet the same images."""
    shares = defaultdict(list)
    measured = [row for row in rows if row["stage"] == "confirm" and row["status"] == "done" and row.get(OVER_IMAGES) is not None]
    for (dataset, _), cell in grouped(measured, lambda row: (row["dataset"], row["cell"])).items():
        deviation = float(np.std([row[FIDELITY] for row in cell], ddof=1)) if len(cell) > 1 else 0.0
        if deviation > 0:
            shares[dataset].append(float(np.mean([row[OVER_IMAGES] for row in cell])) / deviation)
    return {dataset: float(np.median(found)) for dataset, found in shares.items()}


def by_family(rows: Sequence[Mapping]) -> list[tuple[tuple[str, str], list[Mapping]]]:
    groups = grouped(rows, lambda row: (row["dataset"], row["model"])).items()
    return sorted(groups, key=lambda item: (item[0][0], family_order(item[0][1])))


def chances(leaders: Sequence[Leader]) -> list[Chance]:
    """Of every two families of a dataset, for fidelity and for coverage."""
    table = []
    for dataset, group in grouped(leaders, lambda leader: leader.dataset).items():
        for a, b in combinations(group, 2):
            for pair, measure in (((a.fidelity, b.fidelity), FIDELITY), ((a.coverage, b.coverage), COVERAGE)):
                if all(cell and cell.stage == "confirm" for cell in pair):
                    share, low, high = beats(*pair, measure)
                    table.append(Chance(dataset, measure, a.model, b.model, share, (low, high)))
    return table


def beats(cell: TableCell, rival: TableCell, measure: str) -> tuple[float, float, float]:
    """The probability that a new training of one cell is better than one of another, and the ends of its 95 % interval."""
    sign = -1 if described(measure).better == HIGHER else 1
    return superiority(*(sign * np.array(each.values[measure].points) for each in (cell, rival)))


def variance(cells: Sequence[TableCell]) -> list[VarianceShares]:
    """Of fidelity, in doublings of fd_rel, and of coverage, on every dataset."""
    table = []
    for dataset, group in grouped(confirmed(cells), lambda cell: cell.dataset).items():
        for measure in (FIDELITY, COVERAGE):
            points = [
                (value, cell.model, cell.name) for cell in group if measure in cell.values for value in cell.values[measure].points
            ]
            if separable(points):
                values, models, names = zip(*points)
                values = np.log2(np.maximum(values, 1e-6)) if measure == FIDELITY else values
                table.append(VarianceShares(dataset, measure, **variance_shares(values, models, names)))
    return table


def deviations(rows: Sequence[Mapping]) -> list[Deviations]:
    """Of every dataset and model of which cells were tuned more than once."""
    table = []
    for (dataset, model), group in by_family(rows):
        alive = [row for row in group if row["status"] in ("done", "stopped")]
        confirm = pooled([row for row in alive if row["stage"] == "confirm"], FIDELITY)
        seed = pooled([row for row in alive if row["proposed_by"] == "default"], FIRST_RUNG)
        if confirm is not None and seed is not None:
            table.append(Deviations(dataset, model, confirm, seed, max(0.0, confirm**2 - seed**2) ** 0.5))
    return table


def pooled(rows: Sequence[Mapping], measure: str) -> float | None:
    """The standard deviation of a measure's base-2 logarithm within cells; None without two trainings of one."""
    cells = grouped([row for row in rows if row.get(measure)], lambda row: row["cell"]).values()
    logs = [np.log2([row[measure] for row in cell]) for cell in cells if len(cell) > 1]
    return float(np.mean([values.var(ddof=1) for values in logs]) ** 0.5) if logs else None


def separable(points: list[tuple]) -> bool:
    """Whether models, cells and seeds can be told apart: two models, one with two cells, one of them repeated."""
    models, cells = {point[1] for point in points}, {point[2] for point in points}
    return 1 < len(models) < len(cells) < len(points) and len({point[0] for point in points}) > 1


def tuning(rows: Sequence[Mapping]) -> list[Tuning]:
    """What tuning buys, per dataset and model."""
    table = []
    for (dataset, model), group in by_family(rows):
        found = as_measured([row for row in group if row["stage"] == "search"], FIDELITY)
        scores = {
            word: [
                [row["value"] for row in cell]
                for cell in grouped([row for row in found if row["proposed_by"] == word], lambda row: row["cell"]).values()
            ]
            for word in ("default", "random", "tpe")
        }
        if found:
            table.append(
                Tuning(
                    dataset,
                    model,
                    default=float(np.mean(list(map(np.mean, scores["default"])))) if scores["default"] else None,
                    random=together([tuning_curve(cell) for cell in scores["random"]]),
                    tpe=together([np.minimum.accumulate(cell) for cell in scores["tpe"]]),
                    **best_of_proposals(found),
                    cells=len({row["cell"] for row in found}),
                )
            )
    return table


def best_of_proposals(rows: Sequence[Mapping]) -> dict:
    """Of search rows the fields best and proposals: the lowest of each tuning, averaged, and of how many."""
    tunings = grouped(rows, lambda row: (row["cell"], row["seed"])).values()
    best = [min(ended) for tuning in tunings if (ended := [row["value"] for row in tuning if row["status"] == "done"])]
    return {"best": float(np.mean(best)) if best else None, "proposals": max(map(len, tunings))}


def together(curves: Sequence[np.ndarray]) -> tuple[float, ...]:
    """The mean curve over those at least as long as the median one, as far as the shortest of these goes."""
    if not curves:
        return ()
    usual = int(np.median([len(curve) for curve in curves]))
    long = [curve[:usual] for curve in curves if len(curve) >= usual]
    return tuple(np.mean(long, 0).tolist())


def stability(rows: Sequence[Mapping]) -> list[Stability]:
    """Of the confirm trainings, per dataset, model and net."""
    counted = rates([row for row in rows if row["stage"] == "confirm"])
    ordered = sorted(counted.items(), key=lambda item: (item[0][0], family_order(item[0][1]), item[0][2]))
    return [Stability(*family, **found) for family, found in ordered]
