"""InfoGAN's networks: as large as published, in a GAN and in a VAE, and refused where they do not fit."""

import pytest
import torch

from models.gan import GAN
from models.infogan import infogan
from models.vae import VAE
from study.space.hyperparameters import DefaultTrial


def size(module):
    return sum(each.numel() for each in module.parameters())


def test_both_sides_have_the_published_layers():
    gan = GAN((1, 28, 28), infogan, 2, 64, encoder={"norm": True})
    convolutions, seed = (16 * 64 + 64) + (64 * 128 * 16 + 128), 128 * 7 * 7
    assert size(gan.critic) == convolutions + 2 * 128 + (seed * 1024 + 1024) + 2 * 1024 + 1025
    dense = (64 * 1024 + 1024) + 2 * 1024 + (1024 * seed + seed) + 2 * seed
    assert size(gan.generator) == dense + (128 * 64 * 16 + 64) + 2 * 64 + (64 * 16 + 1)


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32)])
def test_images_go_in_and_come_out(shape):
    model = VAE(shape, infogan, 2, 5, decoder={"norm": True}).eval()
    assert model.posterior(torch.rand(3, *shape))[0].shape == (3, 5) and model.sample(torch.randn(3, 5)).shape == (3, *shape)


def test_a_side_that_cannot_be_halved_is_refused():
    with pytest.raises(ValueError, match="multiple of 4, not 30"):
        GAN((1, 30, 30), infogan, 2, 5)


def test_a_default_that_is_a_tuple_may_stand_among_lists():
    trial = DefaultTrial({"betas": (0.5, 0.999)})
    assert trial.suggest_categorical("betas", [[0.0, 0.999], [0.5, 0.999]]) == [0.5, 0.999]
