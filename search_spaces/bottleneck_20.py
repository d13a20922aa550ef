"""Does a bottleneck of 20, an adversary or a convolution give the better digits and small photographs?

The systems of a student report without a title (tag: A), which showed samples and reconstructions after some epochs of
a variational autoencoder of one hidden layer, GANs of fully connected and of convolutional layers, and a Wasserstein GAN
with clipped weights, on MNIST and CIFAR-10. They are run as they were published, so nothing is tuned. On digits the
layers shrink by the rule of study/space/systems.py. "As published" is a loss with its fault, for what that does: no claim
is judged by it.
"""

from models.gan import GAN
from models.nets import conv, fc
from models.vae import VAE
from models.wgan import WGAN
from study.analysis.claims import MNIST, best_of_all
from study.analysis.verdicts import Claim
from study.data import cifar10, digits, mnist
from study.space import Budget, Cell, Space, moved_to, shortened

# The network and training of PyTorch's VAE example, which the report links, of images in [0, 1]. The report normalised its
# images and then took cross-entropy of negative targets, and its loss fell below 0: that loss as well, "as published".
VAE_400 = {"width": 400, "likelihood": "bernoulli", "lr": 1e-3}
BELOW_ZERO = {**VAE_400, "published_loss": "normalised_cross_entropy"}

# Silent on its first GAN. Layers, dropout, latent and rate are those of a widely copied example of the time, notebook 1
# of github.com/diegoalejogm/gans; beta1 and the batch are the DCGAN's, so that the two compare.
FC_GAN = {
    "activation": "LeakyReLU",
    "slope": 0.2,
    "encoder": {"width": [1024, 512, 256], "dropout": 0.3},
    "decoder": {"width": [256, 512, 1024], "norm": False},
    "lr": 2e-4,
    "betas": [0.5, 0.999],
}

# PyTorch's DCGAN tutorial, which the report links: kernel 4, ngf = ndf = 64, latent 100, Adam 2e-4 with beta1 0.5, batch
# 128, weights N(0, .02). Ours: for 28 and 32 pixels it has one halving less than for the tutorial's 64.
DCGAN = {
    "width": 64,
    "kernel": 4,
    "encoder": {"norm": True, "activation": "LeakyReLU", "slope": 0.2},
    "decoder": {"norm": True, "activation": "ReLU"},
    "lr": 2e-4,
    "betas": [0.5, 0.999],
}

# The tutorial that the report links, wiseodd.github.io/techblog/2017/02/04/wasserstein-gan: latent 10, one hidden layer of
# 128 with ReLU on either side, images in [0, 1] by a sigmoid, batch 32, RMSprop 1e-4, clip 0.01, 5 critic steps.
CLIPPED = {
    "width": 128,
    "activation": "ReLU",
    "norm": False,
    "output": "sigmoid",
    "clip": 0.01,
    "critic_steps": 5,
    "optimiser": "rmsprop",
    "lr": 1e-4,
}

# The autoencoder was shown after 20 and after 50 epochs, the DCGAN after 25 and 50. Each is one training of 50, measured and
# drawn after every 5. Silent on the first GAN: as long as the DCGAN.
EPOCHS = {"A-vae": 50, "A-vae-as-published": 50, "A-gan-fc": 50, "A-dcgan": 50, "A-wgan": 20}
BATCH = {"A-wgan": 32}  # the others': 128


def budget(cell):
    longer = cell.system == "A-wgan" and cell.dataset == cifar10
    epochs, batch = 50 if longer else EPOCHS[cell.system], BATCH.get(cell.system, 128)
    return shortened(Budget(epochs, batch, measured_every=5, whole_training_set=True), cell)


def systems(dataset):
    return [
        Cell(VAE, fc, 1, 20, dataset, VAE_400, "A-vae"),
        Cell(VAE, fc, 1, 20, dataset, BELOW_ZERO, "A-vae-as-published"),
        Cell(GAN, fc, 3, 100, dataset, FC_GAN, "A-gan-fc"),
        Cell(GAN, conv, 3, 100, dataset, DCGAN, "A-dcgan"),
        Cell(WGAN, fc, 1, 10, dataset, CLIPPED, "A-wgan"),
    ]


PUBLISHED = systems(mnist) + systems(cifar10)
DCGAN_BEST = Claim(
    "Q1", "the convolutional GAN draws the best digits of the four", "A", (), best_of_all({"system": "A-dcgan"}, MNIST, ("system",))
)
SPACE = Space(
    cells=PUBLISHED + moved_to(PUBLISHED, digits), propose=lambda trial, cell: {}, budget=budget, replicates=10, claims=[DCGAN_BEST]
)
