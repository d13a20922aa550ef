"""Is a deeper VAE with dropout a match for a DCGAN with 5 x 5 kernels, and do 25 more epochs help the latter?

The systems of the student report "Project 4: Generative modeling" (2018; tag: C), which set samples of the two beside
real digits, on MNIST. They are run as they were published, so nothing is tuned. On digits the layers shrink by the rule
of study/space/systems.py.
"""

from models.gan import GAN
from models.nets import conv, fc
from models.vae import VAE
from study.analysis.claims import MNIST, better
from study.analysis.comparisons import Pair
from study.analysis.verdicts import Claim
from study.data import digits, mnist
from study.space import Budget, Cell, Space, moved_to, shortened

DEEP_VAE = {
    "width": 512,
    "dropout": 0.1,  # printed as a probability of 0.9 to keep a unit
    "encoder": {"activation": ["ELU", "Tanh"]},
    "decoder": {"depth": 3, "activation": ["Tanh", "ELU", "ELU"]},
    "likelihood": "bernoulli",  # its last layer's sigmoid is in the likelihood
    "lr": 1e-3,
}  # silent: Adam 1e-3

DCGAN_5 = {
    "kernel": 5,  # printed for the discriminator; silent on the generator's: the same
    "encoder": {"width": [64, 128, 256, 512], "norm": [1, 2, 3], "activation": "LeakyReLU", "slope": 0.2},
    # The generator's first layer makes an image of 1 x 1, which grows to 3, 7, 14 and 28 pixels
    "decoder": {"width": [512, 256, 128, 64], "sides": [1, 3, 7, 14, 28], "norm": True, "activation": "ReLU"},
    "loss": "non_saturating",
    "lr": 2e-4,
    "betas": [0.5, 0.999],
}  # silent: as Radford et al. 2015

EPOCHS = {"C-vae": 50, "C-dcgan": 50}  # silent: as long as bottleneck_20's DCGAN, measured half-way as well
BATCH = 128  # silent: as Radford et al. 2015
LATENT = {"C-vae": 20, "C-dcgan": 100}  # silent on the DCGAN's: as Radford et al. 2015


def budget(cell):
    return shortened(Budget(EPOCHS[cell.system], BATCH, measured_every=5, whole_training_set=True), cell)


PUBLISHED = [
    Cell(VAE, fc, 2, LATENT["C-vae"], mnist, DEEP_VAE, "C-vae"),
    Cell(GAN, conv, 4, LATENT["C-dcgan"], mnist, DCGAN_5, "C-dcgan"),
]
DCGAN_BETTER = Claim(
    "Q1",
    "the DCGAN draws better digits than the VAE with dropout",
    "C",
    (),
    better(Pair({"system": "C-vae"}, {"system": "C-dcgan"}), on=MNIST, within=("dataset",)),
)
SPACE = Space(
    cells=PUBLISHED + moved_to(PUBLISHED, digits),
    propose=lambda trial, cell: {},
    budget=budget,
    replicates=8,
    claims=[DCGAN_BETTER],
)
