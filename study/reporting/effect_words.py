"""What the page's table of effects says: a row for each change of a factor, its bars, its word and what would decide it."""

import re
from collections.abc import Iterable, Sequence

from study.analysis.effects import Effect
from study.analysis.sentences import ends
from study.analysis.trainings import grouped
from study.metrics.catalogue import COVERAGE, FIDELITY

TOLD = {"better": "✓ better", "worse": "✗ worse", "equal": "= equal within the margin", "undecided": "? undecided"}


def side_by_side(effects: Sequence[Effect]) -> dict[str, list[tuple]]:
    """Dataset -> a row for each change of a factor: what changes, and its effects on fidelity and on coverage, None where there
    is none."""
    return {
        dataset: [
            (change, *(next((found for found in pair if found.measure == measure), None) for measure in (FIDELITY, COVERAGE)))
            for change, pair in grouped(group, change_of).items()
        ]
        for dataset, group in grouped(effects, lambda found: found.dataset).items()
    }


def change_of(found: Effect) -> str:
    """`VAE, dropout 0 → 0.2`"""
    return f"{found.model.upper()}, " * bool(found.model) + ends(found, " → ")


def undecided_by(found: Effect) -> list[str]:
    """What would decide an undecided effect; what can be typed stands apart."""
    return re.split(r"(--replicates \d+)", found.more)


def span_of(effects: Iterable[Effect | None]) -> float:
    """What the bars of a column of effects are drawn to the scale of."""
    return max(
        (abs(value) for found in effects if found for value in (found.margin, *found.points, *(found.interval or ()))), default=1
    )


def placed(value: float, span: float) -> str:
    """Where a value stands in a bar around 0, in percent of its width."""
    return f"{50 + 48 * value / (span or 1):.1f}%"


def wide_as(low: float, high: float, span: float) -> str:
    return f"{max(48 * (high - low) / (span or 1), 0.5):.1f}%"
