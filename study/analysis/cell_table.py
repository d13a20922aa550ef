"""The table of cells: the value of each and the choice of the best, for launch, sample, MLflow and the report alike.

A cell speaks by the confirm trials of its replicates (held-out data, each after a tuning of its own), until there are any by
the best search trial of each. Its value of a measure is the median over its replicates, of which a diverged one counts as the
worst (see study/analysis/outcomes.py).
"""

import csv
import io
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from study.analysis.trainings import OWN, FinishedTrial, comparable, family_order, grouped, measured_by, read, rows_of, shown
from study.ledger.folder import Ledger
from study.metrics.catalogue import COVERAGE, FIDELITY, described, interval, number

if TYPE_CHECKING:
    from study.analysis.outcomes import Rate


@dataclass(frozen=True)
class Estimate:
    """A measure of a cell over its replicates, in the measure's unit."""

    value: float  # the median
    interval: tuple[float, float] | None  # its 95 % interval; None below five replicates
    points: tuple[float, ...]  # of every replicate that has an outcome


@dataclass(frozen=True)
class TableCell:
    """What a cell is, how it was trained, and what came of it."""

    name: str
    dataset: str
    model: str
    net: str
    depth: int
    latent_dim: int
    system: str  # the published system that it is, or ""
    settings: Mapping
    stage: str  # of the trials that speak for it: confirm (held-out images) or search (validation images)
    params: Mapping  # of the one to draw from; those of each replicate are in `tuned`
    tuned: tuple[Mapping, ...]
    proposed_by: str
    epochs: int
    batch_size: int
    status: str  # of `trial`: done, diverged or failed
    error: str  # of the first failed trial, or ""
    trial: str  # the key of the one to draw from, whose pictures and curves are shown
    trials: tuple[str, ...]  # the keys of all that speak for it
    replicates: int  # trainings, the failed ones left out
    tuning: str  # "each": every replicate is a tuning of its own; "once": all are of one tuning; "none": as published, not tuned
    diverged: "Rate"
    values: Mapping[str, Estimate]  # by the measure's key

    @property
    def place(self) -> str:
        """Where it stands in a map of cells, in words; the settings of a published system are told by its name."""
        settings = "" if self.system else settings_in_words(self.settings)
        return ", ".join(filter(None, [self.system or self.net, f"depth {self.depth}", f"latent {self.latent_dim}", settings]))

    def value(self, measure: str) -> float:
        return self.values[measure].value


AnyCell = TypeVar("AnyCell", bound=TableCell)


@dataclass(frozen=True)
class Leader(Generic[AnyCell]):
    """Of one dataset and model, the cell nearest to the real images, and the one that covers most of them."""

    dataset: str
    model: str
    fidelity: AnyCell
    coverage: AnyCell | None  # None where coverage was not measured


def cells(ledger: Ledger) -> list[TableCell]:
    """The table of a ledger."""
    planned = {key for line in ledger.planned() for key in line.trials}
    trials, _ = measured_by(ledger, read(ledger), OWN)
    return table(speaking(comparable(trials, planned)[0], planned))


def speaking(trials: list[FinishedTrial], planned: set[str]) -> dict[str, list[FinishedTrial]]:
    """Cell -> the trials that speak for it."""
    return {cell: shown(group, planned) for cell, group in grouped(trials, lambda trial: trial.cell).items()}


def table(trials_of: Mapping[str, list[FinishedTrial]]) -> list[TableCell]:
    """The cells of these trials, in the order of dataset, model, net, depth and latent size."""
    found = measured([row for trials in trials_of.values() for trial in trials for row in rows_of(trial, {})])
    return sorted(
        (TableCell(name, **about(trials), **found[name]) for name, trials in trials_of.items()),
        key=lambda cell: (cell.dataset, family_order(cell.model), cell.net, cell.depth, cell.latent_dim, cell.name),
    )


def about(trials: list[FinishedTrial]) -> dict:
    """The fields of a cell that its trials say: what it is and how it was trained."""
    drawn = next((trial for trial in trials if trial.result.status == "done"), trials[0])
    spec, row = drawn.spec, rows_of(drawn, {})[0]
    return {
        **{word: row[word] for word in ("dataset", "model", "net", "depth", "latent_dim", "system", "stage")},
        **{word: getattr(spec, word) for word in ("settings", "params", "proposed_by", "epochs", "batch_size")},
        "status": drawn.result.status,
        "error": next((trial.result.error for trial in trials if trial.result.error), ""),
        "tuning": "once" if spec.replicate is None and spec.ranges else "each" if spec.ranges else "none",
        "tuned": tuple(trial.spec.params for trial in trials),
        "trial": drawn.key,
        "trials": tuple(trial.key for trial in trials),
    }


def measured(rows: list[dict]) -> dict[str, dict]:
    """Cell -> its fields replicates, diverged and values. Only cells of one dataset and stage are ranked together, so that a
    diverged training counts as the worst seen where it was measured."""
    from study.analysis.outcomes import rate, valued  # here, as the sciences of study/analysis/inference.py take a second to import

    found: dict[str, dict[str, Any]] = {}
    for group in grouped(rows, lambda row: (row["dataset"], row["stage"])).values():
        for cell, members in grouped(group, lambda row: row["cell"]).items():
            tried = [row["status"] == "diverged" for row in members if row["status"] != "failed"]
            found[cell] = {"replicates": len(tried), "diverged": rate(tried), "values": {}}
        for name in sorted({name for row in group for name in row if "/" in name}):
            for cell, pairs in grouped(valued(group, name), lambda pair: pair[0]["cell"]).items():
                found[cell]["values"][name] = estimate([value for _, value in pairs])
    return found


def estimate(points: Sequence[float]) -> Estimate:
    from study.analysis.inference import median_interval

    between = median_interval(points)
    return Estimate(statistics.median(points), between and tuple(map(float, between)), tuple(points))


def value_of(measure: str) -> Callable[[TableCell], float]:
    return lambda cell: cell.value(measure)


def best(cells: Sequence[AnyCell]) -> list[Leader[AnyCell]]:
    """The leaders of every dataset and model: among the confirmed cells, where there are any."""
    found = []
    for (dataset, model), group in grouped(cells, lambda cell: (cell.dataset, cell.model)).items():
        alive = [cell for cell in group if cell.status == "done" and FIDELITY in cell.values]
        alive = confirmed(alive) or alive
        if alive:
            covering = [cell for cell in alive if COVERAGE in cell.values]
            widest = max(covering, key=value_of(COVERAGE)) if covering else None
            found.append(Leader(dataset, model, min(alive, key=value_of(FIDELITY)), widest))
    return found


def nearest_of(cells: Sequence[TableCell]) -> list[TableCell]:
    """The best cell by fidelity of every dataset and model."""
    return [leader.fidelity for leader in best(cells)]


def champions(cells: Sequence[TableCell]) -> list[TableCell]:
    """The best cell by fidelity of every dataset."""
    groups = grouped(nearest_of(cells), lambda cell: cell.dataset).values()
    return [min(confirmed(group) or group, key=value_of(FIDELITY)) for group in groups]


def confirmed(cells: Sequence[AnyCell]) -> list[AnyCell]:
    return [cell for cell in cells if cell.stage == "confirm"]


def as_text(cell: TableCell) -> str:
    """Its fidelity with the interval, where it has one, or what became of the cell."""
    if cell.status != "done" or FIDELITY not in cell.values:
        return cell.status
    found = cell.values[FIDELITY]
    return f"{number(found.value)} {interval(found.interval)}".strip()


def in_words(cell: TableCell) -> str:
    """Which cell it is, its fidelity, and what that rests on."""
    lost = cell.diverged.count
    return (
        f"{cell.model} on {cell.dataset}: {cell.place}: {described(FIDELITY).name} {as_text(cell)}"
        f" ({basis(cell)}"
        + (f", {lost} of them diverged" if lost else "")
        + f", {'held-out' if cell.stage == 'confirm' else 'validation'} images)"
    )


def basis(cell: TableCell) -> str:
    """`median of 8 tunings`: what its number rests on."""
    word = {"each": "tuning", "once": "seed", "none": "seed"}[cell.tuning]
    counted = f"1 {word}" if cell.replicates == 1 else f"median of {cell.replicates} {word}s"
    return counted + {"each": "", "once": " of one tuning", "none": ", as published, not tuned"}[cell.tuning]


def as_row(cell: TableCell) -> dict:
    """A row of cells.csv: what the cell is, a column for every setting, values, the ends of their intervals, what was tuned, and
    where it lies."""
    row = {
        "cell": cell.name,
        **{name: getattr(cell, name) for name in ("dataset", "model", "net", "system", "depth", "latent_dim")},
        **{name: as_text_or_number(value) for name, value in cell.settings.items()},
        **{name: getattr(cell, name) for name in ("stage", "status", "replicates", "tuning")},
        "diverged": cell.diverged.count,
    }
    for name, found in cell.values.items():
        row[name] = found.value
        if found.interval:
            row[f"{name} low"], row[f"{name} high"] = found.interval
    return {**row, "params": json.dumps(cell.tuned), "trials": " ".join(cell.trials)}


def as_text_or_number(value):
    return json.dumps(value) if isinstance(value, list | dict) else value


def settings_in_words(settings: Mapping) -> str:
    return " ".join(f"{name}={value}" for name, value in settings.items() if isinstance(value, str | int | float))


def as_csv(rows: list[dict]) -> bytes:
    """The rows as CSV, every column that any of them has."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns)
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode()
