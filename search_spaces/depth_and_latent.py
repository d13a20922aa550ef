"""How do depth and latent size change a VAE, and how does latent size change a GAN and a Wasserstein GAN?

The systems of the student report "Homework Exercise 4" (tag: E), which swept depth and latent size of all three families
on MNIST and CIFAR-10 and compared their losses. What it did not sweep is run as it was published, so nothing is tuned.
"As published" is a loss with its fault, for what that does: no claim is judged by it. On digits the layers shrink by the
rule of study/space/systems.py.
"""

from models.gan import GAN
from models.nets import fc
from models.vae import VAE
from models.wgan import WGAN
from study.data import cifar10, digits, mnist
from study.space import Budget, Cell, Space, moved_to, shortened

# Silent on the network: fully connected, each layer of 400 units with ReLU as in the common PyTorch example. Its "hidden
# layers" are read as those of both sides together, half of them on each: that comes near its reconstruction losses per pixel
# (at latent 10, 20 and 75 .110, .109 and .109 for its .108, .099 and .102: docs/reports.md).
# The GANs: as deep as its autoencoders in their own latent sweep, with BatchNorm in the generator.
HIDDEN = [2, 4, 8, 10, 12]
DEPTH = 4 // 2
LAYERS = {"width": 400}
SUMMED = {**LAYERS, "likelihood": "bernoulli", "reduction": "sum", "lr": 1e-3}  # silent on the rate: Adam's own
# Keras' first autoencoder (blog.keras.io, 2016) averages over pixels and over latents, which weighs the KL divergence
# as many times more as there are more pixel values than latents: of 20 none is used (.006 nats on MNIST), so one size is enough
AVERAGED = {**SUMMED, "reduction": "mean_both"}
ADVERSARIAL = {
    **LAYERS,
    "encoder": {"activation": "LeakyReLU", "slope": 0.2, "norm": False},
    "decoder": {"activation": "ReLU", "norm": True},
}
ADAM = {**ADVERSARIAL, "lr": 2e-4, "betas": [0.5, 0.999]}
RMSPROP = {
    **ADVERSARIAL,
    "optimiser": "rmsprop",
    "lr": 5e-4,
    "clip": 0.01,
    "critic_steps": 5,
}  # silent on how the critic is held: as Arjovsky et al. 2017, who use RMSprop

LATENTS = {mnist: [10, 20, 30, 50, 75], cifar10: [10, 20, 30, 50, 75, 1000]}
GAN_LATENTS = [100, 350, 500, 750, 1000]  # four of the five are named; the fifth: 100, as in DCGAN. A WGAN's: the same

# An epoch of its Wasserstein GAN is read as its others are, as a pass over the training images: some 195,000 batches a
# training on either dataset, hours of one core. Read as an update of the generator, as in Keras-GAN, 1000 would be 5,000
EPOCHS = {"E-gan-latent": 30, "E-wgan-latent": 1000}
BATCH = {"E-gan-latent": 256, "E-wgan-latent": 256}  # silent on the WGAN's: the GAN's; on the VAE's: 128


def budget(cell):
    epochs = EPOCHS.get(cell.system) or (30 if cell.dataset == cifar10 else 10)
    looks = {"measured_every": -(-epochs // 20), "whole_training_set": True}
    return shortened(Budget(epochs, BATCH.get(cell.system, 128), **looks), cell)


def systems(dataset):
    return [
        *(Cell(VAE, fc, hidden // 2, 2, dataset, SUMMED, "E-vae-depth") for hidden in HIDDEN),
        *(Cell(VAE, fc, DEPTH, latent, dataset, SUMMED, "E-vae-latent") for latent in LATENTS[dataset]),
        Cell(VAE, fc, DEPTH, 20, dataset, AVERAGED, "E-vae-as-published"),
        *(Cell(GAN, fc, DEPTH, latent, dataset, ADAM, "E-gan-latent") for latent in GAN_LATENTS),
        *(Cell(WGAN, fc, DEPTH, latent, dataset, RMSPROP, "E-wgan-latent") for latent in GAN_LATENTS),
    ]


PUBLISHED = systems(mnist) + systems(cifar10)
SPACE = Space(cells=PUBLISHED + moved_to(PUBLISHED, digits), propose=lambda trial, cell: {}, budget=budget, replicates=11)
