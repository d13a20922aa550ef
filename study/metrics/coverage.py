"""Which part of the real images is generated, and which part of what is generated is real."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from study.metrics import PAIRED, check, row_chunks

if TYPE_CHECKING:
    from study.metrics.reference import Reference

NEIGHBOURS = 5


def distances(x: Tensor, y: Tensor) -> Tensor:
    """Exact Euclidean distances (n, m): the faster matrix product puts a point at up to .09 from its own copy."""
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


def radii(x: Tensor, k: int = NEIGHBOURS) -> Tensor:
    """Distance (n,) of each point of x (n, d) to its k-th nearest other point."""
    check(x, at_least=k + 1)  # the nearest of all is the point itself, at 0
    return torch.cat([distances(rows, x).topk(k + 1, largest=False).values[:, k] for rows in row_chunks(x, len(x))])


def prdc(reference: "Reference", fake: Tensor) -> dict[str, float]:
    """Precision, recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020) of features (m, d).

    Shares between 0 and 1 (density may exceed 1), higher is better; of the first PAIRED of either side, at equal numbers,
    more than k = NEIGHBOURS. A point's ball reaches to its k-th nearest other point of its own side. precision: fakes inside some
    real point's ball; recall: reals inside some fake's ball; density: how many real balls hold a fake, over k; coverage:
    real balls that hold a fake.
    """
    real, fake = reference.equal(fake, PAIRED)
    check(real, fake, at_least=NEIGHBOURS + 1)
    known = len(real) == len(reference.radii)
    real_radii, fake_radii = reference.radii if known else radii(real), radii(fake)  # (n,) each
    balls, recalled, covered = torch.zeros(len(fake), device=fake.device), [], []
    for rows, radius in zip(row_chunks(real, len(fake)), row_chunks(real_radii, len(fake))):
        apart = distances(rows, fake)  # (rows, n)
        inside = apart < radius[:, None]  # which fakes lie in the ball of each real point
        balls += inside.sum(0)
        covered.append(inside.any(1))
        recalled.append((apart < fake_radii).any(1))
    return {
        "precision": (balls > 0).double().mean().item(),
        "recall": torch.cat(recalled).double().mean().item(),
        "density": balls.double().mean().item() / NEIGHBOURS,
        "coverage": torch.cat(covered).double().mean().item(),
    }


def precision(reference: "Reference", fake: Tensor) -> float:
    """The share of features (m, d) inside some real point's ball, as in `prdc`, whatever their number."""
    real, radius = reference.vectors[:PAIRED], reference.radii
    check(fake, at_least=1)
    inside = [(distances(rows, real) < radius).any(1) for rows in row_chunks(fake, len(real))]
    return torch.cat(inside).double().mean().item()


def shares(labels: Tensor, classes: int) -> Tensor:
    """Share (classes,) of each class among the labels (n,), float64."""
    check(labels, at_least=1)
    return torch.bincount(labels, minlength=classes).double() / len(labels)


def label_jsd(real_shares: Tensor, fake_shares: Tensor) -> float:
    """Jensen-Shannon divergence of two class histograms (c,), in bits from 0 to 1; lower is better.

    Exactly 3 of 10 equal classes score .493. Samples of the real distribution score about (c - 1) / (8 n ln 2), not 0.
    """
    middle = (real_shares + fake_shares) / 2
    return ((_bits(real_shares, middle) + _bits(fake_shares, middle)) / 2).clamp(min=0).item()


def _bits(p, q):
    return torch.where(p > 0, p * (p / q).log2(), 0).sum()


def classes(fake_shares: Tensor) -> int:
    """Number of classes with more than 1 % of the samples; higher is better."""
    return int((fake_shares > 0.01).sum())
