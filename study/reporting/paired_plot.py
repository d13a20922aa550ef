"""The paired plot of effects: of every change of a factor the difference in each replicate, median, interval and margin."""

from collections.abc import Sequence

from study.analysis.effects import Effect
from study.metrics.catalogue import COVERAGE, FIDELITY, described, literal
from study.reporting.effect_words import side_by_side

COLOURS = {"better": "#009e73", "worse": "#d55e00", "equal": "#0072b2", "undecided": "#777777"}  # Okabe and Ito's


def paired(effects: Sequence[Effect]):
    """A row for each change, fidelity and coverage side by side; None where there is none."""
    from matplotlib.figure import Figure

    if not effects:
        return None
    (rows,) = side_by_side(effects).values()
    figure = Figure(figsize=(9, 1 + 0.3 * len(rows)), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for column, (axis, measure) in enumerate(zip(axes, (FIDELITY, COVERAGE)), 1):
        for place, row in enumerate(rows):
            if row[column] is not None:
                draw(axis, place, row[column])
        axis.axvline(0, color="black", linewidth=0.6)
        axis.set_xlabel(f"change of {described(measure).name} ({described(measure).better} is better)")
    axes[0].set_yticks(range(len(rows)), [literal(row[0]) for row in rows])
    axes[0].invert_yaxis()
    return figure


def draw(axis, place: int, found: Effect) -> None:
    colour = COLOURS[found.word]
    axis.fill_between([-found.margin, found.margin], place - 0.35, place + 0.35, color="#eeeeee", linewidth=0)
    axis.plot(found.points, [place] * len(found.points), "o", markersize=2.5, markerfacecolor="none", color=colour, alpha=0.6)
    if found.interval:
        axis.plot(found.interval, [place, place], "-", color=colour)
    axis.plot([found.effect], [place], "D", markersize=4, color=colour)
    axis.annotate(found.word, (1, place), xycoords=("axes fraction", "data"), fontsize=6, va="center", color=colour)
