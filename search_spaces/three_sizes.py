"""What do a larger latent and more layers buy a fully connected VAE, GAN and Wasserstein GAN?

The systems of the student report "Assignment 4" (tag: B), which compared three sizes of each on MNIST and CIFAR-10: a
VAE by its reconstruction loss, a GAN by its Jensen-Shannon divergence, a WGAN by its earth mover's distance. They are
run as they were published, so nothing is tuned. On digits the layers shrink by the rule of study/space/systems.py.

The report's discriminator ends in a sigmoid. Here it ends in the logit before that, and the loss holds the sigmoid:
the same function, without its rounding to 0 and 1. A critic without a sigmoid is what a Wasserstein GAN has anyway.

Its autoencoders are printed as the classes of a public tutorial (https://avandekleut.github.io/vae/: a "VariationalEncoder"
of linear1, linear2 and linear3), whose loss charges .347 nats for every latent unit, used or not. That gives both of the
report's findings, a larger latent with a larger loss and a deeper model with about the same; the bound gives neither. So
they are run under both: that loss "as published", for what it does, and Bernoulli pixels, by which claims are judged.
"""

from models.gan import GAN
from models.nets import fc
from models.vae import VAE
from models.wgan import WGAN
from study.data import cifar10, digits, mnist
from study.space import Budget, Cell, Space, moved_to, shortened

# Silent on all that follows: the settings of the public PyTorch-GAN collection, whose layers these are.
ADAM = {"lr": 2e-4, "betas": [0.5, 0.999]}
CLIPPED = {"clip": 0.01, "critic_steps": 5, "optimiser": "rmsprop", "lr": 5e-5}
BERNOULLI = {"likelihood": "bernoulli"}
UNHALVED = {"likelihood": "gaussian", "published_loss": "unhalved_kl"}  # squared errors are a Gaussian's at variance .5
BATCH = 64
EPOCHS = 50  # silent, too; equal for all, as its comparison of sizes asks for


def budget(cell):
    return shortened(Budget(EPOCHS, BATCH, measured_every=5, whole_training_set=True), cell)


def vae(number, widths, latent_dim, dataset, loss=BERNOULLI, name=""):
    """Silent on activation and optimiser: ReLU and Adam 1e-3, as in the tutorial."""
    settings = {"activation": "ReLU", "encoder": {"width": widths}, "decoder": {"width": widths[::-1]}, **loss, "lr": 1e-3}
    return Cell(VAE, fc, len(widths), latent_dim, dataset, settings, f"B-vae-{number}{name}")


def as_published(*size):
    return vae(*size, UNHALVED, "-as-published")


def adversarial(model, training, number, critic, generator, latent_dim, dataset):
    """depth is the discriminator's; all of the generator's layers but the first have BatchNorm."""
    settings = {
        "activation": "LeakyReLU",
        "slope": 0.2,
        "encoder": {"width": critic, "norm": False},
        "decoder": {"depth": len(generator), "width": generator, "norm": list(range(1, len(generator))), "eps": 0.8},
        **training,
    }
    return Cell(model, fc, len(critic), latent_dim, dataset, settings, f"B-{model.__name__.lower()}-{number}")


def gan(*size):
    return adversarial(GAN, ADAM, *size)


def wgan(*size):
    return adversarial(WGAN, CLIPPED, *size)


SMALL, LARGE = [128, 256, 512, 1024], [128, 256, 512, 768, 1024]
AUTOENCODERS = [(1, [512], 50, mnist), (1, [512], 100, mnist), (2, [512, 256], 100, mnist), (3, [1536, 768, 512], 100, cifar10)]
PUBLISHED = [
    *(vae(*size) for size in AUTOENCODERS),
    *(as_published(*size) for size in AUTOENCODERS),
    gan(1, [512, 256], SMALL, 100, mnist),
    gan(1, [512, 256], SMALL, 200, mnist),
    gan(2, [512, 256, 128], LARGE, 200, mnist),
    gan(3, [512, 256], SMALL, 100, cifar10),
    wgan(1, [512, 256], SMALL, 100, mnist),
    wgan(1, [512, 256], SMALL, 200, mnist),
    wgan(2, [512, 256, 128], LARGE, 200, mnist),
    wgan(3, [512, 256], SMALL, 200, cifar10),
]
SPACE = Space(cells=PUBLISHED + moved_to(PUBLISHED, digits), propose=lambda trial, cell: {}, budget=budget, replicates=11)
