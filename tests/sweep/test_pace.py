"""The time that is left, as a running sweep says it."""

import heapq
import itertools
import random
from collections import Counter, deque

import pytest
from tiny import IDENTITY, finish, outcome, tiny_space

from models.nets import fc
from models.vae import VAE
from study.data import digits
from study.space import Budget, Search, grid
from study.sweep.estimate import Rate, group
from study.sweep.pace import Pace
from study.sweep.plan import Plan, stretches, write_planned


def clocked(monkeypatch, sure=1e-9):
    """A list whose last number is the time. sure: the seconds of a pack that a guess is worth."""
    now = [0.0]
    monkeypatch.setattr("study.sweep.pace.SURE_S", sure)
    monkeypatch.setattr("study.sweep.pace.time.monotonic", lambda: now[-1])
    return now


def test_what_has_not_run_yet_is_expected_to_be_off_by_the_factor_of_what_has(ledger, monkeypatch):
    """A quick depth trains twice as long as expected; the slow one, not seen yet, is expected to do so as well. So with measuring."""
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
    assert pace.left() == pytest.approx((left_quick - 1) * 2.0 + left_slow * 20.0 + ends * 0.5)
    now.append(54.0)
    pace.advanced([trial.key], 2)
    now.append(56.0)
    pace.advanced([trial.key], 2, over=True)
    finish(plan, trial, params={})
    assert pace.left() == pytest.approx((left_quick - 2) * 2.0 + left_slow * 20.0 + (ends - 1) * 2.0)


def test_what_was_seen_of_a_pack_counts_the_more_the_longer_it_was_seen(ledger, monkeypatch):
    """A first epoch takes a quarter of what was expected; what is left is not a quarter, until as much was seen as a guess is worth."""
    space = tiny_space(cells=tiny_space().cells[:1], budget=lambda cell: Budget(epochs=100, batch_size=64), replicates=1)
    plan, now = Plan(space, ledger, IDENTITY), clocked(monkeypatch, sure=2.0)
    cell = space.cells[0]
    pace = Pace(plan, 1, {group(cell, stage): Rate(1.0, 0.0) for stage in ("search", "confirm")})
    keys = [trial.key for trial in plan.search[cell.name]]
    pace.began(keys)
    pace.advanced(keys, 0)
    rates = []
    for epoch in (1, 90):
        now.append(0.25 * len(keys) * epoch)
        pace.advanced(keys, epoch)
        rates.append(pace.rate()[group(cell, "search")].epoch)
    assert rates[0] > 0.4 and 0.25 < rates[1] < 0.27


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
    assert pace.left() == pytest.approx(left_search * 0.5 + left_confirm * 0.5, abs=1e-5)


def test_a_stretch_counts_those_that_are_expected_to_go_on_and_the_packs_that_they_make(ledger):
    """Four replicates of four proposals, in packs of eight: two, then those of all replicates together, and so the winners."""
    space = tiny_space(cells=tiny_space().cells[:1], search=Search(rounds=(4,), rungs=(0.5,)), replicates=4, pack=8)
    plan = Plan(space, ledger, IDENTITY)
    found = [(each.stage, each.trainings, each.epochs, each.packs) for each in stretches(plan, space.cells[0])]
    assert found == [("search", 16, 16, 2), ("search", 8, 8, 1), ("confirm", 4, 8, 1)]
    reached = {trial.key: 1 for trial in plan.search[space.cells[0].name]}
    assert [each.epochs for each in stretches(plan, space.cells[0], reached)] == [8, 8]


STUDIES = {  # a study of six quick kinds; packs that wait at a rung; trainings one by one, of which measuring is most
    "kinds": ({"cells": grid([VAE], [fc], [1, 2, 3, 4, 5, 6], [2], [digits]), "search": Search((2,), rungs=())}, Rate(0.1, 0.3), 4),
    "packs": (
        {"cells": grid([VAE], [fc], [1, 3], [2, 8], [digits]), "search": Search((6,)), "replicates": 8, "pack": 32},
        Rate(0.05, 0.1),
        9,
    ),
    "alone": ({"cells": grid([VAE], [fc], [1, 3], [2], [digits]), "search": Search((6,)), "pack": 1}, Rate(8.0, 1.0), 0.3),
}


@pytest.mark.parametrize("name", STUDIES)
def test_the_time_left_is_right_within_a_third_from_a_fifth_of_the_way_on(ledger, monkeypatch, name):
    """Deep cells take longer, what is confirmed is measured eight times as long, workers take ten seconds to start, and the guess
    was wrong: for steps by one factor for the machine and up to a fifth for each group, for measuring by up to a half."""
    changes, each, wrong = STUDIES[name]
    space = tiny_space(budget=lambda cell: Budget(epochs=12, batch_size=64), **changes)
    plan, now, luck = Plan(space, ledger, IDENTITY), clocked(monkeypatch, sure=2.0), random.Random(0)
    write_planned(plan)
    truth = {
        group(cell, stage): Rate(each.epoch * cell.depth, each.measuring * (8 if stage == "confirm" else 1))
        for cell in space.cells
        for stage in ("search", "confirm")
    }
    guess = {
        key: Rate(wrong * luck.uniform(0.8, 1.2) * rate.epoch, luck.uniform(0.5, 1.5) * rate.measuring)
        for key, rate in truth.items()
    }
    said = played(plan, Pace(plan, 2, guess), truth, now)
    end = now[-1]
    later = [(left, end - at) for at, left in said if 0.2 * end <= at <= 0.9 * end]
    assert len(later) > 5 and all(2 / 3 < left / true < 4 / 3 for left, true in later), later


def played(plan, pace, truth, now, slots=2, start=10.0):
    """What is said at every event of a sweep, (time, seconds left): workers train and measure packs at the true rates."""
    queue, cells, events, said, luck = (
        deque(),
        deque(plan.space.cells),
        [(0.0, slot, None) for slot in range(slots)],
        [],
        random.Random(1),
    )
    live, order = Counter(), itertools.count(slots)

    def go_on(cell):
        if not live[cell.name]:
            for pack in plan.advance(cell)[1]:
                queue.append(pack)
                live[cell.name] += 1

    while events:
        at, _, event = heapq.heappop(events)
        now.append(at)
        if event is not None:
            pack, step = event
            pace.advanced(pack.keys, *step)
            if step[1:]:
                live[pack.cell.name] -= 1
                for trial in pack.trials:
                    if pack.until < trial.budget.epochs:
                        plan.passed(trial.key, pack.until, luck.random())
                    else:
                        finish(plan, trial, objective=luck.random())
                go_on(pack.cell)
        said.append((at, pace.left()))
        idle = slots - sum(live[name] for name in live) + len(queue)
        while idle and (queue or cells):
            if not queue:
                go_on(cells.popleft())
                continue
            pack, idle = queue.popleft(), idle - 1
            pace.began(pack.keys)
            began = pace.packs[pack.keys[0]].epoch
            rate, many = truth[group(pack.cell, pack.trials[0].stage)], len(pack.keys)
            trains = at + (start if at == 0 else 0.5)
            for epoch in range(began, pack.until + 1):
                heapq.heappush(events, (trains + (epoch - began) * many * rate.epoch, next(order), (pack, (epoch,))))
            over = trains + many * ((pack.until - began) * rate.epoch + rate.measuring)
            heapq.heappush(events, (over, next(order), (pack, (pack.until, True))))
    return said
