"""Trainings that another study in the same storage has done are taken from there, and no others."""

import json
from dataclasses import replace

import pytest
from tiny import IDENTITY, finish, rewrite, tiny_space

from models.nets import fc
from models.vae import VAE
from study.data import digits
from study.ledger.folder import Ledger
from study.space import Budget, grid
from study.sweep.plan import Plan
from study.sweep.repair import taken_over


def ended(root, **changes) -> Plan:
    """A study of which everything is done."""
    plan = Plan(tiny_space(**changes), Ledger(root), IDENTITY)
    for cell in plan.space.cells:
        while packs := plan.advance(cell)[1]:
            for trial in (trial for pack in packs for trial in pack.trials):
                finish(plan, trial)
                (plan.ledger.folder(trial.key) / "tracked.json").write_text("{}")
                (plan.ledger.folder(trial.key) / "weights.safetensors").write_bytes(trial.key.encode())
    return plan


def begun(tmp_path, said, **changes) -> Plan:
    return taken_over(Plan(tiny_space(**{"name": "second", **changes}), Ledger(tmp_path / "second"), IDENTITY), said.append)


def test_a_larger_study_takes_over_what_it_shares_with_others_and_only_that(tmp_path):
    first, said = ended(tmp_path / "first"), []
    plan = begun(tmp_path, said, cells=grid([VAE], [fc], [1, 2], [2, 4], [digits], width=[16]))
    assert said == ["32 trainings are those of the study first, and are taken from there"]
    assert set(plan.results) == set(first.results) and plan.finished() == 32 and plan.planned() == 64
    folder = plan.ledger.folder(next(iter(plan.results)))
    assert (folder / "weights.safetensors").read_bytes() == folder.name.encode() and not (folder / "tracked.json").exists()
    assert not [path for path in plan.ledger.root.iterdir() if path.name.startswith(".")]
    again = []
    assert taken_over(plan, again.append) is plan and not again


@pytest.mark.parametrize(
    "changes",
    [
        {"budget": lambda cell: Budget(3, 64)},
        {"budget": lambda cell: Budget(2, 32)},
        {"propose": lambda trial, cell: {"lr": trial.suggest_float("lr", 1e-4, 2e-2, log=True)}},
        {"cells": grid([VAE], [fc], [1], [2, 4], [digits], width=[17])},
    ],
    ids=["epochs", "batch size", "ranges", "width"],
)
def test_what_differs_in_its_definition_is_trained(tmp_path, changes):
    ended(tmp_path / "first")
    said = []
    assert not begun(tmp_path, said, **changes).results and not said


def test_what_was_looked_at_less_often_is_trained_where_the_looks_are_wanted(tmp_path):
    ended(tmp_path / "first")
    plan = begun(tmp_path, [], budget=lambda cell: Budget(2, 64, measured_every=1))
    assert {trial.stage for trial in plan.left()} == {"confirm"} and plan.finished() == 24


def test_a_failed_training_and_a_result_that_lies_are_not_taken(tmp_path):
    first = ended(tmp_path / "first")
    failed, lying, *_ = sorted(key for key in first.results if "-search-" in key)
    rewrite(first.ledger.folder(failed) / "result.json", status="failed", objective=None)
    path = first.ledger.folder(lying) / "result.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "objective": 0.0}))
    left = {trial.key for trial in begun(tmp_path, []).left()}
    assert {failed, lying} <= left and len(left) == 2


def test_what_this_study_has_begun_is_its_own(tmp_path):
    first = ended(tmp_path / "first")
    own = next(key for key in first.results if "-search-" in key)
    Ledger(tmp_path / "second").folder(own).mkdir(parents=True)
    assert own in {trial.key for trial in begun(tmp_path, []).left()}


def test_an_object_store_has_no_neighbours(tmp_path):
    ended(tmp_path / "first")
    ledger = Ledger(tmp_path / "second")
    ledger.address = "s3://bucket/second"
    plan = Plan(replace(tiny_space(), name="second"), ledger, IDENTITY)
    assert taken_over(plan, print) is plan
