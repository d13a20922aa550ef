"""Distances between two sets of feature vectors: Frechet, kernel and sliced Wasserstein. All are better when lower."""

from dataclasses import dataclass
from functools import cached_property

import torch

from study.metrics import IN_CACHE, check, row_chunks

CONSTANT = 1e-6  # of the largest deviation among the features: one that varies less is rounding, whatever the unit


@dataclass(frozen=True)
class Moments:
    """Mean (d,) and covariance (d, d; ddof 1) of a set of features, float64; the covariance's root is computed once."""

    mean: torch.Tensor
    covariance: torch.Tensor

    @cached_property
    def root(self):
        values, vectors = torch.linalg.eigh(self.covariance)
        return vectors * values.clamp(min=0).sqrt() @ vectors.T  # constant features give eigenvalues of about -1e-17

    @property
    def spread(self):
        """The trace of the covariance: how far features lie from their mean, squared."""
        return self.covariance.trace().item()

    @cached_property
    def deviations(self):
        """The standard deviation (d,) of every feature."""
        return self.covariance.diagonal().sqrt()

    @cached_property
    def varying(self):
        """Which features (d,) are not constant."""
        return self.deviations > CONSTANT * self.deviations.max()


def moments(features):
    """The Moments of features (n, d), n >= 2."""
    check(features)
    x = features.double()
    mean = x.mean(0)
    centred = x - mean
    return Moments(mean, centred.T @ centred / (len(x) - 1))


def fd(real, fake):
    """Squared Frechet distance of two Moments seen as Gaussians, in squared units of the features; lower is better.

    Heusel et al. 2017, eq. 6. The trace of (S_r S_g)^1/2 is taken from the symmetric S_r^1/2 S_g S_r^1/2, which has the
    same eigenvalues. Biased upwards by about 1/n: compare only at equal numbers of samples.
    """
    product = torch.linalg.eigvalsh(real.root @ fake.covariance @ real.root).clamp(min=0).sqrt().sum().item()
    return (real.mean - fake.mean).square().sum().item() + real.spread + fake.spread - 2 * product


def fd_rel(real, distance):
    """An `fd` from the real Moments over their spread: 0 is perfect, a point mass at the real mean scores exactly 1."""
    if real.spread <= 0:
        raise ValueError("the real features are all the same: no distance can be measured in units of their spread")
    return distance / real.spread


def standardise(features, real):
    """Features (n, d) less the mean of the real Moments, in units of their deviations, float64.

    A feature that is constant on real images has no deviation of its own: its unit is the root mean square of the
    others', so that samples in which it varies are seen, at any scale of the features.
    """
    common = real.deviations[real.varying].square().mean().sqrt()
    return (features.double() - real.mean) / torch.where(real.varying, real.deviations, common)


def kid(real, fake, dimensions=None, within_real=None):
    """Unbiased squared maximum mean discrepancy of features (n, d) and (m, d) with the kernel (x.y/dimensions + 1)^3.

    Binkowski et al. 2018, section 4; without units, lower is better; about 0, and as often negative as positive, for
    samples of one distribution. Standardise both with the real moments first. `dimensions`: d, unless some features are
    constant on real images; these must not count, or the distance falls with every one that is added. `within_real`:
    `within(real, dimensions)`, if known.
    """
    check(real, fake)
    x, y, d = real.double(), fake.double(), dimensions or real.shape[1]
    within_x = within(x, d) if within_real is None else within_real
    return (within_x + within(y, d) - 2 * _kernel_sum(x, y, d) / (len(x) * len(y))).item()


def within(x, dimensions):
    """The mean of the kernel over all pairs of different rows of x (n, d), a float64 tensor."""
    x, n, done, total = x.double(), len(x), 0, 0.0
    for rows in row_chunks(x, n, IN_CACHE):
        done += len(rows)
        total = total + _kernel_sum(rows, rows, dimensions) + 2 * _kernel_sum(rows, x[done:], dimensions)  # symmetric
    return (total - ((x * x).sum(1) / dimensions + 1).pow(3).sum()) / (n * (n - 1))


def _kernel_sum(x, y, dimensions):
    one = torch.ones((), dtype=x.dtype, device=x.device)
    return torch.stack(
        [torch.addmm(one, rows, y.T, alpha=1 / dimensions).pow_(3).sum() for rows in row_chunks(x, len(y), IN_CACHE)]
    ).sum()


def directions(size, count=256, seed=0, device="cpu"):
    """`count` fixed unit vectors (size, count), float32: the same for every set that is compared."""
    drawn = torch.randn(size, count, generator=torch.Generator().manual_seed(seed))
    return (drawn / drawn.norm(dim=0)).to(device)


def projections(x, along):
    """x (n, d) projected on the columns of `along` (d, p), each column sorted: (n, p). Chunked over directions."""
    check(x, at_least=1)
    return torch.cat([(x @ part).sort(0).values for part in along.split(32, dim=1)], 1)


def projected_gaps(x, y, along, projected=None):
    """Differences (n, p) between the `projections` of x and y, both (n, d); `projected`: those of x, if known."""
    if len(x) != len(y):
        raise ValueError(f"{len(x)} against {len(y)} samples: sliced distances need equal numbers")
    return (projections(x, along) if projected is None else projected) - projections(y, along)


def swd(x, y, along, projected=None):
    """Sliced 2-Wasserstein distance of x and y, both (n, d), in their own units; lower is better.

    Root mean square over the directions of the exact one-dimensional distances (Bonneel et al. 2015). `projected`:
    the `projections` of x, if known.
    """
    return projected_gaps(x, y, along, projected).square().mean(0).double().mean().sqrt().item()
