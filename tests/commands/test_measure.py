"""A finished study is measured once more, on real Ray workers, by a command that is killed on its way; nothing is trained."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from launching import ROOT, launch
from mlflow import MlflowClient

from study.ledger.folder import Ledger
from study.mlflow_view.store import default_uri

pytestmark = [pytest.mark.ray, pytest.mark.long]


def command(script, storage, data_dir, *arguments):
    return [
        *(sys.executable, f"study/{script}.py", "--space", "smoke", "--storage", storage, "--data-dir", data_dir),
        *("--features-seed", "1", *arguments),
    ]


def trained(ledger) -> dict:
    """What training left behind, and when."""
    names = ("metrics.jsonl", "result.json", "weights.safetensors", "spec.json")
    return {path: path.stat().st_mtime_ns for path in ledger.root.rglob("*") if path.name in names}


def measured(ledger) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in ledger.root.rglob("measured-*.json")}


def test_a_study_is_measured_by_other_features_resumes_after_kill_9_and_trains_nothing(tmp_path, data_dir):
    storage = tmp_path / "studies"
    launch(storage, data_dir, "--models", "VAE", "--nets", "fc", "--proposals", "1", "--epochs", "2", "--replicates", "8")
    ledger = Ledger(storage / "smoke")
    before, confirmed = trained(ledger), [key for key in ledger.keys() if "-confirm-" in key]
    first = subprocess.Popen(command("measure", storage, data_dir), cwd=ROOT)
    while len(measured(ledger)) < 3:
        assert first.poll() is None
        time.sleep(0.02)
    first.kill()
    first.wait()
    some = measured(ledger)
    assert 3 <= len(some) < len(confirmed)
    done = subprocess.run(command("measure", storage, data_dir), cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(confirmed) - len(some)} trainings to measure" in done.stdout and "--features-seed 1" in done.stdout
    assert trained(ledger) == before
    assert len(measured(ledger)) == len(confirmed) and some.items() <= measured(ledger).items()
    assert all(len(ledger.measurements(key)) == 1 for key in confirmed)
    client = MlflowClient(default_uri(storage))
    runs = client.search_runs([client.get_experiment_by_name("smoke").experiment_id], "tags.stage = 'confirm'", max_results=1000)
    assert len(runs) == len(confirmed) and all("classifier 1/test/fd_rel" in run.data.metrics for run in runs)
    done = subprocess.run(command("report", storage, data_dir), cwd=ROOT, capture_output=True, text=True, timeout=600)
    page = ledger.root / "report-classifier-1" / "report.html"
    assert page.as_uri() in done.stdout and "classifier features of seed 1" in page.read_text()
