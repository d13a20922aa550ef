"""The time that is left, as a launch says it."""

from dataclasses import replace

from tiny import IDENTITY, finish, outcome, tiny_space

from models.nets import fc
from models.vae import VAE
from study.data import digits
from study.space import grid
from study.sweep.estimate import group
from study.sweep.plan import Plan
from study.sweep.progress import Display


def test_what_has_not_run_yet_is_expected_to_be_off_by_the_factor_of_what_has(ledger, monkeypatch):
    """A quick depth ran twice as long as expected; the slow one, not seen yet, is expected to do so as well."""
    space = tiny_space(cells=grid([VAE], [fc], [1, 3], [2], [digits], width=[16]), propose=lambda trial, cell: {}, replicates=2)
    plan = Plan(space, ledger, IDENTITY)
    quick, slow = (group(cell) for cell in space.cells)
    display = Display(plan, 1, "", {quick: 1.0, slow: 10.0})
    assert display.eta() is None  # nothing was seen yet
    clock = iter([0.0, 4.0])
    monkeypatch.setattr("study.sweep.progress.time.monotonic", lambda: next(clock))
    trial = next(trial for trial in plan.left() if trial.cell.depth == 1)
    lost = next(trial for trial in plan.left() if trial.cell.depth == 3)
    display.running[lost.key] = (0.0, 1, 0.0)
    display.finished(lost, replace(outcome(lost, status="failed"), epochs=0))
    assert display.eta() is None  # nothing was seen of what trained nothing
    display.began([trial.key])
    display.finished(trial, outcome(trial))
    finish(plan, trial, params={})
    left_quick, left_slow = 1 * 2, 2 * 2  # epochs of all replicates that are left
    assert display.eta() == left_quick * 2.0 + left_slow * 20.0
