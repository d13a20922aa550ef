"""Fully connected and convolutional bodies for square images of any size and depth.

Every option is a JSON value. A list holds one value per hidden layer of that side, in the order the data flows, except
that `norm` is False, True or the indices of the layers with BatchNorm. `slope` is LeakyReLU's. `spectral` divides the weights of an
encoder's layers, the last included, by their largest singular values (models/spectral.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from torch import nn

from models.activation import LeakyReLU
from models.convolution import Conv2d, ConvTranspose2d, Flatten, Unflatten
from models.linear import Linear
from models.spectral import SpectralConv2d, SpectralLinear

SMALLEST_HALVED = 4  # a convolution block keeps the size of images with a smaller side
WIDEST = 8  # channels stop doubling at 8 times the first block's, as in DCGAN (64 to 512)


@dataclass(frozen=True)
class Net:
    """`encoder(shape, outputs, depth, **options)` and `decoder(inputs, shape, depth, **options)` build modules.

    An encoder maps (n, *shape) to (n, outputs), a decoder (n, inputs) to (n, *shape), unbounded. Both raise ValueError
    for options that contradict each other and TypeError for unknown ones.
    """

    name: str
    encoder: Callable[..., nn.Sequential]
    decoder: Callable[..., nn.Sequential]


def per_layer(option, value, depth) -> list:
    values = list(value) if isinstance(value, (list, tuple)) else [value] * depth
    if len(values) != depth:
        raise ValueError(f"{option}={value} lists {len(values)} values for {depth} hidden layers")
    return values


def normed(norm, depth, spared=0) -> list:
    """Indices of the hidden layers with BatchNorm; True spares the one that reads the image, as DCGAN does."""
    indices = norm if isinstance(norm, (list, tuple)) else range(spared, depth) if norm else ()
    if any(index not in range(depth) for index in indices):
        raise ValueError(f"norm={norm} names layers beyond the {depth} hidden ones, which count from 0")
    return list(indices)


class Hidden:
    """What follows the weights of a hidden layer: BatchNorm (with its `eps`), activation, dropout; with `norm_last` BatchNorm
    comes after the activation."""

    def __init__(self, depth, activation, slope, dropout, normed, eps, norm_last=False):
        if depth < 1:
            raise ValueError(f"depth={depth}: at least one hidden layer is needed")
        self.activations = per_layer("activation", activation, depth)
        self.dropouts = per_layer("dropout", dropout, depth)
        self.slope, self.normed, self.eps, self.norm_last = slope, normed, eps, norm_last

    def bias(self, index) -> bool:
        """BatchNorm subtracts any bias right before it."""
        return self.norm_last or index not in self.normed

    def after(self, index, size, batch_norm) -> list[nn.Module]:
        norm = [batch_norm(size, eps=self.eps)] if index in self.normed else []
        activation = [make_activation(self.activations[index], self.slope)]
        layers = activation + norm if self.norm_last else norm + activation
        return layers + ([nn.Dropout(self.dropouts[index])] if self.dropouts[index] else [])


def make_activation(name, slope) -> nn.Module:
    if name == "LeakyReLU":
        return LeakyReLU(slope)
    if not hasattr(nn, name):
        raise ValueError(f"activation={name!r} is not a module of torch.nn, such as 'ReLU', 'LeakyReLU', 'Tanh', 'ELU'")
    return getattr(nn, name)()


def fc_encoder(
    shape, outputs, depth, *, width=400, activation="ReLU", slope=0.2, dropout=0.0, norm=False, eps=1e-5, spectral=False
) -> nn.Sequential:
    """(n, *shape) -> (n, outputs) through `depth` hidden layers of `width` units (a number, or one per layer)."""
    sizes, line = [prod(shape), *per_layer("width", width, depth)], SpectralLinear if spectral else Linear
    layers = fc_layers(sizes, Hidden(depth, activation, slope, dropout, normed(norm, depth, spared=1), eps), line)
    return nn.Sequential(nn.Flatten(), *layers, line(sizes[-1], outputs))


def fc_decoder(
    inputs, shape, depth, *, width=400, activation="ReLU", slope=0.2, dropout=0.0, norm=False, eps=1e-5
) -> nn.Sequential:
    """(n, inputs) -> (n, *shape) through `depth` hidden layers of `width` units (a number, or one per layer)."""
    sizes = [inputs, *per_layer("width", width, depth)]
    layers = fc_layers(sizes, Hidden(depth, activation, slope, dropout, normed(norm, depth), eps))
    return nn.Sequential(*layers, Linear(sizes[-1], prod(shape)), nn.Unflatten(1, tuple(shape)))


def fc_layers(sizes, hidden, line=Linear) -> list[nn.Module]:
    layers = []
    for index, (before, after) in enumerate(zip(sizes, sizes[1:])):
        layers += [line(before, after, hidden.bias(index)), *hidden.after(index, after, nn.BatchNorm1d)]
    return layers


def conv_encoder(
    shape,
    outputs,
    depth,
    *,
    width=64,
    activation="ReLU",
    slope=0.2,
    dropout=0.0,
    norm=False,
    eps=1e-5,
    kernel=4,
    pool=None,
    padded=True,
    spectral=False,
) -> nn.Sequential:
    """(n, *shape) -> (n, outputs): `depth` blocks that each halve the image, rounding up, then one linear layer.

    A block is a strided convolution, or with `pool` (window sizes) an unstrided one and a maximum over windows.
    `width` counts the first block's channels, which double per halving, or lists every block's.
    """
    check_square(shape)
    hidden = Hidden(depth, activation, slope, dropout, normed(norm, depth, spared=1), eps)
    kernels, pools, widths = per_layer("kernel", kernel, depth), per_layer("pool", pool, depth), listed(width, depth)
    line, convolution = (SpectralLinear, SpectralConv2d) if spectral else (Linear, Conv2d)
    sides, layers, before = [shape[1]], [], shape[0]
    for index in range(depth):
        stride = 2 if not pools[index] and sides[-1] >= SMALLEST_HALVED else 1
        size = kernels[index] if stride == 2 else odd(kernels[index])
        padding = encoder_padding(sides[-1], size, stride) if padded else 0
        side = (sides[-1] + 2 * padding - size) // stride + 1
        pooled = pools[index] and side >= SMALLEST_HALVED
        sides.append(side // pools[index] if pooled else side)
        if sides[-1] < 1:
            raise ValueError(f"nothing is left of a {shape[1]} pixel image after {index + 1} blocks (sides {sides})")
        channels = widths[index] if widths else doubled(width, sides)
        layers.append(convolution(before, channels, size, stride, padding, bias=hidden.bias(index)))
        layers += hidden.after(index, channels, nn.BatchNorm2d)
        layers += [nn.MaxPool2d(pools[index])] if pooled else []
        before = channels
    return nn.Sequential(*layers, Flatten(), line(before * sides[-1] ** 2, outputs))


def conv_decoder(
    inputs,
    shape,
    depth,
    *,
    width=64,
    activation="ReLU",
    slope=0.2,
    dropout=0.0,
    norm=False,
    eps=1e-5,
    norm_last=False,
    kernel=4,
    sides=None,
    upsample=False,
    last_activation=None,
    interpolation="bilinear",
) -> nn.Sequential:
    """(n, inputs) -> (n, *shape): a linear layer makes a small image, which `depth` blocks enlarge.

    The hidden layers are the images that enter the blocks. `width` lists their channels, or counts those of the last,
    and the others mirror the encoder. `sides` lists the sides of all images, first to last (default: the encoder's
    halvings in reverse); when the last is not the image's own, the result is interpolated, after its `last_activation` if
    there is one. A block is a transposed convolution, or with `upsample` nearest-neighbour enlargement and a convolution
    (Odena et al. 2016).
    """
    check_square(shape)
    hidden = Hidden(depth, activation, slope, dropout, normed(norm, depth), eps, norm_last)
    sides = sides or halvings(shape[1], depth)[::-1]
    if len(sides) != depth + 1:
        raise ValueError(f"sides={sides} must list {depth + 1} sides: before the first block and after each of {depth}")
    widths = listed(width, depth) or [doubled(width, sides[::-1][: depth + 1 - index]) for index in range(depth)]
    channels = [*widths, shape[0]]
    seed = (channels[0], sides[0], sides[0])
    layers = [Linear(inputs, prod(seed), hidden.bias(0)), Unflatten(1, seed)]
    for index, size in enumerate(per_layer("kernel", kernel, depth)):
        layers += hidden.after(index, channels[index], nn.BatchNorm2d)
        bias = index + 1 == depth or hidden.bias(index + 1)
        (narrow, wide), (side, side_after) = channels[index : index + 2], sides[index : index + 2]
        layers += enlarge(narrow, wide, side, side_after, size, upsample, bias)
    layers += [make_activation(last_activation, slope)] if last_activation else []
    layers += [nn.Upsample(size=shape[1], mode=interpolation)] if sides[-1] != shape[1] else []
    return nn.Sequential(*layers)


def enlarge(channels, channels_after, side, side_after, kernel, upsample, bias) -> list[nn.Module]:
    """One decoder block, of exactly the output size asked for."""
    if upsample or side == side_after:
        size = odd(kernel)
        resize = [nn.Upsample(size=side_after)] if side != side_after else []
        return [*resize, nn.Conv2d(channels, channels_after, size, padding=size // 2, bias=bias)]
    stride = 2 if 2 * side_after > 3 * side else 1
    excess = (side - 1) * stride + kernel - side_after
    padding = max(0, -(-excess // 2))
    extra = 2 * padding - excess
    if extra >= stride:
        raise ValueError(f"a transposed convolution with kernel {kernel} cannot turn {side} pixels into {side_after}")
    return [ConvTranspose2d(channels, channels_after, kernel, stride, padding, extra, bias=bias)]


def halvings(side, depth) -> list[int]:
    """Sides of an image before and after each of `depth` blocks: 28, 14, 7, 4, 2, 2."""
    sides = [side]
    for _ in range(depth):
        sides.append(-(-sides[-1] // 2) if sides[-1] >= SMALLEST_HALVED else sides[-1])
    return sides


def listed(width, depth) -> list:
    """The widths of all layers, or an empty list where `width` is a single number."""
    return per_layer("width", width, depth) if isinstance(width, (list, tuple)) else []


def doubled(width, sides) -> int:
    """Channels of the last of the images with these sides, of which the first is the full one."""
    halved = sum(before != after for before, after in zip(sides, sides[1:]))
    return width * min(WIDEST, 2 ** max(0, halved - 1))


def encoder_padding(side, kernel, stride) -> int:
    """Padding after which the convolution yields ceil(side / stride) pixels."""
    return (stride * (-(-side // stride) - 1) + kernel - side + 1) // 2


def odd(kernel) -> int:
    """Only an odd kernel can keep an image's size."""
    return kernel - 1 + kernel % 2


def check_square(shape):
    if shape[1] != shape[2]:
        raise ValueError(f"convolutional nets take square images, not {shape[1]} x {shape[2]}")


fc = Net("fc", fc_encoder, fc_decoder)
conv = Net("conv", conv_encoder, conv_decoder)
