"""A net of one's own: fully connected layers whose widths fall evenly, by ratio, from the image to what is asked for."""

from math import prod

from models.nets import Net, fc_decoder, fc_encoder


def widths(large: int, small: int, depth: int) -> list[int]:
    """Of `depth` layers between two sizes, largest first: 784 and 10 give 183 and 43."""
    ratio = (small / large) ** (1 / (depth + 1))
    return [max(1, round(large * ratio ** (index + 1))) for index in range(depth)]


def encoder(shape, outputs, depth, **options):
    """A module of (n, *shape) -> (n, outputs)."""
    return fc_encoder(shape, outputs, depth, width=widths(prod(shape), outputs, depth), **options)


def decoder(inputs, shape, depth, **options):
    """A module of (n, inputs) -> (n, *shape), unbounded."""
    return fc_decoder(inputs, shape, depth, width=widths(prod(shape), inputs, depth)[::-1], **options)


funnel = Net("funnel", encoder, decoder)
