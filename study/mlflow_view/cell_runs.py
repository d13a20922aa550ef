"""A run for every confirmed cell: its number over its replicates and their deviation, as the report has them, in four digits.

The runs are found by their tags and written under the times of their trainings: doing it twice changes nothing.
"""

import hashlib
import json
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag

from study.analysis.cell_table import TableCell, basis, cells, confirmed, settings_in_words
from study.ledger.folder import Ledger
from study.ledger.records import CellLine, Spec
from study.metrics.catalogue import COVERAGE, FIDELITY
from study.mlflow_view.provenance import images_of, written_by

STAGE = "cell"  # as the tag `stage` has it
SHORT = {"fd_rel": FIDELITY, "coverage": COVERAGE}  # what is looked at first, under a name that is typed without quotes


def write(client: MlflowClient, experiment: str, ledger: Ledger, shown_as, alike: Mapping) -> None:
    """Bring the runs of all cells up to date. shown_as(key, stage): a measure's name in MLflow.
    alike: what `shared_settings` gives."""
    known = defaultdict(list)
    for run in client.search_runs([experiment], f"tags.stage = '{STAGE}'", max_results=10_000):
        known[run.data.tags["cell"]].append(run)
    for cell in confirmed(cells(ledger)):
        run, measured = next((run for run in known[cell.name] if fits(run, cell)), None), numbers(cell)
        tags = tags_of(cell, measured)
        if run and run.data.tags.get("numbers") == tags["numbers"] and run.info.status == "FINISHED":
            continue
        times = [result.time for key in cell.trials if (result := ledger.result(key))]
        start, at = int(1000 * min(times)), int(1000 * max(times))
        found_by = written_by() | {
            name: tags[name] for name in ("stage", "cell")
        }  # at once, so that a crash leaves no run that nobody finds
        info = run.info if run else client.create_run(experiment, start, found_by, named(cell.model, cell.net, cell, alike)).info
        if run is None and (spec := ledger.spec(cell.trial)):
            client.log_inputs(info.run_id, datasets=[images_of(cell.dataset, spec.fingerprint, "testing")])
        metrics = [Metric(shown_as(name, cell.stage), float(f"{value:.4g}"), at, cell.epochs) for name, value in measured.items()]
        params = [Param(name, str(value)) for name, value in params_of(cell).items()]
        client.log_batch(info.run_id, metrics, params, [RunTag(*tag) for tag in tags.items()])
        client.set_terminated(info.run_id, "FINISHED", end_time=at)


def fits(run: Run, cell: TableCell) -> bool:
    """Whether it is that of the cell at its budget: of a cell that was trained for fewer epochs before, that run stays as it is."""
    return all(run.data.params.get(name, str(value)) == str(value) for name, value in params_of(cell).items())


def shared_settings(lines: Sequence[CellLine]) -> dict:
    """The settings in which no two cells of a study differ."""
    first = lines[0].settings if lines else {}
    return {name: value for name, value in first.items() if all(line.settings.get(name) == value for line in lines)}


def named(model: str, net: str, of: TableCell | Spec, alike: Mapping, turn: str = "") -> str:
    """What the run of a cell, or of a training of it, is called: what tells it from others first, since its column has room for
    some 24 letters. alike: settings that tell no cells apart; turn: which training."""
    telling = {name: value for name, value in of.settings.items() if name not in alike}
    who, settings = (of.system, "") if of.system else (f"{model} {net}", settings_in_words(telling))
    return " ".join(filter(None, [f"{who} d{of.depth} z{of.latent_dim}", turn, settings, of.dataset]))


def numbers(cell: TableCell) -> dict[str, float]:
    """By the measure's key the median over replicates, and as `_sd` their deviation."""
    found = {name: estimate.value for name, estimate in cell.values.items()}
    deviations = {f"{name}_sd": statistics.stdev(each.points) for name, each in cell.values.items() if len(each.points) > 1}
    return {**short(found), **factors(cell), **found, **deviations, "rate/diverged": cell.diverged.count / max(1, cell.replicates)}


def short(measures: Mapping) -> dict:
    """The measures that come first, under their short names."""
    return {name: measures[key] for name, key in SHORT.items() if measures.get(key) is not None}


def factors(of: TableCell | Spec) -> dict[str, float]:
    """Depth, latent size and the settings that are numbers, which are then searched by size."""
    told = {"depth": of.depth, "latent_dim": of.latent_dim, **of.settings}
    return {name: value for name, value in told.items() if isinstance(value, int | float) and not isinstance(value, bool)}


def params_of(cell: TableCell) -> Mapping:
    about = {name: getattr(cell, name) for name in ("model", "net", "depth", "latent_dim", "dataset")}
    return {**about, **cell.settings, "epochs": cell.epochs, "batch_size": cell.batch_size}


def tags_of(cell: TableCell, measured: Mapping) -> dict[str, str]:
    return {
        "stage": STAGE,
        "cell": cell.name,
        "replicates": str(cell.replicates),
        "numbers": hashlib.sha256(json.dumps(measured).encode()).hexdigest()[:16],  # others are to be written
        "mlflow.note.content": f"Its number is the {basis(cell)}. Their runs: filter by `tags.cell = '{cell.name}'`.",
    }
