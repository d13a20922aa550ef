"""The commands as functions: the same studies, the same numbers, errors as exceptions; and the notebook that shows them."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny import finish

from models.nets import fc
from models.vae import VAE
from study.analysis.cell_table import as_row, cells
from study.api import Study, as_typed, run
from study.errors import UserError
from study.launch import parse
from study.space import Space

NOTEBOOK = Path(__file__).parents[2] / "examples" / "first_study.ipynb"


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


def test_a_study_is_opened_by_its_folder_or_by_name_and_storage(study):
    root = study.ledger.root
    assert Study(root.name, root.parent).ledger.root == Study(str(root)).ledger.root == root
    with pytest.raises(UserError, match="no study in .*nothing"):
        Study("nothing", root.parent)


def test_frames_hold_what_the_tables_hold(study):
    assert study.frame().to_dict("records") == [as_row(cell) for cell in cells(study.ledger)]
    trainings = study.frame("trainings")
    assert sorted(trainings["quality/fd_rel"]) == [0.2, 0.4] and not any(name.startswith("curve/") for name in trainings)
    with pytest.raises(UserError, match="cells.*trainings.*rows"):
        study.frame("rows")


def test_the_best_cell_draws_images_and_the_same_ones_for_a_seed(study):
    assert study.best().latent_dim == 2 and study.best("digits") == study.best()
    images = study.sample(5, seed=3)
    assert images.shape == (5, 1, 8, 8) and 0 <= images.min() <= images.max() <= 1
    assert torch.equal(images, study.sample(5, seed=3)) and not torch.equal(images, study.sample(5, seed=4))
    with pytest.raises(UserError, match="which dataset.*digits"):
        study.best("mnist")


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


def test_a_space_needs_a_name_to_be_kept_under(tmp_path):
    with pytest.raises(UserError, match="needs a name"):
        run(Space(cells=[], propose=dict, budget=dict), storage=tmp_path)


@pytest.mark.long
@pytest.mark.ray
def test_the_notebook_runs_from_top_to_bottom_and_a_second_time_trains_nothing(tmp_path):
    import nbformat
    from nbclient import NotebookClient

    (tmp_path / "examples").mkdir()
    for expected in ("40/40 finished", "nothing is left to do"):
        notebook = nbformat.read(NOTEBOOK, as_version=4)
        NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path / "examples")}}).execute()
        shown = json.dumps([cell.get("outputs", []) for cell in notebook.cells])
        assert expected in shown and "On digits, the best cells come as near" in shown and "image/png" in shown
    assert Study("first_study", tmp_path / "mlruns" / "studies").best().replicates == 5


def test_the_notebook_is_kept_without_what_it_printed():
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
