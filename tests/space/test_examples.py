"""The files in examples/ do what docs/extending.md says of them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from models.nets import fc
from study.analysis.cell_table import as_row, cells
from study.analysis.report_data import findings
from study.errors import UserError
from study.ledger.folder import Ledger
from study.space import Budget, Space, grid
from study.space.loading import accepted
from study.sweep.launch_options import LaunchOptions
from study.sweep.plan import Plan
from study.sweep.preparation import identities, prepare
from study.sweep.selection import chosen_space
from study.training.replicas import Replicas
from study.training.run import run_trial

ROOT = Path(__file__).parents[2]
SPACE = ROOT / "examples" / "does_the_net_matter.py"


@pytest.fixture(autouse=True)
def examples(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(SPACE.parent)])


def run_all(space: Space, options: LaunchOptions, root: Path, data_dir) -> Ledger:
    """Every trial of a space, one after the other, without Ray."""
    ledger = Ledger(root / space.name)
    prepare(space, options, data_dir, ledger, lambda text: None)
    plan = Plan(space, ledger, identities(space, data_dir, options))
    while plan.left():
        first = plan.left()[0]
        ledger.put_spec(first.key, plan.new_spec(first))
        result = run_trial(ledger.folder(first.key), data_dir)
        ledger.put_result(first.key, result)
        plan.record(first, result)
        plan.advance(first.cell)
    return ledger


@pytest.mark.long
def test_a_space_of_ones_own_models_net_measure_and_claim_is_trained_measured_and_judged(tmp_path, data_dir):
    options = LaunchOptions(space=str(SPACE), storage=tmp_path, epochs=2, proposals=1, replicates=2)
    ledger = run_all(chosen_space(options), options, tmp_path, data_dir)
    rows = [as_row(cell) for cell in cells(ledger)]
    assert {(row["model"], row["net"]) for row in rows} == {
        ("vae", "fc"), ("vae", "funnel"), ("hingegan", "fc"), ("hingegan", "funnel"), ("flow", "fc")
    }  # fmt: skip
    assert all(row["status"] == "done" and row["quality/symmetry"] > 0 for row in rows)
    assert all(("likelihood/bits_per_dim" in row) == (row["model"] != "hingegan") for row in rows)
    (verdict,) = findings(ledger).verdicts
    assert verdict.claim.id == "funnel" and verdict.word != "unanswerable"


def test_a_flows_density_is_that_of_its_map_and_sampling_undoes_it():
    from flow import Flow

    torch.manual_seed(0)
    flow = Flow((1, 4, 4), fc, 1, 16, width=8).double()
    x = 0.1 + 0.8 * torch.rand(3, 1, 4, 4, dtype=torch.float64)
    z = torch.stack([noise_of(flow, each) for each in x])
    assert torch.allclose(flow.sample(z), x, atol=1e-9)
    for image, noise, density in zip(x, z, flow.log_prob(x)):
        jacobian = torch.autograd.functional.jacobian(lambda each: noise_of(flow, each), image).reshape(16, 16)
        normal = torch.distributions.Normal(0, 1).log_prob(noise).sum()
        assert torch.isclose(density, normal + torch.linalg.slogdet(jacobian)[1], atol=1e-9)


def noise_of(flow, image):
    """What an image (1, H, W) is made of, by the couplings one after the other."""
    z = (0.05 + 0.9 * image).flatten()[None].logit()
    for coupling, kept in zip(flow.couplings, flow.masks):
        scale, shift = flow.scale_and_shift(coupling, z, kept)
        z = z * scale.exp() + shift
    return z[0]


def test_a_flow_says_how_large_its_latent_must_be():
    from flow import Flow

    with pytest.raises(ValueError, match="latent_dim=64, not 8"):
        Flow((1, 8, 8), fc, 1, 8)


@pytest.mark.parametrize("name", ["hinge_gan:HingeGAN", "flow:Flow"])
def test_the_models_train_side_by_side(name):
    module, _, kind = name.partition(":")
    model = getattr(__import__(module), kind)
    builds = [lambda lr=lr: model((1, 4, 4), fc, 1, 16, width=8, lr=lr) for lr in (1e-3, 3e-3)]
    replicas = Replicas(builds, range(2))
    losses = replicas.train_epoch(torch.randint(0, 256, (64, 1, 4, 4), dtype=torch.uint8), 256, 16)
    assert replicas.fused and all(history.isfinite().all() for history in losses.values())


def test_a_funnels_widths_fall_by_one_ratio():
    from funnel import widths

    assert widths(784, 10, 2) == [183, 43] and widths(64, 64, 3) == [64] * 3


@pytest.mark.long
def test_a_dataset_with_arguments_reaches_a_process_that_knows_the_spec_only(tmp_path):
    from own_arrays import some_classes

    from models.vae import VAE

    rng = np.random.default_rng(0)
    np.savez(tmp_path / "letters.npz", images=rng.integers(0, 255, (600, 8, 8)), labels=np.arange(600) % 3)
    dataset = some_classes(tmp_path / "letters.npz", 0, 2)
    space = accepted(
        Space(
            cells=grid([VAE], [fc], [1], [2], [dataset], width=[8]),
            propose=lambda trial, cell: {},
            budget=lambda cell: Budget(1, 32),
            replicates=1,
            name="letters",
            origin=str(SPACE.parent),
        )
    )
    options = LaunchOptions(space="letters", storage=tmp_path)
    ledger = Ledger(tmp_path / "letters")
    prepare(space, options, tmp_path / "data", ledger, lambda text: None)
    plan = Plan(space, ledger, identities(space, tmp_path / "data", options))
    plan.advance(space.cells[0])
    (trial,) = plan.left()
    spec = ledger.put_spec(trial.key, plan.new_spec(trial))
    assert spec.source_arguments == {"file": str(tmp_path / "letters.npz"), "labels": [0, 2]} and "letters-0-2" in trial.key
    done = subprocess.run(
        [
            sys.executable,
            "study/trial.py",
            ledger.folder(trial.key) / "spec.json",
            "--data-dir",
            tmp_path / "data",
            "--trust-study",
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((ledger.folder(trial.key) / "result.json").read_text())["status"] == "done"


def test_a_source_whose_arguments_would_be_lost_is_refused():
    from own_arrays import SomeClasses

    from models.vae import VAE
    from study.data import Dataset

    class Lossy(SomeClasses):
        def __init__(self, file):
            super().__init__(file, (0,))

    space = Space(
        cells=grid([VAE], [fc], [1], [2], [Dataset(Lossy("letters.npz"))]),
        propose=dict,
        budget=lambda cell: Budget(1),
        name="lossy",
    )
    with pytest.raises(UserError, match="Lossy must be a frozen dataclass"):
        accepted(space)


def test_every_example_is_told_of_and_code_that_is_shown_stands_in_one_of_them_or_in_the_api():
    told = (ROOT / "docs" / "extending.md").read_text()
    files = [path for path in (ROOT / "examples").iterdir() if path.is_file()]
    assert len(files) > 6 and all(f"(../examples/{path.name})" in told for path in files)
    written = {line.strip() for path in [*files, ROOT / "study" / "api.py"] for line in path.read_text().splitlines()}
    shown = {line.strip() for line in told.splitlines() if line.startswith("    ")}
    assert len(shown) > 10 and {line for line in shown if not line.startswith("python study/")} <= written
