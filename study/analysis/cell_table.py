"""The table of cells: the value of each and the choice of the best, for launch, sample, MLflow and the report alike.

A cell speaks by its confirm trials (held-out data, fresh seeds), until there are any by its best search trial. Its value
of a measure is the median over all its seeds, of which a diverged one counts as the worst (see study/analysis/outcomes.py).
"""

import csv
import io
import json
import statistics

from study.analysis.trainings import comparable, family_order, grouped, planned_lines, read, rows_of, shown
from study.ledger.folder import Ledger
from study.metrics.catalogue import COVERAGE, FIDELITY, interval, number


def cells(ledger: Ledger) -> list[dict]:
    """The table of a ledger."""
    planned = {key for line in planned_lines(ledger) for key in line["trials"]}
    return table(speaking(comparable(read(ledger), planned)[0], planned))


def speaking(trials: list[dict], planned: set[str]) -> dict[str, list[dict]]:
    """Cell -> the trials that speak for it."""
    return {cell: shown(group, planned) for cell, group in grouped(trials, lambda trial: trial["cell"]).items()}


def table(trials_of: dict[str, list[dict]]) -> list[dict]:
    """One dict per cell, in the order of dataset, model, net, depth and latent size: what it is and how it was trained,
    "seeds" and how many of them "diverged" (count, trainings, low, high), and measure -> estimate() as "values"."""
    found = measured([row for trials in trials_of.values() for trial in trials for row in rows_of(trial, {})])
    return sorted(
        ({**about(name, trials), **found[name]} for name, trials in trials_of.items()),
        key=lambda cell: (
            cell["dataset"],
            family_order(cell["model"]),
            cell["net"],
            cell["depth"],
            cell["latent_dim"],
            cell["cell"],
        ),
    )


def about(name: str, trials: list[dict]) -> dict:
    """What a cell is and how it was trained. "trial": the one to draw from, whose pictures and curves are shown."""
    drawn = next((trial for trial in trials if trial["result"]["status"] == "done"), trials[0])
    spec, row = drawn["spec"], rows_of(drawn, {})[0]
    return {
        "cell": name,
        **{word: row[word] for word in ("dataset", "model", "net", "depth", "latent_dim", "system", "stage")},
        "settings": spec["settings"],
        "params": spec["params"],
        "proposed_by": spec["proposed_by"],
        "epochs": spec["epochs"],
        "batch_size": spec["batch_size"],
        "status": drawn["result"]["status"],
        "error": next((error for trial in trials if (error := trial["result"].get("error"))), ""),
        "trial": drawn["key"],
        "trials": [trial["key"] for trial in trials],
    }


def measured(rows: list[dict]) -> dict[str, dict]:
    """Cell -> seeds, diverged and values. Only cells of one dataset and stage are ranked together, so that a diverged
    training counts as the worst seen where it was measured."""
    from study.analysis.outcomes import rate, valued  # here, as the sciences of study/analysis/inference.py take a second to import

    found = {}
    for group in grouped(rows, lambda row: (row["dataset"], row["stage"])).values():
        for cell, members in grouped(group, lambda row: row["cell"]).items():
            tried = [row["status"] == "diverged" for row in members if row["status"] != "failed"]
            found[cell] = {"seeds": len(tried), "diverged": list(rate(tried)), "values": {}}
        for name in sorted({name for row in group for name in row if "/" in name}):
            for cell, pairs in grouped(valued(group, name), lambda pair: pair[0]["cell"]).items():
                found[cell]["values"][name] = estimate([value for _, value in pairs])
    return found


def estimate(points: list[float]) -> dict:
    """Median over seeds, its 95 % interval (None below five seeds), and the points themselves."""
    from study.analysis.inference import median_interval

    between = median_interval(points)
    return {"value": statistics.median(points), "interval": between and [float(bound) for bound in between], "points": points}


def value_of(measure: str):
    return lambda cell: cell["values"][measure]["value"]


def best(cells: list[dict]) -> list[dict]:
    """Per dataset and model the cell nearest to the real images, and the one that covers most of them: among the
    confirmed ones, where there are any."""
    found = []
    for (dataset, model), group in grouped(cells, lambda cell: (cell["dataset"], cell["model"])).items():
        alive = [cell for cell in group if cell["status"] == "done" and FIDELITY in cell["values"]]
        alive = confirmed(alive) or alive
        if alive:
            covering = [cell for cell in alive if COVERAGE in cell["values"]]
            found.append(
                {
                    "dataset": dataset,
                    "model": model,
                    "fidelity": min(alive, key=value_of(FIDELITY))["cell"],
                    "coverage": max(covering, key=value_of(COVERAGE))["cell"] if covering else None,
                }
            )
    return found


def nearest_of(cells: list[dict]) -> list[dict]:
    """The best cell by fidelity of every dataset and model."""
    by_name = {cell["cell"]: cell for cell in cells}
    return [by_name[row["fidelity"]] for row in best(cells)]


def champions(cells: list[dict]) -> list[dict]:
    """The best cell by fidelity of every dataset."""
    groups = grouped(nearest_of(cells), lambda cell: cell["dataset"]).values()
    return [min(confirmed(group) or group, key=value_of(FIDELITY)) for group in groups]


def confirmed(cells: list[dict]) -> list[dict]:
    return [cell for cell in cells if cell["stage"] == "confirm"]


def as_text(cell: dict) -> str:
    """Its fidelity with the interval, where it has one, or what became of the cell."""
    if cell["status"] != "done" or FIDELITY not in cell["values"]:
        return cell["status"]
    found = cell["values"][FIDELITY]
    return f"{number(found['value'])} {interval(found['interval'])}".strip()


def in_words(cell: dict) -> str:
    """Which cell it is, its fidelity, and what that rests on."""
    seeds, lost = cell["seeds"], cell["diverged"][0]
    return (
        f"{cell['model']} on {cell['dataset']}: {cell['system'] or cell['net']}, depth {cell['depth']}, latent"
        f" {cell['latent_dim']}: fd_rel {as_text(cell)} ({'1 seed' if seeds == 1 else f'median of {seeds} seeds'}"
        + (f", {lost} of them diverged" if lost else "")
        + f", {'held-out' if cell['stage'] == 'confirm' else 'validation'} images)"
    )


def as_row(cell: dict) -> dict:
    """A row of cells.csv: values, the ends of their intervals, what was tuned, and where it lies."""
    row = {
        name: cell[name]
        for name in ("cell", "dataset", "model", "net", "system", "depth", "latent_dim", "stage", "status", "seeds")
    }
    row["diverged"] = cell["diverged"][0]
    for name, found in cell["values"].items():
        row[name] = found["value"]
        if found["interval"]:
            row[f"{name} low"], row[f"{name} high"] = found["interval"]
    return {
        **row,
        "settings": json.dumps(cell["settings"]),
        "params": json.dumps(cell["params"]),
        "trials": " ".join(cell["trials"]),
    }


def told(settings: dict) -> str:
    return " ".join(f"{name}={value}" for name, value in settings.items() if isinstance(value, str | int | float))


def as_csv(rows: list[dict]) -> bytes:
    """The rows as CSV, every column that any of them has."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns)
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode()
