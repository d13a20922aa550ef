"""One training as its folder keeps it: how far it is, its rows, curves, pictures and result. It knows nothing of its pack."""

import json
import platform
import time
import zlib
from pathlib import Path

import torch
from safetensors.torch import save as save_tensors
from torch import Tensor

from study.ledger.files import append_line, finite_or_null, quarantine, read_rows, write_atomic
from study.ledger.folder import ROWS
from study.ledger.records import EpochRow, Replica, Result, Spec
from study.metrics.catalogue import OBJECTIVE
from study.training import image_grids
from study.training.checkpoint import Checkpoints, State
from study.training.git_commit import git_commit

EVALUATIONS = 6  # how often a confirm trial is measured, after the untrained start


def evaluation_epochs(epochs: int, evaluations: int = EVALUATIONS) -> list[int]:
    """The epochs after which a confirm trial is measured: 0 (untrained), then about `evaluations` times, the last included."""
    return sorted({round(epochs * part / evaluations) for part in range(evaluations + 1)})


def replica_seed(spec: Spec) -> int:
    """Of stage, dataset and replicate alone, so that the same replicate pairs trainings of different cells."""
    return zlib.crc32(f"{spec.stage}/{spec.fingerprint}/{spec.seeds[0]}".encode())


class Training:
    """One training being made. What it writes while it runs: metrics.jsonl, and pictures where it is the one of its cell that
    draws, which is the first replicate's on held-out data."""

    def __init__(self, folder: Path, spec: Spec, checkpoints: Checkpoints):
        checkpoints.begin_from(folder, spec)
        self.folder, self.spec, self.written = folder, spec, self._rows(folder)
        self.state, self.saved = checkpoints.load(folder, spec, self.written) or (State(), {})
        self.curves: dict[str, list[Tensor]] = {}
        self.state.attempts.append(self.state.epoch)  # where each try at this training began

    def start_anew(self) -> None:
        """Forget where a checkpoint was, which turned out to be none."""
        self.state, self.saved = State(attempts=[0]), {}

    def go_on(self) -> None:
        """Take up the curves where the checkpoint left them."""
        self.curves, self.saved = {name: [values] for name, values in self.saved["curves"].items()}, {}

    @property
    def confirms(self) -> bool:
        return self.spec.stage == "confirm"

    @property
    def draws(self) -> bool:
        return self.confirms and self.spec.seeds[0] == 0

    @property
    def measured_at(self) -> set[int]:
        """The epochs after which it is measured on validation images."""
        spec = self.spec
        if spec.measured_every:
            return {*range(0, spec.epochs, spec.measured_every), spec.epochs}
        return set(evaluation_epochs(spec.epochs)) if self.confirms else set(spec.rungs)

    @property
    def diverged(self) -> bool:
        return self.state.diverged_at is not None

    @staticmethod
    def _rows(folder: Path) -> dict[int, EpochRow]:
        """Epoch -> row, as far as they follow one another. Rows behind the checkpoint stand where training them again gives the
        same."""
        rows = folder / ROWS
        written = {row.epoch: row for row in read_rows(rows)}
        if list(written) != list(range(len(written))):  # the end may be cut off, but nothing before it
            quarantine(rows, "lines are missing")
            return {}
        return written

    def trained(self, losses: dict[str, Tensor], seconds: float) -> dict:
        """Take note of an epoch, {"phase/loss": (steps,)}; the values of its row. A training whose loss is no longer finite has
        diverged."""
        state = self.state
        state.train_s += seconds
        state.epoch += 1
        state.steps += max(len(history) for history in losses.values())
        if state.diverged_at is None and not all(history.isfinite().all() for history in losses.values()):
            state.diverged_at = state.epoch
        if self.confirms:
            for name, history in losses.items():
                self.curves.setdefault(name, []).append(history)
        return {f"loss/{name}": [history.mean().item()] for name, history in losses.items()}

    def record(self, values: dict) -> None:
        """Add the epoch's row, once: where another run left another one there, it goes, and those behind it."""
        epoch, values, rows = self.state.epoch, finite_or_null(values), self.folder / ROWS
        if epoch in self.written and self.written[epoch].values == values:
            return
        if epoch in self.written:
            print(f"{rows}: the rows from epoch {epoch} on are not what this machine trains; they are written anew")
            self.written = {earlier: self.written[earlier] for earlier in range(epoch)}
            write_atomic(rows, "".join(json.dumps(row.to_json()) + "\n" for row in self.written.values()).encode())
        self.written[epoch] = EpochRow(epoch, time.time(), values)
        append_line(rows, json.dumps(self.written[epoch].to_json()))

    def draw(self, name: str, content: bytes) -> None:
        write_atomic(self.folder / "images" / f"{name}-{self.state.epoch:05d}.png", content)

    def objective(self, epoch: int | None = None) -> float | None:
        """As it was measured after an epoch, by default that where the training is."""
        row = self.written.get(self.state.epoch if epoch is None else epoch)
        return (row.values.get(OBJECTIVE) or [None])[0] if row else None

    def whole_curves(self) -> dict[str, Tensor]:
        """Loss -> (steps,), its value in every batch so far."""
        whole = {name: torch.cat(pieces) for name, pieces in self.curves.items()}
        self.curves = {name: [values] for name, values in whole.items()}
        return whole

    def keep(self, weights: dict[str, Tensor], loss_scales: dict) -> None:
        """Write what a training on held-out data leaves behind: its weights and the losses of every batch, and where one picture
        per cell is worth its second, drawn."""
        kept = {name: tensor.contiguous().cpu() for name, tensor in weights.items()}
        write_atomic(self.folder / "weights.safetensors", save_tensors({f"0/{name}": tensor for name, tensor in kept.items()}))
        losses = {name: values[None] for name, values in self.whole_curves().items()}
        write_atomic(self.folder / "curves.safetensors", save_tensors(losses))
        if self.draws and losses:
            self.draw("curves", image_grids.curves(losses, loss_scales))

    def result(self, measures: dict, own_measures: dict[str, str], device: str, fused: bool, pack: int) -> Result:
        """What came of it: done where the objective was measured, diverged otherwise."""
        spec, measures = self.spec, finite_or_null(measures)
        done = not self.diverged and measures.get(OBJECTIVE) is not None
        status = "done" if done else "diverged"
        return Result(
            key=spec.key,
            status=status,
            objective=measures.get(OBJECTIVE) if done else None,
            measures=measures,
            replicas=[Replica(spec.seeds[0], status, measures, self.state.diverged_at)],
            seeds=spec.seeds,
            epochs=self.state.epoch,
            params=spec.params,
            time=time.time(),
            suggested=spec.suggested,
            spec=spec,
            attempts=self.state.attempts,
            features=spec.features,
            precision=spec.precision,
            own_measures=own_measures,
            fused=fused,
            pack=pack,
            **circumstances(device),
        )


def circumstances(device: str) -> dict:
    """What moves a result by no more than rounding or by other draws of the same noise: recorded, but in no key."""
    return {
        "commit": git_commit(),
        "torch": str(torch.__version__),
        "device": device,
        "threads": torch.get_num_threads(),
        "hardware": platform.machine() if device == "cpu" else torch.cuda.get_device_name(device),
    }
