"""The ledger as tables and sheets: one row per cell, one picture of depth by latent size per model, net and dataset."""
import csv
import io
import re
from collections import Counter, defaultdict

from study.ledger import Ledger
from study.trainings import OBJECTIVE, aggregate, comparable, grouped, label, planned_lines, read, shown


def cells(ledger: Ledger) -> list[dict]:
    """One row per cell: its last word is the confirm stage (held-out data, fresh seeds), until then its best search."""
    planned = {key for line in planned_lines(ledger) for key in line["trials"]}
    trials, _ = comparable(read(ledger), planned)
    rows = [_cell_row(shown(group, planned)) for group in grouped(trials, lambda trial: trial["cell"]).values()]
    return sorted(rows, key=lambda row: (row["dataset"], row["model"], row["net"], row["system"], row["depth"], row["latent_dim"]))


def _cell_row(trials: list[dict]) -> dict:
    values = defaultdict(list)
    for trial in trials:
        for replica in trial["result"]["replicas"]:
            for name, value in replica["measures"].items():
                values[name].append(value)
    statuses = [trial["result"]["status"] for trial in trials]
    return _row(trials[-1], "done" if "done" in statuses else statuses[0], aggregate(values),
                sum(len(trial["spec"]["seeds"]) for trial in trials))


def _row(trial: dict, status: str, measures: dict, seeds: int) -> dict:
    spec = trial["spec"]
    settings = " ".join(f"{name}={value}" for name, value in spec["settings"].items() if isinstance(value, str | int | float))
    return {"dataset": spec["dataset"], "model": label(spec["model"]), "net": label(spec["net"]), "system": spec["system"],
            "settings": settings, "depth": spec["depth"], "latent_dim": spec["latent_dim"], "stage": spec["stage"],
            "seeds": seeds, "status": status, **measures, "trial": trial["key"]}


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
