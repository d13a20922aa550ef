"""What one training counts as in a comparison: its measure, what its curve did, or the worst where it diverged.

Rows are dicts, one per training: model, net, depth, latent_dim, dataset and other settings, stage, seed (the index by
which trainings are paired), status ("done", "diverged" or "failed"), measures under keys with a slash, and per-epoch
lists under "curve/<measure>": entry 0 is the untrained model, None where an epoch was not measured.

Every function here takes the rows compared and a measure, and gives slim rows with the outcome under "value". A failed
training (the machine's fault) has no outcome and is left out; a diverged one (the training's own) counts as the worst
value seen among the rows of its dataset, or as the measure's limit (study/metrics/catalogue.py) where that is worse, so it ranks
last and stays finite; it has no outcome in a measure of which neither end is better.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from study.analysis.inference import wilson
from study.metrics.catalogue import COSTS, FIRST_RUNG, HIGHER, described, of_every_model, ranked

FACTORS = ("dataset", "model", "net", "depth", "latent_dim", "reduction")  # further settings are averaged over
COLLAPSED = 4  # so few classes of ten, or fewer, is a collapse (the report of three_sizes: "3 or 4")
NEAR_BEST = 1.1  # a training has arrived once it is within 10 % of its own best
TINY = 1e-6  # below every difference that counts, so that a logarithm of 0 stays finite


def slim(row: Mapping, value) -> dict:
    return {**{key: entry for key, entry in row.items() if "/" not in key}, "value": value}


def is_finite(value) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def taken(rows: Sequence[Mapping], measure: str) -> list[Mapping]:
    """The rows that have an outcome: not the failed ones, and none where no finished training has the measure, so that
    divergences alone do not stand for a comparison. What only some models have is asked of each model by itself, so
    that a diverged GAN gets no likelihood."""
    every = of_every_model(measure)

    def kin(row):
        return row["dataset"] if every else (row["dataset"], row["model"])

    done = [row for row in rows if row["status"] == "done"]
    having = {kin(row) for row in done if row.get(measure) is not None}
    lacking = {kin(row) for row in done} - having
    return [row for row in rows if row["status"] != "failed" and (kin(row) in having or every and kin(row) not in lacking)]


def diverged(row: Mapping, measure: str) -> bool:
    """Whether its outcome is the worst one: cost is what it is, and a measure that is no number is a divergence too."""
    value = row.get(measure)
    if measure.startswith(COSTS) and is_finite(value):
        return False
    return row["status"] == "diverged" or (value is not None and not isinstance(value, list) and not is_finite(value))


def worst_values(rows: Sequence[Mapping], measure: str) -> dict:
    """Dataset -> the worst finite value of the measure among its rows, or the measure's limit where that is worse;
    nothing for a measure of which neither end is better."""
    if not ranked(measure):
        return {}
    limit, seen = described(measure).worst, defaultdict(list)
    for row in rows:
        seen[row["dataset"]] += [value for value in (limit, row.get(measure)) if is_finite(value)]
    side = min if described(measure).better == HIGHER else max
    return {dataset: side(values) for dataset, values in seen.items() if values}


def as_measured(rows: Sequence[Mapping], measure: str) -> list[dict]:
    """The measure itself."""
    return [slim(row, value) for row, value in valued(rows, measure)]


def valued(rows: Sequence[Mapping], measure: str) -> list[tuple[Mapping, float]]:
    """(row, the measure itself) for each row that has an outcome."""
    rows = taken(rows, measure)
    worst = worst_values(rows, measure)
    values = [
        ({**row, "status": "diverged"}, worst.get(row["dataset"])) if diverged(row, measure) else (row, row.get(measure))
        for row in rows
    ]
    return [(row, float(value)) for row, value in values if value is not None]


def in_doublings(rows: Sequence[Mapping], measure: str) -> list[dict]:
    """The measure's base-2 logarithm: a difference of 1 is a factor of 2."""
    return [{**row, "value": math.log2(max(row["value"], TINY))} for row in as_measured(rows, measure)]


def cost_in_doublings(rows: Sequence[Mapping], measure: str) -> list[dict]:
    """The same, once per cell: the seeds of a cell train side by side and share one clock, so cells are the pairs."""
    groups = grouped_by(in_doublings(rows, measure), FACTORS)
    return [
        {**group[0], "seed": unit_of(group[0]), "value": float(np.median([row["value"] for row in group]))}
        for group in groups.values()
    ]


def collapsed(rows: Sequence[Mapping], measure: str) -> list[dict]:
    """1 where the number of classes generated is that of a collapse, else 0."""
    return [{**row, "value": float(row["value"] <= COLLAPSED)} for row in as_measured(rows, measure)]


def spread_over_proposals(rows: Sequence[Mapping], measure: str) -> list[dict]:
    """Spread of a cell over its hyperparameter proposals: log2 of the standard deviation of log2, one row per replicate.

    Of quasi-random proposals and the default before them, which come from equal ranges; what a sampler suggests after
    having seen results is not spread evenly. Where the worse ones were stopped, all are taken at the first rung. `unit`, the
    block, is the cell but for model and net. Where no cell was tuned twice, the cells are the pairs, all of one block; every
    proposal counts in studies that had no quasi-random ones.
    """
    even = [row for row in rows if row.get("proposed_by") in ("default", "quasi-random")]
    evenly_spread = any(row.get("proposed_by") == "quasi-random" for row in rows)
    if any(row.get(FIRST_RUNG) is not None for row in even):
        even = [{**row, measure: row.get(FIRST_RUNG)} for row in even]
    found = in_doublings(even if evenly_spread else rows, measure)
    cells = grouped_by(found, FACTORS)
    replicated = any(len({row["seed"] for row in cell}) > 1 for cell in cells.values())
    return [
        {
            **group[0],
            **({"unit": unit_of(group[0])} if replicated else {"unit": None, "seed": unit_of(group[0])}),
            "value": math.log2(max(float(np.std(spread, ddof=1)), TINY)),
        }
        for group in grouped_by(found, (*FACTORS, "seed")).values()
        if len(spread := [row["value"] for row in group]) > 1
    ]


def grouped_by(rows: Sequence[Mapping], factors) -> dict[tuple, list[Mapping]]:
    groups = defaultdict(list)
    for row in rows:
        groups[tuple(row.get(factor) for factor in factors)].append(row)
    return groups


def unit_of(row: Mapping) -> str:
    """What pairs two cells of different model and net."""
    return f"{row['dataset']} depth {row['depth']} latent {row['latent_dim']}"


def curve_of(row: Mapping, measure: str) -> dict[int, float]:
    """Epoch -> value, where it was measured and finite."""
    return {epoch: value for epoch, value in enumerate(row.get(measure) or []) if is_finite(value)}


def trend_over_training(rows: Sequence[Mapping], measure: str) -> list[dict]:
    """Kendall's tau of a curve with the epochs, -1 (falls throughout) to 1; a diverged training counts as 1."""
    found = []
    for row in taken(rows, measure):
        curve = list(curve_of(row, measure).values())
        if row["status"] == "diverged":
            found.append(slim(row, 1.0))
        elif len(curve) > 2:
            steps = np.subtract.outer(curve, curve)  # below the diagonal: a later epoch less an earlier one
            found.append(slim(row, float(np.sign(steps[np.tril_indices(len(curve), -1)]).mean())))
    return found


def epochs_to_arrive(rows: Sequence[Mapping], measure: str) -> list[dict]:
    """First epoch within 10 % of a training's own best (of a measure to be lowered); diverged: one after the last."""
    rows = taken(rows, measure)
    never = max((len(row.get(measure) or []) for row in rows), default=0)
    curves = [(row, {} if row["status"] == "diverged" else curve_of(row, measure)) for row in rows]
    return [
        slim(row, float(next((epoch for epoch, value in curve.items() if value <= NEAR_BEST * min(curve.values())), never)))
        for row, curve in curves
    ]


def early_and_end(rows: Sequence[Mapping], measure: str, early: float = 0.5) -> list[dict]:
    """Two rows per training, with `share` "early" (of its cell's epochs, half by default) and "end" (of a measure to be lowered).

    A diverged training ends at the worst value its dataset has seen, and is there early on unless it was measured then.
    """
    rows, found, worst = taken(rows, measure), [], defaultdict(float)
    for row in rows:
        worst[row["dataset"]] = max([worst[row["dataset"]], *curve_of(row, measure).values()])
    for cell in grouped_by(rows, FACTORS).values():
        epochs = set().union(*(curve_of(row, measure) for row in cell)) or {0}
        end, first = max(epochs), max(epoch for epoch in epochs if epoch <= max(epochs) * early or epoch == min(epochs))
        for row in cell if first < end else ():
            curve = curve_of(row, measure)
            last = {} if row["status"] == "diverged" else curve
            found.append(slim(row, curve.get(first, worst[row["dataset"]])) | {"share": "early"})
            found.append(slim(row, last.get(end, worst[row["dataset"]])) | {"share": "end"})
    return found


def unsteadiness(rows: Sequence[Mapping], measure: str) -> list[dict]:
    """How far a curve moves from one look to the next, on average; a diverged training moves as far as any on its dataset."""
    moves = [
        (row, None if row["status"] == "diverged" else float(np.abs(np.diff(curve)).mean()))
        for row in taken(rows, measure)
        if row["status"] == "diverged" or len(curve := list(curve_of(row, measure).values())) > 1
    ]
    worst = defaultdict(float)
    for row, value in moves:
        worst[row["dataset"]] = max(worst[row["dataset"]], value or 0.0)
    return [slim(row, worst[row["dataset"]] if value is None else value) for row, value in moves]


def spread_over_architectures(rows: Sequence[Mapping], measure: str) -> list[dict]:
    """Spread of a model over its depths and latent sizes: log2 of the standard deviation of log2, one row per replicate."""
    groups = grouped_by(in_doublings(rows, measure), ("dataset", "model", "net", "seed")).values()
    return [
        {**group[0], "depth": None, "latent_dim": None, "value": math.log2(max(float(np.std(spread, ddof=1)), TINY))}
        for group in groups
        if len(spread := [row["value"] for row in group]) > 1
    ]


def rates(rows: Sequence[Mapping], factors=("dataset", "model", "net")) -> dict[tuple, dict]:
    """Per group: (count, trainings, low, high) of the "diverged" and, where classes are counted, the "collapsed"."""
    table = {}
    for group, members in grouped_by([row for row in rows if row["status"] != "failed"], factors).items():
        table[group] = {"diverged": rate([row["status"] == "diverged" for row in members])}
        if any("modes/classes" in row for row in members):
            table[group]["collapsed"] = rate([bool(row["value"]) for row in collapsed(members, "modes/classes")])
    return table


class Rate(NamedTuple):
    """How many of so many trainings, and Wilson's 95 % interval of the share."""

    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody asks of a rate
    trainings: int
    low: float
    high: float


def rate(events: list[bool]) -> Rate:
    return Rate(sum(events), len(events), *wilson(sum(events), len(events)))
