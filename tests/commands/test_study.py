"""One real study with real Ray workers, from launch to MLflow. The only tests that start Ray."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from launching import launch
from mlflow import MlflowClient

from study.ledger.folder import Ledger
from study.ledger.records import STAGES
from study.mlflow_view.store import default_uri

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.ray


def tree(ledger):
    """What training left behind, and when."""
    return {path: path.stat().st_mtime_ns for path in ledger.root.rglob("metrics.jsonl")}


@pytest.fixture(scope="module")
def study(tmp_path_factory, data_dir):
    """A finished smoke study of six of its cells: its storage folder and what it printed."""
    storage = tmp_path_factory.mktemp("mlruns") / "studies"
    return storage, launch(storage, data_dir, "--latents", 8)


def test_every_planned_trial_is_done_once_in_the_ledger_and_once_in_mlflow(study):
    storage, text = study
    status = json.loads(
        subprocess.run(
            [sys.executable, "study/status.py", "--space", "smoke", "--storage", storage, "--json"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )
    assert status["planned"] == status["done"] == 36 and status["left"] == status["failed"] == 0
    client = MlflowClient(default_uri(storage))
    experiment = client.get_experiment_by_name("smoke")
    runs = client.search_runs([experiment.experiment_id])
    assert sorted(run.data.tags["trial_key"] for run in runs if "trial_key" in run.data.tags) == Ledger(storage / "smoke").keys()
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert "best vae on digits" in text and "make ui" in text
    champion = client.get_model_version_by_alias("smoke-digits", "champion")
    assert champion.tags["trial_key"] in Ledger(storage / "smoke").keys()


def test_each_replicate_was_tuned_for_itself_and_is_confirmed_on_held_out_data(study):
    ledger = Ledger(study[0] / "smoke")
    specs = {key: ledger.spec(key) for key in ledger.keys()}
    for cell in {key.rsplit("-r0", 1)[0] for key in specs}:
        search, confirm = (
            [spec for key, spec in specs.items() if key.startswith(cell) and spec.stage == stage] for stage in STAGES
        )
        assert [(spec.replicate, spec.proposal) for spec in search] == [(0, 0), (0, 1), (1, 0), (1, 1)]
        assert [spec.replicate for spec in confirm] == [0, 1]
        for spec in confirm:
            own = [ledger.result(each.key) for each in search if each.replicate == spec.replicate]
            assert spec.params == min(own, key=lambda result: result.objective).params
        one, other = (ledger.result(spec.key).measures["quality/fd_rel"] for spec in confirm)
        assert one != other and "quality/coverage" in ledger.result(confirm[0].key).measures


def test_the_first_replicate_of_every_cell_shows_its_samples_from_the_untrained_model_on(study):
    ledger = Ledger(study[0] / "smoke")
    drawing = {key for key in ledger.keys() if (ledger.folder(key) / "images").exists()}
    assert drawing == {key for key in ledger.keys() if "-r00-confirm-" in key} and len(drawing) == 6
    for key in drawing:
        names = sorted(path.name for path in (ledger.folder(key) / "images").iterdir())
        assert [name for name in names if "samples" in name] == [f"samples-{epoch:05d}.png" for epoch in range(7)]
        assert {"interpolation-00006.png", "nearest-00006.png", "reconstructions-00006.png"} <= set(names)


@pytest.mark.long
def test_the_systems_of_a_report_are_launched_by_name_and_a_second_launch_trains_nothing(tmp_path, data_dir):
    storage = tmp_path / "mlruns" / "studies"
    small = ("--datasets", "digits", "--epochs", 2, "--proposals", 1, "--replicates", 1)
    text = launch(storage, data_dir, *small, space="dropout_or_dcgan")
    ledger = Ledger(storage / "dropout_or_dcgan")
    keys, before = ledger.keys(), tree(ledger)
    assert len(keys) == 2 and keys[0].startswith("c-dcgan-") and keys[1].startswith("c-vae-")  # as published: nothing is searched
    assert "best vae on digits: C-vae" in text
    assert "nothing is left" in launch(storage, data_dir, *small, space="dropout_or_dcgan")
    assert "nothing is left" in launch(storage, data_dir, *small, "--systems", "C-vae", space="dropout_or_dcgan")
    assert tree(ledger) == before
