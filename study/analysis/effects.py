"""Answers from trainings, as plain dicts: verdicts, effects of factors, chances, tuning curves."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from study.analysis.claims import ALL, COVERAGE, FIDELITY
from study.analysis.comparisons import Levels, Pair, matches, tabulate
from study.analysis.inference import median_interval, superiority, tuning_curve, variance_shares
from study.analysis.outcomes import FACTORS, as_measured
from study.analysis.rules import change
from study.analysis.sentences import listed
from study.analysis.trainings import family_order, grouped
from study.analysis.verdicts import Claim, Finding, Verdict, judge

COMPARED = {"latent_dim": Levels("latent_dim"), "depth": Levels("depth"), "net": Pair({"net": "fc"}, {"net": "conv"})}


def verdicts(claims: Sequence[Claim], rows: list[dict]) -> list[dict]:
    """Every claim with its verdict, as study/analysis/verdicts.py judges it."""
    return [as_dict(verdict) for verdict in judge(claims, rows)]


def as_dict(verdict: Verdict) -> dict:
    claim, deciding = verdict.claim, verdict.deciding
    return {
        "id": claim.id,
        "sentence": claim.sentence,
        "source": claim.source,
        "spaces": list(claim.spaces),
        "word": verdict.word,
        "on": data_of(verdict),
        "p": verdict.p,
        "p_holm": verdict.p_holm,
        "more": verdict.more,
        "missing": list(verdict.missing),
        "deciding": part(deciding) if deciding else None,
        "parts": [part(found) for found in verdict.findings],
    }


def data_of(verdict: Verdict) -> str:
    """`digits in place of mnist`: the data that a word is from, without which it is not said."""
    if verdict.word not in ("supported", "refuted"):
        return ""
    instead = f" in place of {listed(verdict.stands_in_for)}" if verdict.stands_in_for else ""
    return listed(verdict.datasets) + instead


def part(found: Finding) -> dict:
    return {
        "label": found.part.label,
        "measure": found.part.measure,
        "unit": found.part.unit,
        "rule": found.part.rule.__name__,
        "stage": found.part.stage,
        "pairs": found.part.pairs,
        "missing": found.missing,
        "datasets": list(found.datasets),
        "effect": found.effect,
        "interval": as_list(found.interval),
        "points": list(found.points),
        "by_block": dict(found.by_block),
        "left_out": list(found.left_out),
        "p_for": found.p_for,
        "p_against": found.p_against,
        "boundary": found.boundary,
        "needed": found.needed,
        "diverged": found.diverged and list(found.diverged),
    }


def effects(rows: list[dict]) -> list[dict]:
    """What changes from the least to the largest level of a factor, everything else being equal, per dataset and model:
    the median over seeds of the average over blocks, as study/analysis/verdicts.py has it, of what the claims are about."""
    confirmed, table = [row for row in rows if row["stage"] == "confirm" and matches(row, ALL)], []
    for (dataset, model), group in by_family(confirmed):
        for measure in (FIDELITY, COVERAGE):
            outcomes = as_measured(group, measure)
            for factor, levels in COMPARED.items():
                arms = levels.arms(outcomes)
                found = tabulate(outcomes, arms, FACTORS) if arms else None
                if found is not None:
                    points = change(found.values).mean(0)
                    table.append(
                        {
                            "dataset": dataset,
                            "model": model,
                            "factor": factor,
                            "measure": measure,
                            "from": arms[0][factor],
                            "to": arms[-1][factor],
                            "effect": float(np.median(points)),
                            "interval": as_list(median_interval(points)),
                            "points": points.tolist(),
                            "blocks": list(found.blocks),
                            "left_out": list(found.left_out),
                        }
                    )
    return table


def as_list(interval) -> list[float] | None:
    return interval and [float(bound) for bound in interval]


def by_family(rows: list[dict]) -> list:
    groups = grouped(rows, lambda row: (row["dataset"], row["model"])).items()
    return sorted(groups, key=lambda item: (item[0][0], family_order(item[0][1])))


def chances(leaders: list[dict], cells: list[dict]) -> list[dict]:
    """P(a new training of one family's best cell beats one of another's), for fidelity and for coverage."""
    table, by_name = [], {cell["cell"]: cell for cell in cells}
    for dataset, group in grouped(leaders, lambda row: row["dataset"]).items():
        for a, b in combinations(group, 2):
            for word, measure, sign in (("fidelity", FIDELITY, 1), ("coverage", COVERAGE, -1)):
                pair = [by_name[row[word]] for row in (a, b) if row[word]]
                if len(pair) == 2 and all(cell["stage"] == "confirm" for cell in pair):
                    ours, theirs = (sign * np.array(cell["values"][measure]["points"]) for cell in pair)
                    share, low, high = superiority(ours, theirs)
                    table.append(
                        {
                            "dataset": dataset,
                            "measure": measure,
                            "better": a["model"],
                            "than": b["model"],
                            "share": share,
                            "interval": [low, high],
                        }
                    )
    return table


def variance(cells: list[dict]) -> list[dict]:
    """Shares of variance between models, between a model's cells, and between a cell's seeds; fd_rel in doublings."""
    table = []
    confirmed = [cell for cell in cells if cell["stage"] == "confirm"]
    for dataset, group in grouped(confirmed, lambda cell: cell["dataset"]).items():
        for measure in (FIDELITY, COVERAGE):
            points = [
                (value, cell["model"], cell["cell"])
                for cell in group
                for value in cell["values"].get(measure, {"points": []})["points"]
            ]
            if separable(points):
                values, models, names = zip(*points)
                values = np.log2(np.maximum(values, 1e-6)) if measure == FIDELITY else values
                table.append({"dataset": dataset, "measure": measure, **variance_shares(values, models, names)})
    return table


def separable(points: list[tuple]) -> bool:
    """Whether models, cells and seeds can be told apart: two models, one with two cells, one of them repeated."""
    models, cells = {point[1] for point in points}, {point[2] for point in points}
    return 1 < len(models) < len(cells) < len(points) and len({point[0] for point in points}) > 1


def tuning(rows: list[dict]) -> list[dict]:
    """Per dataset and model, averaged over cells: fd_rel at the defaults, what to expect of the best of k random
    proposals, and the best so far of the sampler's, which depend on one another and so have no such expectation."""
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
                {
                    "dataset": dataset,
                    "model": model,
                    "default": float(np.mean(scores["default"])) if scores["default"] else None,
                    "random": together([tuning_curve(cell) for cell in scores["random"]]),
                    "tpe": together([np.minimum.accumulate(cell) for cell in scores["tpe"]]),
                    "cells": len({row["cell"] for row in found}),
                }
            )
    return table


def together(curves: list) -> list[float]:
    """The mean curve over those at least as long as the median one, as far as the shortest of these goes."""
    if not curves:
        return []
    usual = int(np.median([len(curve) for curve in curves]))
    long = [curve[:usual] for curve in curves if len(curve) >= usual]
    return np.mean(long, 0).tolist()
