"""The vocabulary: cells, grids, proposals by default, and what a faulty space file is told."""

from dataclasses import replace

import pytest
from tiny import tiny_space

from models.gan import GAN
from models.nets import conv, fc
from models.vae import VAE
from models.wgan import WGAN
from study.data import digits, mnist
from study.errors import UserError
from study.space import Budget, Search, grid
from study.space.cells import import_path, slug
from study.space.importing import imported
from study.space.loading import checked, load_space, space_names


def test_a_grid_holds_every_combination_of_its_factors():
    cells = grid([VAE, GAN], [fc, conv], [1, 2], [2, 8, 32], [digits, mnist], reduction=["sum", "mean"])
    assert len(cells) == len({cell.name for cell in cells}) == 2 * 2 * 2 * 3 * 2 * 2


def test_a_cell_is_named_so_that_a_person_can_read_it():
    assert grid([WGAN], [conv], [3], [32], [digits])[0].name == "wgan-conv-d3-z32-digits"


def test_models_and_nets_are_found_again_by_their_import_path():
    for thing in (VAE, GAN, WGAN, fc, conv):
        assert imported(import_path(thing)) is thing


def test_names_from_outside_cannot_leave_their_folder():
    assert slug("../../etc/passwd") == "etc-passwd"
    assert "/" not in slug("a/b\\c\u2215d") and slug("..") == ""


def test_proposal_0_is_the_published_default_of_the_model():
    space = tiny_space()
    assert space.default_proposal(space.cells[0]) == ({"lr": 1e-3}, {"lr": 1e-3})
    assert space.ranges(space.cells[0])["lr"] == {"type": "float", "low": 1e-4, "high": 1e-2, "log": True, "step": None}


def test_every_space_of_the_project_loads_and_can_propose():
    for name in space_names():
        space = load_space(name)
        for cell in space.cells:
            space.ranges(cell)


@pytest.mark.parametrize(
    ("propose", "message"),
    [
        (lambda trial, cell: {"learning_rate": 1.0}, "no hyperparameter 'learning_rate'"),
        (lambda trial, cell: {"lr": trial.suggest_float("lr", 0.1, 1.0)}, "outside its range"),
        (lambda trial, cell: {"lr": float("nan")}, "returned nan for 'lr'"),
        (lambda trial, cell: [1], "must return a dict"),
        (lambda trial, cell: {"width": 8}, "fixed by the cell"),
        (lambda trial, cell: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_a_proposal_that_cannot_be_run_is_refused_with_its_reason(propose, message):
    space = tiny_space(propose=propose)
    with pytest.raises(UserError, match=message):
        space.ranges(space.cells[0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cells": []}, "no cells"),
        ({"cells": grid([VAE], [fc], [1, 1], [2], [digits])}, "listed twice"),
        ({"cells": ["vae"]}, "must be Cell objects"),
        ({"cells": grid([VAE], [fc], [0], [2], [digits])}, "depth must be a whole number"),
        ({"cells": grid([VAE], [fc], [1], ["2"], [digits])}, "latent_dim must be a whole number"),
        ({"cells": grid([VAE], ["fc"], [1], [2], [digits])}, "net must be"),
        ({"cells": grid([VAE], [fc], [1], [2], [digits], latnt=[3])}, "no hyperparameter 'latnt'"),
        ({"replicates": 0}, "replicates must be"),
        ({"search": Search(rounds=(0,))}, "a round of proposals must be"),
        ({"search": Search(rungs=(0.5, 0.2))}, "rungs must be"),
        ({"search": Search(sampler="grid")}, "sampler must be one of"),
        ({"budget": lambda cell: None}, "must give a Budget"),
        ({"budget": lambda cell: Budget(0)}, "epochs must be"),
        ({"budget": lambda cell: Budget(2, measured_every=0)}, "measured_every must be"),
        ({"budget": lambda cell: Budget(2, whole_training_set=True)}, "validation images are needed"),
    ],
)
def test_a_faulty_space_is_one_clear_line(changes, message):
    with pytest.raises(UserError, match=message) as caught:
        checked(tiny_space(**changes))
    assert "\n" not in str(caught.value)


def test_an_unknown_space_suggests_the_nearest():
    with pytest.raises(UserError, match="did you mean 'latent_sweep'"):
        load_space("latent_swep")


def test_a_dataset_the_space_does_not_name_gets_every_combination_it_compares():
    space = tiny_space()
    moved = space.with_dataset(mnist)
    assert {(cell.depth, cell.latent_dim, cell.dataset.name) for cell in moved.cells} == {(1, 2, "mnist"), (1, 4, "mnist")}


def test_the_space_can_be_narrowed_to_models():
    space = replace(tiny_space(), cells=grid([VAE, GAN], [fc], [1], [2], [digits]))
    assert {cell.family for cell in space.only(models=["gan"]).cells} == {"gan"}
