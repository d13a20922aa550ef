"""The faster linear layer gives torch's numbers, derivatives of all orders included."""

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, stack_module_state
from torch.utils.flop_counter import FlopCounterMode

from models import linear as module
from models.linear import LARGE, Linear

pytestmark = pytest.mark.skipif(module.ONEDNN is None, reason="this build of torch has no oneDNN")


def pair(inputs=400, outputs=200, bias=True):
    ours, torchs = Linear(inputs, outputs, bias), nn.Linear(inputs, outputs, bias)
    torchs.load_state_dict(ours.state_dict())
    return ours, torchs


def close(one, other):
    return (one - other).abs().max() <= 2e-6 * other.abs().max() + 1e-12


@pytest.fixture
def calls(monkeypatch):
    """How often oneDNN was asked."""
    counted, ask = [], module.ONEDNN
    monkeypatch.setattr(module, "ONEDNN", lambda *arguments: counted.append(1) or ask(*arguments))
    return counted


@pytest.mark.parametrize("bias", [True, False])
def test_values_and_gradients_are_those_of_torch(calls, bias):
    ours, torchs = pair(bias=bias)
    x = torch.randn(64, 400, requires_grad=True)
    assert close(ours(x), torchs(x))
    for one, other in zip(
        torch.autograd.grad(ours(x).square().sum(), [x, *ours.parameters()]),
        torch.autograd.grad(torchs(x).square().sum(), [x, *torchs.parameters()]),
    ):
        assert close(one, other)
    assert len(calls) == 4  # forward twice, and two products backward


def test_the_gradient_of_a_gradient_is_torch_s():
    """As a gradient penalty needs it."""
    ours, torchs = pair()
    x = torch.randn(64, 400)
    penalty = [
        torch.autograd.grad(grad(lambda image: layer(image).square().sum())(x).norm(), layer.weight)[0] for layer in (ours, torchs)
    ]
    assert close(*penalty)
    x.requires_grad_()
    by_autograd = [
        torch.autograd.grad(torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)[0].norm(), layer.weight)[0]
        for layer in (ours, torchs)
    ]
    assert close(*by_autograd) and close(by_autograd[0], penalty[0])


def test_every_part_of_a_gradient_lies_in_memory_as_its_weight():
    """What is added up in two orders, or copied into another, takes several times as long."""
    layer, _ = pair()
    x = torch.randn(64, 400, requires_grad=True)
    (slope,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
    parts = []
    layer.weight.register_hook(lambda gradient: parts.append(gradient.stride()))
    for loss in (layer(x).sum(), slope.norm()):
        torch.autograd.grad(loss, layer.weight, retain_graph=True)
    assert len(parts) == 2 and set(parts) == {layer.weight.stride()}


def test_layers_side_by_side_give_what_each_gives():
    layers = [pair()[0] for _ in range(3)]
    parameters, _ = stack_module_state(layers)
    x = torch.randn(3, 64, 400)
    together = torch.vmap(lambda own, image: functional_call(layers[0], own, (image,)))(parameters, x)
    assert all(close(together[k], layers[k](x[k])) for k in range(3))
    torch.autograd.grad(together.sum(), list(parameters.values()))


@pytest.mark.parametrize(
    "x",
    [torch.randn(2, 400), torch.randn(64, 400, dtype=torch.float64), torch.randn(2, 32, 400)],
    ids=["small", "float64", "three dimensions"],
)
def test_what_does_not_gain_is_left_to_torch(calls, x):
    ours, torchs = pair()
    assert torch.equal(ours.to(x.dtype)(x), torchs.to(x.dtype)(x)) and not calls


def test_its_operations_are_counted():
    ours, torchs = pair()
    counts = []
    for layer in (ours, torchs):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            layer(torch.randn(64, 400))
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] == 2 * 64 * 400 * 200 and 64 * 400 * 200 >= LARGE
