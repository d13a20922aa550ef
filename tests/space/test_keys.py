"""Trial keys are what results are found again by: a change of the code that is no change of a result must not change them."""

import hashlib

import pytest

from study.ledger.folder import Ledger
from study.space.loading import load_space, space_names
from study.sweep.plan import Plan

KEYS = {  # space -> how many keys, the first of them, and a digest of all
    "bottleneck_20": (30, "a-vae-20-epochs-d1-z20-mnist-search-000-dec4b694d9", "8c8a76a151ce1e96"),
    "depth_and_latent": (154, "e-vae-depth-d2-z2-mnist-search-000-afee2b1dcb", "07650c94c6fa57cd"),
    "dropout_or_dcgan": (8, "c-vae-d2-z20-mnist-search-000-a1128bd001", "7238da8af4806020"),
    "latent_sweep": (1470, "vae-fc-d1-z2-width-128-digits-search-000-9ee9be60c3", "94fcd4a1cd78bad4"),
    "matched_weights": (52, "d-vae-mnist-d3-z20-mnist-search-000-3a89e8d7ae", "a909932639812283"),
    "smoke": (27, "vae-fc-d1-z2-width-64-digits-search-000-b298cccbfd", "9a99bd4c08724dd3"),
    "three_sizes": (48, "b-vae-1-d1-z50-mnist-search-000-eada5c3e44", "6f87637a46829abd"),
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
    keys += [plan._confirm_trial(cell, tuple(range(space.pack)), space.default_proposal(cell)[0]).key for cell in space.cells]
    assert (len(keys), keys[0], hashlib.sha256("\n".join(keys).encode()).hexdigest()[:16]) == KEYS[name]
