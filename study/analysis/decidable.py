"""Which words a study can get at all: from its cells and the number of its replicates, before anything is trained.

A sign-flip test has a least p, one pattern of signs among all, which parts and claims multiply: with few replicates or
few cells a claim stays undecided however plain the truth is.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from study.analysis.comparisons import Table
from study.analysis.inference import RANDOM_FLIPS, family_sign_flip
from study.analysis.verdicts import ALPHA, Claim, Part, absent, chosen, compared, test_of

MOST = 32  # replicates, or cells, beyond which no claim gains a word
PLAIN = (-9.0, 0.0, 1.0, 9.0)  # what the first arm has and the others have not, in margins: one of them is any rule's truth


@dataclass(frozen=True)
class Prospect:
    """The words that a claim can get from so many replicates, whatever the other claims turn out to be.

    least: replicates with which it can get both words; None where no number would do, and then why not. Differences that
    lie within one seed deviation are never plain: such a part may need more.
    """

    claim: Claim
    words: tuple[str, ...]
    least: int | None
    why_not: str = ""


def decidable(claims: Sequence[Claim], cells: Sequence[Mapping], replicates: int, alpha: float = ALPHA) -> list[Prospect]:
    """The prospect of every claim in a study of these cells, which are rows as in study/analysis/outcomes.py that lack
    everything but the settings."""
    tables = [[planned_table(part, cells) for part in claim.parts] for claim in claims]
    level = alpha / max(sum(any(row) for row in tables), 1)
    return [prospect(claim, row, cells, replicates, level) for claim, row in zip(claims, tables)]


def prospect(claim: Claim, tables: Sequence[Table | None], cells: Sequence[Mapping], replicates: int, level: float) -> Prospect:
    enough = first_of(range(2, MOST + 1), lambda number: len(words(claim, tables, number, level)) == 2)
    missing = [lacking(part, cells) for part, table in zip(claim.parts, tables) if table is None]
    why_not = "" if enough else "; ".join(missing) or more_cells(claim, tables, level)
    return Prospect(claim, words(claim, tables, replicates, level), enough, why_not)


def more_cells(claim: Claim, tables: Sequence[Table | None], level: float) -> str:
    enough = first_of(range(1, MOST + 1), lambda cells: len(words(claim, tables, MOST, level, cells)) == 2)
    return f"{enough} cells would do" if enough else "no practical number of cells would do"


def words(claim: Claim, tables: Sequence[Table | None], replicates: int, level: float, cells: int = 1) -> tuple[str, ...]:
    """The words within reach of a claim; cells: how many each part has at least."""
    least = [least_p(claim, part, table, replicates, cells) for part, table in zip(claim.parts, tables) if table]
    if not least:
        return ()
    for_it, against = zip(*least)
    supported = len(least) == len(claim.parts) and max(for_it) <= level
    return ("supported",) * supported + ("refuted",) * (len(least) * min(against) <= level)


def least_p(claim: Claim, part: Part, table: Table, replicates: int, cells: int) -> tuple[float, float]:
    """The least p for a part and against it: those of a table in which its rule meets no noise."""
    blocks = max(cells, len(table.blocks) if table.pairs == "seeds" else len(table.seeds))
    alone = table.pairs == "cells" or test_of(claim, table) is family_sign_flip  # a cell flips as a whole
    test, found = without_noise(blocks if alone else blocks * replicates), []
    for effect in PLAIN:
        values = np.zeros((1, table.values.shape[1], 1))
        values[:, 0] = effect
        evidence = part.rule(values, np.ones((1, 2)), test)
        found.append((float(evidence.p_for), float(evidence.p_against)))
    for_it, against = zip(*found)
    return min(for_it), min(against)


def without_noise(flips: int) -> Callable:
    """The sign-flip test of differences that all agree: its least p where they lie on the side asked for, else 1."""
    least = max(0.5**flips, 1 / (RANDOM_FLIPS + 1))

    def test(differences, alternative):
        agreeing = differences < 0 if alternative == "less" else differences > 0
        return np.where(agreeing.all((-2, -1)), least, 1.0)

    return test


def first_of(numbers: range, enough: Callable[[int], bool]) -> int | None:
    """The least of these numbers that is enough, as all beyond it are; None where none is."""
    place = bisect_left(numbers, True, key=enough)
    return numbers[place] if place < len(numbers) else None


def planned_table(part: Part, cells: Sequence[Mapping]) -> Table | None:
    """The table of a part with two seeds a cell, or None where its cells are not there."""
    return compared(part, chosen(part, planned_rows(part, cells)))[2]


def lacking(part: Part, cells: Sequence[Mapping]) -> str:
    return absent(part, *compared(part, chosen(part, planned_rows(part, cells)))[:2])


def planned_rows(part: Part, cells: Sequence[Mapping]) -> list[dict]:
    """Trainings of the cells that have what the part asks for: two seeds of two even proposals each."""
    value = [None, 1.0, 1.0, 1.0, 1.0] if part.measure.startswith("curve/") else 1.0
    return [
        {**cell, "stage": part.stage, "seed": seed, "proposed_by": proposed_by, "status": "done", part.measure: value}
        for cell in cells
        for seed in range(2)
        for proposed_by in ("default", "quasi-random")
    ]
