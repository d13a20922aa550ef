"""What do depth and latent size do to fully connected VAEs, GANs and WGANs of MNIST?

The study behind docs/findings.md: real images, budgets that two cores can pay in a night, kept in results/mnist_fc. Latents
350 and 1000 are there for the GAN, where a report names them; the VAE's two reductions stand side by side at one depth; a
few convolutional GANs, of 16 channels, are there to be held against the fully connected ones.
"""

from models.gan import GAN
from models.nets import conv, fc
from models.vae import VAE
from models.wgan import WGAN
from search_spaces.latent_sweep import propose
from study.data import mnist
from study.space import Budget, Search, Space, grid

FAMILIES, LATENTS = [VAE, GAN, WGAN], [2, 8, 32, 128]


def budget(cell):
    return Budget(epochs=10, batch_size=128)


SPACE = Space(
    cells=grid(FAMILIES, [fc], [1, 2, 3], LATENTS, [mnist], width=[128])
    + grid([VAE], [fc], [2], LATENTS, [mnist], width=[128], reduction=["mean"])
    + grid([GAN], [fc], [2], [350, 1000], [mnist], width=[128])
    + grid([GAN], [conv], [2], [8, 32], [mnist], width=[16]),
    propose=propose,
    budget=budget,
    search=Search(rounds=(6,)),
    replicates=8,
)
