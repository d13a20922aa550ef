"""A rehearsal: a few steps of each kind of cell, alone and side by side, measured and drawn on a few images, before any trial.

It is what a trial does (study/training/run.py), of a study that is thrown away. A model of one's own may raise, hang or end its
process, so this is done in another one than the launch's.
"""

import multiprocessing
import os
import signal
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from models.phase import Phase, example, losses_of
from study.data.datasets import dataset_of
from study.errors import UserError
from study.ledger.folder import DATA, Ledger
from study.ledger.records import Result, Spec
from study.space.cells import Cell
from study.space.contracts import lacking_in_use
from study.space.from_spec import model_of
from study.space.importing import allow
from study.sweep.estimate import group
from study.sweep.plan import Plan, Trial
from study.training.image_grids import decode
from study.training.own_errors import in_one_line
from study.training.run import run_pack
from study.training.self_check import LOSSES as ROUNDING

LIMIT_S = 60.0  # for a kind of cell, the start of its process included
FEW = 128  # images of a split, and samples of a model
NEW_PROCESS = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Found:
    """What came of a kind of cell."""

    wrong: str = ""  # why it cannot be trained, measured or drawn
    apart: str = ""  # why its trainings are made one at a time


def rehearse(plan: Plan, data_dir: Path, trust: tuple, log: Callable[[str], None], strict: bool = False) -> None:
    """Say of each kind of cell in a line what is wrong. Only of those with code of one's own that has not been trained yet, and
    UserError where none of the plan's cells can be; with `strict` of all, and UserError where one cannot be."""
    began, kinds = time.monotonic(), kinds_of(plan)
    chosen = kinds if strict else untried(plan, kinds)
    with tempfile.TemporaryDirectory() as folder:
        given = folder, str(plan.ledger.root / "features"), str(data_dir), trust
        wrong = 0
        for cells, found in zip(chosen, answers([specs_of(plan, cells[0]) for cells in chosen], *given)):
            others = f" (and {len(cells) - 1} of other latent sizes)" if len(cells) > 1 else ""
            if found.wrong:
                log(f"cell {cells[0].name}{others}: {found.wrong}; study/space/contracts.py says what is asked of a model")
            elif found.apart:
                log(f"cell {cells[0].name}{others}: trained one at a time, which takes longer, since side by side {found.apart}")
            wrong += bool(found.wrong)
    if wrong and (strict or wrong == len(kinds)):
        raise UserError(f"{wrong} of {len(kinds)} kinds of cells cannot be trained as they are: mend them; nothing was started")
    if chosen and not wrong:
        what = f"{len(chosen)} kind{'s' * (len(chosen) > 1)} of cells"
        log(f"{what} trained for a few steps, measured and drawn: all is well ({time.monotonic() - began:.1f} s)")


def kinds_of(plan: Plan) -> list[list[Cell]]:
    """The cells, those together that differ in latent size alone."""
    kinds = defaultdict(list)
    for cell in plan.space.cells:
        kinds[group(cell, "")].append(cell)
    return list(kinds.values())


def untried(plan: Plan, kinds: Sequence[list[Cell]]) -> list[list[Cell]]:
    """Those with code from outside the project, or one of them all where only measures are; without those that were trained."""
    own = [cells for cells in kinds if plan.code(cells[0])] or list(kinds[: bool(plan.space.measures)])
    tried = {trial.cell.name for trial in plan.trials() if trial.key in plan.results and plan.results[trial.key].status == "done"}
    return [cells for cells in own if tried.isdisjoint(cell.name for cell in cells)]


def specs_of(plan: Plan, cell: Cell) -> list[Spec]:
    """Of three trainings of an epoch on held-out data, by the published defaults: one alone, and the same beside another."""
    params, suggested = plan.space.default_proposal(cell)
    budget = plan.space.budget(cell).confirm
    budget = replace(budget, epochs=1, measured_every=budget.measured_every and 1)
    keys = [f"{cell.name}-r{number:02d}-confirm-0" for number in range(3)]
    trials = [Trial(key, cell, "confirm", seed, budget) for key, seed in zip(keys, (0, 0, 1))]
    return [plan.spec(trial, params, "default", suggested) for trial in trials]


def answers(kinds: Sequence[Sequence[Spec]], *given) -> Iterator[Found]:
    """What is found of each kind, in a process that the next kinds share unless it ends or takes too long."""
    done = 0
    while done < len(kinds):
        ours, theirs = NEW_PROCESS.Pipe(duplex=False)
        process = NEW_PROCESS.Process(target=in_turn, args=(theirs, kinds[done:], *given), daemon=True)
        process.start()
        theirs.close()
        try:
            while done < len(kinds):
                done += 1
                if not ours.poll(LIMIT_S):
                    yield Found(f"a few steps of it did not end within {LIMIT_S:.0f} s: it hangs, or needs a quicker machine")
                    break
                yield ours.recv()
        except EOFError:
            process.join()
            yield Found(f"it ends its process ({ended(process.exitcode)})")
        finally:
            process.kill()
            process.join()


def ended(code: int | None) -> str:
    """How a process ended: SIGSEGV, or with an exit code."""
    return signal.Signals(-code).name if code and code < 0 else f"exit code {code}"


def in_turn(connection, kinds: Sequence[Sequence[Spec]], folder: str, features: str, data_dir: str, trust: tuple) -> None:
    """The other process: sends what it finds of each kind. Nothing that a model prints is shown, as in a trial."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the launch ends it
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silence, stream)
    allow(*trust)
    torch.set_num_threads(1)
    for found in each_found(kinds, folder, features, data_dir):
        connection.send(found)


def each_found(kinds: Sequence[Sequence[Spec]], folder: str, features: str, data_dir: str) -> Iterator[Found]:
    """What is found of each kind, in a study of its own below the folder."""
    for specs in kinds:
        with tempfile.TemporaryDirectory(dir=folder) as study:
            (Path(study) / "features").symlink_to(Path(features).resolve())
            yield found_of(specs, Ledger(study), data_dir)


def found_of(specs: Sequence[Spec], ledger: Ledger, data_dir: str) -> Found:
    """Of three trainings of a kind, the second of which is to do as the first."""
    alone, beside, other = specs
    try:
        if wrong := prepared(specs, ledger, data_dir) or complaint(*trained([alone], ledger, data_dir)):
            return Found(wrong)
    except (Exception, SystemExit) as error:
        return Found(in_one_line(error))
    try:
        trained([beside, other], ledger, data_dir)
    except (Exception, SystemExit) as error:
        return Found(apart=f"it raises {in_one_line(error)}")
    return Found(apart=difference(*(ledger.rows(spec.key)[-1].values for spec in (alone, beside))))


def prepared(specs: Sequence[Spec], ledger: Ledger, data_dir: str) -> str:
    """Have the specs and a few images in a study; what is wrong with a model before it is trained."""
    spec = specs[0]
    for each in specs:
        ledger.put_spec(each.key, each)
    model = model_of(spec)
    if missing := lacking_in_use(model):
        return f"it lacks {', '.join(missing)}"
    if wrong := next(filter(None, (misjudged(model, phase) for phase in model.phases)), ""):
        return wrong
    batches = max(phase.every for phase in model.phases)  # each phase has a turn
    few = ledger.root / DATA / spec.fingerprint
    dataset_of(spec).publish_few(Path(data_dir), few, {"train": batches * spec.batch_size, "validation": FEW, "test": FEW})
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


def trained(specs: Sequence[Spec], ledger: Ledger, data_dir: str) -> list[Result]:
    return run_pack([ledger.folder(spec.key) for spec in specs], 1, data_dir, samples=FEW)[0]


def complaint(result: Result) -> str:
    """What is wrong with a training that raised nothing."""
    if result.status == "done":
        return ""
    diverged = result.replicas[0].diverged_at is not None
    return f"its {'loss is' if diverged else 'samples are'} not finite after a few steps by its default params"


def difference(alone: dict, beside: dict) -> str:
    """Which loss of a training is another one beside others."""
    for name, (value,) in alone.items():
        other = beside[name][0]
        if name.startswith("loss/") and abs(other - value) > ROUNDING * max(1.0, abs(value)):
            return f"{name} is {other:.6g} instead of {value:.6g}"
    return ""
