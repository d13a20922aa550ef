"""What is proposed and served: every cell and replicate at equal budgets, by nothing but the plan; the ledger remembers."""

import math

import optuna
import pytest
from tiny import IDENTITY, outcome, tiny_space

from models.nets import fc
from models.wgan import WGAN
from search_spaces import latent_sweep
from study.data import digits
from study.ledger.folder import Ledger
from study.space import Budget, Search, grid
from study.sweep.plan import Plan
from study.sweep.ray_searcher import LedgerSearch
from study.sweep.worker_messages import Final, PackConfig


def searcher(plan, commits=None):
    def commit(trial, result):
        plan.ledger.put_result(trial.key, result)
        if commits is not None:
            commits.append(trial.key)

    return LedgerSearch(plan, PackConfig(ledger=plan.ledger.address), commit)


def serve(search, objective=lambda trial, params: 1.0, at_once=2, most=10_000):
    """Stand in for Ray Tune: run the packs that are suggested, `at_once` at a time; those served, at most so many."""
    running, served = [], []
    for number in range(10_000):
        config = search.suggest(str(number))
        if isinstance(config, dict):
            running.append((str(number), search.live[str(number)]))
            served.append(search.live[str(number)])
        if not running:
            assert config == search.FINISHED
            return served
        if len(served) == most:
            return served
        if len(running) == at_once or not isinstance(config, dict):
            trial_id, pack = running.pop(0)
            search.on_trial_complete(trial_id, reported(search, pack, objective), error=False)
    raise AssertionError("the searcher never finished")


def reported(search, pack, objective) -> dict | None:
    """What a worker reports of a pack whose trainings score objective(trial, params); None scores: the worker died."""
    params = [search.plan.ledger.spec(trial.key).params for trial in pack.trials]
    values = [objective(trial, own) for trial, own in zip(pack.trials, params)]
    if None in values:
        return None
    if pack.until < pack.trials[0].budget.epochs:
        return Final(waiting=dict(zip(pack.keys, values))).to_tune()
    ended = [outcome(trial, objective=value, params=own) for trial, value, own in zip(pack.trials, values, params)]
    return Final(tuple(ended)).to_tune()


def specs(ledger):
    return {key: ledger.spec(key) for key in ledger.keys()}


def test_every_planned_training_is_served_exactly_once(plan):
    commits = []
    served = [trial.key for pack in serve(searcher(plan, commits)) for trial in pack.trials]
    assert sorted(served) == sorted(commits) == sorted(trial.key for trial in plan.trials())
    assert len(served) == plan.planned()


def test_proposal_0_is_the_default_and_the_others_are_a_sequence_of_the_replicate_s_own(plan, ledger):
    serve(searcher(plan))
    drawn = {}
    for spec in specs(ledger).values():
        if spec.stage == "search":
            assert spec.proposed_by == ("default" if spec.proposal == 0 else "quasi-random")
            assert spec.params["lr"] == 1e-3 if spec.proposal == 0 else 1e-4 <= spec.params["lr"] <= 1e-2
            drawn.setdefault((spec.replicate, spec.proposal), set()).add(spec.params["lr"])
    assert all(len(rates) == 1 for rates in drawn.values()), "cells of equal ranges get equal sequences"
    others = [rate for (_, proposal), rates in drawn.items() for rate in rates if proposal]
    assert len(set(others)) == len(others) == 4 * 2


def test_what_is_proposed_never_depends_on_who_finished_first(tmp_path):
    """Six at a time and one at a time, the one of them killed twice, with a sampler that learns and with rungs."""
    space = tiny_space(
        cells=grid([WGAN], [fc], [1], [2, 4], [digits], width=[16]),
        propose=latent_sweep.propose,
        budget=lambda cell: Budget(4, 64),
        search=Search(rounds=(4, 2), sampler="tpe", rungs=(0.5,)),
        replicates=3,
    )

    def score(trial, params):
        return 1 + abs(math.log10(params["lr"]) + 2.5) + trial.cell.latent_dim + (trial.proposal or 0) / 100

    quiet, rough = Ledger(tmp_path / "quiet"), Ledger(tmp_path / "rough")
    serve(searcher(Plan(space, quiet, IDENTITY)), score, at_once=1)
    for most in (3, 5, 10_000):
        serve(searcher(Plan(space, rough, IDENTITY)), score, at_once=6, most=most)
    assert specs(quiet) == specs(rough)
    found = [{key: (own.result(key).status, own.result(key).objective) for key in own.keys()} for own in (quiet, rough)]
    assert found[0] == found[1] and len(found[0]) == 2 * 3 * (4 + 2 + 1)
    assert {spec.proposed_by for spec in specs(quiet).values()} == {"default", "quasi-random", "tpe", "confirm"}


@pytest.mark.parametrize("sampler", ["tpe", "gp"])
def test_a_sampler_that_learns_learns_from_its_own_replicate_where_the_good_region_is(ledger, sampler):
    space = tiny_space(search=Search(rounds=(6, 4, 4), sampler=sampler, rungs=()), replicates=2)
    serve(searcher(Plan(space, ledger, IDENTITY)), lambda trial, params: 2 ** abs(3 * (math.log10(params["lr"]) + 2.5)))
    away = {"quasi-random": [], sampler: []}
    for spec in specs(ledger).values():
        if spec.proposed_by in away:
            away[spec.proposed_by].append(abs(math.log10(spec.params["lr"]) + 2.5))
    assert len(away[sampler]) == 2 * 2 * 8
    assert sum(away[sampler]) / len(away[sampler]) < 0.8 * sum(away["quasi-random"]) / len(away["quasi-random"])


def test_choices_are_dealt_out_evenly_so_that_packs_split_in_equal_parts(ledger):
    space = tiny_space(
        cells=grid([WGAN], [fc], [1], [2], [digits], width=[16]),
        propose=latent_sweep.propose,
        search=Search(rounds=(8,), rungs=()),
        replicates=1,
    )
    serve(searcher(Plan(space, ledger, IDENTITY)))
    steps = [spec.params["critic_steps"] for spec in specs(ledger).values() if spec.stage == "search"]
    assert sorted(steps) == [1] * 4 + [5] * 4


def test_a_crash_changes_nothing_what_was_begun_comes_first(plan, ledger):
    search = searcher(plan)
    first = [search.suggest("a"), search.suggest("b")]
    before = specs(ledger)
    again = searcher(Plan(tiny_space(), ledger, IDENTITY))
    assert [again.suggest("c")["keys"], again.suggest("d")["keys"]] == [config["keys"] for config in first]
    assert specs(ledger) == before


def test_the_dearest_cell_begins_so_that_no_long_one_is_left_at_the_end(plan):
    search = LedgerSearch(plan, PackConfig(ledger=plan.ledger.address), None, seconds=lambda cell: cell.latent_dim)
    search.suggest("0")
    assert search.live["0"].cell.latent_dim == max(cell.latent_dim for cell in plan.space.cells)


def test_a_pack_whose_worker_dies_is_tried_one_by_one_and_who_fails_alone_is_recorded(plan):
    served = serve(searcher(plan), lambda trial, params: None if trial.stage == "search" and trial.proposal == 1 else 1.0)
    failed = {key for key, result in plan.results.items() if result.status == "failed"}
    assert failed == {trial.key for trials in plan.search.values() for trial in trials if trial.proposal == 1}
    assert not plan.left() and len(served) > plan.planned() / 2


def test_an_error_in_propose_fails_its_cells_and_not_the_sweep(ledger):
    def propose(trial, cell):
        value = trial.suggest_float("lr", 1e-4, 1e-2, log=True)
        if isinstance(trial, optuna.Trial) and cell.latent_dim == 2:
            raise RuntimeError("broken")
        return {"lr": value}

    plan = Plan(tiny_space(propose=propose), ledger, IDENTITY)
    serve(searcher(plan))
    failed = [result for result in plan.results.values() if result.status == "failed"]
    assert failed and "broken" in failed[0].error and not plan.left()
    assert all(plan.results[trial.key].status == "done" for trial in plan.search[plan.space.cells[1].name])


def test_optuna_is_imported_nowhere_else():
    import pathlib

    import study

    files = pathlib.Path(study.__file__).parent.rglob("*.py")
    assert [path.name for path in files if "import optuna" in path.read_text()] == ["optuna_sampler.py"]


@pytest.mark.parametrize("word", ["ray", "mlflow", "optuna"])
def test_what_runs_one_trial_imports_no_orchestration(word):
    """In a fresh interpreter: training and measuring need torch alone."""
    import subprocess
    import sys

    code = f"import sys, study.trial; sys.exit('{word}' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
