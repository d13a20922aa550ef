"""The layers around convolutions give torch's numbers, derivatives of two orders included, however they are called."""

import pytest
import torch
from torch import nn
from torch.func import functional_call, stack_module_state

from models import convolution as ours

LAYERS = {  # (channels before, after, kernel, stride, padding, ...)
    "Conv2d": [(1, 6, 4, 2, 1), (1, 6, 3, 1, 0), (1, 6, 5, 2, 2), (3, 6, 4, 2, 1)],
    "ConvTranspose2d": [(6, 1, 4, 2, 1), (6, 1, 3, 2, 1, 1), (6, 1, 3, 1, 0), (6, 3, 4, 2, 1)],
}
CASES = [(kind, options) for kind, cases in LAYERS.items() for options in cases]


def pair(kind, options, bias=True):
    own, torchs = (getattr(module, kind)(*options, bias=bias) for module in (ours, nn))
    own.load_state_dict(torchs.state_dict())
    return own, torchs


def derivatives(layer, x):
    """Values, the derivatives of a loss by image and weights, and those of that derivative's length."""
    values = layer(x)
    first = torch.autograd.grad(values.square().sum(), [x, *layer.parameters()], create_graph=True)
    return [values, *first, *torch.autograd.grad(first[0].norm(), layer.parameters(), allow_unused=True)]


def close(one, other):
    return (one is None and other is None) or (one - other).abs().max() <= 1e-5 * other.abs().max()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind, options", CASES)
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_values_and_derivatives_are_those_of_torch(kind, options, bias, order):
    own, torchs = pair(kind, options, bias)
    x = torch.randn(5, options[0], 7, 7).to(memory_format=order).requires_grad_()
    assert all(map(close, derivatives(own, x), derivatives(torchs, x)))
    assert close(own(x.detach()), torchs(x.detach()))


@pytest.mark.parametrize("kind, options", [(kind, cases[0]) for kind, cases in LAYERS.items()])
def test_layers_side_by_side_give_what_each_gives(kind, options):
    layers = [pair(kind, options)[0] for _ in range(3)]
    parameters, _ = stack_module_state(layers)
    x = torch.randn(3, 5, options[0], 7, 7, requires_grad=True)
    together = torch.vmap(lambda own, images: functional_call(layers[0], own, (images,)))(parameters, x)
    assert all(close(together[k], layers[k](x[k])) for k in range(3))
    slope = torch.func.grad(lambda images: layers[0](images).square().sum())(x[0])
    assert close(slope, torch.autograd.grad(layers[0](x[0]).square().sum(), x)[0][0])


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_what_follows_or_precedes_convolutions_keeps_their_order_in_memory(order):
    """The same numbers as torch's; here a derivative in another order than its activation's takes far longer."""
    x = torch.randn(5, 6, 3, 3).to(memory_format=order).requires_grad_()
    gradients = []
    x.register_hook(gradients.append)
    weight = torch.randn(54)
    assert torch.equal(ours.Flatten()(x), nn.Flatten()(x))
    torch.autograd.grad((ours.Flatten()(x) * weight).sum(), x)
    assert gradients[0].stride() == x.stride() and torch.equal(gradients[0].flatten(1), weight.expand(5, -1))

    flat = torch.randn(5, 54, requires_grad=True)
    images = ours.Unflatten(1, (6, 3, 3))(flat)
    assert torch.equal(images, nn.Unflatten(1, (6, 3, 3))(flat)) and images.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(torch.autograd.grad((images * x.detach()).sum(), flat)[0], x.detach().flatten(1))
