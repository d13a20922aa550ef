"""A longer training goes on from where a shorter one ended, and comes to the numbers of one that did all by itself."""

import shutil

import pytest
from safetensors.torch import load_file
from tiny import tiny_space
from trials import identity_of, take_features

from models.gan import GAN
from models.nets import fc
from models.vae import VAE
from study.data import digits
from study.ledger.files import as_written
from study.ledger.folder import STATE, Ledger
from study.space import Budget, Search, grid
from study.sweep.plan import Plan, write_planned
from study.sweep.plan_tables import states_kept
from study.sweep.selection import spent
from study.training.run import run_pack

SHORT, LONG = 4, 8
pytestmark = pytest.mark.long


def space_of(epochs=SHORT, keep=True, **changes):
    budget = spent(Budget(SHORT, 64), epochs, keep)
    cells = grid([VAE, GAN], [fc], [1], [2], [digits], width=[16])
    given = {"cells": cells, "propose": lambda trial, cell: {}, "replicates": 2, "keep_states": keep, **changes}
    return tiny_space(budget=lambda cell: budget, **given)


def finish(space, ledger, data_dir) -> Plan:
    """Everything that is left of a space, in its packs, as a launch does it."""
    plan = Plan(space, ledger, identity_of(digits.load(data_dir)))
    take_features(ledger, data_dir)
    write_planned(plan)
    for cell in space.cells:
        while True:
            stopped, packs = plan.advance(cell)
            for trial, result in stopped:
                ledger.put_result(trial.key, result)
            for pack in packs:
                results, waiting = run_pack([ledger.folder(key) for key in pack.keys], pack.until, data_dir)
                for key, objective in waiting.items():
                    plan.passed(key, pack.until, objective)
                for result in results:
                    ledger.put_result(result.key, result)
                    plan.record(next(trial for trial in pack.trials if trial.key == result.key), result)
            if not packs:
                ledger.drop_checkpoints(cell.name)
                break
    return plan


def confirmed(plan) -> list[str]:
    return [trial.key for trials in plan.confirm.values() for trial in trials]


def numbers(ledger, key) -> tuple:
    """What a training came to: its weights, the losses of every batch, its measures and those of every epoch's losses."""
    measures = {name: value for name, value in ledger.result(key).measures.items() if not name.startswith(("time/", "cost/peak"))}
    tensors = [
        {name: tensor.numpy().tobytes() for name, tensor in load_file(ledger.folder(key) / f"{what}.safetensors").items()}
        for what in ("weights", "curves")
    ]
    losses = [{name: value for name, value in row.values.items() if name.startswith("loss/")} for row in ledger.rows(key)]
    return measures, tensors, losses


@pytest.fixture(scope="module")
def whole(tmp_path_factory, data_dir):
    """Trained to the end at once."""
    ledger = Ledger(tmp_path_factory.mktemp("whole") / "tiny")
    return ledger, confirmed(finish(space_of(LONG, keep=False), ledger, data_dir))


@pytest.fixture(scope="module")
def half_way(tmp_path_factory, data_dir):
    ledger = Ledger(tmp_path_factory.mktemp("half_way") / "tiny")
    return ledger, confirmed(finish(space_of(), ledger, data_dir))


@pytest.fixture
def short(half_way, ledger):
    """Trained half way, its states kept: a copy."""
    trained, keys = half_way
    shutil.copytree(trained.root, ledger.root)
    return ledger, keys


def test_a_training_goes_on_where_a_shorter_one_ended_and_comes_to_the_same(whole, short, data_dir):
    ledger, shorter = short
    before = {key: as_written(ledger.result(key)) for key in shorter}
    longer = confirmed(finish(space_of(LONG), ledger, data_dir))
    assert longer == whole[1] and not set(longer) & set(shorter)  # the longer study is the one that it would have been
    for key in longer:
        assert ledger.result(key).attempts == [SHORT] and ledger.result(key).epochs == LONG
        assert ledger.spec(key).goes_on_from in shorter
        assert numbers(ledger, key) == numbers(whole[0], key)
    assert {key: as_written(ledger.result(key)) for key in shorter} == before  # that of the shorter budget stays


def test_a_state_that_is_damaged_costs_time_and_no_more(whole, short, data_dir, capsys):
    ledger, shorter = short
    for key in shorter:
        place = ledger.folder(key) / STATE
        place.write_bytes(place.read_bytes()[:-20])
    longer = confirmed(finish(space_of(LONG), ledger, data_dir))
    assert all(ledger.result(key).attempts == [0] and numbers(ledger, key) == numbers(whole[0], key) for key in longer)
    assert capsys.readouterr().out.count("no state to go on from") == len(longer)


def test_what_trains_on_keeps_the_tuning_of_the_shorter_budget(ledger, data_dir):
    def propose(trial, cell):
        return {"lr": trial.suggest_float("lr", 1e-4, 1e-2, log=True)}

    tuned = {"propose": propose, "search": Search(rounds=(2,), rungs=(0.5,)), "cells": space_of().cells[:1]}
    plan = finish(space_of(**tuned), ledger, data_dir)
    params = {ledger.spec(key).seeds[0]: ledger.spec(key).params for key in confirmed(plan)}
    longer = Plan(space_of(LONG, **tuned), ledger, plan.identity)
    assert {trial.key for trial in longer.left()} == set(confirmed(longer)) and len(confirmed(longer)) == 2
    assert {trial.replicate: trial.params for trials in longer.confirm.values() for trial in trials} == params


def test_only_a_space_that_says_so_keeps_states_and_its_plan_says_how_much(short, data_dir, tmp_path):
    ledger, shorter = short
    kept = [(ledger.folder(key) / STATE).stat().st_size for key in shorter]
    (line,) = states_kept(Plan(space_of(), ledger, identity_of(digits.load(data_dir))))
    assert 0.5 < float(line.split("about ")[1].split(" MB")[0]) * 1e6 / sum(kept) < 2
    other = Ledger(tmp_path / "other" / "tiny")
    plan = finish(space_of(keep=False), other, data_dir)
    assert not list(other.root.rglob(STATE)) and not states_kept(plan)
    assert confirmed(plan) == shorter  # which changes no key
