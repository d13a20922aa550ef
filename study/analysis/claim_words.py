"""A claim in words before anything is trained: what is compared, by which measure and rule, and on which cells."""

from collections.abc import Mapping, Sequence

from study.analysis.comparisons import matches
from study.analysis.decidable import planned_rows
from study.analysis.outcomes import as_measured
from study.analysis.rules import (
    below_half,
    doubles,
    equivalent,
    exceeds_half,
    falls,
    highest,
    is_below,
    is_flat,
    lowest,
    mostly_happens,
    rises,
    stays_above,
    stays_below,
)
from study.analysis.verdicts import Claim, Part, chosen, compared
from study.metrics.catalogue import described as measure

IN_WORDS = {
    rises: "rises",
    falls: "falls",
    doubles: "more than doubles",
    stays_below: "does not rise",
    stays_above: "does not fall",
    equivalent: "is alike",
    is_below: "falls steadily",
    is_flat: "has no trend",
    exceeds_half: "is above a half",
    below_half: "is below a half",
    mostly_happens: "happens in most trainings",
    lowest: "is the lowest",
    highest: "is the highest",
}


def asked(part: Part) -> str:
    """`reconstruction is alike (two levels of depth)`"""
    what = measure(part.measure).name if part.outcome is as_measured else part.label
    return f"{what} {IN_WORDS.get(part.rule, part.rule.__name__)} ({part.of})"


def cells_compared(claim: Claim, cells: Sequence[Mapping]) -> list[str]:
    """The names ("cell") of those of the cells, rows as in study/analysis/outcomes.py, that the claim's comparisons hold against
    one another."""
    found: dict[str, None] = {}
    for part in claim.parts:
        outcomes, arms, _ = compared(part, chosen(part, planned_rows(part, cells)))
        found |= {row["cell"]: None for row in outcomes if any(matches(row, arm) for arm in arms)}
    return list(found)
