"""The ledger as tables and sheets: one row per cell, one picture of depth by latent size per model, net and dataset."""
import csv
import io
import math
import re
import statistics
from collections import Counter, defaultdict

from study.ledger import Ledger

SHARED = ("cost/", "time/")   # one value for all seeds of a trial, which train side by side
OBJECTIVE = "quality/fd_rel"  # what every sweep minimises: Frechet distance over the spread of the real features


def aggregate(values: dict[str, list]) -> dict[str, float]:
    """Per-seed values as their mean, with the standard deviation over seeds as `<name>_sd` where there are several."""
    table = {}
    for name, column in values.items():
        known = [value for value in column if value is not None and math.isfinite(value)]
        if known:
            table[name] = statistics.fmean(known)
        if len(known) > 1 and not name.startswith(SHARED):
            table[f"{name}_sd"] = statistics.stdev(known)
    return table


def finished(ledger: Ledger) -> list[tuple[str, dict, dict]]:
    """(key, spec, result) of every finished trial."""
    rows = []
    for key in ledger.keys():
        if (result := ledger.result(key)) and (spec := ledger.spec(key)):
            rows.append((key, spec, result))
    return rows


def cell_of(spec: dict) -> tuple:
    """What the trials of one cell have in common, for grouping and sorting."""
    return (spec["dataset"], label(spec["model"]), label(spec["net"]), spec["depth"], spec["latent_dim"],
            spec["system"], str(spec["settings"]))


def label(path: str) -> str:
    return path.split(":")[1].lower()


def cells(ledger: Ledger) -> list[dict]:
    """One row per cell: its last word is the confirm stage (held-out data, fresh seeds), until then its best search."""
    groups = defaultdict(list)
    for key, spec, result in finished(ledger):
        groups[cell_of(spec)].append((key, spec, result))
    return [row for _, trials in sorted(groups.items()) if (row := _cell_row(trials))]


def _cell_row(trials: list) -> dict | None:
    confirm = [trial for trial in trials if trial[1]["stage"] == "confirm"]
    pool = confirm or trials
    done = [trial for trial in pool if trial[2]["status"] == "done"]
    if not done:
        key, spec, result = pool[0]
        return _row(key, spec, result, {}, len(pool))
    if not confirm:
        done = [min(done, key=lambda trial: trial[2]["objective"])]
    latest = max(done, key=lambda trial: trial[2]["time"])
    same = [trial for trial in done if trial[1]["params"] == latest[1]["params"]]
    values = defaultdict(list)
    for _, _, result in same:
        for replica in result["replicas"]:
            for name, value in replica["measures"].items():
                values[name].append(value)
    return _row(*latest, aggregate(values), sum(len(trial[1]["seeds"]) for trial in same))


def _row(key: str, spec: dict, result: dict, measures: dict, seeds: int) -> dict:
    dataset, model, net, depth, latent_dim, system, _ = cell_of(spec)
    settings = " ".join(f"{name}={value}" for name, value in spec["settings"].items() if isinstance(value, str | int | float))
    return {"dataset": dataset, "model": model, "net": net, "system": system, "settings": settings, "depth": depth,
            "latent_dim": latent_dim,
            "stage": spec["stage"], "seeds": seeds, "status": result["status"], **measures, "trial": key}


def best(rows: list[dict]) -> list[dict]:
    """The cell with the lowest objective for every dataset and model."""
    groups = defaultdict(list)
    for row in rows:
        if OBJECTIVE in row:
            groups[row["dataset"], row["model"]].append(row)
    return [min(group, key=lambda row: row[OBJECTIVE]) for group in groups.values()]


def summary_files(ledger: Ledger) -> dict[str, bytes]:
    """Name -> content of what the summary run shows: cells.csv and a sheet per model, net and dataset."""
    from study.figures import sheet
    rows = cells(ledger)
    files = {"cells.csv": table(rows)}
    groups = defaultdict(dict)
    for row in rows:
        groups[row["dataset"], row["model"], row["system"] or row["net"], row["settings"]][row["depth"], row["latent_dim"]] = row
    forms = Counter(key[:3] for key in groups)
    for (dataset, model, net, settings), group in groups.items():
        net += f" {settings}" if forms[dataset, model, net] > 1 else ""
        pictures = {place: newest for place, row in group.items() if (newest := last_samples(ledger, row["trial"]))}
        values = {place: value_text(row) for place, row in group.items()}
        if pictures:
            name = re.sub(r"[/: =]", "-", f"sheet-{dataset}-{model}-{net}.png")
            files[name] = sheet(f"{model} ({net}) on {dataset}: samples and {OBJECTIVE}", pictures, values)
    return files


def last_samples(ledger: Ledger, key: str):
    pictures = sorted((ledger.folder(key) / "images").glob("samples-*.png"))
    return pictures[-1] if pictures else None


def value_text(row: dict) -> str:
    """The objective with its spread over seeds, or what became of the cell."""
    if OBJECTIVE not in row:
        return row["status"]
    spread = row.get(f"{OBJECTIVE}_sd")
    return f"{row[OBJECTIVE]:.3f}" + (f" ± {spread:.3f}" if spread is not None else "")


def table(rows: list[dict]) -> bytes:
    """The rows as CSV, every column that any of them has."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns)
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode()
