"""How do depth and latent size change what a VAE, a GAN and a WGAN learn, on every dataset?

At one depth, but for the digits, the VAE's latent size is crossed with the reduction of its loss as well: averaged over
pixels instead of summed, it weighs the KL divergence as many times more as there are pixel values, and two reports that
disagree about latent size do not say which of the two they did.
"""

from models.gan import GAN
from models.nets import conv, fc
from models.vae import VAE
from models.wgan import WGAN
from study.data import cifar10, digits, fashion_mnist, imagenette, mnist
from study.space import Budget, Search, Space, grid

FAMILIES, DEPTHS = [VAE, GAN, WGAN], [1, 2, 3]

# Passes over the training images: the same for every model of a dataset, so that all of them see as many real images.
EPOCHS = {"digits": 20, "mnist": 20, "fashion_mnist": 20, "cifar10": 50, "imagenette": 100}
BATCH = {"digits": 32, "imagenette": 48}


def budget(cell):
    return Budget(EPOCHS.get(cell.dataset.source.name, 50), BATCH.get(cell.dataset.source.name, 64))


def propose(trial, cell):
    """Ranges around the published defaults, which are proposal 0 (Lucic et al. 2018, narrow ranges); rates further up, where
    shallow nets have their best (docs/search.md)."""
    params = {"lr": trial.suggest_float("lr", 5e-5, 3e-2, log=True)}
    if cell.model is WGAN:
        params["critic_steps"] = trial.suggest_categorical("critic_steps", [1, 5])
        params["penalty"] = trial.suggest_float("penalty", 0.1, 10, log=True)
    return params


SPACE = Space(
    # On the embedded digits, which are there to be run in minutes, the ends only, which are what is compared
    cells=grid(FAMILIES, [fc], [1, 3], [2, 32], [digits], width=[128])
    + grid(FAMILIES, [fc, conv], DEPTHS, [2, 8, 32, 128], [mnist, fashion_mnist, cifar10])
    + grid(FAMILIES, [conv], DEPTHS, [2, 8, 32, 128], [imagenette])
    + grid([VAE], [fc], [2], [2, 8, 32, 128], [mnist, fashion_mnist, cifar10], reduction=["mean"]),
    propose=propose,
    budget=budget,
    search=Search(rounds=(6,)),
    replicates=8,
)
