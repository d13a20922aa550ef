"""A model that is neither VAE nor GAN: a normalising flow of affine couplings (Dinh et al. 2017)."""

from math import log, pi, prod

import torch
from torch import nn

from models.phase import Adam, Phase

MARGIN = 0.05  # pixels are brought into [MARGIN, 1 - MARGIN], where their logits are finite


class Flow(nn.Module):
    """An invertible map between images and noise, trained by its exact log-likelihood.

    Each of `couplings` keeps every second pixel, and scales and shifts the others by what the net makes of those that it keeps.
    `levels`: of grey, whose steps are filled with uniform noise, so that there is a density. The noise is as large as an image.
    """

    stackable = ("lr",)
    loss_scales = {"flow/loss": "nats per image: minus the log-density of dequantised images"}

    def __init__(self, shape, net, depth, latent_dim, *, couplings=4, levels=256, lr=1e-3, **body):
        super().__init__()
        pixels = prod(shape)
        if latent_dim != pixels:
            raise ValueError(f"a flow's latent is as large as an image: latent_dim={pixels}, not {latent_dim}")
        self.shape, self.latent_dim, self.levels = tuple(shape), latent_dim, levels
        self.couplings = nn.ModuleList(net.encoder(shape, 2 * pixels, depth, **body) for _ in range(couplings))
        chessboard = torch.arange(shape[1])[:, None] + torch.arange(shape[2])
        masks = [((chessboard + index) % 2).float().expand(shape).flatten() for index in range(couplings)]
        self.register_buffer("masks", torch.stack(masks), persistent=False)
        uniform = {"uniform_dequantised": self.shape}
        self.phases = [Phase("flow", "loss", ("couplings",), Adam(lr, (0.9, 0.999)), noise=uniform)]

    def loss(self, x, noise, epoch):
        x = (x * (self.levels - 1) + noise["uniform_dequantised"]) / self.levels
        return {"loss": -self.log_prob(x).mean()}

    def log_prob(self, x):
        """Images (n, C, H, W) in [0, 1] -> their log-densities (n,), in nats: a model that has this is measured by it."""
        squeezed = (MARGIN + (1 - 2 * MARGIN) * x).flatten(1)
        z = squeezed.logit()
        log_determinant = (log(1 - 2 * MARGIN) - squeezed.log() - (1 - squeezed).log()).sum(1)
        for coupling, kept in zip(self.couplings, self.masks):
            scale, shift = self.scale_and_shift(coupling, z, kept)
            z = z * scale.exp() + shift
            log_determinant = log_determinant + scale.sum(1)
        return -0.5 * (z.square() + log(2 * pi)).sum(1) + log_determinant

    def sample(self, z):
        """Noise (n, latent_dim) -> images (n, C, H, W) in [0, 1]: the couplings undone, last first."""
        for coupling, kept in zip(reversed(self.couplings), self.masks.flip(0)):
            scale, shift = self.scale_and_shift(coupling, z, kept)
            z = (z - shift) * (-scale).exp()
        return ((z.sigmoid() - MARGIN) / (1 - 2 * MARGIN)).clamp(0, 1).unflatten(1, self.shape)

    def scale_and_shift(self, coupling, z, kept):
        """Of the pixels that are not kept, each (n, pixels); 0 where they are."""
        scale, shift = coupling((z * kept).unflatten(1, self.shape)).chunk(2, 1)
        return scale.tanh() * (1 - kept), shift * (1 - kept)
