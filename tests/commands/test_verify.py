"""Ours beside published numbers: the right trainings, the mean, a verdict, and log-likelihoods of all test images, computed once."""

import dataclasses
import json

import pytest
from trials import planned

from study import verify
from study.analysis.published_numbers import LOG_LIKELIHOOD, PROTOCOLS, Number, Protocol, PublishedCell, compared
from study.errors import UserError
from study.ledger.folder import BOUNDS, Ledger
from study.metrics.evaluation import binarised
from study.metrics.likelihood import elbo
from study.space.space import Space
from study.training.run import run_trial
from study.training.weights import rebuilt

PROTOCOL = Protocol(
    "space",
    "Somebody (2018)",
    "https://example.org",
    "quality/fid",
    "FID",
    1.5,
    [PublishedCell({"latent_dim": 2}, {"quality/fid": Number(10.0)})],
)


def rows(*values, **changes):
    return [{"stage": "confirm", "latent_dim": 2, "quality/fid": value, "trial": "key", **changes} for value in values]


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ((11.0, 11.8), "within 1.5"),
        ((11.0, 12.4), "+1.7: more than 1.5 apart"),
        ((8.0,), "-2: more than 1.5 apart"),
        ((), "not run"),
    ],
)
def test_the_mean_over_trainings_decides(values, verdict):
    found = compared(PROTOCOL, rows(*values) + rows(50.0, latent_dim=5) + rows(50.0, stage="search"))
    assert [each.verdict for each in found] == [verdict] and found[0].ours == values


def test_without_a_margin_two_deviations_of_both_decide():
    cell = PublishedCell({"latent_dim": 2}, {"quality/fid": Number(10.0, 3.0)})
    protocol = dataclasses.replace(PROTOCOL, margin=None, cells=[cell])  # of 3 and 4 it is 10
    assert compared(protocol, rows(15.0, 23.0 - 4 * (2 - 2**0.5)))[0].verdict.startswith("within")
    assert "apart" in compared(protocol, rows(21.0, 21.1))[0].verdict


def test_every_table_can_be_asked_for():
    assert tuple(PROTOCOLS) == verify.TABLES


def test_every_published_cell_is_one_that_its_space_trains():
    from study.space.loading import load_space

    for protocol in PROTOCOLS.values():
        space: Space = load_space(protocol.space)
        trained = [
            {
                "stage": "confirm",
                "model": cell.family,
                "dataset": cell.dataset.name,
                "latent_dim": cell.latent_dim,
                **cell.settings,
                protocol.gate: 1.0,
            }
            for cell in space.cells
        ]
        assert {len(each.ours) for each in compared(protocol, trained) if each.measure == protocol.gate} == {1}


@pytest.mark.long
def test_log_likelihoods_are_of_all_test_images_and_computed_once(tmp_path, data_dir, monkeypatch, capsys):
    ledger = Ledger(tmp_path / "vae_latent_reference")
    folder = planned(ledger, data_dir, epochs=1)
    ledger.put_result(folder.name, run_trial(folder, data_dir))
    arguments = ["vae_latent", "--storage", str(tmp_path), "--data-dir", str(data_dir)]
    assert verify.main(arguments) == 3  # one epoch of digits is no published model
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("| latent 2 | log likelihood"))
    assert "-135.73" in line and "apart" in line
    (known,) = json.loads((ledger.root / BOUNDS).read_text()).values()
    model, images = rebuilt(ledger, folder.name), verify_images(data_dir)
    bound = elbo(images, model.posterior, model.log_likelihood, noise_for(images))["elbo"]
    assert bound < known[LOG_LIKELIHOOD] < bound + 2 and known["reconstruction"] - known["kl"] == pytest.approx(bound, abs=1e-6)
    monkeypatch.setattr(verify, "bounds", None)  # would fail if it were called
    assert verify.main(arguments) == 3


def verify_images(data_dir):
    from study.data import digits

    images = digits.load(data_dir)
    return binarised(images.scaled(images.test.images))


def noise_for(images):
    import torch

    return torch.randn(len(images), 2, generator=torch.Generator().manual_seed(0))


def test_a_study_that_was_not_run_is_one_line_that_says_how(tmp_path):
    with pytest.raises(UserError, match="launch.py --space fid_reference"):
        verify.main(["fid", "--storage", str(tmp_path)])
