"""A residual body keeps the contract of every net, and its blocks are a path beside a shortcut."""

import pytest
import torch

from models.gan import GAN
from models.residual import Block, residual, residual_decoder, residual_encoder
from models.vae import VAE
from models.wgan import WGAN
from study.training.replicas import Replicas

SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 64, 64)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("depth", [1, 3, 5])
def test_both_sides_fit_images_of_any_size(shape, depth):
    encoder, decoder = residual_encoder(shape, 5, depth, width=4), residual_decoder(7, shape, depth, width=4)
    assert encoder(torch.rand(2, *shape)).shape == (2, 5) and decoder(torch.rand(2, 7)).shape == (2, *shape)
    assert sum(isinstance(layer, Block) for layer in encoder) == sum(isinstance(layer, Block) for layer in decoder) == depth


@pytest.mark.parametrize(("sides", "channels"), [((8, 8), (4, 4)), ((8, 4), (4, 6)), ((7, 4), (4, 4)), ((4, 7), (6, 4))])
def test_a_block_whose_path_gives_nothing_is_its_shortcut(sides, channels):
    block, x = Block(*channels, *sides, norm=True, activation="ReLU", slope=0.2), torch.rand(3, channels[0], sides[0], sides[0])
    last = [layer for layer in block.path if isinstance(layer, torch.nn.Conv2d)][-1]
    torch.nn.init.zeros_(last.weight), torch.nn.init.zeros_(last.bias)
    assert block(x).shape == (3, channels[1], sides[1], sides[1])
    torch.testing.assert_close(block(x), block.shortcut(x))
    if channels[0] == channels[1] and sides[0] == sides[1]:
        assert torch.equal(block(x), x)


@pytest.mark.parametrize(
    "make",
    [
        lambda: VAE((1, 8, 8), residual, 2, 3, width=4, norm=True).double(),
        lambda: GAN((1, 8, 8), residual, 2, 3, width=4, loss="hinge", encoder={"spectral": True, "norm": False}).double(),
        lambda: WGAN((1, 8, 8), residual, 2, 3, width=4, critic_steps=2).double(),
    ],
    ids=["vae", "gan", "wgan"],
)
def test_models_of_it_learn_side_by_side_as_one_at_a_time(make):
    images = torch.randint(0, 17, (40, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    together, apart = Replicas([make] * 2, [3, 4], fused=True), [Replicas([make], [seed]) for seed in (3, 4)]
    start = together.weights(0)
    for replicas in (together, *apart):
        replicas.train_epoch(images, 17, 10)
    for k, one in enumerate(apart):
        for name, value in one.weights(0).items():
            torch.testing.assert_close(together.weights(k)[name], value, rtol=0, atol=1e-8)
    assert any(not torch.equal(value, start[name]) for name, value in together.weights(0).items())


def test_what_is_not_square_is_refused_and_an_option_that_there_is_not():
    with pytest.raises(ValueError, match="square"):
        residual_encoder((1, 8, 6), 2, 1)
    with pytest.raises(TypeError, match="kernel"):
        residual_encoder((1, 8, 8), 2, 1, kernel=3)
