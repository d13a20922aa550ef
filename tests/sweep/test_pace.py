"""The time that is left, as a running sweep says it."""

from tiny import IDENTITY, finish, outcome, tiny_space

from models.nets import fc
from models.vae import VAE
from study.data import digits
from study.space import Search, grid
from study.sweep.estimate import Rate, group
from study.sweep.pace import Pace
from study.sweep.plan import Plan, stretches


def clocked(monkeypatch):
    """A list whose last number is the time."""
    now = [0.0]
    monkeypatch.setattr("study.sweep.pace.time.monotonic", lambda: now[-1])
    return now


def test_what_has_not_run_yet_is_expected_to_be_off_by_the_factor_of_what_has(ledger, monkeypatch):
    """A quick depth runs twice as long as expected; the slow one, not seen yet, is expected to do so as well."""
    space = tiny_space(cells=grid([VAE], [fc], [1, 3], [2], [digits], width=[16]), propose=lambda trial, cell: {}, replicates=2)
    plan, now = Plan(space, ledger, IDENTITY), clocked(monkeypatch)
    quick, slow = (group(cell, "confirm") for cell in space.cells)
    pace = Pace(plan, 1, {quick: Rate(1.0, 0.5), slow: Rate(10.0, 0.5)})
    left_quick, left_slow, ends = 2 * 2, 2 * 2, 4  # epochs of all replicates
    assert pace.left() == left_quick * 1.0 + left_slow * 10.0 + ends * 0.5  # nothing was seen yet
    lost = next(trial for trial in plan.left() if trial.cell.depth == 3)
    pace.began([lost.key])
    now.append(5.0)
    pace.advanced([lost.key], 0, over=True)
    assert pace.left() == left_quick * 1.0 + left_slow * 10.0 + ends * 0.5  # nothing was seen of what trained nothing
    trial = next(trial for trial in plan.left() if trial.cell.depth == 1)
    pace.began([trial.key])
    now.append(50.0)
    pace.advanced([trial.key], 0)  # the worker's start is not its own time
    assert pace.left() == left_quick * 1.0 + left_slow * 10.0 + ends * 0.5
    now.append(52.0)
    pace.advanced([trial.key], 1)
    assert pace.left() == (left_quick - 1) * 2.0 + left_slow * 20.0 + ends * 1.0
    now.append(54.0)
    pace.advanced([trial.key], 2)
    now.append(56.0)
    pace.advanced([trial.key], 2, over=True)
    finish(plan, trial, params={})
    assert pace.left() == (left_quick - 2) * 2.0 + left_slow * 20.0 + (ends - 1) * 2.0


def test_between_two_words_of_a_pack_time_passes_as_expected(ledger, monkeypatch):
    """No further than the pack had to go."""
    space = tiny_space(cells=tiny_space().cells[:1], propose=lambda trial, cell: {}, replicates=2)
    plan, now = Plan(space, ledger, IDENTITY), clocked(monkeypatch)
    pace = Pace(plan, 1, {group(space.cells[0], "confirm"): Rate(10.0, 1.0)})
    keys = [trial.key for trial in plan.left()]
    pace.began(keys)
    now.append(7.0)
    assert pace.left() == 2 * 2 * 10.0 + 2  # a worker that starts
    pace.advanced(keys, 0)
    now.append(12.0)
    assert pace.left() == 2 * 2 * 10.0 + 2 - 5.0
    now.append(1e6)
    assert pace.left() == 0.0


def test_a_pack_whose_worker_died_too_often_is_under_way_no_more(ledger, monkeypatch):
    space = tiny_space(cells=tiny_space().cells[:1], propose=lambda trial, cell: {}, replicates=2)
    plan, _ = Plan(space, ledger, IDENTITY), clocked(monkeypatch)
    pace, (first, second) = Pace(plan, 1, {}), plan.left()
    pace.began([first.key])
    pace.began([second.key])
    plan.record(first, outcome(first, status="failed"))
    assert [pack.keys for pack in pace.running()] == [(second.key,)]


def test_trainings_that_wait_at_a_rung_for_other_packs_are_not_counted_as_running(ledger, monkeypatch):
    """Two packs of two, one after the other, each a second per epoch of both: what the first waits is not its own time."""
    space = tiny_space(cells=tiny_space().cells[:1], search=Search(rounds=(2,), rungs=(0.5,)), replicates=2)
    plan, now = Plan(space, ledger, IDENTITY), clocked(monkeypatch)
    (cell,) = space.cells
    pace = Pace(plan, 1, {group(cell, stage): Rate(7.0, 0.0) for stage in ("search", "confirm")})
    _, packs = plan.advance(cell)
    for pack in packs:
        pace.began(pack.keys)
        pace.advanced(pack.keys, 0)
        now.append(now[-1] + 1.0)
        pace.advanced(pack.keys, pack.until, over=True)
    assert not pace.packs
    pace.began(packs[0].keys)
    pace.advanced(packs[0].keys, 1)
    now.append(now[-1] + 1.0)
    pace.advanced(packs[0].keys, 2)
    left_search, left_confirm = 1, 2 * 2  # half of the second pack's go on for an epoch
    assert pace.left() == left_search * 0.5 + left_confirm * 0.5


def test_a_stretch_counts_those_that_are_expected_to_go_on_and_the_packs_that_they_make(ledger):
    """Four replicates of four proposals, in packs of eight: two, then those of all replicates together, and so the winners."""
    space = tiny_space(cells=tiny_space().cells[:1], search=Search(rounds=(4,), rungs=(0.5,)), replicates=4, pack=8)
    plan = Plan(space, ledger, IDENTITY)
    found = [(each.stage, each.trainings, each.epochs, each.packs) for each in stretches(plan, space.cells[0])]
    assert found == [("search", 16, 16, 2), ("search", 8, 8, 1), ("confirm", 4, 8, 1)]
    reached = {trial.key: 1 for trial in plan.search[space.cells[0].name]}
    assert [each.epochs for each in stretches(plan, space.cells[0], reached)] == [8, 8]
