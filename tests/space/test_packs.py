"""Which trainings of a cell may share a pack."""

import json

import pytest
from tiny import tiny_space

from models.gan import GAN
from models.nets import fc
from models.vae import VAE
from models.wgan import WGAN
from study.data import digits
from study.space import grid
from study.space.hyperparameters import program

SHARED = {  # what differs in value only
    "a rate": (VAE, {"lr": 1e-3}, {"lr": 5e-2}),
    "a rate that is a whole number": (VAE, {"lr": 1}, {"lr": 0.5}),
    "betas": (GAN, {"betas": [0.5, 0.999]}, {"betas": (0.9, 0.99)}),
    "a default": (WGAN, {}, {"penalty": 0.3}),
    "two at once": (WGAN, {"lr": 1e-4, "penalty": 1.0}, {"penalty": 2.0, "lr": 1e-2}),
    "dropout": (VAE, {"dropout": [0.1, 0.2]}, {"dropout": [0.3, 0.4]}),
}
APART = {  # what differs in shapes, or in what is computed
    "steps of the critic": (WGAN, {"critic_steps": 1}, {"critic_steps": 5}),
    "an optimiser": (WGAN, {"optimiser": "adam"}, {"optimiser": "rmsprop"}),
    "clipped or not": (WGAN, {"clip": 0.01}, {"clip": None}),
    "penalised or not": (WGAN, {"penalty": 0.0}, {"penalty": 1.0}),
    "a variance that is learned": (VAE, {"variance": "learned"}, {"variance": 0.5}),
    "warmup": (VAE, {"warmup": 0}, {"warmup": 5}),
    "widths": (VAE, {"width": 16}, {"width": 32}),
    "a layer with dropout": (VAE, {"dropout": [0.0, 0.1]}, {"dropout": [0.1, 0.1]}),
}


def programs(model, *both):
    (cell,) = grid([model], [fc], [2], [4], [digits])
    return [json.dumps(program(cell, params)) for params in both]


@pytest.mark.parametrize("name", SHARED)
def test_trainings_that_differ_in_numbers_alone_share_a_pack(name):
    one, other = programs(*SHARED[name])
    assert one == other


@pytest.mark.parametrize("name", APART)
def test_trainings_of_another_program_do_not(name):
    one, other = programs(*APART[name])
    assert one != other


def test_trainings_of_a_model_that_names_nothing_stackable_share_a_pack_if_their_params_are_equal():
    class Plain(VAE):
        stackable = ()

    (cell,) = tiny_space(cells=grid([Plain], [fc], [1], [2], [digits])).cells
    assert program(cell, {"lr": 1e-3}) == program(cell, {"lr": 1e-3}) != program(cell, {"lr": 2e-3})


@pytest.mark.parametrize("model", [VAE, GAN, WGAN])
def test_a_model_takes_all_that_it_calls_stackable(model):
    (cell,) = grid([model], [fc], [2], [4], [digits])
    assert program(cell, {}).keys() == set(model.stackable)
