"""The sampler: every cell covered at equal budgets, whatever Optuna thinks; nothing but the ledger remembered."""

import math

import optuna
import pytest
from tiny import IDENTITY, outcome, tiny_space

from models.nets import fc
from models.vae import VAE
from study.data import digits
from study.space import grid
from study.sweep.optuna_sampler import MEMORY, RANDOM_FIRST
from study.sweep.plan import Plan
from study.sweep.ray_searcher import LedgerSearch
from study.sweep.worker_messages import TrialConfig


def searcher(plan, commits=None):
    def commit(trial, result):
        plan.ledger.put_result(trial.key, result)
        if commits is not None:
            commits.append(trial.key)

    return LedgerSearch(plan, TrialConfig(ledger=plan.ledger.address), commit)


def serve(search, objective=lambda trial, params: 1.0, at_once=2):
    """Stand in for Ray Tune: run everything that is suggested, `at_once` trials at a time."""
    import json

    running, served = [], []
    for number in range(10_000):
        config = search.suggest(str(number))
        if isinstance(config, dict):
            running.append((str(number), search.live[str(number)]))
            served.append(search.live[str(number)])
        if not running:
            assert config == search.FINISHED
            return served
        if len(running) == at_once or not isinstance(config, dict):
            trial_id, trial = running.pop(0)
            params = search.plan.ledger.spec(trial.key).params
            value = objective(trial, params)
            result = {"outcome": json.dumps(outcome(trial, objective=value, params=params).to_json())}
            search.on_trial_complete(trial_id, result, error=value is None)
    raise AssertionError("the searcher never finished")


def test_every_planned_trial_is_served_exactly_once(plan):
    commits = []
    served = serve(searcher(plan, commits))
    assert sorted(trial.key for trial in served) == sorted(commits) == sorted(trial.key for trial in plan.trials())
    assert len(served) == plan.planned()


def test_proposal_0_is_the_default_and_the_others_lie_in_their_ranges(plan):
    for trial in serve(searcher(plan)):
        spec = plan.ledger.spec(trial.key)
        if trial.stage == "search":
            assert spec.proposed_by == ("default" if trial.proposal == 0 else "random")
            assert spec.params["lr"] == 1e-3 if trial.proposal == 0 else 1e-4 <= spec.params["lr"] <= 1e-2


def test_a_crash_changes_nothing_what_was_begun_comes_first_with_its_own_params(plan, ledger):
    search = searcher(plan)
    first = [search.suggest("a"), search.suggest("b")]
    specs = [ledger.spec(config["key"]) for config in first]
    again = searcher(Plan(tiny_space(), ledger, IDENTITY))
    assert [again.suggest("c")["key"], again.suggest("d")["key"]] == [config["key"] for config in first]
    assert [ledger.spec(config["key"]) for config in first] == specs


def test_proposals_do_not_repeat_after_a_restart(plan, ledger):
    serve(searcher(plan))
    serve(searcher(Plan(tiny_space(proposals=6), ledger, IDENTITY)))
    drawn = [ledger.spec(key).params["lr"] for key in ledger.keys() if "search-000" not in key and "search" in key]
    assert len(set(drawn)) == len(drawn) == 2 * 5


def test_the_sampler_finds_the_good_region_across_cells_of_unequal_difficulty(ledger):
    """Raw objectives would only tell it that the easy cell is easy; ranks inside a cell tell it which rate is good."""
    space = tiny_space(cells=grid([VAE], [fc], [1], [2, 4, 8, 16], [digits]), proposals=16, seeds=1)
    served = serve(
        searcher(Plan(space, ledger, IDENTITY)),
        lambda trial, params: 100 * trial.cell.latent_dim + abs(math.log10(params["lr"]) + 2.5),
    )
    specs = [ledger.spec(trial.key) for trial in served if trial.stage == "search"]
    distance = {
        who: [abs(math.log10(spec.params["lr"]) + 2.5) for spec in specs if spec.proposed_by == who] for who in ("random", "tpe")
    }
    assert len(distance["tpe"]) > 30
    assert sum(distance["tpe"]) / len(distance["tpe"]) < 0.6 * sum(distance["random"]) / len(distance["random"])


def test_failed_trials_are_recorded_and_the_study_goes_on(plan):
    served = serve(searcher(plan), lambda trial, params: None if trial.stage == "search" and trial.proposal == 1 else 1.0)
    assert len(served) == plan.planned()
    assert sum(result.status == "failed" for result in plan.results.values()) == 2


def test_an_error_in_propose_fails_its_trial_and_not_the_sweep(ledger):
    def propose(trial, cell):
        value = trial.suggest_float("lr", 1e-4, 1e-2, log=True)
        if isinstance(trial, optuna.Trial):
            raise RuntimeError("broken")
        return {"lr": value}

    plan = Plan(tiny_space(propose=propose), ledger, IDENTITY)
    serve(searcher(plan))
    failed = [result for result in plan.results.values() if result.status == "failed"]
    assert len(failed) == 4 and "broken" in failed[0].error
    assert not plan.left()


def test_what_a_rebuild_looks_at_is_bounded(ledger):
    space = tiny_space(cells=grid([VAE], [fc], [1], list(range(1, 41)), [digits]), proposals=12, seeds=1)
    plan = Plan(space, ledger, IDENTITY)
    search = searcher(plan)
    for trials in plan.search.values():
        for trial in trials[:-1]:
            search._learn(trial, outcome(trial, objective=trial.proposal))
    trial = plan.search[space.cells[7].name][-1]
    sampler = search._sampler(trial)
    assert sum(map(len, sampler.finished.values())) == 440 > MEMORY > RANDOM_FIRST
    assert len(sampler._study(trial).trials) <= MEMORY
    assert [row[0] for row in sampler._remembered(trial.cell.name)].count(trial.cell.name) == 11


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
