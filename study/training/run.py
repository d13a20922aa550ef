"""Trainings from their specs, side by side: resume, train, measure, draw. What each makes is its own (training.py)."""

import functools
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from study.data.datasets import dataset_of
from study.errors import UserError
from study.ledger.files import read_spec
from study.ledger.folder import DATA
from study.ledger.records import Result, Spec, failure
from study.metrics.catalogue import FIRST_RUNG
from study.metrics.cost import cost, peak_memory_mb
from study.metrics.likelihood import DRAWS
from study.space.foreign_code import check_code
from study.space.from_spec import model_of
from study.training import charts, image_grids
from study.training.checkpoint import CHECKPOINT_S, Checkpoints, together
from study.training.host_memory import keep_freed_memory
from study.training.image_grids import decode, differentiable, invert
from study.training.measuring import FeaturesOf, all_measures, digests, evaluation, loaded
from study.training.numerics import check_precision
from study.training.replicas import Replicas
from study.training.self_check import REFERENCE, Choices, Example
from study.training.training import Training, replica_seed
from study.training.weights import fresh, plain

REPORT_S, SELDOM_S = 3.0, 12.0  # seconds between a pack's reports, times its trainings, and at most
Outcome = tuple[list[Result], dict[str, float | None]]  # what ended, and by key the objective of what waits at a rung


def run_trial(folder: Path, data_dir, device: str = "cpu", **options) -> Result:
    """One training to its end, whatever its rungs; `options` as of run_pack. Its result is returned, not written: its writer is
    the driver."""
    results, _ = run_pack([folder], read_spec(folder).epochs, data_dir, device, **options)
    return results[0]


def run_pack(
    folders: Sequence[Path],
    until: int,
    data_dir,
    device: str = "cpu",
    report=lambda epoch, objective: None,
    checkpoint_s: float = CHECKPOINT_S,
    on_checkpoint=lambda: None,
    reference: bool = False,
    limit_s: float = math.inf,
    few: int = 0,
) -> Outcome:
    """Train and measure what the spec.json in each folder says up to epoch `until`, each from its last checkpoint.

    The trainings are of one cell and one program (study/space/hyperparameters.py). report(epoch, objective) is told how far they
    are: before the first epoch, now and then, and after the last, before they are measured. on_checkpoint() is called after each
    checkpoint; `reference` trains one after the other, in the plainest way that there is, and else what is equal to it and fastest
    is used (study/training/self_check.py). A pack of which a training has taken `limit_s` seconds fails at the end of an epoch, its
    state kept. `few`: measures take so few samples and draws of a model, 0: as many as its stage does. Only training obeys the
    spec's precision, measures are always in float32.
    """
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False  # for what is measured
    keep_freed_memory()
    results, waiting, pending = [], {}, equally_far(folders)
    while pending:
        checkpoints, trainings = pending.popleft()
        run = Run(trainings, until, data_dir, device, checkpoints, checkpoint_s, on_checkpoint, reference, limit_s, few)
        try:
            with checkpoints:
                ended, others = run.run(report)
            results += ended
            waiting |= others
            if rest := trainings[len(run.trainings) :]:  # more than this device trains side by side
                pending.appendleft((checkpoints, rest))
        except torch.OutOfMemoryError:
            if len(run.trainings) == 1:
                raise
            run.halve()
            pending.extendleft(equally_far([training.folder for training in trainings]))
        del run  # before another one takes as much memory
    return results, waiting


def equally_far(folders: Sequence[Path]) -> deque[tuple[Checkpoints, list[Training]]]:
    """The trainings in these folders as they were left: other packs may have brought some further than others. A checkpoint is
    whole or nothing: where it is refused for one of its trainings, all of them begin anew, as the pack that they were."""
    checkpoints, at = Checkpoints(folders[0].parent.parent, tuple(folder.name for folder in folders)), {}
    trainings = [Training(folder, read_spec(folder), checkpoints) for folder in folders]
    if checkpoints.refused:
        trainings = [Training(folder, read_spec(folder), checkpoints) for folder in folders]
    for training in trainings:
        at.setdefault(training.state.epoch, []).append(training)
    return deque((checkpoints, trainings) for trainings in at.values())


class Run:
    """Trainings of one cell and program that are equally far, being run side by side up to an epoch: those given, or the first of
    them where a card does not train more at a time."""

    def __init__(
        self,
        trainings: Sequence[Training],
        until: int,
        data_dir,
        device: str,
        checkpoints: Checkpoints,
        checkpoint_s: float = CHECKPOINT_S,
        on_checkpoint=lambda: None,
        reference: bool = False,
        limit_s: float = math.inf,
        few: int = 0,
    ):
        self.until, self.device, self.limit_s = until, device, limit_s
        self.checkpoints, self.checkpoint_s, self.on_checkpoint = checkpoints, checkpoint_s, on_checkpoint
        self.spec = spec = trainings[0].spec
        check_precision(spec.precision, device)
        dataset = dataset_of(spec)
        whole = bool(spec.whole_training_set)
        where = dataset, str(data_dir), device, checkpoints.study / DATA / spec.fingerprint, whole
        self.images = loaded(*where)
        if self.images.fingerprint != spec.fingerprint:
            raise UserError(f"the images of {spec.dataset} in {data_dir} are not those that this trial was planned for")
        for training in trainings:
            check_code(training.spec)
        chosen = FeaturesOf(spec.features_kind, 0, spec.features, few, draws=few or DRAWS)
        self.validation, self.final = (
            evaluation(*where, checkpoints.study / "features", chosen, stage)
            for stage in ("confirm" if whole else "search", spec.stage)
        )  # held-out data is opened once, at the end; where nothing is tuned, and so nothing chosen, for the looks as well
        self.choices = Choices(checkpoints.study)
        self.way, self.trainings = REFERENCE if reference else None, list(trainings)
        if device != "cpu" and not reference:
            choice = self.choices.of(*self.pack_of(trainings), self.example)
            self.way, self.trainings = choice.way, self.trainings[: choice.pack]
        _, self.builds, self.seeds = self.pack_of(self.trainings)
        self.replicas = self.untrained()
        self.go_on()
        self.checkpointed = self.reported = time.monotonic()

    def pack_of(self, trainings: Sequence[Training]) -> tuple[list[Spec], list[Callable], list[int]]:
        """The specs of trainings, what makes their models, and the seeds of these."""
        specs = [training.spec for training in trainings]
        return specs, [functools.partial(model_of, spec, self.images.shape) for spec in specs], list(map(replica_seed, specs))

    @property
    def example(self) -> Example:
        train = self.images.train
        return Example(train.images, self.images.levels, self.spec.batch_size, self.images.binarised, train.labels)

    def halve(self) -> None:
        """Have half as many of them at a time on this card, whose memory did not hold as many."""
        self.choices.limit(self.spec, self.example, len(self.trainings) // 2)

    def untrained(self) -> Replicas:
        made = self.builds, self.seeds, self.device, self.spec.precision
        return self.way.replicas(*made) if self.way else Replicas(*made)

    def go_on(self) -> None:
        """Take up the state of every training; where that does not fit the model, all of them start anew."""
        if self.trainings[0].state.epoch == 0:
            return
        try:
            batches = len(self.images.train.images) // self.spec.batch_size
            self.replicas.load_state_dict(together(self.trainings, self.replicas.phases, batches))
        except Exception as error:  # torch raises a dozen kinds for a state that is hostile
            for training in self.trainings:
                self.checkpoints.refuse(training.spec.key, error)
                training.start_anew()
            self.replicas = self.untrained()  # whatever got into the others before it was refused
        else:
            for training in self.trainings:
                training.go_on()

    @property
    def epoch(self) -> int:
        return self.trainings[0].state.epoch

    def run(self, report) -> Outcome:
        report(self.epoch, None)
        if self.epoch == 0:
            self.record([{} for _ in self.trainings])
        while self.epoch < self.until and not all(training.diverged for training in self.trainings):
            self.train_one_epoch(report)
            if self.epoch < self.until and self.too_long():
                self.checkpoint()
                return [self.cut_off(training) for training in self.trainings], {}
        self.checkpoint()  # that the driver may take its time to record what came of it
        report(self.epoch, self.trainings[0].objective())
        ending = [k for k, training in enumerate(self.trainings) if self.until == self.spec.epochs or training.diverged]
        results = self.finish(ending)
        return results, {each.spec.key: each.objective() for k, each in enumerate(self.trainings) if k not in ending}

    def too_long(self) -> bool:
        return max(training.state.train_s + training.state.measure_s for training in self.trainings) > self.limit_s

    def cut_off(self, training: Training) -> Result:
        reason = f"it took longer than {self.limit_s:.0f} s for {self.epoch} of {self.spec.epochs} epochs (--trial-limit)"
        return replace(failure(training.spec.key, training.spec, reason), epochs=self.epoch)

    def train_one_epoch(self, report) -> None:
        start = time.perf_counter()
        train = self.images.train
        losses = self.replicas.train_epoch(
            train.images, self.images.levels, self.spec.batch_size, self.images.binarised, train.labels
        )
        share = (time.perf_counter() - start) / len(self.trainings)
        self.record(
            [
                training.trained({name: history[k] for name, history in losses.items()}, share)
                for k, training in enumerate(self.trainings)
            ]
        )
        if time.monotonic() - self.checkpointed >= self.checkpoint_s and not self.checkpoints.writing:
            self.checkpoint()
        if self.epoch < self.until and time.monotonic() - self.reported >= min(SELDOM_S, REPORT_S * len(self.trainings)):
            self.reported = time.monotonic()
            report(self.epoch, self.trainings[0].objective())

    def record(self, rows: list[dict]) -> None:
        """A row of each training, with its objective where that is due, measured with the same noise and images each time."""
        for k, (training, values) in enumerate(zip(self.trainings, rows)):
            start = time.perf_counter()
            noise = self.validation.noise(self.replicas.model.latent_dim)
            if self.epoch in training.measured_at and not (self.epoch == self.spec.epochs and self.spec.stage == "search"):
                values = values | {name: [value] for name, value in self.look(self.replicas.models[k], noise).items()}
                if training.draws:
                    for name, picture in self.pictures(k, noise).items():
                        training.draw(name, image_grids.png(picture))
            training.state.measure_s += time.perf_counter() - start
            training.record(values)

    def look(self, model, noise) -> dict:
        """What is measured of a model between two epochs."""
        every = self.spec.measured_every
        return self.validation.over_training(model.eval()) if every else self.validation.objective(decode(model, noise))

    @torch.no_grad()
    def pictures(self, k: int, noise) -> dict:
        """Grids and charts of a training's model."""
        model, real = self.replicas.models[k].eval(), self.validation.real
        pictures = image_grids.in_training(model, noise, real)
        if self.epoch == self.spec.epochs and not self.trainings[k].diverged:
            pictures |= image_grids.at_the_end(model, noise, real, self.validation.nearest)
            pictures |= charts.at_the_end(model, self.validation)
            if "reconstructions" not in pictures and differentiable(model, noise[:2]):
                half = real[: image_grids.COLUMNS * image_grids.ROWS // 2]  # a generator has no encoder: its latents are searched
                pictures["reconstructions"] = image_grids.paired(half, invert(model, half))
        return pictures

    def checkpoint(self) -> None:
        self.checkpoints.save(self.trainings, self.replicas.state_dict(), self.on_checkpoint)
        self.checkpointed = time.monotonic()

    def finish(self, ending: Sequence[int]) -> list[Result]:
        """Measure the trainings that end here; their results."""
        if not ending:
            return []
        counted = cost(fresh(self.builds[0]).train(), self.images.shape)
        found = []
        for k in ending:
            start, training = time.perf_counter(), self.trainings[k]
            measures = {} if training.diverged else self.measured(k)
            if training.confirms:
                training.keep(self.replicas.weights(k), getattr(self.replicas.model, "loss_scales", {}))
            if self.spec.keeps_state and not training.diverged:
                self.checkpoints.keep(training)
            training.state.measure_s += time.perf_counter() - start
            measures |= {**counted, **self.times(training), "cost/peak_memory_mb": peak_memory_mb(self.device)}
            own = digests(self.spec.measures, self.spec.origin) if training.confirms else {}
            found.append(training.result(measures, own, self.device, self.replicas.fused, len(self.trainings)))
        return found

    def measured(self, k: int) -> dict:
        """All measures of a training on held-out data; of a search training, which is only ranked, the objective."""
        model = plain(self.builds[k], self.replicas.weights(k), self.device)
        if not self.trainings[k].confirms:
            found = self.final.objective(decode(model, self.final.noise(model.latent_dim)))
            return found | ({FIRST_RUNG: self.trainings[k].objective(self.spec.rungs[0])} if self.spec.rungs else {})
        return all_measures(model, self.final, self.spec.measures, self.spec.origin)

    def times(self, training: Training) -> dict:
        """Seconds and speed of one training: its share of its packs' time."""
        state = training.state
        return {
            "time/train_s": state.train_s,
            "time/measure_s": state.measure_s,
            "time/step_ms": 1000 * state.train_s / max(state.steps, 1),
            "time/images_per_s": state.steps * self.spec.batch_size / max(state.train_s, 1e-9),
        }
