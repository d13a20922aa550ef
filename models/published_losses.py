"""Losses that public code takes of a VAE in place of the bound, each with its fault: to be run for what they do.

Each maps logits of the decoded mean and images in [0, 1], both (n, C, H, W), and mean and log-variance of q(z|x), both
(n, latent), to a loss per image (n,).
"""

import torch
from torch import Tensor
from torch.nn import functional as F

LOG_FLOOR = -100.0  # where PyTorch's cross-entropy cuts logarithms off


def unhalved_kl(logits: Tensor, x: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Squared errors and sigma^2 + mu^2 - log sigma - 1/2, summed (https://avandekleut.github.io/vae/).

    The KL divergence from N(0, 1) is sigma^2 / 2 + mu^2 / 2 - log sigma - 1/2. Without the halves this is the divergence from
    N(0, 1/2), plus log(2) / 2: every latent unit costs .347 nats, used or not, so that a larger latent raises the loss though it
    takes nothing from the model; and what N(0, 1) samples lies further out than what was learned.
    """
    error = (x - torch.sigmoid(logits)).square().flatten(1).sum(1)
    return error + (log_variance.exp() + mean**2 - 0.5 * log_variance - 0.5).sum(1)


def normalised_cross_entropy(logits: Tensor, x: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Cross-entropy of images normalised to [-1, 1] and the KL divergence, summed.

    Cross-entropy is of targets in [0, 1], and today's PyTorch refuses others. Of a target of -1 it falls without end as its
    probability goes to 0, down to where logarithms are cut off: the loss is negative and outweighs the KL divergence.
    """
    target = 2 * x - 1
    ones, zeros = F.logsigmoid(logits).clamp(min=LOG_FLOOR), F.logsigmoid(-logits).clamp(min=LOG_FLOOR)
    kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance)
    return -(target * ones + (1 - target) * zeros).flatten(1).sum(1) + kl.sum(1)


PUBLISHED_LOSSES = {"unhalved_kl": unhalved_kl, "normalised_cross_entropy": normalised_cross_entropy}
