"""What a ledger says, as one plain dict: the answer, verdicts, cells, effects, rates. Pages and files only print it."""

import ast
import platform
import sys
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from study.analysis import cell_table, effects, sentences
from study.analysis.claims import CLAIMS
from study.analysis.outcomes import rates
from study.analysis.trainings import comparable, curves_of, family_order, grouped, over_packs, planned_lines, read, rows_of, thinned
from study.errors import UserError
from study.ledger.counts import study_counts
from study.ledger.folder import Ledger
from study.ledger.next_steps import from_the_project
from study.space.importing import imported
from study.space.loading import FOLDER

CURVE_POINTS, FEW_CELLS = 40, 400
PACKAGES = ("torch", "numpy", "scipy", "statsmodels", "ray", "optuna", "mlflow")


def findings(ledger: Ledger, claims: Sequence | None = None) -> dict:
    """Everything a report prints, from the ledger alone; UserError where no trial is finished.

    "rows" holds every training, as study/analysis/outcomes.py describes them; verdicts and intervals are computed from these.
    """
    lines = planned_lines(ledger)
    planned = {key for line in lines for key in line["trials"]}
    trials, notes = comparable(read(ledger), planned)
    if not trials:
        raise UserError(
            f"no trial of '{ledger.root.name}' in {ledger.root.parent} is finished yet: there is nothing to"
            " report; launch the study first, or say with --storage where it is"
        )
    claims = (*CLAIMS, *own_claims(trials, notes)) if claims is None else claims
    speaking = cell_table.speaking(trials, planned)
    curves = {trial["key"]: curves_of(ledger.rows(trial["key"])) for group in speaking.values() for trial in group}
    rows = [
        row
        for trial in trials
        if trial["spec"]["stage"] == "search" or trial["key"] in curves
        for row in rows_of(trial, curves.get(trial["key"], {}))
    ]
    found = {
        "space": ledger.root.name,
        "question": question(ledger.root.name),
        "time": time.time(),
        "notes": notes,
        "progress": progress(ledger, lines),
        "missing": missing(lines, {trial["key"] for trial in trials}),
        "floors": floors(ledger),
        "rows": rows,
        "versions": versions(trials),
        "cells": cells(ledger, speaking, curves),
        "commands": commands(ledger, trials[0]["spec"].get("origin", "")),
    }
    return concluded(found | {"datasets": datasets(trials, found["floors"])}, claims)


def commands(ledger: Ledger, origin: str) -> dict:
    """What to type, in the project's own folder, to go on with the study or to draw from it."""
    return {script: from_the_project(script, ledger, origin) for script in ("launch", "sample")}


def concluded(found: dict, claims: Sequence) -> dict:
    """The same with what follows from rows and cells."""
    rows, confirmed = found["rows"], [row for row in found["rows"] if row["stage"] == "confirm"]
    best = cell_table.best(found["cells"])
    found |= {
        "claims": effects.verdicts(claims, rows),
        "effects": effects.effects(rows),
        "best": best,
        "chances": effects.chances(best, found["cells"]),
        "variance": effects.variance(found["cells"]),
        "rates": [
            {"dataset": dataset, "model": model, "net": net, **counted}
            for (dataset, model, net), counted in sorted(rates(confirmed).items(), key=by_family)
        ],
        "tuning": effects.tuning(rows),
    }
    return found | {"answer": sentences.sentences(found)}


def by_family(item: tuple) -> tuple:
    (dataset, model, *rest), _ = item
    return dataset, family_order(model), *rest


def question(space: str) -> str:
    """The first words of the space's file, where this checkout has it; nothing is imported for it."""
    file = FOLDER / f"{space}.py"
    return (ast.get_docstring(ast.parse(file.read_text())) or "").split("\n\n")[0] if file.exists() else ""


def progress(ledger: Ledger, lines: list[dict]) -> dict | None:
    """planned, running, done, diverged, failed, left, as a status prints them; None for a ledger without its plan."""
    return {**study_counts(ledger.root.parent, ledger.root.name), "at_work": ledger.held()} if lines else None


def missing(lines: list[dict], finished: set[str]) -> list[dict]:
    """Cells with trials left: name, how many, and whether none at all is finished."""
    table = []
    for line in lines:
        done = len(finished.intersection(line["trials"]))
        if done < line["planned"]:
            table.append({"cell": line["cell"], "left": line["planned"] - done, "untouched": done == 0})
    return table


def cells(ledger: Ledger, speaking: dict, curves: dict) -> list[dict]:
    """The table of cells, with the curves of all seeds, and the pictures and the run of the trial that is shown of each."""
    points = CURVE_POINTS if len(speaking) <= FEW_CELLS else CURVE_POINTS // 2
    return [
        {
            **cell,
            "run": run_of(ledger, cell["trial"]),
            "pictures": pictures(ledger, cell["trial"]),
            "curves": {
                name: curve
                for name, column in over_packs([curves[key] for key in cell["trials"]]).items()
                if (curve := thinned(name, column, points))
            },
        }
        for cell in cell_table.table(speaking)
    ]


def own_claims(trials: list[dict], notes: list[str]) -> list:
    """The claims that the space itself makes; its file is imported only if it makes any, and is trusted. Else it is noted."""
    modules = {(spec["claims"], spec.get("origin", "")) for spec in (trial["spec"] for trial in trials) if spec.get("claims")}
    claims = []
    for module, origin in sorted(modules):
        try:
            claims += imported(f"{module}:SPACE", origin).claims
        except UserError as error:
            notes.append(f"the study's own claims are left out: {error}")
            print(notes[-1], file=sys.stderr)
    return claims


def floors(ledger: Ledger) -> dict:
    """Dataset -> what real images score; what an earlier version noted is left out until a launch measures it anew."""
    return {name: floor for name, floor in ledger.floors().items() if floor["measures"]}


def datasets(trials: list[dict], floors: dict) -> list[dict]:
    """What each dataset's numbers rest on."""
    return [
        {
            "dataset": name,
            "features": group[0]["spec"].get("features", ""),
            "fingerprint": group[0]["spec"].get("fingerprint", ""),
            "floor": floors.get(name, {}),
            "trials": len(group),
        }
        for name, group in sorted(grouped(trials, lambda trial: trial["spec"]["dataset"]).items())
    ]


def run_of(ledger: Ledger, key: str) -> dict | None:
    """The trial's MLflow run: id, experiment, store; None where it was not tracked."""
    tracked = ledger.tracked(key) or {}
    if "run_id" not in tracked:
        return None
    store, experiment, *_ = tracked.get("store", ["", ""])
    return {"id": tracked["run_id"], "experiment": experiment, "store": store}


def pictures(ledger: Ledger, key: str) -> dict[str, list]:
    """Kind of picture -> (epoch, path under the study's folder), in the order of epochs."""
    found = {}
    for path in ledger.files(key, "images/*-[0-9]*.png"):
        kind, epoch = path.stem.rsplit("-", 1)
        if epoch.isdigit():
            found.setdefault(kind, []).append((int(epoch), str(path.relative_to(ledger.root))))
    return found


def versions(trials: list[dict]) -> dict:
    """What the trials ran on, and what read them."""
    said = {
        word: ", ".join(sorted({str(trial["result"][word]) for trial in trials if trial["result"].get(word)}))
        for word in ("torch", "device")
    }
    protocols = sorted({str(trial["spec"]["protocol"]) for trial in trials if "protocol" in trial["spec"]})
    reader = {name: known for name in PACKAGES if (known := installed(name))}
    return {
        "trained with": {**said, "protocol": ", ".join(protocols)},
        "reported with": {"Python": platform.python_version(), **reader},
    }


def installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
