"""What lies between two latents: whether images along a path are recognisable, and whether they change step by step."""

import torch
from torch import Tensor

from study.metrics import check

PATHS, STEPS = 64, 12  # paths of a model, and points on each, both ends included


def latent_path(a: Tensor, b: Tensor, steps: int) -> Tensor:
    """Points between latents a and b, each (n, d): (n * steps, d). ((1-t) a + t b) / sqrt((1-t)^2 + t^2) is standard
    normal wherever a and b are; a straight line would leave the shell that the model was trained on."""
    t = torch.linspace(0, 1, steps, device=a.device, dtype=a.dtype)[None, :, None]
    points = ((1 - t) * a[:, None] + t * b[:, None]) / ((1 - t) ** 2 + t**2).sqrt()
    return points.reshape(-1, a.shape[1])


def largest_jump(features: Tensor) -> float:
    """The mean over paths of the largest step's share in all of a path's length, of features (paths, steps, d): 1 where all
    happens at once, 1 / (steps - 1) where nothing does. A path that does not move at all has no steps: it counts as even."""
    check(features.flatten(0, 1))
    steps = features.diff(dim=1).double().norm(dim=2)
    lengths = steps.sum(1)
    shares = steps.amax(1) / lengths.clamp(min=1e-12)
    return torch.where(lengths > 0, shares, 1 / steps.shape[1]).mean().item()
