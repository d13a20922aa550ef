"""How well a VAE explains images: its bound, a tighter bound by importance sampling, and the latent units it uses.

A model is two callables: posterior(x) -> mean and log-variance, each (n, latent_dim), of a diagonal Gaussian, and
log_likelihood(x, z) -> log p(x|z) (n,) in nats, summed over pixels. The prior is standard normal.
"""

import math

import torch

DRAWS = 500  # of the posterior of an image
IMAGES_AT_ONCE, VALUES_AT_ONCE = 64, 2**17  # pixel values decoded at a time stay in the processor's cache


def elbo(x, posterior, log_likelihood, noise):
    """The evidence lower bound and its two parts for images (n, ...) with standard normal noise (n, latent_dim).

    Kingma & Welling 2014, eq. 10: nats per image, sums over pixels, means over images. elbo: higher is better;
    recon (-log p(x|z)) and kl (closed form): lower is better.
    """
    parts = [_terms(*part, posterior, log_likelihood) for part in zip(x.split(IMAGES_AT_ONCE), noise.split(IMAGES_AT_ONCE))]
    recon, kl = torch.cat(parts, 1).double().mean(1).tolist()
    return {"elbo": -recon - kl, "recon": recon, "kl": kl}


def _terms(x, noise, posterior, log_likelihood):
    """-log p(x|z) and KL(q(z|x) || p(z)) as (2, n)."""
    mean, log_variance = posterior(x)
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
    return torch.stack([-log_likelihood(x, mean + noise * (log_variance / 2).exp()), kl.sum(1)])


def iw_nll(x, posterior, log_likelihood, draws=DRAWS, seed=0):
    """Upper bound on -log p(x) (n,) in nats per image from `draws` importance samples; lower is better.

    Burda et al. 2016: -log mean p(x|z) p(z) / q(z|x) over z drawn from the posterior. It tightens with the draws
    and is exact in the limit.
    """
    generator = torch.Generator(x.device).manual_seed(seed)
    each = max(IMAGES_AT_ONCE, VALUES_AT_ONCE // x[0].numel())  # images times draws that are decoded together
    return torch.cat(
        [_iw_nll(part, posterior, log_likelihood, draws, min(each, draws), generator) for part in x.split(max(1, each // draws))]
    )


def _iw_nll(x, posterior, log_likelihood, draws, at_once, generator):
    mean, log_variance = posterior(x)
    weights = []
    for start in range(0, draws, at_once):
        count = min(at_once, draws - start)
        eps = torch.randn(len(x), count, mean.shape[1], generator=generator, device=x.device)
        z = mean[:, None] + eps * (log_variance[:, None] / 2).exp()
        # log p(z) - log q(z|x): the constants of the two Gaussians cancel
        ratio = 0.5 * (eps.square() - z.square() + log_variance[:, None]).sum(2)
        decoded = log_likelihood(x.repeat_interleave(count, 0), z.flatten(0, 1)).view(len(x), count)
        weights.append((decoded + ratio).double())
    return math.log(draws) - torch.cat(weights, 1).logsumexp(1)


def bits_per_dim(nll, values, levels=None):
    """Nats per image of `values` pixel values as bits per value; lower is better.

    Without `levels`, of a probability (binarised pixels). With `levels`, nll is of a density at images dequantised to
    [0, 1] in steps of 1 / levels; adding log2(levels) bounds the bits of the discrete image (Theis et al. 2016).
    """
    return nll / (values * math.log(2)) + (math.log2(levels) if levels else 0)


def dequantised(x, levels, seed=0):
    """Images of grey levels v / (levels - 1) spread over steps of 1 / levels: (v + u) / levels, u from U(0, 1)."""
    noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed)).to(x.device)
    return (x * (levels - 1) + noise) / levels


def active_units(posterior_mean):
    """Number of latent units whose posterior mean (n, latent_dim) has a variance over images above .01.

    Burda et al. 2016.
    """
    return int((posterior_mean.double().var(0) > 0.01).sum())
