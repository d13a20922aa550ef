"""How do depth and latent size change a VAE, and how does latent size change a GAN and a Wasserstein GAN?

The systems of the student report "Homework Exercise 4" (tag: E), which swept depth and latent size of all three families
on MNIST and CIFAR-10 and compared their losses. What it did not sweep is run as it was published, so nothing is tuned.
Ours is "E-vae-latent-mean": its latent sweep again, with a reconstruction loss averaged over pixels (which weighs the KL
divergence as many times more as there are pixel values), since the report prints its losses so, and the one of
three_sizes, which found the opposite effect of a larger latent, does not say. On digits the layers shrink by the rule of
study/space/systems.py.
"""

from models.gan import GAN
from models.nets import fc
from models.vae import VAE
from models.wgan import WGAN
from study.data import cifar10, digits, mnist
from study.space import Budget, Cell, Space, moved_to, shortened

# Silent on the network: fully connected, hidden layers on each side as its word "depth" has it, each of 400 units and
# ReLU as in the common PyTorch example; for the GANs as deep as its autoencoders in their own latent sweep, with
# BatchNorm in the generator, without which four layers of it hardly learn.
DEPTH = 4
LAYERS = {"width": 400}
SUMMED = {**LAYERS, "likelihood": "bernoulli", "reduction": "sum", "lr": 1e-3}  # silent on the rate: Adam's own
AVERAGED = {**SUMMED, "reduction": "mean"}
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

DEPTHS = [2, 4, 8, 10, 12]
LATENTS = {mnist: [10, 20, 30, 50, 75], cifar10: [10, 20, 30, 50, 75, 1000]}
GAN_LATENTS = [100, 350, 500, 750, 1000]  # four of the five are named; the fifth: 100, as in DCGAN. A WGAN's: the same

EPOCHS = {"E-gan-latent": 30, "E-wgan-latent": 1000}
BATCH = {"E-gan-latent": 256, "E-wgan-latent": 256}  # silent on the WGAN's: the GAN's; on the VAE's: 128


def budget(cell):
    epochs = EPOCHS.get(cell.system) or (30 if cell.dataset == cifar10 else 10)
    return shortened(Budget(epochs, BATCH.get(cell.system, 128)), cell)


def systems(dataset):
    return [
        *(Cell(VAE, fc, depth, 2, dataset, SUMMED, "E-vae-depth") for depth in DEPTHS),
        *(Cell(VAE, fc, DEPTH, latent, dataset, SUMMED, "E-vae-latent") for latent in LATENTS[dataset]),
        *(Cell(VAE, fc, DEPTH, latent, dataset, AVERAGED, "E-vae-latent-mean") for latent in LATENTS[dataset]),
        *(Cell(GAN, fc, DEPTH, latent, dataset, ADAM, "E-gan-latent") for latent in GAN_LATENTS),
        *(Cell(WGAN, fc, DEPTH, latent, dataset, RMSPROP, "E-wgan-latent") for latent in GAN_LATENTS),
    ]


PUBLISHED = systems(mnist) + systems(cifar10)
SPACE = Space(cells=PUBLISHED + moved_to(PUBLISHED, digits), propose=lambda trial, cell: {}, budget=budget, replicates=11)
