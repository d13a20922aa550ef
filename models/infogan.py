"""The networks of InfoGAN (Chen et al. 2016, appendix C.1), which Lucic et al. (2018) gave to every model that they compared."""

from math import prod

from torch import nn

from models.convolution import Conv2d, ConvTranspose2d, Flatten, Unflatten
from models.linear import Linear
from models.nets import Net, check_square, make_activation

CHANNELS, UNITS = 64, 1024  # of the convolution next to the image, doubled at each further one; of the layer next to the latent


def infogan_encoder(shape, outputs, depth, *, activation="LeakyReLU", slope=0.2, norm=False) -> nn.Sequential:
    """(n, *shape) -> (n, outputs): `depth` convolutions that each halve the image (2 as published), a layer of 1024 units, a linear
    layer. `norm`: BatchNorm in all hidden layers but the first."""
    side, channels = smallest(shape, depth), [shape[0], *(CHANNELS * 2**index for index in range(depth))]
    layers: list[nn.Module] = []
    for index, (before, after) in enumerate(zip(channels, channels[1:])):
        batch_norm = [nn.BatchNorm2d(after)] if norm and index else []
        layers += [Conv2d(before, after, 4, 2, 1), *batch_norm, make_activation(activation, slope)]
    batch_norm = [nn.BatchNorm1d(UNITS)] if norm else []
    layers += [Flatten(), Linear(channels[-1] * side**2, UNITS), *batch_norm, make_activation(activation, slope)]
    return nn.Sequential(*layers, Linear(UNITS, outputs))


def infogan_decoder(inputs, shape, depth, *, activation="ReLU", slope=0.2, norm=True) -> nn.Sequential:
    """(n, inputs) -> (n, *shape), unbounded: the encoder in reverse, with `norm` BatchNorm in every hidden layer."""
    side, channels = smallest(shape, depth), [*(CHANNELS * 2**index for index in reversed(range(depth))), shape[0]]
    seed = (channels[0], side, side)
    layers: list[nn.Module] = []
    for before, after in ((inputs, UNITS), (UNITS, prod(seed))):
        layers += [Linear(before, after), *[nn.BatchNorm1d(after)] * norm, make_activation(activation, slope)]
    layers.append(Unflatten(1, seed))
    for index, (before, after) in enumerate(zip(channels, channels[1:]), start=1):
        layers.append(ConvTranspose2d(before, after, 4, 2, 1))
        layers += [*[nn.BatchNorm2d(after)] * norm, make_activation(activation, slope)] if index < depth else []
    return nn.Sequential(*layers)


def smallest(shape, depth) -> int:
    """The side of an image after `depth` halvings, which must leave nothing over."""
    check_square(shape)
    if shape[1] % 2**depth:
        raise ValueError(
            f"InfoGAN's networks halve an image {depth} times: its side must be a multiple of {2**depth}, not {shape[1]}"
        )
    return shape[1] // 2**depth


infogan = Net("infogan", infogan_encoder, infogan_decoder)
