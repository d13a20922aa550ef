"""What README says can be added from outside, each in one file that no module of the project knows."""

import json
import os
import subprocess
import sys

import pytest
from mlflow import MlflowClient
from trials import planned

from study import sample
from study.analysis.cell_table import cells, champions
from study.analysis.report_data import findings
from study.ledger.folder import Ledger
from study.ledger.names import cell_of
from study.mlflow_view.sync import sync
from study.reporting.build import write_report
from study.space.loading import load_space
from study.sweep.launch_options import LaunchOptions
from study.sweep.plan import Plan
from study.sweep.preparation import identities, prepare
from study.training.run import run_trial

HEAD = '''"""A question from outside."""
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from models.nets import Net, fc, fc_decoder, fc_encoder
from models.phase import Adam, Phase
from models.vae import VAE
from study.analysis.claims import Claim, Part
from study.analysis.comparisons import Levels
from study.data import Dataset, digits
from study.analysis.rules import falls
from study.data.sources import Part as Images, Raw
from study.space import Budget, Search, Space, grid
'''
SPACE = """
SPACE = Space(cells=grid([{model}], [{net}], [1], [2, 4], [{dataset}], width=[16]),
              propose=lambda trial, cell: {{}}, budget=lambda cell: Budget(2, 64), search=Search(rounds=(1,), rungs=()), replicates=2{more})
"""
ADDITIONS = {
    "model": ("class Shy(VAE):\n    def sample(self, z):\n        return 0.5 * super().sample(z)\n", {"model": "Shy"}),
    "kind": (
        "class Matching(nn.Module):\n"
        "    def __init__(self, shape, net, depth, latent_dim, *, lr=1e-2, width=16):\n"
        "        super().__init__()\n"
        "        self.shape, self.latent_dim = shape, latent_dim\n"
        "        self.generator = net.decoder(latent_dim, shape, depth, width=width)\n"
        "        self.phases = [Phase('moments', 'gap', ('generator',), Adam(lr, (0.9, 0.999)), noise={'z': (latent_dim,)})]\n"
        "    def gap(self, x, noise, epoch):\n"
        "        drawn = torch.sigmoid(self.generator(noise['z']))\n"
        "        return {'loss': sum((drawn ** k - x ** k).mean(0).square().sum() for k in (1, 2))}\n"
        "    @torch.no_grad()\n"
        "    def sample(self, z):\n"
        "        return torch.sigmoid(self.generator(z))\n",
        {"model": "Matching"},
    ),
    "net": (
        "def encoder(shape, outputs, depth, *, width=400):\n    return fc_encoder(shape, outputs, 2 * depth, width=width)\n"
        'twice = Net("twice", encoder, fc_decoder)\n',
        {"net": "twice"},
    ),
    "dataset": (
        "@dataclass(frozen=True)\nclass Stripes:\n    name = 'stripes'\n    size = 8\n    channels = 1\n    validation = 5\n"
        "    published = (800, 200)\n"
        "    def roots(self, data_dir):\n        return []\n"
        "    def download(self, data_dir):\n        pass\n"
        "    def read(self, data_dir, scratch, skip_corrupt, log):\n"
        "        labels = np.arange(1000) % 2\n"
        "        noise = np.random.RandomState(0).randint(0, 99, (1000, 1, 8, 8))\n"
        "        images = (noise + 150 * (np.arange(8) % 2 == labels[:, None, None, None])).astype(np.uint8)\n"
        "        return Raw(Images(images[:800], labels[:800]), Images(images[800:], labels[800:]), ('odd', 'even'))\n",
        {"dataset": "Dataset(Stripes())"},
    ),
    "measure": (
        "def brightness(samples, real):\n    return samples.mean() / real.mean()\n",
        {"more": ", measures={'quality/brightness': brightness}"},
    ),
    "space": ("", {}),
    "claim": (
        "LARGER = Claim('X1', 'a larger latent lowers fd_rel', 'us', ('outside_claim',),\n"
        "               (Part('fidelity', 'quality/fd_rel', falls, Levels('latent_dim')),))\n",
        {"more": ", claims=[LARGER]"},
    ),
}


@pytest.fixture
def run(tmp_path, data_dir, monkeypatch):
    """run(what) -> (ledger, results) of the study that a file from outside asks for, without Ray."""

    def run(what):
        code, parts = ADDITIONS[what]
        file = tmp_path / f"outside_{what}.py"
        file.write_text(HEAD + code + SPACE.format(**{"model": "VAE", "net": "fc", "dataset": "digits", "more": "", **parts}))
        monkeypatch.setattr(sys, "path", [*sys.path])
        monkeypatch.delitem(sys.modules, file.stem, raising=False)
        space, options = load_space(str(file)), LaunchOptions(space=str(file), storage=tmp_path)
        ledger = Ledger(tmp_path / "studies" / space.name)
        prepare(space, options, data_dir, ledger, lambda text: None)
        plan = Plan(space, ledger, identities(space, data_dir, options))
        while plan.left():
            first = plan.left()[0]
            ledger.put_spec(first.key, plan.spec(first, {}, "default"))
            result = run_trial(ledger.folder(first.key), data_dir)
            ledger.put_result(first.key, result)
            plan.record(first, result)
        return ledger, [ledger.result(key) for key in ledger.keys()]

    return run


@pytest.mark.parametrize(
    "what", ["kind", *(pytest.param(what, marks=pytest.mark.long) for what in ("model", "net", "dataset", "measure", "space"))]
)
def test_an_addition_in_one_file_is_trained_and_measured(run, what):
    ledger, results = run(what)
    assert len(results) == 4 and {result.status for result in results} == {"done"}
    if what == "measure":
        assert all(0 < replica.measures["quality/brightness"] < 9 for result in results for replica in result.replicas)
    elif what != "space":
        assert {"model": "shy-fc", "kind": "matching-fc", "net": "vae-twice", "dataset": "-stripes-"}[what] in ledger.keys()[0]


@pytest.mark.long
def test_a_model_of_another_kind_goes_through_the_whole_study(run, tmp_path, data_dir):
    """It has phases, sample, shape and latent_dim and nothing else; not even a sample that can be differentiated."""
    ledger, results = run("kind")
    measures = {name for result in results for replica in result.replicas for name in replica.measures}
    assert {"quality/fd_rel", "modes/classes", "two_sample/jsd"} < measures
    assert not any(name.startswith(("likelihood/", "diagnostics/")) for name in measures)
    cell = findings(ledger).cells[0]
    assert {"samples", "sheet", "beside", "nearest", "interpolation", "curves"} <= set(cell.pictures)
    assert "Matching".upper() in write_report(ledger, data_dir).read_text()
    assert (
        sample.main(
            [
                "--space",
                ledger.root.name,
                "--storage",
                str(ledger.root.parent),
                "--trial",
                "best",
                "--traverse",
                "--out",
                str(tmp_path / "grid.png"),
            ]
        )
        == 0
    )
    assert sync(ledger.root.parent, ledger.root.name, uri := f"sqlite:///{tmp_path / 'mlflow.db'}") == 4
    client = MlflowClient(uri)
    (version,) = client.search_model_versions()
    assert version.tags["trial_key"] == champions(cells(ledger))[0].trial
    run_of_it = client.get_run(version.run_id)
    assert run_of_it.data.params["model"] == "matching" and run_of_it.data.metrics["test/fd_rel"] > 0


@pytest.mark.long
def test_a_worker_elsewhere_finds_what_was_added_by_the_spec_and_the_space_file_that_it_may_trust(run, tmp_path, data_dir):
    ledger, _ = run("dataset")
    key = ledger.keys()[0]
    (ledger.folder(key) / "result.json").unlink()
    command = [sys.executable, "study/trial.py", ledger.folder(key) / "spec.json", "--data-dir", data_dir]
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1 and "outside_dataset:Stripes" in refused.stderr
    done = subprocess.run(
        [*command, "--space", tmp_path / "outside_dataset.py"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((ledger.folder(key) / "result.json").read_text())["status"] == "done"


def test_a_claim_from_outside_gets_its_verdict(run):
    ledger, results = run("claim")
    verdicts = {verdict.claim.id: verdict.word for verdict in findings(ledger).verdicts}
    assert set(verdicts) == {"X1"} and verdicts["X1"] in ("supported", "refuted", "undecided")


def test_beta_is_compared_as_a_cell_where_it_stands_in_the_grid(ledger, data_dir):
    folders = [planned(ledger, data_dir, epochs=1, beta=beta) for beta in (0.5, 4.0)]
    assert len({cell_of(folder.name) for folder in folders}) == 2
    found = [run_trial(folder, data_dir).measures["likelihood/beta_effective"] for folder in folders]
    assert found == [0.5, 4.0]
