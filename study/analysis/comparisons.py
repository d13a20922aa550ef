"""Which trainings a comparison holds against which: its arms, the blocks they share, and the table of their outcomes.

An arm is a dict of settings; a tuple among its values means any of them. A block holds everything else equal.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from study.analysis.outcomes import FACTORS, grouped_by

ANY = (0, math.inf)
CELL = ("model", "net", "depth", "latent_dim")


class Arms(Protocol):
    """What a comparison takes: its settings of either side, or none where the rows do not have them."""

    def arms(self, rows: Sequence[Mapping]) -> tuple[Mapping, ...]: ...


@dataclass(frozen=True)
class Pair:
    """Two arms: what changes is the second less the first."""

    first: Mapping
    second: Mapping

    def arms(self, rows: Sequence[Mapping]) -> tuple[Mapping, ...]:
        return self.first, self.second

    def __str__(self):
        return f"{described(self.first)} and {described(self.second)}"


@dataclass(frozen=True)
class Only:
    """One arm, to be held against a fixed value."""

    settings: Mapping

    def arms(self, rows: Sequence[Mapping]) -> tuple[Mapping, ...]:
        return (self.settings,)

    def __str__(self):
        return described(self.settings)


@dataclass(frozen=True)
class Levels:
    """Two arms: the least and the largest level of a factor, within a range, that all blocks with several share."""

    factor: str
    range: tuple[float, float] = ANY
    within: tuple[str, ...] = FACTORS

    def arms(self, rows: Sequence[Mapping]) -> tuple[Mapping, ...]:
        found = defaultdict(set)
        for row in rows:
            if self.range[0] <= row[self.factor] <= self.range[1]:
                found[block_of(row, self.within, {self.factor})].add(row[self.factor])
        several = [levels for levels in found.values() if len(levels) > 1]
        shared = set.intersection(*several) if several else set()
        return tuple({self.factor: side(shared)} for side in (min, max)) if len(shared) > 1 else ()

    def __str__(self):
        low, high = self.range
        return f"two levels of {self.factor}" + (f" from {low:g} to {high:g}" if self.range != ANY else "")


@dataclass(frozen=True)
class Champion:
    """The cell said to be the best as first arm, then every other cell."""

    settings: Mapping
    factors: tuple[str, ...] = CELL

    def arms(self, rows: Sequence[Mapping]) -> tuple[Mapping, ...]:
        rivals = {block_of(row, self.factors) for row in rows if not matches(row, self.settings)}
        if not rivals or all(not matches(row, self.settings) for row in rows):
            return ()
        return (self.settings, *map(dict, sorted(rivals, key=str)))

    def __str__(self):
        return f"{described(self.settings)} and its rivals"


@dataclass(frozen=True)
class Table:
    """Outcomes (blocks, arms, seeds) without gaps: a seed counts when every arm of every block has it."""

    values: np.ndarray
    finished: np.ndarray  # (blocks, arms, seeds): False where a diverged training counts as the worst
    blocks: tuple[str, ...]
    seeds: tuple
    left_out: tuple[str, ...]  # blocks with too few seeds, named

    @property
    def pairs(self) -> str:
        return kind_of(self.seeds)


def tabulate(rows: Sequence[Mapping], arms: Sequence[Mapping], within: Sequence[str]) -> Table | None:
    """The outcomes of the arms over blocks equal in the factors `within`, or None without a block of two seeds per arm.

    A block with less than half the seeds of the fullest (unfinished or failed) is left out, so that it costs no seeds.
    """
    cells, shared = collected(rows, arms, within)
    fullest = max(map(len, shared.values()), default=0)
    kept = sorted((block for block, seeds in shared.items() if len(seeds) * 2 >= fullest > 1), key=str)
    seeds = sorted(set.intersection(*(shared[block] for block in kept))) if kept else []
    if len(seeds) < 2:
        return None
    trainings = [[[cells[block, arm, seed] for seed in seeds] for arm in range(len(arms))] for block in kept]
    values, finished = (
        np.array([[[said(rows) for rows in row] for row in block] for block in trainings]) for said in (value_of, all_done)
    )
    cut = [block for block, found in shared.items() if found and block not in kept]
    return Table(values, finished, tuple(map(name_of, kept)), tuple(seeds), tuple(map(name_of, cut)))


def kind_of(seeds: Iterable) -> str:
    """What is paired: "seeds", whose index is a number, or "cells", which have a name, where seeds are no replicates."""
    return "cells" if any(isinstance(seed, str) for seed in seeds) else "seeds"


def value_of(rows: Sequence[Mapping]) -> float:
    return float(np.mean([row["value"] for row in rows]))


def all_done(rows: Sequence[Mapping]) -> bool:
    return all(row["status"] == "done" for row in rows)


def collected(rows: Sequence[Mapping], arms: Sequence[Mapping], within: Sequence[str]) -> tuple[dict, dict]:
    """(block, arm, seed) -> rows, several where an arm takes several cells; block -> the seeds all arms have."""
    apart, cells, seeds_of = {key for arm in arms for key in arm}, defaultdict(list), defaultdict(dict)
    for alike in grouped_by(rows, sorted(apart)).values():  # rows of the same arms, which are looked up once
        for arm in (index for index, settings in enumerate(arms) if matches(alike[0], settings)):
            for row in alike:
                block = block_of(row, within, apart)
                cells[block, arm, row["seed"]].append(row)
                seeds_of[block].setdefault(arm, set()).add(row["seed"])
    return cells, {
        block: set.intersection(*found.values()) if len(found) == len(arms) else set() for block, found in seeds_of.items()
    }


def matches(row: Mapping, settings: Mapping) -> bool:
    """Whether a row has the settings."""
    return all(base(row, key) in (value if isinstance(value, tuple) else (value,)) for key, value in settings.items())


def base(row: Mapping, key: str):
    """A row's value of a setting; of a dataset its kind, so that "mnist-binarised" is a form of "mnist"."""
    return row["dataset"].split("-")[0] if key == "dataset" else row.get(key)


def block_of(row: Mapping, factors: Sequence[str], apart=()) -> tuple:
    """What the trainings of one block have in common, as (factor, value) pairs."""
    return tuple((factor, row.get(factor)) for factor in factors if factor not in apart)


def name_of(block: tuple) -> str:
    return " ".join(
        f"{factor} {value}" if isinstance(value, int | float) else str(value) for factor, value in block if value is not None
    )


def described(settings: Mapping) -> str:
    """`model gan latent_dim 350 or 500`, for messages; what must not be set is left out."""
    alternatives = {key: value if isinstance(value, tuple) else (value,) for key, value in settings.items()}
    named = {key: [str(value) for value in values if value not in (None, "")] for key, values in alternatives.items()}
    return " ".join(f"{key} {' or '.join(values)}" for key, values in named.items() if values)
