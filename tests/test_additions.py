"""What README says can be added from outside, each in one file that no module of the project knows."""
import json
import os
import subprocess
import sys

import pytest

from study import trial
from study.findings import findings
from study.ledger import Ledger
from study.plan import Plan
from study.preparation import identities, prepare
from study.space import load_space

HEAD = '''"""A question from outside."""
from dataclasses import dataclass

import numpy as np

from models.nets import Net, fc, fc_decoder, fc_encoder
from models.vae import VAE
from study.claims import Claim, Part
from study.comparisons import Levels
from study.data import Dataset, digits
from study.rules import falls
from study.sources import Part as Images, Raw
from study.space import Budget, Space, grid
'''
SPACE = '''
SPACE = Space(cells=grid([{model}], [{net}], [1], [2, 4], [{dataset}], width=[16]),
              propose=lambda trial, cell: {{}}, budget=lambda cell: Budget(2, 64), proposals=1, seeds=2{more})
'''
ADDITIONS = {
    "model": ("class Shy(VAE):\n    def sample(self, z):\n        return 0.5 * super().sample(z)\n", {"model": "Shy"}),
    "net": ("def encoder(shape, outputs, depth, *, width=400):\n    return fc_encoder(shape, outputs, 2 * depth, width=width)\n"
            'twice = Net("twice", encoder, fc_decoder)\n', {"net": "twice"}),
    "dataset": ("@dataclass(frozen=True)\nclass Stripes:\n    name = 'stripes'\n    size = 8\n    channels = 1\n    validation = 5\n"
                "    published = (800, 200)\n"
                "    def roots(self, data_dir):\n        return []\n"
                "    def download(self, data_dir):\n        pass\n"
                "    def read(self, data_dir, scratch, skip_corrupt, say):\n"
                "        labels = np.arange(1000) % 2\n"
                "        noise = np.random.RandomState(0).randint(0, 99, (1000, 1, 8, 8))\n"
                "        images = (noise + 150 * (np.arange(8) % 2 == labels[:, None, None, None])).astype(np.uint8)\n"
                "        return Raw(Images(images[:800], labels[:800]), Images(images[800:], labels[800:]), ('odd', 'even'))\n",
                {"dataset": "Dataset(Stripes())"}),
    "measure": ("def brightness(samples, real):\n    return samples.mean() / real.mean()\n",
                {"more": ", measures={'quality/brightness': brightness}"}),
    "space": ("", {}),
    "claim": ("LARGER = Claim('X1', 'a larger latent lowers fd_rel', 'us', ('outside_claim',),\n"
              "               (Part('fidelity', 'quality/fd_rel', falls, Levels('latent_dim')),))\n",
              {"more": ", claims=[LARGER]"}),
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
        space, options = load_space(str(file)), type("Options", (), {"features": "classifier", "inception_weights": None,
                                                                     "skip_corrupt": False, "address": None, "fast_cuda": False})
        ledger = Ledger(tmp_path / "studies" / space.name)
        prepare(space, options, data_dir, ledger, lambda text: None)
        plan = Plan(space, ledger, identities(space, data_dir, options))
        while plan.left():
            first = plan.left()[0]
            ledger.put_spec(first.key, {**plan.spec(first, {}, "default"), "drawn": {}})
            result = trial.run_trial(ledger.folder(first.key), data_dir)
            ledger.put_result(first.key, result)
            plan.record(first, result)
        return ledger, [ledger.result(key) for key in ledger.keys()]
    return run


@pytest.mark.parametrize("what", ["model", "net", "dataset", "measure", "space"])
def test_an_addition_in_one_file_is_trained_and_measured(run, what):
    ledger, results = run(what)
    assert len(results) == 4 and {result["status"] for result in results} == {"done"}
    if what == "measure":
        assert all(0 < replica["measures"]["quality/brightness"] < 9 for result in results for replica in result["replicas"])
    elif what != "space":
        assert {"model": "shy-fc", "net": "vae-twice", "dataset": "-stripes-"}[what] in ledger.keys()[0]


def test_a_worker_elsewhere_finds_what_was_added_by_the_spec_alone(run, tmp_path, data_dir):
    ledger, _ = run("dataset")
    key = ledger.keys()[0]
    (ledger.folder(key) / "result.json").unlink()
    done = subprocess.run([sys.executable, "study/trial.py", ledger.folder(key) / "spec.json", "--data-dir", data_dir],
                          capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert json.loads((ledger.folder(key) / "result.json").read_text())["status"] == "done"


def test_a_claim_from_outside_gets_its_verdict(run):
    ledger, results = run("claim")
    verdicts = {claim["id"]: claim["word"] for claim in findings(ledger)["claims"]}
    assert verdicts["X1"] in ("supported", "refuted", "undecided") and "C1" in verdicts
