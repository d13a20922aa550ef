"""The best model of a dataset, taken out of MLflow's registry and asked for images; the proposals, in Optuna's storage."""

import os
import shutil
import subprocess
import sys

import mlflow
import numpy as np
import optuna
import pytest
import torch
from safetensors.torch import save_file
from servers import ROOT, free_port, server
from tiny import IDENTITY, finish, tiny_space

from models.nets import conv, fc
from models.vae import VAE
from study import sample
from study.analysis.cell_table import cells, champions
from study.ledger.folder import Ledger
from study.mlflow_view.registry import save
from study.mlflow_view.tracker import Tracker
from study.sweep.optuna_sampler import export
from study.sweep.plan import Plan
from study.training.image_grids import decode, prior_sample
from study.training.weights import plain, rebuilt


def finished_study(plan):
    """All trials done; the confirm trials have the weights of real models."""
    for trials in plan.search.values():
        for number, trial in enumerate(trials):
            finish(plan, trial, objective=2.0 + number, params={"lr": 1e-3 * (1 + trial.proposal)})
    for number, trial in enumerate(plan.left()):
        model = VAE((1, 8, 8), fc, 1, trial.cell.latent_dim, width=16)
        finish(plan, trial, objective=1.0 + number)
        save_file(
            {f"0/{name}": tensor for name, tensor in model.state_dict().items()},
            plan.ledger.folder(trial.key) / "weights.safetensors",
        )


@pytest.mark.long
def test_the_champion_loads_without_pickle_and_draws_images_from_any_number_of_latents(plan, ledger, uri, monkeypatch):
    finished_study(plan)
    tracker = Tracker(uri, ledger, "tiny")
    for key in ledger.keys():
        tracker.project(key)
    tracker.summarise()
    tracker.summarise()
    assert len(tracker.client.search_model_versions("name='tiny-digits'")) == 1
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    mlflow.set_tracking_uri(uri)
    champion = mlflow.pyfunc.load_model("models:/tiny-digits@champion")
    key = tracker.client.get_model_version_by_alias("tiny-digits", "champion").tags["trial_key"]
    latent_dim = ledger.spec(key).latent_dim
    images = champion.predict(np.zeros((5, latent_dim), np.float32))
    assert images.shape == (5, 1, 8, 8) and 0 <= images.min() <= images.max() <= 1
    assert torch.isfinite(torch.as_tensor(images)).all()


@pytest.mark.long
def test_two_ledgers_with_one_space_name_have_a_champion_each(plan, uri, tmp_path):
    other = Plan(tiny_space(), Ledger(tmp_path / "elsewhere" / "tiny"), IDENTITY)
    names = []
    for each in (plan, other):
        finished_study(each)
        tracker = Tracker(uri, each.ledger, "tiny", log=lambda text: None)
        for key in each.ledger.keys():
            tracker.project(key)
        tracker.summarise()
        names.append(f"{tracker.name}-digits")
    assert names[0] == "tiny-digits" != names[1]
    for name in names:
        assert [int(version.version) for version in tracker.client.search_model_versions(f"name='{name}'")] == [1]
    mlflow.set_tracking_uri(uri)
    assert mlflow.pyfunc.load_model(f"models:/{names[1]}@champion")


def test_a_convolutional_champion_draws_what_its_model_draws_and_is_saved_without_a_word(tmp_path, recwarn):
    model = plain(lambda: VAE((1, 8, 8), conv, 2, 4, width=8), VAE((1, 8, 8), conv, 2, 4, width=8).state_dict())
    save(model, tmp_path / "model")
    assert not [warning for warning in recwarn if "complete tensor" in str(warning.message)]
    z = np.random.default_rng(0).standard_normal((7, 4)).astype(np.float32)
    drawn = mlflow.pyfunc.load_model(str(tmp_path / "model")).predict(z)
    np.testing.assert_allclose(drawn, model.sample(torch.from_numpy(z)).numpy(), atol=1e-5)


def test_a_better_trial_takes_over_the_alias(plan, ledger, uri):
    finished_study(plan)
    tracker = Tracker(uri, ledger, "tiny")
    for key in ledger.keys():
        tracker.project(key)
    tracker.summarise()
    best = tracker.client.get_model_version_by_alias("tiny-digits", "champion").tags["trial_key"]
    (ledger.folder(best) / "result.json").unlink()
    tracker.summarise()
    after = tracker.client.get_model_version_by_alias("tiny-digits", "champion")
    assert after.tags["trial_key"] != best and int(after.version) == 2


def test_the_proposals_become_an_optuna_storage_that_its_dashboard_reads(plan, ledger, tmp_path):
    finished_study(plan)
    storage = f"sqlite:///{tmp_path / 'proposals.db'}"
    assert export(ledger, "tiny", storage) == export(ledger, "tiny", storage) == 24
    study = optuna.load_study(study_name="tiny/vae-fc-digits", storage=storage)
    assert len(study.trials) == 24 and study.best_trial.params == {"lr": 1e-3}
    assert {trial.user_attrs["latent_dim"] for trial in study.trials} == {2, 4}


def test_exporting_a_study_that_is_not_there_is_one_clear_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "study/proposals.py", "export", "--space", "tiny", "--storage", tmp_path], capture_output=True, text=True
    )
    assert done.returncode == 2 and done.stderr.startswith("error: no trials of 'tiny'")


@pytest.mark.long
def test_a_champion_is_drawn_from_on_another_machine_by_the_registry_alone(plan, ledger, tmp_path):
    finished_study(plan)
    best = champions(cells(ledger))[0]
    grid = image_files_of(ledger, best.trial)
    (tmp_path / "elsewhere").mkdir()
    with server(tmp_path, port := free_port(), f"sqlite:///{tmp_path / 'server.db'}"):
        uri = f"http://127.0.0.1:{port}"
        tracker = Tracker(uri, ledger, "tiny")
        for key in ledger.keys():
            tracker.project(key)
        tracker.summarise()
        shutil.rmtree(ledger.root)
        command = [sys.executable, ROOT / "study/sample.py", "--champion", "digits", "-n", "9", "--npz", "images.npz"]
        told = {**os.environ, "MLFLOW_TRACKING_URI": uri}
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path / "elsewhere", env=told)
        assert done.returncode == 0 and f"9 images of {best.trial}" in done.stdout, done.stderr
        assert np.allclose(np.load(tmp_path / "elsewhere" / "images.npz")["images"], grid, atol=1e-5)  # threads round differently
        said = tracker.client.get_registered_model("tiny-digits").description
        assert f"fd_rel {best.value('quality/fd_rel'):.3g}" in said and said.count("\n", said.index("```python")) > 3
        wrong = subprocess.run([*command[:3], "letters"], capture_output=True, text=True, cwd=tmp_path / "elsewhere", env=told)
        assert wrong.returncode == 2 and wrong.stderr.count("\n") == 1 and "tiny-digits" in wrong.stderr


def image_files_of(ledger, key):
    """Nine images of a trial, as its ledger draws them."""
    model = rebuilt(ledger, key)
    return decode(model, prior_sample(model, 9, 0)).numpy()


def test_which_trial_is_meant_must_be_said(capsys):
    with pytest.raises(SystemExit) as ended:
        sample.main(["--space", "tiny"])
    assert ended.value.code == 2 and "--champion" in capsys.readouterr().err
