"""One trial from its spec: resume, train, measure, draw."""

import functools
import io
import json
import math
import platform
import time
import zlib
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save as save_tensors

from study.data.datasets import Dataset, dataset_of
from study.errors import UserError
from study.ledger.files import (
    append_line,
    finite_or_null,
    quarantine,
    read_rows,
    read_sealed,
    read_spec,
    write_atomic,
    write_sealed,
)
from study.ledger.folder import DATA
from study.ledger.records import EpochRow, Replica, Result, Spec
from study.metrics import features
from study.metrics.catalogue import OBJECTIVE, aggregate, over_seeds
from study.metrics.cost import cost, peak_memory_mb
from study.metrics.evaluation import Evaluation
from study.space.foreign_code import check_code
from study.space.from_spec import model_of
from study.space.importing import imported
from study.training import image_grids
from study.training.checkpoint import CHECKPOINT_S, State, progress_of
from study.training.git_commit import git_commit
from study.training.image_grids import decode, differentiable, invert
from study.training.numerics import check_precision
from study.training.replicas import Replicas
from study.training.weights import fresh, plain

EVALUATIONS = 6  # how often a trial is drawn, after the untrained start
MEASURED = {"search": 3, "confirm": 6}  # how many of these measure the objective too: what tuning tries is only ranked
REPORT_S = 3.0  # seconds between reports to whoever runs the trial: each brings MLflow up to date


def run_trial(
    folder: Path,
    data_dir,
    device: str = "cpu",
    report=lambda epoch, objective: None,
    checkpoint_s: float = CHECKPOINT_S,
    on_checkpoint=lambda: None,
    graphs: bool = False,
) -> Result:
    """Train and measure what folder/spec.json says, from its last checkpoint if there is one; the result.

    report(epoch, objective) is told now and then how far it is, on_checkpoint() is called after each checkpoint; `graphs`
    captures steps on a CUDA device as graphs. Only training obeys the spec's precision, measures are always in float32.
    The result is returned, not written: its writer is the driver.
    """
    spec = read_spec(folder)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False  # for what is measured
    return Run(folder, spec, data_dir, device, checkpoint_s, on_checkpoint, graphs).run(report)


def evaluation_epochs(epochs: int, evaluations: int = EVALUATIONS) -> list[int]:
    """The epochs after which a trial is drawn and measured: 0 (untrained), then about `evaluations` times, the last included."""
    return sorted({round(epochs * part / evaluations) for part in range(evaluations + 1)})


def replica_seed(spec: Spec, seed: int) -> int:
    """Of stage, dataset and seed index alone, so that the same index pairs trainings of different cells."""
    return zlib.crc32(f"{spec.stage}/{spec.fingerprint}/{seed}".encode())


@functools.lru_cache(maxsize=2)
def loaded(dataset: Dataset, data_dir: str, device: str, published: Path):
    """The images on the device: moved there once per worker process, not once per trial. Those that the driver
    published with the study, or else those in the data folder."""
    images = dataset.published(published) if published.exists() else dataset.load(data_dir)
    return images.to(device)


@functools.lru_cache(maxsize=4)
def evaluation(
    dataset: Dataset, data_dir: str, device: str, published: Path, folder: Path, kind: str, planned: str, stage: str
) -> Evaluation:
    """The real side of every measure, computed once per worker process with the features in `folder`."""
    images = loaded(dataset, data_dir, device, published)
    extractor = features.prepare(dataset, images.to("cpu"), folder, kind, folder / features.WEIGHTS)
    if extractor.hash != planned:
        raise UserError(
            f"the features of {dataset.name} here are {extractor.hash}, the trial was planned for {planned}, and"
            " scores of different features do not compare: is another version of torch installed here?"
        )
    return Evaluation(images, extractor.to(device), stage)


class Run:
    """One trial being run."""

    def __init__(self, folder: Path, spec: Spec, data_dir, device: str, checkpoint_s: float, on_checkpoint, graphs: bool = False):
        self.folder, self.spec, self.device = folder, spec, device
        self.checkpoint_s, self.on_checkpoint = checkpoint_s, on_checkpoint
        check_precision(spec.precision, device)
        dataset = dataset_of(spec)
        study = folder.parent.parent
        where = dataset, str(data_dir), device, study / DATA / spec.fingerprint
        self.images = loaded(*where)
        if self.images.fingerprint != spec.fingerprint:
            raise UserError(f"the images of {spec.dataset} in {data_dir} are not those that this trial was planned for")
        check_code(spec)
        self.validation, self.final = (
            evaluation(*where, study / "features", spec.features_kind, spec.features, stage) for stage in ("search", spec.stage)
        )  # held-out data is opened once, at the end
        self.build = lambda: model_of(spec, self.images.shape)
        self.untrained = lambda: Replicas(
            [self.build] * len(spec.seeds),
            [replica_seed(spec, seed) for seed in spec.seeds],
            device,
            graphs=graphs and device != "cpu",
            precision=spec.precision,
        )
        self.replicas = self.untrained()
        self.state = State([None] * len(spec.seeds))
        self.measured_at = set(evaluation_epochs(spec.epochs, MEASURED[spec.stage]))
        if self.validation is self.final:
            self.measured_at.discard(spec.epochs)  # the result has the same values
        self.curves = {}  # loss -> pieces (seeds, steps) of its values in every batch
        self.checkpointed = self.reported = time.monotonic()

    def run(self, report) -> Result:
        self.resume()
        if self.state.epoch == 0:
            self.record(self.observe({}))
        while self.state.epoch < self.spec.epochs and not self.all_diverged():
            self.train_one_epoch(report)
        return self.finish()

    def resume(self) -> None:
        """Go back to the last checkpoint. Rows behind it stand where training them again gives the same."""
        rows = self.folder / "metrics.jsonl"
        self.written = {row.epoch: row for row in read_rows(rows)}
        if list(self.written) != list(range(len(self.written))):  # the end may be cut off, but nothing before it
            quarantine(rows, "lines are missing")
            self.written = {}
        place = self.folder / "last.pt"
        if place.exists():
            self.load_checkpoint(place)
        self.state.attempts.append(self.state.epoch)  # where each try at this trial began

    def load_checkpoint(self, place: Path) -> None:
        try:
            saved = torch.load(io.BytesIO(read_sealed(place)), map_location=self.device, weights_only=True)
            state = progress_of(
                saved, self.spec, self.written, self.replicas.phases, len(self.images.train.images) // self.spec.batch_size
            )
            self.replicas.load_state_dict(saved["replicas"])
        except Exception as error:  # torch raises a dozen kinds for a file that is cut short or hostile
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
            quarantine(place, f"not a checkpoint of this trial and its metrics.jsonl: {reason}")
            self.replicas = self.untrained()  # whatever got into the others before it was refused
        else:
            self.state, self.curves = state, {name: [values.cpu()] for name, values in saved["curves"].items()}

    def train_one_epoch(self, report) -> None:
        start = time.perf_counter()
        losses = self.replicas.train_epoch(
            self.images.train.images, self.images.levels, self.spec.batch_size, self.images.binarised
        )
        self.state.train_s += time.perf_counter() - start
        self.state.epoch += 1
        self.state.steps += max(history.shape[1] for history in losses.values())
        self.note_divergence(losses)
        for name, history in losses.items():
            self.curves.setdefault(name, []).append(history)
        values = {f"loss/{name}": history.mean(1).tolist() for name, history in losses.items()}
        if self.state.epoch in evaluation_epochs(self.spec.epochs):
            values = self.observe(values)
        self.record(values)
        self.checkpoint()
        self.report_progress(report, values)

    def note_divergence(self, losses: dict) -> None:
        """A replica whose loss is no longer finite has diverged: it is counted, and the others go on."""
        finite_losses = torch.stack([history.isfinite().all(1) for history in losses.values()]).all(0)
        for k, fine in enumerate(finite_losses.tolist()):
            if not fine and self.state.diverged_at[k] is None:
                self.state.diverged_at[k] = self.state.epoch

    def all_diverged(self) -> bool:
        return None not in self.state.diverged_at

    def observe(self, values: dict) -> dict:
        """Draw, and measure the objective, with the same noise and the same test images each time."""
        start = time.perf_counter()
        noise = self.validation.noise(self.replicas.model.latent_dim)
        if self.state.epoch in self.measured_at:
            objective = [self.validation.objective(decode(model, noise)) for model in self.replicas.models]
            for name in dict.fromkeys(key for row in objective for key in row):
                values[name] = [row.get(name) for row in objective]
        for name, picture in self.pictures(noise).items():
            self.draw(name, image_grids.png(picture))
        self.state.measure_s += time.perf_counter() - start
        return values

    @torch.no_grad()
    def pictures(self, noise) -> dict:
        """Grids of the first seed's model."""
        model, real = self.replicas.models[0].eval(), self.validation.real
        pictures = image_grids.in_training(model, noise, real)
        if self.state.epoch == self.spec.epochs:
            pictures |= image_grids.at_the_end(model, noise, real, self.validation.nearest)
            if self.spec.stage == "confirm" and "reconstructions" not in pictures and differentiable(model, noise[:2]):
                half = real[: image_grids.COLUMNS * image_grids.ROWS // 2]  # a generator has no encoder: its latents are searched
                pictures["reconstructions"] = image_grids.paired(half, invert(model, half))
        return pictures

    def draw(self, name: str, content: bytes) -> None:
        write_atomic(self.folder / "images" / f"{name}-{self.state.epoch:05d}.png", content)

    def record(self, values: dict) -> None:
        """Add the epoch's row, once: where another run left another one there, it goes, and those behind it."""
        epoch, values, rows = self.state.epoch, finite_or_null(values), self.folder / "metrics.jsonl"
        if epoch in self.written and self.written[epoch].values == values:
            return
        if epoch in self.written:
            print(f"{rows}: the rows from epoch {epoch} on are not what this machine trains; they are written anew")
            self.written = {earlier: self.written[earlier] for earlier in range(epoch)}
            write_atomic(rows, "".join(json.dumps(row.to_json()) + "\n" for row in self.written.values()).encode())
        self.written[epoch] = EpochRow(epoch, time.time(), values)
        append_line(rows, json.dumps(self.written[epoch].to_json()))

    def checkpoint(self) -> None:
        if time.monotonic() - self.checkpointed < self.checkpoint_s:
            return
        buffer = io.BytesIO()
        torch.save(
            {
                "key": self.spec.key,
                "replicas": self.replicas.state_dict(),
                "state": asdict(self.state),
                "curves": self.whole_curves(),
            },
            buffer,
        )
        write_sealed(self.folder / "last.pt", buffer.getvalue())
        self.on_checkpoint()
        self.checkpointed = time.monotonic()

    def whole_curves(self) -> dict:
        """Loss -> (seeds, steps), its value in every batch so far."""
        whole = {name: torch.cat(pieces, 1) for name, pieces in self.curves.items()}
        self.curves = {name: [values] for name, values in whole.items()}
        return whole

    def report_progress(self, report, values: dict) -> None:
        if time.monotonic() - self.reported >= REPORT_S:
            self.reported = time.monotonic()
            report(self.state.epoch, aggregate(values).get(OBJECTIVE))

    def finish(self) -> Result:
        start = time.perf_counter()
        alive = [k for k, at in enumerate(self.state.diverged_at) if at is None]
        models = (plain(self.build, self.replicas.weights(k), self.device) for k in alive)
        measured = dict(zip(alive, self.final.everything(models)))
        for k in alive:
            measured[k] |= self.further_measures(self.replicas.models[k])
        weights = {f"{k}/{name}": tensor.contiguous().cpu() for k in alive for name, tensor in self.replicas.weights(k).items()}
        write_atomic(self.folder / "weights.safetensors", save_tensors(weights))
        self.keep_curves()
        self.state.measure_s += time.perf_counter() - start
        spent = self.costs()
        replicas = [
            Replica(
                seed=seed,
                status="done" if OBJECTIVE in measured.get(k, {}) else "diverged",
                measures=finite_or_null({**measured.get(k, {}), **spent}),
                diverged_at=self.state.diverged_at[k],
            )
            for k, seed in enumerate(self.spec.seeds)
        ]
        return self.result(replicas)

    def further_measures(self, model) -> dict:
        """What the space itself measures; a value that is not finite is absent, as for all measures."""
        if not self.spec.measures:
            return {}
        samples = decode(model, self.final.noise(model.latent_dim))
        values = {
            name: float(imported(path, self.spec.origin)(samples, self.final.real)) for name, path in self.spec.measures.items()
        }
        return {name: value for name, value in values.items() if math.isfinite(value)}

    def keep_curves(self) -> None:
        """The losses of every batch, as numbers and, where one picture per cell is worth its second, drawn."""
        losses = self.whole_curves()
        write_atomic(self.folder / "curves.safetensors", save_tensors(losses))
        if self.spec.stage == "confirm" and losses:
            self.draw("curves", image_grids.curves(losses, getattr(self.replicas.model, "loss_scales", {})))

    def costs(self) -> dict:
        """Seconds, speed, size and memory; shared by the replicas, which train side by side."""
        state, seeds = self.state, len(self.spec.seeds)
        seen = state.steps * self.spec.batch_size * seeds
        peak = peak_memory_mb(self.device)  # before another model is made to be counted
        return {
            "time/train_s": state.train_s,
            "time/measure_s": state.measure_s,
            "time/step_ms": 1000 * state.train_s / max(state.steps, 1),
            "time/images_per_s": seen / max(state.train_s, 1e-9),
            **cost(fresh(self.build).train(), self.images.shape),
            "cost/peak_memory_mb": peak,
        }

    def result(self, replicas: list[Replica]) -> Result:
        spec, measures = self.spec, finite_or_null(over_seeds(replicas))
        return Result(
            key=spec.key,
            status="done" if any(replica.status == "done" for replica in replicas) else "diverged",
            objective=measures.get(OBJECTIVE),
            measures=measures,
            replicas=replicas,
            seeds=spec.seeds,
            epochs=self.state.epoch,
            params=spec.params,
            time=time.time(),
            suggested=spec.suggested,
            spec=spec,
            attempts=self.state.attempts,
            features=spec.features,
            precision=spec.precision,
            **self.circumstances(),
        )

    def circumstances(self) -> dict:
        """What moves a result by no more than rounding or by other draws of the same noise: recorded, but in no key."""
        return {
            "commit": git_commit(),
            "torch": str(torch.__version__),
            "device": self.device,
            "threads": torch.get_num_threads(),
            "fused": self.replicas.fused,
            "hardware": platform.machine() if self.device == "cpu" else torch.cuda.get_device_name(self.device),
        }
