"""The plan: every trial that a space needs, minus what the ledger holds."""

from dataclasses import replace

from tiny import IDENTITY, finish, tiny_space

from study.data import digits
from study.ledger.counts import study_counts
from study.space import Budget, grid
from study.sweep.plan import Plan, contiguous, counts, write_planned


def planned(ledger, **changes):
    return Plan(tiny_space(**changes), ledger, IDENTITY)


def run_search(plan, objectives=(3.0, 1.0, 2.0)):
    for trials in plan.search.values():
        for trial, objective in zip(trials, objectives):
            finish(plan, trial, objective=objective, params={"lr": objective * 1e-3})


def test_every_cell_gets_the_same_number_of_proposals_in_turn(plan):
    order = [(trial.proposal, trial.cell.name) for trial in plan.trials()]
    assert len(order) == 6 and order == sorted(order, key=lambda row: row[0])
    assert plan.planned() == 2 * (3 + 2)


def test_confirm_trials_appear_with_the_best_params_once_a_cell_is_searched(plan):
    run_search(plan)
    confirm = [trial for trial in plan.left() if trial.stage == "confirm"]
    assert len(confirm) == 4 and all(trial.params == {"lr": 1e-3} for trial in confirm)
    assert {trial.seeds for trial in confirm} == {(0, 1), (2, 3)}
    assert plan.planned() == len(plan.trials())


def test_a_finished_study_has_nothing_left_and_a_new_plan_agrees(plan, ledger):
    run_search(plan)
    for trial in plan.left():
        finish(plan, trial)
    assert not plan.left() and not planned(ledger).left()


def test_raising_the_proposals_or_the_seeds_only_adds_trials(plan, ledger):
    run_search(plan)
    for trial in plan.left():
        finish(plan, trial)
    more = planned(ledger, seeds=7)
    assert {trial.key for trial in plan.trials()} < {trial.key for trial in more.trials()}
    assert {trial.seeds for trial in more.left()} == {(4, 5), (6,)}
    more = planned(ledger, proposals=4)
    assert [trial.proposal for trial in more.left()] == [3, 3]


def test_odd_packs_already_in_the_ledger_are_completed_not_repeated(plan, ledger):
    run_search(plan)
    grown = planned(ledger, seeds=3)
    for trial in grown.left():
        finish(grown, trial)
    wider = planned(ledger, seeds=6)
    covered = sorted(seed for trials in wider.confirm.values() for trial in trials for seed in trial.seeds)
    assert covered == sorted([*range(6)] * 2)


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


def test_another_precision_gives_other_keys_and_float32_those_of_always(monkeypatch, ledger):
    """The keys that these trials had under the first protocol: what changes no result must not change them."""
    monkeypatch.setattr("study.sweep.plan.PROTOCOL", 1)
    plan = planned(ledger)
    cell = plan.space.cells[0]
    keys = [trial.key.rsplit("-", 1)[1] for trial in [*plan.search[cell.name], plan._confirm_trial(cell, (0, 1), {"lr": 1e-3})]]
    assert keys == ["3a711c743b", "3a1b32bf32", "8ff2085c29", "a6be2d2e57"]
    tf32 = Plan(plan.space, ledger, {"digits": {**IDENTITY["digits"], "precision": "tf32"}})
    assert not {trial.key for trial in plan.trials()} & {trial.key for trial in tf32.trials()}
    assert [made.spec(made.left()[0], {}, "default").precision for made in (plan, tf32)] == ["float32", "tf32"]


def test_adding_a_cell_leaves_the_others_keys_alone(plan, ledger):
    cell = plan.space.cells[0]
    wider = Plan(tiny_space(cells=[*plan.space.cells, replace(cell, depth=5)]), ledger, IDENTITY)
    assert {trial.key for trial in plan.trials()} < {trial.key for trial in wider.trials()}


def test_a_cell_whose_search_diverged_is_confirmed_with_the_defaults_and_counted(plan):
    for trials in plan.search.values():
        for trial in trials:
            finish(plan, trial, status="diverged")
    assert {trial.stage for trial in plan.left()} == {"confirm"}


def test_where_nothing_is_proposed_one_search_trial_is_enough(ledger):
    assert planned(ledger, propose=lambda trial, cell: {}).planned() == 2 * (1 + 2)


def test_a_status_reads_the_ledger_alone_and_agrees_with_the_plan(plan, ledger):
    write_planned(plan)
    run_search(plan)
    finish(plan, plan.left()[0], status="diverged")
    table = study_counts(ledger.root.parent, "tiny")
    row = counts(plan)["vae", digits.name]
    assert {name: table[name] for name in row} == row
    assert table["planned"] == 10 and table["done"] == 6 and table["diverged"] == 1 and table["left"] == 3


def test_seeds_are_packed_in_runs_of_neighbours():
    assert list(contiguous([0, 1, 2, 5, 6, 7, 8], 3)) == [(0, 1, 2), (5, 6, 7), (8,)]
