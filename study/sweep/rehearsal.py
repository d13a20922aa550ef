"""A rehearsal: a few steps of each kind of cell, as its trials would make them, before any of these is made.

A model of one's own may raise, hang or end its process, so this is done in another one than the launch's, on studies that are
thrown away (study/training/few_steps.py).
"""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from study.errors import UserError
from study.ledger.folder import Ledger
from study.space.cells import Cell
from study.space.loading import modules_of
from study.sweep.estimate import group
from study.sweep.plan import Plan, Trial
from study.training.few_steps import Found, few_of

LIMIT_S = 60.0  # for a kind of cell, the start of its process included
OTHER = "from study.training.few_steps import in_turn; in_turn()"  # not by multiprocessing, which runs a script of the user's anew


def rehearse(plan: Plan, data_dir: Path, log: Callable[[str], None], strict: bool = False) -> None:
    """Say of each kind of cell in a line what is wrong. Only of those with code of one's own that has not been trained yet, and
    UserError where none of the plan's cells can be; with `strict` of all, and UserError where one cannot be."""
    began, kinds = time.monotonic(), kinds_of(plan)
    chosen = kinds if strict else untried(plan, kinds)
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        studies = [study_of(plan, cells[0], Path(folder) / str(number)) for number, cells in enumerate(chosen)]
        for cells, found in zip(chosen, answers(studies, str(data_dir.resolve()), sorted(filter(None, modules_of(plan.space))))):
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


def study_of(plan: Plan, cell: Cell, folder: Path) -> Path:
    """A study of three trainings, an epoch each on held-out data, by the published defaults: one, and the same beside another."""
    params, suggested = plan.space.default_proposal(cell)
    budget = plan.space.budget(cell).confirm
    batch = min(budget.batch_size, few_of(plan.identity[cell.dataset.name]["shape"]))
    budget = replace(budget, epochs=1, batch_size=batch, measured_every=budget.measured_every and 1)
    for number, seed in enumerate((0, 0, 1)):
        trial = Trial(f"{cell.name}-r{number:02d}-confirm-0", cell, "confirm", seed, budget)
        spec = plan.spec(trial, params, "default", suggested)
        Ledger(folder).put_spec(trial.key, replace(spec, precision="float32"))  # there may be no card here
    (folder / "features").symlink_to((plan.ledger.root / "features").resolve())
    return folder


def answers(studies: Sequence[Path], data_dir: str, modules: Sequence[str]) -> Iterator[Found]:
    """What is found of each study, in a process that the next ones share unless it ends or takes too long."""
    left = list(map(str, studies))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    while left:
        order = json.dumps([left, data_dir, modules])
        process = subprocess.Popen(
            [sys.executable, "-c", OTHER, order],
            bufsize=0,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        said = process.stdout
        assert said
        try:
            for _ in list(left):
                left.pop(0)
                if not select.select([said], [], [], LIMIT_S)[0]:
                    yield Found(f"a few steps of it did not end within {LIMIT_S:.0f} s: it hangs, or needs a quicker machine")
                    break
                if not (line := said.readline()):
                    yield Found(f"it ends its process ({ended(process.wait())})")
                    break
                yield Found(**json.loads(line))
        finally:
            process.kill()
            process.wait()
            said.close()


def ended(code: int) -> str:
    """How a process ended: SIGSEGV, or with an exit code."""
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
