"""Distances between two sets of feature vectors: Frechet, kernel and sliced Wasserstein. All are better when lower."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from study.metrics import IN_CACHE, PAIRED, check, row_chunks

if TYPE_CHECKING:
    from study.metrics.reference import Reference

CONSTANT = 1e-6  # of the largest deviation among the features: one that varies less is rounding, whatever the unit


@dataclass(frozen=True)
class Moments:
    """Mean (d,) and covariance (d, d; ddof 1) of a set of features, float64; the covariance's root is computed once."""

    mean: Tensor
    covariance: Tensor

    @cached_property
    def root(self) -> Tensor:
        """The symmetric root (d, d) of the covariance."""
        values, vectors = torch.linalg.eigh(self.covariance)
        return vectors * values.clamp(min=0).sqrt() @ vectors.T  # constant features give eigenvalues of about -1e-17

    @property
    def spread(self) -> float:
        """The trace of the covariance: how far features lie from their mean, squared."""
        return self.covariance.trace().item()

    @cached_property
    def deviations(self) -> Tensor:
        """The standard deviation (d,) of every feature."""
        return self.covariance.diagonal().sqrt()

    @cached_property
    def varying(self) -> Tensor:
        """Which features (d,) are not constant."""
        return self.deviations > CONSTANT * self.deviations.max()


def moments(features: Tensor) -> Moments:
    """The Moments of features (n, d), n >= 2."""
    check(features)
    x = features.double()
    mean = x.mean(0)
    centred = x - mean
    return Moments(mean, centred.T @ centred / (len(x) - 1))


def fd(real: Moments, fake: Moments) -> float:
    """Squared Frechet distance of two Moments seen as Gaussians, in squared units of the features; lower is better.

    Heusel et al. 2017, eq. 6. The trace of (S_r S_g)^1/2 is taken from the symmetric S_r^1/2 S_g S_r^1/2, which has the
    same eigenvalues. Biased upwards by about 1/n: compare only at equal numbers of samples.
    """
    product = torch.linalg.eigvalsh(real.root @ fake.covariance @ real.root).clamp(min=0).sqrt().sum().item()
    return (real.mean - fake.mean).square().sum().item() + real.spread + fake.spread - 2 * product


def fd_rel(real: Moments, distance: float) -> float:
    """An `fd` from the real Moments over their spread: 0 is perfect, a point mass at the real mean scores exactly 1."""
    if real.spread <= 0:
        raise ValueError("the real features are all the same: no distance can be measured in units of their spread")
    return distance / real.spread


def fd_rel_deviation(reference: "Reference", fake: Moments, distance: float) -> float:
    """The standard deviation over the choice of the real images of `distance`, the fd_rel of fake Moments from them.

    What every real image adds to it, to first order (the infinitesimal jackknife, Efron 1982): a real mean moved by a
    and a covariance changed by C change the Frechet distance by 2 a.(m_r - m_g) + tr C - tr T C, with T = S_g^1/2
    (S_g^1/2 S_r S_g^1/2)^-1/2 S_g^1/2, the map that transports one Gaussian to the other. Of perfect samples, where what
    is of second order counts as much, a fifth too little.
    """
    real = reference.moments
    x = reference.vectors.double() - real.mean
    values, vectors = torch.linalg.eigh(fake.root @ real.covariance @ fake.root)
    kept = values > CONSTANT**2 * values.max()  # directions that either set lacks carry nothing
    along = x @ (fake.root @ vectors[:, kept]) / values[kept].pow(0.25)
    lengths = x.square().sum(1)
    added = 2 * x @ (real.mean - fake.mean) + lengths - along.square().sum(1) - distance * lengths
    return (added.std() / len(x) ** 0.5).item() / real.spread


def standardise(features: Tensor, real: Moments) -> Tensor:
    """Features (n, d) less the mean of the real Moments, in units of their deviations, float64.

    A feature that is constant on real images has no deviation of its own: its unit is the root mean square of the
    others', so that samples in which it varies are seen, at any scale of the features.
    """
    common = real.deviations[real.varying].square().mean().sqrt()
    return (features.double() - real.mean) / torch.where(real.varying, real.deviations, common)


def kid(reference: "Reference", fake: Tensor) -> float:
    """Unbiased squared maximum mean discrepancy of features (m, d) from the real ones with the kernel (x.y / d' + 1)^3.

    Binkowski et al. 2018, section 4, on features in units of the real deviations, the first PAIRED of either side. Without
    units, lower is better; about 0, and as often negative as positive, for samples of one distribution. d' counts the
    features that are not constant on real images: counting the others too, the distance would fall with every one added.
    """
    check(fake)
    x, d = reference.standardised, reference.dimensions
    y = reference.standardise(fake[:PAIRED])
    between = _kernel_sum(x, y, d) / (len(x) * len(y))
    return (reference.mean_kernel + mean_kernel(y, d) - 2 * between).item()


def mean_kernel(x: Tensor, dimensions: int) -> Tensor:
    """The mean of the kernel over all pairs of different rows of x (n, d), a float64 scalar."""
    x, n, done, total = x.double(), len(x), 0, 0.0
    for rows in row_chunks(x, n, IN_CACHE):
        done += len(rows)  # the kernel is symmetric: pairs of this chunk with later rows count twice
        total = total + _kernel_sum(rows, rows, dimensions) + 2 * _kernel_sum(rows, x[done:], dimensions)
    return (total - ((x * x).sum(1) / dimensions + 1).pow(3).sum()) / (n * (n - 1))  # less the pairs of a row with itself


def _kernel_sum(x: Tensor, y: Tensor, dimensions: int) -> Tensor:
    """The sum of the kernel over all pairs of rows of x (n, d) and y (m, d), a float64 scalar."""
    one = torch.ones((), dtype=x.dtype, device=x.device)
    return torch.stack(
        [torch.addmm(one, rows, y.T, alpha=1 / dimensions).pow_(3).sum() for rows in row_chunks(x, len(y), IN_CACHE)]
    ).sum()


def directions(size: int, count: int = 256, seed: int = 0) -> Tensor:
    """`count` fixed unit vectors (size, count), float32: the same for every set that is compared."""
    normal = torch.randn(size, count, generator=torch.Generator().manual_seed(seed))
    return normal / normal.norm(dim=0)


def projections(x: Tensor, along: Tensor) -> Tensor:
    """x (n, d) projected on the columns of `along` (d, p), each column sorted: (n, p). Chunked over directions."""
    check(x, at_least=1)
    return torch.cat([(x @ part).sort(0).values for part in along.split(32, dim=1)], 1)


def projected_gaps(reference: "Reference", fake: Tensor) -> Tensor:
    """Differences (n, p) between the sorted projections of real vectors and of fake (m, d), at equal numbers n.

    Along one direction the k-th smallest real value is matched to the k-th smallest generated one, which is how least
    is moved between two sets on a line.
    """
    real, fake = reference.equal(fake)
    along = reference.directions
    known = reference.projections if len(real) == len(reference.vectors) else projections(real, along)
    return known - projections(fake, along)


def swd(reference: "Reference", fake: Tensor) -> float:
    """Sliced 2-Wasserstein distance of vectors (m, d) from the real ones, in their own units; lower is better.

    Root mean square over the directions of the exact one-dimensional distances (Bonneel et al. 2015). The larger set is cut.
    """
    return projected_gaps(reference, fake).square().mean(0).double().mean().sqrt().item()
