"""A residual body for square images: pre-activated blocks, as in Gulrajani et al. 2017 (appendix F)."""

from math import prod

from torch import nn

from models.convolution import Flatten, Unflatten
from models.linear import Linear
from models.nets import Net, check_square, doubled, halvings, listed, make_activation
from models.spectral import SpectralConv2d, SpectralLinear


class Block(nn.Module):
    """(n, before, side, side) -> (n, after, side_after, side_after): two 3 x 3 convolutions beside a shortcut, which has one of
    1 x 1 where channels differ.

    It halves an image at its end, rounding up, and enlarges one, by repeating pixels, at its beginning."""

    def __init__(self, before, after, side, side_after, norm, activation, slope, convolution=nn.Conv2d):
        super().__init__()

        def prepared(channels):
            return [*[nn.BatchNorm2d(channels)] * norm, make_activation(activation, slope)]

        larger = [nn.Upsample(size=side_after)] if side_after > side else []
        smaller = [nn.AvgPool2d(2, ceil_mode=True)] if side_after < side else []
        first = convolution(before, after, 3, padding=1, bias=not norm)
        second = convolution(after, after, 3, padding=1)
        adapted = [convolution(before, after, 1)] if before != after else []
        self.path = nn.Sequential(*prepared(before), *larger, first, *prepared(after), second, *smaller)
        self.shortcut = nn.Sequential(*larger, *adapted, *smaller)

    def forward(self, x):
        return self.path(x) + self.shortcut(x)


def residual_encoder(shape, outputs, depth, *, width=64, activation="ReLU", slope=0.2, norm=False, spectral=False) -> nn.Sequential:
    """(n, *shape) -> (n, outputs): a convolution, `depth` blocks that each halve the image, one linear layer. `width` counts the
    channels of the first block, which double per halving, or lists every block's; `spectral`: see models/spectral.py."""
    check_square(shape)
    line, convolution = (SpectralLinear, SpectralConv2d) if spectral else (Linear, nn.Conv2d)
    sides = halvings(shape[1], depth)
    widths = listed(width, depth) or [doubled(width, sides[: index + 2]) for index in range(depth)]
    layers: list[nn.Module] = [convolution(shape[0], widths[0], 3, padding=1)]
    for before, after, side, side_after in zip([widths[0], *widths], widths, sides, sides[1:]):
        layers.append(Block(before, after, side, side_after, norm, activation, slope, convolution))
    layers += [make_activation(activation, slope), Flatten(), line(widths[-1] * sides[-1] ** 2, outputs)]
    return nn.Sequential(*layers)


def residual_decoder(inputs, shape, depth, *, width=64, activation="ReLU", slope=0.2, norm=False) -> nn.Sequential:
    """(n, inputs) -> (n, *shape): a linear layer makes a small image, which `depth` blocks enlarge, the encoder in reverse; a last
    convolution makes its colours."""
    check_square(shape)
    sides = halvings(shape[1], depth)[::-1]
    widths = listed(width, depth) or [doubled(width, sides[::-1][: depth + 1 - index]) for index in range(depth)]
    seed = (widths[0], sides[0], sides[0])
    layers: list[nn.Module] = [Linear(inputs, prod(seed)), Unflatten(1, seed)]
    for before, after, side, side_after in zip(widths, [*widths[1:], widths[-1]], sides, sides[1:]):
        layers.append(Block(before, after, side, side_after, norm, activation, slope))
    layers += [nn.BatchNorm2d(widths[-1])] * norm
    return nn.Sequential(*layers, make_activation(activation, slope), nn.Conv2d(widths[-1], shape[0], 3, padding=1))


residual = Net("residual", residual_encoder, residual_decoder)
