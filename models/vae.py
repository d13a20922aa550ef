"""Variational autoencoder (Kingma and Welling 2014) with a diagonal Gaussian posterior."""

from math import log, pi, prod

import torch
from torch import nn
from torch.nn import functional as F

from models.augment import flipped
from models.phase import Adam, Phase
from models.published_losses import PUBLISHED_LOSSES

REDUCTIONS = ("sum", "mean", "mean_both")


class VAE(nn.Module):
    """Maximises log p(x|z) - beta KL(q(z|x) || N(0, I)), summed over pixels and averaged over images.

    `likelihood`: "bernoulli" (a density of binarised images; for grey levels a loss only), "continuous_bernoulli"
    (Loaiza-Ganem and Cunningham 2019) or "gaussian" around the decoded mean, with `variance` a number (at .5 the loss
    is the sum of squared errors) or "learned", one value for all pixels (Dai and Wipf 2019).
    `warmup`: epochs over which the KL weight rises linearly to `beta`.
    `reduction`: "mean" averages the likelihood over the D pixels, "mean_both" also the KL over the latent dimensions.
    `published_loss`: one of models/published_losses.py, minimised as it stands in place of all that; measures stay as they are.
    `lr_decay`: the rate of an epoch is lr x lr_decay^epoch.
    `flips`: every second training image is mirrored.
    `encoder` and `decoder`: options of one side; `body`: options of both. See models/nets.py.
    """

    stackable = ("lr", "betas", "lr_decay", "beta", "variance", "dropout")
    loss_scales = {
        "vae/loss": "minimised: recon + beta kl, over the pixel values under a mean reduction; or a published loss",
        "vae/recon": "nats per image, summed over pixels",
        "vae/kl": "nats per image, summed over latents",
    }

    def __init__(
        self,
        shape,
        net,
        depth,
        latent_dim,
        *,
        likelihood="bernoulli",
        variance=0.5,
        beta=1.0,
        warmup=0,
        reduction="sum",
        published_loss=None,
        flips=False,
        lr=1e-3,
        betas=(0.9, 0.999),
        lr_decay=1.0,
        encoder=None,
        decoder=None,
        **body,
    ):
        super().__init__()
        if reduction not in REDUCTIONS or likelihood not in LIKELIHOODS:
            raise ValueError(
                f"reduction={reduction!r} and likelihood={likelihood!r} must be among {REDUCTIONS} and {tuple(LIKELIHOODS)}"
            )
        if published_loss not in (None, *PUBLISHED_LOSSES):
            raise ValueError(f"published_loss={published_loss!r} must be None or among {tuple(PUBLISHED_LOSSES)}")
        self.shape, self.latent_dim = tuple(shape), latent_dim
        self.published_loss = PUBLISHED_LOSSES.get(published_loss)
        self.log_density, self.mean = LIKELIHOODS[likelihood]
        self.warmup, self.reduction = warmup, reduction
        pixels = 1 if reduction == "sum" else prod(shape)
        # the KL weight of the same optimum under summed losses: averaging over D pixels multiplies it by D
        self.beta_effective = float(beta * pixels / (latent_dim if reduction == "mean_both" else 1))
        self.register_buffer("kl_weight", torch.tensor(self.beta_effective), persistent=False)
        self.encoder = net.encoder(shape, 2 * latent_dim, **{"depth": depth, **body, **(encoder or {})})
        self.decoder = net.decoder(latent_dim, shape, **{"depth": depth, **body, **(decoder or {})})
        learns = ("encoder", "decoder")
        if likelihood == "gaussian" and variance == "learned":
            self.log_variance, learns = nn.Parameter(torch.zeros(())), (*learns, "log_variance")
        else:
            self.register_buffer("log_variance", torch.tensor(log(variance)) if likelihood == "gaussian" else None)
        self.flips, mirrored = flips, {"uniform_flip": (1, 1, 1)} if flips else {}
        self.phases = [Phase("vae", "loss", learns, Adam(lr, tuple(betas), lr_decay), noise={"z": (latent_dim,), **mirrored})]

    @property
    def binary_pixels(self) -> bool:
        """Whether the likelihood is a probability of pixels 0 and 1 rather than a density of grey levels."""
        return self.log_density is bernoulli

    def loss(self, x, noise, epoch) -> dict:
        """ "loss" under the chosen weights and reduction, or as published; "recon" and "kl" always in nats per image."""
        x = flipped(x, noise["uniform_flip"]) if self.flips else x
        logits, *posterior = self.decoded(x, noise["z"])
        recon, kl = self.terms(logits, x, *posterior)
        recon, kl = recon.mean(), kl.sum(1).mean()
        if self.published_loss:
            return {"loss": self.published_loss(logits, x, *posterior).mean(), "recon": recon, "kl": kl}
        weight = self.kl_weight * (((epoch + 1) / self.warmup).clamp(max=1) if self.warmup else 1)
        scale = 1 if self.reduction == "sum" else 1 / prod(self.shape)
        return {"loss": scale * (recon + weight * kl), "recon": recon, "kl": kl}

    def decoded(self, x, eps):
        """Logits of the mean images, and mean and log-variance of q(z|x) from which their latents are drawn."""
        mean, log_variance = self.posterior(x)
        return self.decoder(mean + eps * torch.exp(0.5 * log_variance)), mean, log_variance

    def terms(self, logits, x, mean, log_variance):
        """What `elbo_terms` gives, without its check, which would stop the accelerator at every step."""
        kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance)
        return -self.log_density(logits, x, self.log_variance).flatten(1).sum(1), kl

    def elbo_terms(self, x, eps):
        """Images in [0, 1] and N(0, 1) noise (n, latent_dim) -> -log p(x|z) (n,) and KL (n, latent_dim), in nats."""
        check_unit_interval(x)
        logits, *posterior = self.decoded(x, eps)
        return self.terms(logits, x, *posterior)

    def log_likelihood(self, x, z):
        """log p(x|z) (n,), in nats."""
        check_unit_interval(x)
        return self.log_density(self.decoder(z), x, self.log_variance).flatten(1).sum(1)

    def posterior(self, x):
        """Mean and log-variance of q(z|x), each (n, latent_dim)."""
        return self.encoder(x).chunk(2, 1)

    def sample(self, z):
        """(n, latent_dim) -> mean images (n, *shape) in [0, 1]."""
        return self.mean(self.decoder(z))

    def reconstruct(self, x):
        """Mean images decoded from the posterior's mean."""
        return self.sample(self.posterior(x)[0])


def check_unit_interval(x):
    if x.min() < 0 or x.max() > 1:
        raise ValueError(
            f"images must lie in [0, 1], not [{x.min():.3g}, {x.max():.3g}]: on normalised pixels "
            "cross-entropy has no lower bound and no density describes them"
        )


def bernoulli(logits, x, log_variance):
    return x * logits - F.softplus(logits)  # faster than the library's cross-entropy with logits, which it equals


def continuous_bernoulli(logits, x, log_variance):
    """Adds the log of its constant, l / tanh(l / 2), by its Taylor series near 0, where both sides of it vanish."""
    near, safe = split_near_zero(logits, 0.02)
    series = log(2) + logits**2 / 12 - 7 * logits**4 / 1440
    return bernoulli(logits, x, log_variance) + torch.where(near, series, (safe / torch.tanh(safe / 2)).log())


def continuous_bernoulli_mean(logits):
    near, safe = split_near_zero(logits, 0.1)
    mean = torch.where(near, 0.5 + logits / 12 - logits**3 / 720, 0.5 + 0.5 / torch.tanh(safe / 2) - 1 / safe)
    return mean.clamp(0, 1)


def split_near_zero(logits, radius):
    """Where the series holds, and logits that keep the other formula's gradient finite there."""
    near = logits.abs() < radius
    return near, torch.where(near, torch.ones_like(logits), logits)


def gaussian(logits, x, log_variance):
    return -0.5 * ((x - torch.sigmoid(logits)) ** 2 * torch.exp(-log_variance) + log_variance + log(2 * pi))


LIKELIHOODS = {
    "bernoulli": (bernoulli, torch.sigmoid),
    "gaussian": (gaussian, torch.sigmoid),
    "continuous_bernoulli": (continuous_bernoulli, continuous_bernoulli_mean),
}
