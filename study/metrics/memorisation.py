"""Does a generator repeat its training images? Pixel distances from samples to the nearest of them."""

import torch
from torch import Tensor
from torch.nn import functional as F

from study.metrics import Unmeasurable, check, row_chunks

CANDIDATES = 8  # nearest by the fast product, then measured exactly
VALUES = 1536  # of an image compared pixel by pixel: all of MNIST's 784; CIFAR-10 at 16 x 16, Imagenette at 20 x 20


def pixels(x: Tensor) -> Tensor:
    """Images (n, C, H, W) as vectors (n, d), averaged over squares of 2, 4, 8 ... pixels until d <= VALUES."""
    while x[0].numel() > VALUES:
        x = F.avg_pool2d(x, 2, ceil_mode=True)
    return x.flatten(1)


def nearest(x: Tensor, train: Tensor) -> tuple[Tensor, Tensor]:
    """Distance (n,) and index (n,) of the nearest training vector (m, d) to each vector of x (n, d).

    A matrix product finds the candidates, whose distance is then measured exactly: the product's rounding alone would
    put up to .09 between an image and its own copy.
    """
    return _nearest(x, train, torch.full((len(x),), -1, device=x.device))


def spacing(indices: Tensor, train: Tensor) -> Tensor:
    """Distance (n,) from training vectors, given by `indices` (n,), to the nearest other one of all (m, d), m >= 2."""
    check(train)
    return _nearest(train[indices], train, indices)[0]


def _nearest(x, train, excluded):
    check(x, train, at_least=1)
    half_squares, count = train.square().sum(1) / 2, min(CANDIDATES, len(train))
    distances, indices = [], []
    for rows, own in zip(row_chunks(x, len(train)), row_chunks(excluded, len(train))):
        # |x - t|^2 = |x|^2 - 2 x.t + |t|^2: for one x its own square and the factor 2 change no order
        candidates = (half_squares - rows @ train.T).topk(count, largest=False).indices  # (rows, count)
        apart = (rows[:, None] - train[candidates]).norm(dim=2)
        best = apart.masked_fill(candidates == own[:, None], torch.inf).min(1)
        distances.append(best.values)
        indices.append(candidates.gather(1, best.indices[:, None])[:, 0])
    return torch.cat(distances), torch.cat(indices)


def nn_ratio(sample_distances: Tensor, held_out_distances: Tensor) -> float:
    """Median distance (n,) from samples to the training set over that (m,) of held-out real images.

    About 1 for new images of the same kind, 0 for copies, above 1 for images unlike the training set.
    """
    usual = held_out_distances.median().item()
    if usual == 0:
        raise Unmeasurable("half of the held-out images are in the training set: there is no scale for copying")
    return sample_distances.median().item() / usual


def authenticity(distances: Tensor, spacings: Tensor) -> float:
    """Share of images farther from their nearest training image than that one is from any other training image.

    Alaa et al. 2022, from `nearest` distances (n,) and the `spacing` (n,) of those nearest images. Real
    held-out images do not score 1 but about .6: compare with them, lower is more copying.
    """
    return (distances > spacings).double().mean().item()
