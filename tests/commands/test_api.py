"""The commands as functions: the same studies, the same numbers, errors as exceptions; and the notebook that shows them."""

import json
import os
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tiny import finish, tiny_space

from models.nets import fc
from models.vae import VAE
from study.analysis.cell_table import as_row, cells
from study.api import Study, as_typed, run
from study.errors import UserError
from study.launch import parse
from study.space import Space
from study.space.loading import accepted, folders_of

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "examples" / "first_study.ipynb"
QUESTION = """from models.nets import fc
from models.vae import VAE
from study.data import digits
from study.space import Budget, Space, grid

SPACE = Space(
    cells=grid([VAE], [fc], [1], [2], [digits]),
    propose=lambda trial, cell: {{}},
    budget=lambda cell: Budget(1),
    replicates={replicates},
)
"""
SCRIPT = """import sys

sys.path.append("{examples}")
from flow import Flow
from own_arrays import some_classes

from models.nets import fc
from study.api import run
from study.space import Budget, Space, grid

if __name__ == "__main__":
    cells = grid([Flow], [fc], [1], [64], [some_classes("letters.npz", 0, 2)], width=[16])
    space = Space(cells, propose=lambda trial, cell: {{}}, budget=lambda cell: Budget(1, 32), name="letters")
    for replicates in (1, 2):
        study = run(space, storage="studies", data_dir="data", replicates=replicates)
        print([(cell.model, cell.dataset, cell.status, cell.replicates) for cell in study.cells()])
"""


@pytest.fixture
def study(plan):
    """Two trials on held-out data, of which the better kept its weights."""
    better, worse = (plan._confirm_trial(cell, 0, {"lr": 1e-3}) for cell in plan.space.cells)
    finish(plan, better, objective=0.2)
    finish(plan, worse, objective=0.4)
    torch.manual_seed(0)
    weights = VAE((1, 8, 8), fc, 1, 2, width=16).state_dict()
    save_file({f"0/{name}": each for name, each in weights.items()}, plan.ledger.folder(better.key) / "weights.safetensors")
    return Study(plan.ledger.root)


def test_a_study_is_named_by_its_folder_its_address_or_its_space_and_storage(study, monkeypatch):
    root = study.ledger.root
    monkeypatch.chdir(root)
    assert {Study(*named).ledger.root for named in [(root.name, root.parent), (str(root),), (".",), (f"{root}/",)]} == {root}
    assert str(Study("s3://bucket/studies/smoke")) == str(Study("smoke", "s3://bucket/studies"))
    with pytest.raises(UserError, match="no study 'nothing' in .*run\\('nothing'\\) makes one"):
        Study("nothing", root.parent).frame()


def test_a_study_is_told_as_it_is_when_it_is_asked(study, plan):
    better = plan._confirm_trial(plan.space.cells[1], 1, {"lr": 1e-3})
    finish(plan, better, objective=0.1)
    assert study.best().trial != better.key  # the median of its cell's
    assert study.frame().replicates.tolist() == [1, 2]


def test_frames_hold_what_the_tables_hold(study):
    assert study.frame().to_dict("records") == [as_row(cell) for cell in cells(study.ledger)]
    trainings = study.frame("trainings")
    assert sorted(trainings["quality/fd_rel"]) == [0.2, 0.4] and set(trainings["lr"]) == {1e-3}
    assert not any(name.startswith("curve/") for name in trainings)
    with pytest.raises(UserError, match="cells.*trainings.*rows"):
        study.frame("rows")


def test_the_best_cell_draws_images_and_the_same_ones_for_a_seed(study):
    assert study.best().latent_dim == 2 and study.best("digits") == study.best()
    images = study.sample(5, seed=3)
    assert images.shape == (5, 1, 8, 8) and 0 <= images.min() <= images.max() <= 1
    assert torch.equal(images, study.sample(5, seed=3)) and not torch.equal(images, study.sample(5, seed=4))
    assert study.best(model="vae") == study.best() and torch.equal(images, study.sample(5, study.best().trial, seed=3))
    with pytest.raises(UserError, match="which dataset.*digits"):
        study.best("mnist")
    with pytest.raises(UserError, match="none, as no trial of it has ended well"):
        study.best(model="gan")
    with pytest.raises(UserError, match=f"no trial .*did you mean '{study.best().trial}'"):
        study.sample(5, study.best().trial[:-1])


def test_options_are_those_of_the_command_line(tmp_path):
    typed = as_typed({"replicates": 3, "datasets": ["digits", "mnist"], "download": True, "dry_run": False, "budget": "2h"})
    options = parse(["--space", "smoke", *typed])
    assert (options.replicates, options.datasets, options.download, options.dry_run, options.budget) == (
        3,
        ["digits", "mnist"],
        True,
        False,
        7200,
    )


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"replicates": 0}, UserError, "replicates.*above 0"),
        ({"replicate": 3}, TypeError, "no option 'replicate'.*replicates"),
        ({"models": ["Diffusion"]}, UserError, "no model 'Diffusion'"),
    ],
)
def test_a_mistake_is_an_exception_with_the_cure(tmp_path, options, error, says):
    with pytest.raises(error, match=says):
        run("smoke", storage=tmp_path, **options)


@pytest.mark.parametrize(("lacks", "says"), [({}, "needs a name"), ({"name": "x", "claims": ["y"]}, "claims from the file")])
def test_a_space_that_only_a_file_can_hold_is_refused(tmp_path, lacks, says):
    with pytest.raises(UserError, match=says):
        run(Space(cells=[], propose=dict, budget=dict, **lacks), storage=tmp_path)


def test_a_space_file_that_was_edited_is_read_anew_and_a_dry_run_is_no_error(tmp_path, data_dir, monkeypatch, capsys):
    monkeypatch.setattr(sys, "path", [*sys.path])
    file = tmp_path / "edited_question.py"
    for replicates in (3, 5):
        file.write_text(QUESTION.format(replicates=replicates))
        shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)  # which tells files apart by the second
        planned = run(file, storage=tmp_path, data_dir=data_dir, dry_run=True)
        assert f"{replicates} trials in 1 cells" in capsys.readouterr().out
        with pytest.raises(UserError, match="no study 'edited_question'"):
            planned.cells()


def test_what_a_space_of_a_script_is_made_of_is_found_and_trusted_by_a_worker(tmp_path, monkeypatch):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "__init__.py").write_text("")
    (tmp_path / "kept" / "own.py").write_text("def brightness(samples, real):\n    return samples.mean()\n")
    monkeypatch.syspath_prepend(tmp_path)
    made_of = folders_of(accepted(tiny_space(measures={"quality/brightness": import_module("kept.own").brightness})))
    assert made_of == {"kept.own": str(tmp_path)}
    worker = "import json, sys; from study.space.importing import allow, imported; allow(*json.loads(sys.argv[1]));"
    for trusted, code in ((["tiny", False, [], made_of], 0), (["tiny", False], 1)):
        told = [sys.executable, "-c", worker + "imported('kept.own:brightness')", json.dumps(trusted)]
        done = subprocess.run(told, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
        assert done.returncode == code and ("Untrusted" in done.stderr) == bool(code), done.stderr


@pytest.mark.long
@pytest.mark.ray
def test_a_space_of_a_script_with_models_and_images_of_its_own_is_trained_by_workers_and_extended(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "letters.npz", images=rng.integers(0, 255, (600, 8, 8)), labels=np.arange(600) % 3)
    (tmp_path / "script.py").write_text(SCRIPT.format(examples=NOTEBOOK.parent))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    for replicates in (1, 2):
        assert f"[('flow', 'letters-0-2', 'done', {replicates})]" in done.stdout, done.stdout + done.stderr


@pytest.mark.long
@pytest.mark.ray
def test_the_notebook_runs_from_top_to_bottom(tmp_path, monkeypatch):
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "examples").mkdir()
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path / "examples")}}).execute()
    shown = json.dumps([cell.get("outputs", []) for cell in notebook.cells])
    assert "64/64 finished" in shown and shown.count("image/png") == 2
    assert "From latent size 2 to 16, fd_rel gets better for VAE" in shown
    assert Study("first_study", tmp_path / "mlruns" / "studies").best().replicates == 8
    assert not list((tmp_path / "examples").iterdir())  # where it lies it leaves nothing


def test_the_notebook_is_kept_without_what_it_printed():
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
