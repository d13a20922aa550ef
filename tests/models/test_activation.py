"""LeakyReLU in a gradient penalty: torch's numbers, by fewer products."""

import pytest
import torch
from torch import nn
from torch.func import functional_call, stack_module_state

from models.activation import LeakyReLU
from study.metrics.cost import Flops


def critic(activation, dtype=torch.float32):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), activation(0.2), nn.Linear(16, 16), activation(0.2), nn.Linear(16, 1)).to(dtype)


def penalised(layers, x):
    """What a critic's weights learn from by a gradient penalty and its scores."""
    slope = torch.func.grad(lambda image: layers(image).sum())(x)
    loss = (slope.norm(dim=1) - 1).square().mean() + layers(x).mean()
    return torch.autograd.grad(loss, list(layers.parameters()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_penalty_s_derivatives_are_torch_s_to_the_bit(dtype):
    x = torch.randn(32, 8, dtype=dtype)
    x[0] = 0
    ours, torchs = critic(LeakyReLU, dtype), critic(nn.LeakyReLU, dtype)
    torch.testing.assert_close(penalised(ours, x), penalised(torchs, x), rtol=0, atol=0)
    at_zero, nan = torch.zeros(3, dtype=dtype), torch.full((3,), torch.nan, dtype=dtype)
    slopes = [torch.func.grad(lambda value, a=activation: a(0.2)(value).sum())(at_zero) for activation in (LeakyReLU, nn.LeakyReLU)]
    assert torch.equal(*slopes)
    assert torch.func.grad_and_value(lambda value: LeakyReLU(0.2)(value).sum())(nan)[1].isnan()


def test_it_takes_fewer_products():
    x, counted = torch.randn(32, 8), {}
    for activation in (LeakyReLU, nn.LeakyReLU):
        layers = critic(activation)
        with Flops() as counter:
            penalised(layers, x)
        counted[activation] = counter.total
    assert counted[LeakyReLU] < 0.9 * counted[nn.LeakyReLU]


def test_side_by_side_each_gives_what_it_gives_alone():
    several = [critic(LeakyReLU) for _ in range(3)]
    parameters, _ = stack_module_state(several)
    x = torch.randn(3, 32, 8)

    def slope(own, images):
        return torch.func.grad(lambda image: functional_call(several[0], own, (image,)).sum())(images)

    together = torch.vmap(slope)(parameters, x)
    for k, layers in enumerate(several):
        torch.testing.assert_close(together[k], torch.func.grad(lambda image, own=layers: own(image).sum())(x[k]))
