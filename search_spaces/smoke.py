"""Does the whole pipeline work here? Every model and net on digits, small enough for a minute on two cores."""

from models.gan import GAN
from models.nets import conv, fc
from models.vae import VAE
from models.wgan import WGAN
from study.data import digits
from study.space import Budget, Search, Space, grid


def budget(cell):
    return Budget(epochs=6, batch_size=64)


def propose(trial, cell):
    return {"lr": trial.suggest_float("lr", 1e-5, 1e-2, log=True)}


SPACE = Space(
    cells=grid([VAE, GAN, WGAN], [fc], [1], [2, 8], [digits], width=[64])
    + grid([VAE, GAN, WGAN], [conv], [1], [8], [digits], width=[8]),
    propose=propose,
    budget=budget,
    search=Search(rounds=(2,), rungs=()),
    replicates=2,
)
