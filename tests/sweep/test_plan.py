"""The plan: every trial that a space needs, minus what the ledger holds."""

import json
from dataclasses import replace

from tiny import IDENTITY, finish, tiny_space

from models.nets import fc
from models.wgan import WGAN
from search_spaces import latent_sweep
from study.data import digits
from study.ledger.counts import study_counts
from study.ledger.files import append_line
from study.ledger.records import EpochRow
from study.space import Budget, Search, grid
from study.sweep.plan import Plan, counts, write_planned


def planned(ledger, **changes):
    return Plan(tiny_space(**changes), ledger, IDENTITY)


def run_search(plan, objectives=(3.0, 1.0, 2.0)):
    """Every replicate's proposals come to their ends, the second best."""
    for trials in plan.search.values():
        for trial in trials:
            objective = objectives[trial.proposal % len(objectives)]
            finish(plan, trial, objective=objective, params={"lr": objective * 1e-3})


def run_all(plan):
    """Bring a plan to its end as the driver does, whatever comes to a rung or an end scoring its proposal's number."""
    packs = []
    for cell in plan.space.cells:
        while (step := plan.advance(cell)) != ([], []):
            for pack in step[1]:
                packs.append(pack)
                for trial in pack.trials:
                    if pack.until < trial.budget.epochs:
                        plan.passed(trial.key, pack.until, trial.proposal)
                    else:
                        finish(plan, trial, objective=float(trial.proposal or 0), params=plan.ledger.spec(trial.key).params)
    return packs


def test_every_replicate_of_every_cell_gets_the_same_number_of_proposals(plan):
    assert len(plan.left()) == 2 * 4 * 3 and plan.planned() == 2 * 4 * (3 + 1)
    assert {(trial.replicate, trial.proposal) for trial in plan.left()} == {(r, p) for r in range(4) for p in range(3)}


def test_each_replicate_is_confirmed_with_the_best_of_its_own_proposals(plan):
    for trial in [trial for trials in plan.search.values() for trial in trials]:
        objective = float((trial.proposal + trial.replicate) % 3)
        finish(plan, trial, objective=objective, params={"lr": 1e-3 * (1 + trial.proposal)})
    for cell in plan.space.cells:
        plan.advance(cell)
        assert [trial.params["lr"] for trial in plan.confirm[cell.name]] == [1e-3, 3e-3, 2e-3, 1e-3]
        assert [trial.seeds for trial in plan.confirm[cell.name]] == [(0,), (1,), (2,), (3,)]
    assert plan.planned() == len(plan.trials())


def test_a_finished_study_has_nothing_left_and_a_new_plan_agrees(plan, ledger):
    run_all(plan)
    assert not plan.left() and not planned(ledger).left()
    assert plan.finished() == plan.planned() == 2 * 4 * (3 + 1)


def test_raising_the_replicates_or_the_rounds_only_adds(plan, ledger):
    run_all(plan)
    more = planned(ledger, replicates=7)
    assert {trial.key for trial in plan.trials()} < {trial.key for trial in more.trials()}
    assert {trial.replicate for trial in more.left()} == {4, 5, 6}
    more = planned(ledger, search=plan.space.search.of(6))
    assert plan.space.search.of(6).rounds == (3, 3) and {trial.proposal for trial in more.left()} == {3, 4, 5}
    assert {trial.key for trials in plan.search.values() for trial in trials} < {trial.key for trial in more.trials()}


def test_of_a_round_the_worse_half_stops_at_a_rung_and_nothing_is_trained_twice(ledger):
    plan = planned(ledger, search=Search(rounds=(4,), rungs=(0.25, 0.5)), budget=lambda cell: Budget(8, 64), pack=16)
    packs = run_all(plan)
    ran = [[(len(pack.trials), pack.until) for pack in packs if pack.cell == cell] for cell in plan.space.cells]
    assert ran == [[(16, 2), (8, 4), (4, 8), (4, 8)]] * 2  # three rungs of the search, then confirm
    for trial in plan.search[plan.space.cells[0].name]:
        result = plan.results[trial.key]
        assert (result.status, result.epochs) == {0: ("done", 2), 1: ("stopped", 4)}.get(trial.proposal, ("stopped", 2))
        assert result.objective == trial.proposal and result.params == ledger.spec(trial.key).params


def test_what_was_stopped_stays_stopped_for_a_new_plan_and_rungs_are_read_from_rows(ledger):
    """A launch that was killed while it recorded what stops at a rung: the rest stops in the next one."""
    changes = {"search": Search(rounds=(4,), rungs=(0.5,)), "budget": lambda cell: Budget(8, 64), "replicates": 2}
    plan = planned(ledger, **changes)
    cell = plan.space.cells[0]
    _, packs = plan.advance(cell)
    assert {pack.until for pack in packs} == {4}
    for trial in plan.search[cell.name]:
        for epoch in range(5):
            values = {"quality/fd_rel": [float(trial.proposal)]} if epoch == 4 else {}
            append_line(ledger.folder(trial.key) / "metrics.jsonl", json.dumps(EpochRow(epoch, 1.7e9, values).to_json()))
    stopped, packs = planned(ledger, **changes).advance(cell)
    assert {trial.proposal for trial, _ in stopped} == {2, 3} and {pack.until for pack in packs} == {8}
    ledger.put_result(stopped[0][0].key, stopped[0][1])
    again, same = planned(ledger, **changes).advance(cell)
    assert [trial.key for trial, _ in again] == [trial.key for trial, _ in stopped[1:]] and same == packs


def test_packs_hold_whole_replicates_of_one_program(ledger):
    """What a pack holds depends on the plan, not on what is left of it: after a crash it has the members that it had."""
    space = {"cells": grid([WGAN], [fc], [1], [2], [digits], width=[16]), "propose": latent_sweep.propose, "pack": 8}
    plan = planned(ledger, search=Search(rounds=(4,), rungs=()), **space)
    cell = plan.space.cells[0]
    _, packs = plan.advance(cell)
    steps = [{ledger.spec(key).params["critic_steps"] for key in pack.keys} for pack in packs]
    assert sorted(map(list, steps)) == [[1], [1], [5], [5]] and {len(pack.trials) for pack in packs} == {4}
    for trial in packs[0].trials[:2]:
        finish(plan, trial, params=ledger.spec(trial.key).params)
    _, left = planned(ledger, search=Search(rounds=(4,), rungs=()), **space).advance(cell)
    assert {pack.keys for pack in left} == {packs[0].keys[2:], *(pack.keys for pack in packs[1:])}


def test_changing_what_defines_a_result_gives_new_keys(plan, ledger):
    keys = {trial.key for trial in plan.trials()}
    others = [
        tiny_space(budget=lambda cell: Budget(epochs=3)),
        tiny_space(
            cells=grid(
                *[[getattr(plan.space.cells[0], name)] for name in ("model", "net", "depth", "latent_dim", "dataset")], width=[17]
            )
        ),
    ]
    for space in others:
        assert not keys & {trial.key for trial in Plan(space, ledger, IDENTITY).trials()}
    changed = {"digits": {"fingerprint": "other", "features": "e" * 8}}
    assert not keys & {trial.key for trial in Plan(plan.space, ledger, changed).trials()}


def test_another_precision_gives_other_keys(ledger):
    plan = planned(ledger)
    tf32 = Plan(plan.space, ledger, {"digits": {**IDENTITY["digits"], "precision": "tf32"}})
    assert not {trial.key for trial in plan.trials()} & {trial.key for trial in tf32.trials()}
    assert [made.spec(made.left()[0], {}, "default").precision for made in (plan, tf32)] == ["float32", "tf32"]


def test_a_pack_is_in_no_key(ledger):
    assert [trial.key for trial in planned(ledger, pack=16).trials()] == [trial.key for trial in planned(ledger).trials()]


def test_adding_a_cell_leaves_the_others_keys_alone(plan, ledger):
    cell = plan.space.cells[0]
    wider = Plan(tiny_space(cells=[*plan.space.cells, replace(cell, depth=5)]), ledger, IDENTITY)
    assert {trial.key for trial in plan.trials()} < {trial.key for trial in wider.trials()}


def test_a_cell_whose_search_diverged_is_confirmed_with_the_defaults_and_counted(plan):
    for trials in plan.search.values():
        for trial in trials:
            finish(plan, trial, status="diverged")
    for cell in plan.space.cells:
        plan.advance(cell)
    assert {(trial.stage, trial.params["lr"]) for trial in plan.left()} == {("confirm", 1e-3)}


def test_where_nothing_is_proposed_replicates_are_seeds_and_nothing_is_searched(ledger):
    plan = planned(ledger, propose=lambda trial, cell: {})
    assert plan.planned() == 2 * 4 and {trial.stage for trial in plan.left()} == {"confirm"}


def test_a_status_reads_the_ledger_alone_and_agrees_with_the_plan(plan, ledger):
    write_planned(plan)
    run_search(plan)
    for cell in plan.space.cells:
        plan.advance(cell)
    finish(plan, plan.left()[0], status="diverged")
    table = study_counts(ledger.root.parent, "tiny")
    row = counts(plan)["vae", digits.name]
    assert {name: table[name] for name in row} == row
    assert table["planned"] == 32 and table["done"] == 24 and table["diverged"] == 1 and table["left"] == 7
