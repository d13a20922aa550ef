"""Trial keys are what results are found again by: a change of the code that is no change of a result must not change them."""

import hashlib

import pytest

from study.ledger.folder import Ledger
from study.space.loading import load_space, space_names
from study.sweep.plan import Plan

KEYS = {  # space -> how many keys, the first of them, and a digest of all
    "bottleneck_20": (165, "a-vae-d1-z20-mnist-r00-confirm-f56877cc91", "13b9d2a24ac9555c"),
    "depth_and_latent": (768, "e-vae-depth-d1-z2-mnist-r00-confirm-32d53598af", "70364ac15cedc3cc"),
    "dropout_or_dcgan": (36, "c-vae-d2-z20-mnist-r00-confirm-4da8e4f02d", "0d201a0e1f4fafa3"),
    "fid_reference": (9018, "gan-infogan-d2-z64-loss-minimax-output-sigmoid-mnist-r00-search-000-191df8d074", "858e4f0057a6738d"),
    "latent_sweep": (13524, "vae-fc-d1-z2-width-128-digits-r00-search-000-f7f73caa5a", "9b6e88a610c73891"),
    "matched_weights": (312, "d-vae-mnist-d3-z20-mnist-r00-confirm-db03d05226", "3701987f6a4ac02f"),
    "mnist_fc": (2156, "vae-fc-d1-z2-width-128-mnist-r00-search-000-424081b82f", "95b32fc30c266745"),
    "smoke": (45, "vae-fc-d1-z2-width-64-digits-r00-search-000-af76c5649d", "2372f3880fcb5ba7"),
    "three_sizes": (384, "b-vae-1-d1-z50-mnist-r00-confirm-1c037ad23d", "5ec1a21db65938fe"),
    "vae_latent_reference": (30, "vae-fc-d2-z2-warmup-100-mnist-binarised-r00-confirm-c9639c4d04", "98c277e729aed56e"),
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
