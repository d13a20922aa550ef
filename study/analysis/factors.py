"""What a study varies, read from its trainings: every factor, whatever its name, and the comparisons that answer for it.

Levels that are numbers are ordered, and the largest is held against the least; of others each is held against the first in the
order of the plan, and of models every two. Everything that is crossed with a factor is equal beside it; a setting that only one
side has is a part of that side, and one that has one value here and another there is named, since it may be the reason.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from study.analysis.claims import BOUND
from study.analysis.comparisons import Levels, Pair, matches
from study.analysis.rules import alike
from study.analysis.trainings import family_order, grouped
from study.analysis.verdicts import Claim, Part

RECORD = ("cell", "dataset", "system", "stage", "proposed_by", "trial", "seed", "status")  # of a row: no factors
SHAPE = ("latent_dim", "depth", "net")
Rows = Sequence[Mapping]


@dataclass(frozen=True)
class Comparison:
    """Two levels of a factor on one dataset, and the trainings of either."""

    dataset: str
    model: str  # of both levels; "" where models or systems are compared
    factor: str
    first: Any
    last: Any
    within: tuple[str, ...]  # what is equal inside a block
    along: tuple[str, ...]  # settings that change together with the factor
    rows: Rows

    @property
    def cells(self) -> tuple[frozenset, ...]:
        """Those of either level, by their names."""
        return tuple(frozenset(row["cell"] for row in arm) for arm in arms(self.rows, self.factor, (self.first, self.last)))

    def claim(self, measure: str) -> Claim:
        """That the levels are alike, within one deviation over replicates: refuted where they are not."""
        levels = Pair({self.factor: self.first}, {self.factor: self.last})
        return Claim("", "", "", (), (Part("equality", measure, alike, levels, within=self.within),))


def comparisons(rows: Rows) -> list[Comparison]:
    """Of rows as in study/analysis/outcomes.py, in the order of the plan: on every dataset models, then the factors of each family;
    published systems as wholes where nothing else compares."""
    confirmed, found = [spelled(row) for row in rows if row["stage"] == "confirm"], []
    for dataset, here in grouped(confirmed, lambda row: row["dataset"]).items():
        families = sorted(grouped(here, lambda row: row["model"]).items(), key=lambda item: family_order(item[0]))
        asked = of_factor("model", here, dataset)
        for model, group in families:
            asked += [each for factor in varied(group) for each in of_factor(factor, group, dataset, model)]
        found += distinct(asked) or of_factor("system", [row for row in here if row.get("system")], dataset)
    return found


def spelled(row: Mapping) -> dict:
    """The row without what was measured epoch by epoch, its lists and tables as text, so that equal ones are found."""
    kept = {name: value for name, value in row.items() if not name.startswith("curve/")}
    return {name: json.dumps(value, sort_keys=True) if isinstance(value, list | dict) else value for name, value in kept.items()}


def varied(rows: Rows) -> list[str]:
    """The factors of one family that have several levels: its shape, then its settings as they come."""
    names = dict.fromkeys([*SHAPE, *(name for row in rows for name in settings_of(row))])
    return [name for name in names if several(rows, name)]


def settings_of(row: Mapping) -> list[str]:
    return [name for name in row if "/" not in name and name not in (*RECORD, *SHAPE, "model")]


def several(rows: Rows, name: str) -> bool:
    return len({row.get(name) for row in rows}) > 1


def of_factor(factor: str, rows: Rows, dataset: str, model: str = "") -> list[Comparison]:
    """The comparisons of one factor, those that share a block."""
    rows, found = usual(rows, factor), []
    for pair in pairs(factor, rows):
        sides = arms(rows, factor, pair)
        within, along = beside(factor, sides)
        if share_a_block(sides, within):
            found.append(Comparison(dataset, model, factor, *pair, within=within, along=along, rows=[*sides[0], *sides[1]]))
    return found


def usual(rows: Rows, factor: str) -> Rows:
    """Of every family the trainings with its usual loss, where it has some: another weighs the KL divergence otherwise."""
    bound = {name: value for name, value in BOUND.items() if name != factor}
    families = grouped(rows, lambda row: row["model"]).values()
    return [row for family in families for row in [row for row in family if matches(row, bound)] or family]


def pairs(factor: str, rows: Rows) -> list[tuple[Any, Any]]:
    """The levels to be held against one another; a setting that is not set, so that the model's default holds, comes first."""
    levels = sorted({row.get(factor): None for row in rows}, key=lambda level: level is not None)
    if factor == "model":
        return list(combinations(sorted(map(str, levels), key=family_order), 2))
    if all(isinstance(level, int | float) and not isinstance(level, bool) for level in levels):
        within, _ = beside(factor, arms(rows, factor, levels))
        ends = Levels(factor, within=within).arms(rows)
        return [(ends[0][factor], ends[1][factor])] if ends else []
    return [(levels[0], level) for level in levels[1:]]


def arms(rows: Rows, factor: str, pair: Sequence) -> tuple[Rows, ...]:
    return tuple([row for row in rows if row.get(factor) == level] for level in pair)


def beside(factor: str, sides: Sequence[Rows]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is equal beside a factor: the shape, but of whole systems, and all that is crossed with it; and which settings change
    along with it."""
    shape = () if factor == "system" else tuple(name for name in SHAPE if name != factor)
    names = dict.fromkeys(name for side in sides for row in side for name in (*SHAPE, *settings_of(row)))
    both = [name for name in names if name != factor and all(any(row.get(name) is not None for row in side) for side in sides)]
    crossed = [name for name in both if any(several(side, name) for side in sides)]
    levels = [{name: {row.get(name) for row in side} for name in both} for side in sides]
    along = [name for name in both if name not in (*shape, *crossed) and levels[0][name] != levels[-1][name]]
    return tuple(dict.fromkeys((*shape, *crossed))), tuple(along)


def share_a_block(sides: Sequence[Rows], within: Sequence[str]) -> bool:
    blocks = [{tuple(row.get(name) for name in within) for row in side} for side in sides]
    return bool(set.intersection(*blocks))


def distinct(asked: Sequence[Comparison]) -> list[Comparison]:
    """Without those that part the same cells as one before them: a width that follows the depth is no factor of its own."""
    first: dict[tuple, Comparison] = {}
    for each in asked:
        first.setdefault(each.cells, each)
    return list(first.values())
