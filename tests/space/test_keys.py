"""Trial keys are what results are found again by: a change of the code that is no change of a result must not change them."""

import hashlib

import pytest

from study.ledger.folder import Ledger
from study.space.loading import load_space, space_names
from study.sweep.plan import Plan

KEYS = {  # space -> how many keys, the first of them, and a digest of all
    "bottleneck_20": (135, "a-vae-d1-z20-mnist-r00-confirm-7cbda972fa", "3bfaf9e3ea8e0914"),
    "depth_and_latent": (768, "e-vae-depth-d1-z2-mnist-r00-confirm-ff7cae809d", "3ed74929f6f69463"),
    "dropout_or_dcgan": (36, "c-vae-d2-z20-mnist-r00-confirm-4827d22920", "2f13c88b9cdc2b1b"),
    "latent_sweep": (15180, "vae-fc-d1-z2-width-128-digits-r00-search-000-f7f73caa5a", "f7b70199eae77f78"),
    "matched_weights": (234, "d-vae-mnist-d3-z20-mnist-r00-confirm-6755f770ae", "e48f24f49c005caf"),
    "smoke": (45, "vae-fc-d1-z2-width-64-digits-r00-search-000-af76c5649d", "2372f3880fcb5ba7"),
    "three_sizes": (416, "b-vae-1-d1-z50-mnist-r00-confirm-d3d3d0241f", "83eb64c0d0ab2b66"),
}


def test_every_space_of_the_project_has_its_keys_written_down():
    assert list(KEYS) == space_names()


@pytest.mark.parametrize("name", KEYS)
def test_the_keys_of_a_space_are_what_they_were(name, tmp_path):
    space = load_space(name)
    identity = {
        cell.dataset.name: {"fingerprint": "0" * 16, "features_kind": "classifier", "features": "1" * 16, "shape": [1, 8, 8]}
        for cell in space.cells
    }
    plan = Plan(space, Ledger(tmp_path), identity)
    keys = [trial.key for trial in plan.trials()]
    keys += [plan._confirm_trial(cell, 0, space.default_proposal(cell)[0]).key for cell in space.cells]
    assert (len(keys), keys[0], hashlib.sha256("\n".join(keys).encode()).hexdigest()[:16]) == KEYS[name]
