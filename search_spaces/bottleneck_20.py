"""Does a bottleneck of 20, an adversary or a convolution give the better digits and small photographs?

The systems of a student report without a title (tag: A), which showed samples and reconstructions after some epochs of
a variational autoencoder of one hidden layer, GANs of fully connected and of convolutional layers, and a Wasserstein GAN
with clipped weights, on MNIST and CIFAR-10. They are run as they were published, so nothing is tuned. On digits the
layers shrink by the rule of study/space/systems.py.
"""

from models.gan import GAN
from models.nets import conv, fc
from models.vae import VAE
from models.wgan import WGAN
from study.data import cifar10, digits, mnist
from study.space import Budget, Cell, Space, moved_to, shortened

# The report normalised its images and then took cross-entropy of negative targets, which has no lower bound: its loss
# fell below 0. Here every model is given images in [0, 1].
VAE_400 = {"width": 400, "likelihood": "bernoulli", "lr": 1e-3}

# Silent on the sizes of its first GAN: those of a PyTorch tutorial that has as many hidden layers and as large a latent
# as the DCGAN below, so that the two compare: 1024, 512 and 256 units, LeakyReLU(0.2), dropout in the discriminator.
FULLY_CONNECTED = {
    "activation": "LeakyReLU",
    "slope": 0.2,
    "encoder": {"width": [1024, 512, 256]},
    "decoder": {"width": [256, 512, 1024], "norm": False},
}
FC_GAN = {
    **FULLY_CONNECTED,
    "encoder": {**FULLY_CONNECTED["encoder"], "dropout": 0.3},
    "lr": 2e-4,
    "betas": [0.5, 0.999],
}  # silent: the values of Radford et al. 2015

# Radford et al. print the network for 64 pixels. For 28 and 32 it has one halving less: 64, 128 and 256 channels,
# kernel 4. Silent: latent 100, Adam 2e-4 with beta1 0.5, batch 128, all as in that paper.
DCGAN = {
    "width": 64,
    "kernel": 4,
    "encoder": {"norm": True, "activation": "LeakyReLU", "slope": 0.2},
    "decoder": {"norm": True, "activation": "ReLU"},
    "lr": 2e-4,
    "betas": [0.5, 0.999],
}

# Silent on layers and latent: those of its fully connected GAN, without dropout; on the rest: Arjovsky et al. 2017.
CLIPPED = {**FULLY_CONNECTED, "clip": 0.01, "critic_steps": 5, "optimiser": "rmsprop", "lr": 5e-5}

# The autoencoder was shown after 20 and after 50 epochs, which are two systems here; the DCGAN after 25 and 50: one of
# 50, since every trial is measured and drawn half-way. Silent on the first GAN: as long as the others.
EPOCHS = {"A-vae-20-epochs": 20, "A-vae-50-epochs": 50, "A-gan-fc": 50, "A-dcgan": 50, "A-wgan": 20}
BATCH = 128


def budget(cell):
    longer = cell.system == "A-wgan" and cell.dataset == cifar10
    return shortened(Budget(50 if longer else EPOCHS[cell.system], BATCH), cell)


def systems(dataset):
    return [
        Cell(VAE, fc, 1, 20, dataset, VAE_400, "A-vae-20-epochs"),
        Cell(VAE, fc, 1, 20, dataset, VAE_400, "A-vae-50-epochs"),
        Cell(GAN, fc, 3, 100, dataset, FC_GAN, "A-gan-fc"),
        Cell(GAN, conv, 3, 100, dataset, DCGAN, "A-dcgan"),
        Cell(WGAN, fc, 3, 100, dataset, CLIPPED, "A-wgan"),
    ]


PUBLISHED = systems(mnist) + systems(cifar10)
SPACE = Space(cells=PUBLISHED + moved_to(PUBLISHED, digits), propose=lambda trial, cell: {}, budget=budget, replicates=8)
