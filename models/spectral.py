"""Layers whose weights are divided by their largest singular value, so that each is 1-Lipschitz (Miyato et al. 2018).

The value is followed by power iteration, one round per call in training, from a vector that is a buffer: of a pack each training
has its own, side by side.
"""

import torch
from torch import nn
from torch.nn import functional as F

from models.linear import Linear, linear

EPS = 1e-12  # below it a length counts as this


class Spectral:
    """Adds the vector to a layer that is made with a `weight` (out, ...)."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.register_buffer("singular", F.normalize(torch.randn(len(self.weight)), dim=0, eps=EPS))

    def normalised(self):
        """The weight over the estimate of its largest singular value (algorithm 1); the gradient goes through both."""
        matrix, left = self.weight.flatten(1), self.singular
        with torch.no_grad():
            if self.training:
                left = F.normalize(matrix @ F.normalize(matrix.mT @ left, dim=0, eps=EPS), dim=0, eps=EPS)
                self.singular.copy_(left)
            right = F.normalize(matrix.mT @ left, dim=0, eps=EPS)
        return self.weight / torch.dot(left, matrix @ right)


class SpectralLinear(Spectral, Linear):
    """(n, i) -> (n, o)."""

    def forward(self, x):
        return linear(x, self.normalised(), self.bias)


class SpectralConv2d(Spectral, nn.Conv2d):
    """(n, channels, H, W) -> (n, out channels, H', W'), its kernel taken as a matrix (out, in x height x width)."""

    def forward(self, x):
        return self._conv_forward(x, self.normalised(), self.bias)
