"""How sharp images are, which neither precision nor the Frechet distance see well: blurred digits stay among real ones."""

from torch import Tensor


def sharpness(x: Tensor) -> Tensor:
    """Variance (n,) of the second differences (Laplace filter) of images (n, C, H, W), grey as the mean of their channels.

    Less of it is more blur (Tolstikhin et al. 2018); noise has most. Images of less than 3 pixels a side have none: NaN.
    """
    grey = x.mean(1)
    middle, above, below = grey[:, 1:-1, 1:-1], grey[:, :-2, 1:-1], grey[:, 2:, 1:-1]
    beside = grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    return (above + below + beside - 4 * middle).flatten(1).var(1, correction=0)
