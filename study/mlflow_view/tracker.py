"""Projects the trials of a ledger into an MLflow experiment.

A thread of the driver (study/mlflow_view/background.py) is the only writer. Everything is logged under the times that the
ledger recorded: doing it twice changes nothing.
"""

import contextlib
import json
import shutil
import socket
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mlflow import MlflowClient
from mlflow.entities import Experiment, Metric, Param, Run, RunInfo, RunTag, ViewType
from mlflow.exceptions import MlflowException

from study.analysis.cell_table import cells
from study.ledger.files import read_json, write_atomic
from study.ledger.folder import Ledger
from study.ledger.identity import words
from study.ledger.names import cell_of
from study.ledger.records import EpochRow, Measurement, Result, Spec, Tracked
from study.metrics.catalogue import aggregate, middle, over_seeds
from study.metrics.evaluation import STAGES
from study.mlflow_view import cell_runs, image_cards, saved_view
from study.mlflow_view.cell_runs import factors, named, shared_settings, short
from study.mlflow_view.provenance import images_of, written_by
from study.mlflow_view.registry import register
from study.mlflow_view.store import OURS, database_of, make_ready
from study.mlflow_view.summary_run import answer, best_pictures, summary_files

CELLS_SHARE = 20  # the runs of cells take at most so small a part of the time: they read the whole ledger
BATCH = 900  # metrics in one call, beside params and tags: MLflow takes 1,000 in all
WRITTEN = ("spec.json", "result.json", "weights.safetensors", "curves.safetensors")  # of a trial: artifacts of its run
HOW_TO_READ = """\
Every cell is a run (`stage = cell`), with its number over its replicates and, under `spread/`, their deviation: compare these.
Sort by `fd_rel` (lower is better; 1 is one constant image), and read `coverage` beside it (higher is wider): both are measured
on held-out images, as all that begins with `test/`. To search, type `metrics.fd_rel < 0.1`, `metrics.depth = 3` or
`metrics.latent_dim > 8`. The number is the median over replicates, of which a diverged one counts as the worst, as in
`cells.csv` of the run named `summary` and in the report. Every training is a run as well: of a cell's filter by `tags.cell`. A
replicate of a cell is a tuning of its own: `stage = search` tries its proposals, `stage = confirm` trains the best of them with
a fresh seed and measures it on held-out data. What was measured on which images is in a metric's name: `validation/` in
training and in search, `test/` at the end of `confirm`. `loss` is that of a model's first phase, as `loss/` has all of them. A
run that ended as KILLED was stopped at a rung, as the worse half of its round. Numbers of a run with several seeds, which an
earlier version made, are medians over these. Diagnostics depend on a model's own critic and compare nothing between runs. The
pictures of a run stand first on its *Model metrics* page: samples at the end, then over training, where the slider goes over
epochs. The run `summary` says the answer, and holds a sheet of samples for every model, net and dataset."""
SPLITLESS = ("loss/", "time/", "cost/", "rate/", "likelihood/beta_effective")  # not measured on validation or test images
VIEW = "split/measure, cells, short names"  # how metrics are named and what runs there are: other stores are brought up to date
OWNER, NAME = "ledger", "study"  # tags of an experiment: the word of its ledger, and what its study is called in this store
RUN_STATUS = {"done": "FINISHED", "stopped": "KILLED", "diverged": "FAILED", "failed": "FAILED"}


class Tracker:
    """Projects the trials of one ledger into one MLflow experiment."""

    def __init__(self, uri: str, ledger: Ledger, space: str, question: str = "", log=print):
        make_ready(uri, log)
        self.client, self.ledger, self.uri, self.space = MlflowClient(tracking_uri=uri), ledger, uri, space
        self.note, self.log, self.words = f"{question}\n\n{HOW_TO_READ}", log, words(ledger)
        self.word = self.words[0][0]
        self.begun = set(ledger.keys())  # what may have a run that was never noted; other trials are new
        self.store: list[str] = []  # as Tracked has it
        self.cells_due = 0.0  # when the runs of cells are written again
        self.alike = shared_settings(ledger.planned())  # in which no two cells differ: names leave them out
        self.open()
        self._end_former_runs()

    def open(self) -> bool:
        """Find this ledger's experiment, or make it; whether it had been deleted, or is another than before."""
        found, before = self._found() or self._made(), self.store
        deleted = found.lifecycle_stage == "deleted"
        if deleted:
            self.client.restore_experiment(found.experiment_id)
            self.log(f"MLflow's experiment {found.name} was deleted; it is restored, since its study goes on")
        shown = self._shown() if found.tags.get("view") != VIEW else {}
        for name, value in ({OWNER: self.word} | shown).items():
            if found.tags.get(name) != value:
                self.client.set_experiment_tag(found.experiment_id, name, value)
        self.experiment, self.name = found.experiment_id, found.tags.get(NAME, self.space)
        # A store that was made again counts from 1 again as well: only the random word in it tells it from the one before.
        self.store = [self.uri, found.experiment_id, found.tags.get(OURS, ""), VIEW]
        return deleted or self.store != before

    def _found(self) -> Experiment | None:
        """The experiment with this ledger's word, whatever people call it; else that of its space, if it is no other's."""
        place = database_of(self.uri)
        for word, address in self.words:
            copied = place and place.parent in self.ledger.root.parents and place.parent not in Path(address).parents
            if word == self.word or copied:  # a store that lies beside a copy, and not beside its original, was copied with it
                if found := self.client.search_experiments(ViewType.ALL, filter_string=f"tags.{OWNER} = '{word}'"):
                    return found[0]
        named = self.client.get_experiment_by_name(self.space)
        return named if named and OWNER not in named.tags else None

    def _made(self) -> Experiment:
        """A new experiment. Where another ledger's has the space's name, this one's says where it comes from."""
        place, own = database_of(self.uri), f"{self.space}-{socket.gethostname()}-{self.word[:6]}"
        for name in (self.space, own):
            tags = {
                **self._shown(),
                OURS: uuid.uuid4().hex,
                OWNER: self.word,
                NAME: name,
                "mlflow.experimentKind": "custom_model_development",
            }
            try:
                made = self.client.create_experiment(name, place and (place.parent / "artifacts" / name).as_uri(), tags)
                return self.client.get_experiment(made)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            if found := self._found():  # another process of this study was quicker
                return found
            self.log(f"MLflow's experiment {self.space} belongs to another ledger; that of {self.ledger.address} is called {own}")

    def _shown(self) -> dict[str, str]:
        return {**saved_view.tags(), "view": VIEW, "mlflow.note.content": self.note}

    def _end_former_runs(self) -> None:
        """Trials that were quarantined to start anew get other runs: end those of before, so that nobody waits for them."""
        for place in sorted((self.ledger.root / "quarantine").glob("*/tracked.json")):
            state = read_json(place, self.log, Tracked.from_json)
            if state is None or state.store != self.store:
                continue
            if (run := self._run(state.run_id)) and run.info.lifecycle_stage == "active":
                for name, value in (("trial_key", place.parent.name), ("stage", "quarantined")):
                    self.client.set_tag(run.info.run_id, name, value)
                self.client.set_terminated(run.info.run_id, "KILLED")
                self.log(f"MLflow's run of {place.parent.name}, which was quarantined, is ended")
            place.unlink()

    def project(self, key: str) -> None:
        """Bring the run of one trial up to date with its folder."""
        self.ledger.fetch(f"trials/{key}")
        place = self.ledger.folder(key) / "tracked.json"
        state, result = self.ledger.tracked(key), self.ledger.result(key)
        if state and (state.store != self.store or not state.artifacts):  # of another store, or of an earlier version
            state = None
        measurements = self.ledger.measurements(key) if result else []
        if state and state.ended and result and state.ended == result.time:
            if {found.name for found in measurements} <= set(state.measured):
                return
        spec = self.ledger.spec(key, result)
        if spec is None:
            return
        try:
            state = self._project(key, spec, state, measurements)
        except MlflowException as error:
            state = self._project(key, spec, self._mended(key, state, error), measurements)
        write_atomic(place, json.dumps(state.to_json()).encode())
        if result and spec.stage == "confirm" and time.monotonic() > self.cells_due:
            start = time.monotonic()
            self._cell_runs()
            self.cells_due = time.monotonic() + CELLS_SHARE * (time.monotonic() - start)

    def _cell_runs(self) -> None:
        cell_runs.write(self.client, self.experiment, self.ledger, shown_as, self.alike)

    def _mended(self, key: str, state: Tracked | None, error: MlflowException) -> Tracked | None:
        """What is left of what a trial has in MLflow, where that had been deleted there; where it had not, the error."""
        store = self.store
        opened, run = self.open(), self._run(state.run_id if state else None)
        if self.store != store or state and run is None:  # it is gone for good
            return None
        if run and run.info.lifecycle_stage == "deleted":
            self.client.restore_run(run.info.run_id)
            self.log(f"MLflow's run of {key} was deleted; it is restored, since the trial is not at its end")
        elif not opened:
            raise error
        return state

    def _run(self, run_id: str | None) -> Run | None:
        """A run, deleted or not; None where there is none."""
        try:
            return self.client.get_run(run_id) if run_id else None
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None

    def _project(self, key: str, spec: Spec, state: Tracked | None, measurements: Sequence[Measurement]) -> Tracked:
        """Bring the trial's run from where `state` says it is, or from nothing, to where the ledger is."""
        rows, result = self.ledger.rows(key), self.ledger.result(key)
        params, metrics, tags = [], [], end_tags(result, again=bool(state and state.ended)) if result else {}
        if state is None:
            run = self._left_behind(key)
            if run is None:
                run, tags = self._new_run(key, spec, rows, tags), {}  # with its tags at once: a call less
            state, params = Tracked(self.store, run.run_id, 0, [], None, run.artifact_uri), params_of(spec)
            metrics = [Metric(name, value, run.start_time, 0) for name, value in factors(spec).items()]
            if spec.stage == "confirm":
                self.client.log_inputs(run.run_id, datasets=[images_of(spec.dataset, spec.fingerprint, "training")])
        run_id, images = state.run_id, self._files(key, state, result)
        for row in rows[state.rows :]:
            metrics += metrics_of(short_loss(row.values, spec) | aggregate(row.values), "search", row.time, row.epoch)
        if result:
            measured = over_seeds(result.replicas)
            metrics += metrics_of(measured, spec.stage, result.time, result.epochs)
            if spec.stage == "confirm":
                metrics += metrics_of(short(measured), spec.stage, result.time, result.epochs)
            for found in measurements:
                metrics += metrics_of(over_seeds(found.replicas), spec.stage, found.time, result.epochs, told_apart(found, spec))
        self.client.log_batch(run_id, metrics[:BATCH], params, [RunTag(name, value) for name, value in tags.items()])
        for start in range(BATCH, len(metrics), BATCH):
            self.client.log_batch(run_id, metrics[start : start + BATCH])
        if result:
            self.client.set_terminated(run_id, RUN_STATUS[result.status], end_time=int(result.time * 1000))
        shown = [found.name for found in measurements]
        return replace(state, rows=len(rows), images=images, ended=result.time if result else None, measured=shown)

    def _left_behind(self, key: str) -> RunInfo | None:
        """The run of a trial that a crash between making it and noting it left: found by its tag."""
        found = key in self.begun and self.client.search_runs([self.experiment], f"tags.trial_key = '{key}'", max_results=1)
        return found[0].info if found else None

    def _new_run(self, key: str, spec: Spec, rows: list[EpochRow], tags: dict) -> RunInfo:
        self.begun.add(key)  # before it is made: the answer may be lost on its way
        return self.client.create_run(
            self.experiment,
            start_time=int(1000 * (rows[0].time if rows else time.time())),
            run_name=run_name(spec, self.alike),
            tags={**written_by(), **tags_of(spec), **tags},
        ).info

    def _files(self, key: str, state: Tracked, result: Result | None) -> list[str]:
        """New pictures as cards with a step slider, in the file names that MLflow's own log_image writes, but the same
        ones each time; and at the end what the trial wrote. The names of all pictures that are there then."""
        pictures = [path for path in self.ledger.files(key, "images/*-[0-9]*.png") if path.name not in state.images]
        written = [path for path in self.ledger.files(key, "*") if result and path.name in WRITTEN]
        if not pictures and not written:
            return state.images
        with self._artifacts(state.run_id, state.artifacts) as artifacts:
            for path in pictures:
                name, step = path.stem.rsplit("-", 1)
                image_cards.add(path, artifacts / "images", image_cards.card(name), int(step))
            for path in written:
                shutil.copyfile(path, artifacts / path.name)  # no link: nothing done to artifacts may reach the ledger
        return state.images + [path.name for path in pictures]

    @contextlib.contextmanager
    def _artifacts(self, run_id: str, uri: str):
        """A folder, with one for images in it, whose content becomes artifacts of the run: the run's own folder where that
        is on this machine."""
        own = Path(url2pathname(urlsplit(uri).path)) if uri.startswith("file:") else None
        with contextlib.nullcontext(own) if own else tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "images").mkdir(parents=True, exist_ok=True)
            yield Path(folder)
            if not own:
                self.client.log_artifacts(run_id, folder)

    def answers(self) -> bool:
        """Whether MLflow can be asked at all."""
        try:
            return bool(self.client.get_experiment(self.experiment))
        except MlflowException:
            return False

    def summarise(self) -> None:
        """What is said of the study as a whole, after its trials: the summary run and the registered champions."""
        try:
            self._cell_runs()
            self._summary_run()
        except MlflowException:
            if not self.open():
                raise
            self._cell_runs()
            self._summary_run()
        register(self.client, self.ledger, self.name)

    def _summary_run(self) -> None:
        """The summary run: a sheet of samples for every model, net and dataset, and the table of cells."""
        found = self.client.search_runs([self.experiment], "tags.stage = 'summary'", max_results=1)
        run = (
            found[0].info
            if found
            else self.client.create_run(
                self.experiment, run_name="summary", tags={**written_by(), "stage": "summary", "study": self.space}
            ).info
        )
        table = cells(self.ledger)
        with self._artifacts(run.run_id, run.artifact_uri) as artifacts:
            for name, content in summary_files(self.ledger, table).items():
                (artifacts / name).write_bytes(content)
                if name.endswith(".png"):
                    image_cards.add(artifacts / name, artifacts / "images", Path(name).stem, 0)
            for name, path in best_pictures(self.ledger, table).items():
                image_cards.add(path, artifacts / "images", f"_best of each family~{name}", 0)
            if (report := self.ledger.root / "report" / "report.html").exists():
                (artifacts / "report").mkdir(exist_ok=True)
                shutil.copyfile(report, artifacts / "report" / report.name)
        for name, value in (("mlflow.loggedImages", "True"), ("mlflow.note.content", answer(self.ledger))):
            self.client.set_tag(run.run_id, name, value)
        self.client.set_terminated(run.run_id)


def tags_of(spec: Spec) -> dict:
    tags = {
        "study": spec.space,
        "trial_key": spec.key,
        "stage": spec.stage,
        "cell": cell_of(spec.key),
        "replicate": "" if spec.replicate is None else spec.replicate,
        "model": name_of(spec.model).lower(),
        "net": name_of(spec.net),
        "depth": spec.depth,
        "latent_dim": spec.latent_dim,
        "dataset": spec.dataset,
        "proposed_by": spec.proposed_by,
        "features": spec.features,
        "fingerprint": spec.fingerprint,
        "system": spec.system,
        "mlflow.loggedImages": True,
    }
    return {"mlflow.note.content": note_of(spec), **{name: str(value) for name, value in tags.items() if value != ""}}


def note_of(spec: Spec) -> str:
    """The run's description: what its losses count, as its model says (study/space/contracts.py)."""
    lines = [f"- `loss/{name}`: {scale}" for name, scale in spec.loss_scales.items()]
    return "\n".join(["Losses are means over the batches of an epoch" + (":" if lines else "."), *lines])


def params_of(spec: Spec) -> list[Param]:
    """The cell first, then what was tuned: MLflow prints them under each picture in this order."""
    shown = {
        "model": name_of(spec.model).lower(),
        "net": name_of(spec.net),
        "depth": spec.depth,
        "latent_dim": spec.latent_dim,
        "dataset": spec.dataset,
        **spec.params,
        **spec.settings,
        "epochs": spec.epochs,
        "batch_size": spec.batch_size,
        **({"seeds": len(spec.seeds)} if spec.replicate is None else {"replicate": spec.replicate}),
    }
    return [Param(name, f"{value:.3g}" if isinstance(value, float) else str(value)) for name, value in shown.items()]


def run_name(spec: Spec, alike: Mapping) -> str:
    """What tells runs apart at a glance, short enough for its column; the key itself is a tag."""
    turn = f"seeds {spec.seeds[0]}-{spec.seeds[-1]}" if spec.replicate is None else f"r{spec.replicate}"
    proposal = "" if spec.proposal is None else f" p{spec.proposal}"
    return named(name_of(spec.model).lower(), name_of(spec.net), spec, alike, turn + proposal)


def short_loss(values: dict, spec: Spec) -> dict[str, float | None]:
    """Of an epoch's row of a training on held-out data the first phase's loss, as `loss`."""
    first = next((value for name, value in values.items() if name.startswith("loss/")), None)
    return {"loss": middle("loss", first)} if first and spec.stage == "confirm" else {}


def name_of(path: str) -> str:
    return path.split(":")[1]


def told_apart(found: Measurement, spec: Spec) -> str:
    """What stands before a measure that is not measured as the study does: "inception 0/", "inception 0, 50000 against train/"."""
    features = "" if found.features == spec.features else f"{found.features_kind} {found.features_seed}"
    samples = str(found.samples) if found.samples else ""
    against = f"against {found.split}" if found.split != STAGES[spec.stage][0] else ""
    told = ", ".join(filter(None, [features, " ".join(filter(None, [samples, against]))]))
    return f"{told}/" if told else ""


def metrics_of(measures: dict, stage: str, seconds: float, epoch: int, by: str = "") -> list[Metric]:
    """Medians over seeds and their `_sd` as MLflow metrics, measured on the images of that stage at that moment; `by`: what
    their names begin with where they are by other features than the study's."""
    return [
        Metric(by + shown_as(name, stage), value, int(seconds * 1000), epoch)
        for name, value in measures.items()
        if value is not None
    ]


def shown_as(key: str, stage: str) -> str:
    """A measure's name in MLflow, the split first: `validation/fd_rel` and `test/fd_rel` are two charts in two sections."""
    if key.endswith("_sd"):
        return f"spread/{shown_as(key.removesuffix('_sd'), stage)}"
    return key if key.startswith(SPLITLESS) or "/" not in key else f"{STAGES[stage][0]}/{key.removeprefix('quality/')}"


def end_tags(result: Result, again: bool) -> dict[str, str]:
    """How a trial ended; one that was run again loses the error of before."""
    rung = {"rung": str(result.epochs)} if result.status == "stopped" else {}
    pack = {"pack": str(result.pack)} if result.pack else {}
    return {"status": result.status, **rung, **pack, **({"error": result.error} if result.error or again else {})}
