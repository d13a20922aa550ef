"""What comes of a few steps of a model, alone and side by side, measured and drawn on a few images: what a trial does to it.

In a process of its own, which a model may end or hold up (study/sweep/rehearsal.py).
"""

import dataclasses
import json
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from models.phase import Phase, example, losses_of
from study.data.datasets import dataset_of
from study.ledger.files import read_spec
from study.ledger.folder import DATA, Ledger
from study.ledger.records import Result
from study.space.contracts import lacking_in_use
from study.space.from_spec import model_of
from study.space.importing import allow_modules
from study.training.image_grids import decode
from study.training.own_errors import in_one_line
from study.training.run import run_pack
from study.training.self_check import LOSSES

MOST = 128  # images of a split, of a batch, and samples of a model
VALUES = 2**20  # pixel values at most in all of these, and of them 16 at least: 16 of 160 x 160 in colour


@dataclass(frozen=True)
class Found:
    """What came of a kind of cell."""

    wrong: str = ""  # why it cannot be trained, measured or drawn
    apart: str = ""  # why its trainings are made one at a time


def in_turn() -> None:
    """The other process: says what it finds of each study, a line of JSON. Nothing that a model prints is shown, as in a trial."""
    studies, data_dir, modules = json.loads(sys.argv[1])
    said = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    allow_modules(modules)
    torch.set_num_threads(1)
    for study in studies:
        print(json.dumps(dataclasses.asdict(found_in(Path(study), data_dir))), file=said)


def found_in(study: Path, data_dir: str) -> Found:
    """Of a study with three trainings, the second of which is to do as the first."""
    ledger = Ledger(study)
    alone, beside, other = ledger.keys()
    try:
        if wrong := prepared(alone, ledger, data_dir) or complaint(*trained([alone], ledger, data_dir)):
            return Found(wrong)
    except (Exception, SystemExit) as error:
        return Found(in_one_line(error))
    try:
        trained([beside, other], ledger, data_dir)
    except (Exception, SystemExit) as error:
        return Found(apart=f"it raises {in_one_line(error)}")
    return Found(difference(*(ledger.rows(key)[-1].values for key in (alone, beside))))


def prepared(key: str, ledger: Ledger, data_dir: str) -> str:
    """Have a few images in a study; what is wrong with its model before it is trained."""
    spec = read_spec(ledger.folder(key))
    model = model_of(spec)
    if missing := lacking_in_use(model):
        return f"it lacks {', '.join(missing)}"
    if wrong := next(filter(None, (misjudged(model, phase) for phase in model.phases)), ""):
        return wrong
    batches = 2 * max(phase.every for phase in model.phases)  # each phase has two turns
    rows = {"train": batches * spec.batch_size, "validation": few_of(spec.shape), "test": few_of(spec.shape)}
    dataset_of(spec).publish_few(Path(data_dir), ledger.root / DATA / spec.fingerprint, rows)
    return misdrawn(decode(model.requires_grad_(False), torch.randn(2, spec.latent_dim)), (2, *spec.shape))


def misjudged(model: nn.Module, phase: Phase) -> str:
    """What is wrong with what a phase's loss gives."""
    x = torch.zeros(2, *model.shape)
    found = losses_of(model, phase.loss, x, example(model, phase, x), torch.zeros(()))
    if not isinstance(found, dict) or "loss" not in found:
        return f"{phase.loss}() gives a {type(found).__name__}, where a dict of numbers is asked, with 'loss' among them"
    wide = next((name for name, value in found.items() if value.numel() != 1), None)
    return f"{phase.loss}() gives {found[wide].numel()} numbers as {wide!r}, where one is asked: its mean" if wide else ""


def misdrawn(samples: torch.Tensor, shape: Sequence[int]) -> str:
    """What is wrong with samples that are to be images (n, C, H, W) with values in [0, 1]."""
    if tuple(samples.shape) != tuple(shape):
        return f"sample() gives {tuple(samples.shape)} for {shape[0]} latents, where images are {tuple(shape)}"
    low, high = samples.min().item(), samples.max().item()
    return "" if low >= 0 and high <= 1 else f"sample() gives values from {low:.3g} to {high:.3g}, where images are in [0, 1]"


def trained(keys: Sequence[str], ledger: Ledger, data_dir: str) -> list[Result]:
    few = few_of(read_spec(ledger.folder(keys[0])).shape)
    return run_pack(list(map(ledger.folder, keys)), 1, data_dir, few=few)[0]


def few_of(shape: Sequence[int]) -> int:
    """How many images (C, H, W) a rehearsal takes."""
    return max(16, min(MOST, VALUES // math.prod(shape)))


def complaint(result: Result) -> str:
    """What is wrong with a training that raised nothing."""
    if result.status == "done":
        return ""
    diverged = result.replicas[0].diverged_at is not None
    return f"its {'loss is' if diverged else 'samples are'} not finite after a few steps by its default params"


def difference(alone: dict, beside: dict) -> str:
    """Which loss of a training is another one beside others, by more than rounding."""
    for name, (value,) in alone.items():
        other = beside[name][0]
        if name.startswith("loss/") and (other is None or abs(other - value) > LOSSES * max(1.0, abs(value))):
            return f"side by side with another its {name} is {other} instead of {value}: it must depend on its arguments alone"
    return ""
