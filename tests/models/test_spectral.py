"""Layers of spectral norm 1: what they divide by is the largest singular value, which they follow while they train."""

import pytest
import torch

from models.gan import GAN
from models.nets import conv, fc
from models.spectral import SpectralConv2d, SpectralLinear
from models.wgan import WGAN

MAKES = {"linear": lambda: SpectralLinear(12, 7), "convolution": lambda: SpectralConv2d(3, 8, 4)}
IMAGES = {"linear": (5, 12), "convolution": (5, 3, 9, 9)}


def settled(layer, shape, calls=300):
    for _ in range(calls):
        layer(torch.randn(shape))
    return layer


@pytest.mark.parametrize("kind", MAKES)
def test_the_weight_that_is_used_has_spectral_norm_1_and_is_that_of_torchs_own(kind):
    torch.manual_seed(0)
    layer = settled(MAKES[kind](), IMAGES[kind])
    assert torch.linalg.matrix_norm(layer.normalised().flatten(1), 2).item() == pytest.approx(1, abs=1e-5)
    other = MAKES[kind]()
    other.load_state_dict(layer.state_dict())
    theirs = torch.nn.utils.parametrizations.spectral_norm(other, n_power_iterations=100)
    torch.testing.assert_close(layer.normalised(), theirs.weight, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", MAKES)
def test_the_estimate_moves_in_training_alone(kind):
    layer, x = MAKES[kind](), torch.randn(IMAGES[kind])
    before = layer.singular.clone()
    torch.testing.assert_close(layer.eval()(x), layer(x))
    assert torch.equal(layer.singular, before)
    layer.train()(x)
    assert not torch.equal(layer.singular, before)


@pytest.mark.parametrize("net", [fc, conv])
def test_a_gradient_penalty_beside_it_is_refused(net):
    with pytest.raises(ValueError, match="penalty=0"):
        WGAN((1, 8, 8), net, 2, 3, width=4, encoder={"spectral": True})


@pytest.mark.parametrize("net", [fc, conv])
def test_a_critic_of_such_layers_is_1_lipschitz_in_each_and_learns(net):
    torch.manual_seed(0)
    model = GAN((1, 8, 8), net, 2, 3, width=4, loss="hinge", encoder={"spectral": True, "norm": False})
    layers = [layer for layer in model.critic if hasattr(layer, "normalised")]
    assert len(layers) == 3 and not [layer for layer in model.generator if hasattr(layer, "normalised")]
    x, noise = torch.rand(6, 1, 8, 8), {"z": torch.randn(6, 3)}
    loss = model.critic_loss(x, noise, torch.zeros(()))["loss"]
    gradients = torch.autograd.grad(loss, [layer.weight for layer in layers])
    assert all(gradient.abs().sum() > 0 for gradient in gradients)
    for layer, gradient in zip(layers, gradients):  # along the weight itself nothing changes, whatever its length
        assert abs((gradient * layer.weight).sum().item()) < 1e-5
