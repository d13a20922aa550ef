"""With about as many weights, does a VAE or a GAN draw better, and do the usual remedies help the GAN?

The systems of the student report "Assignment #5a" (tag: D), which compared a VAE and a GAN of similar layers by their
losses, samples and interpolations, on MNIST and on Imagenette at 160 x 160. They are run as they were published, so
nothing is tuned. Those called "matched" are its GANs with widths changed until they have as many parameters as its VAEs,
within 2 %; the others after the published ones are what it tried on Imagenette without success, one change at a time. On
digits the layers shrink by the rule of study/space/systems.py.
"""

from dataclasses import replace

from models.gan import GAN
from models.nets import conv, fc
from models.vae import VAE
from study.analysis.claims import MNIST, better
from study.analysis.comparisons import Pair
from study.analysis.verdicts import Claim
from study.data import digits, imagenette, mnist
from study.space import Budget, Cell, Space, match_parameters, moved_to, shortened

LEAKY = {"activation": "LeakyReLU", "slope": 0.2}  # silent on the slope: DCGAN's
# "Mean squared error plus KL": summed over the image (at variance 0.5). Averaged over its pixels, the KL divergence
# would weigh 784 times as much, and nothing would be learned, which is not what the report shows.
SQUARED_ERROR = {"likelihood": "gaussian", "variance": 0.5, "reduction": "sum"}
ADAM = {"lr": 2e-4}
GAN_ADAM = {**ADAM, "betas": [0.5, 0.999]}  # silent on the betas: DCGAN's

DOWN, UP = [1024, 512, 256], [256, 512, 1024]
ON_MNIST = {
    "encoder": {"width": DOWN, **LEAKY, "dropout": 0.3},
    "decoder": {"width": UP, **LEAKY, "norm": False},
}  # silent on the generator's activation: the same

# Silent on the first weights of its convolutions: the autoencoder's are PyTorch's, the GAN's those of Radford et al.
# No convolution is padded: 160, 158, 79, 77, 38, 36, 18, 16, 8 pixels, and with a last pool of 4 only 4 x 4 are left.
# The decoder ends in 320 pixels, which are interpolated to 160. BatchNorm follows the activation, and an activation the
# last layer, as the table prints them. What ends the images is not printed; ours: the sigmoid of a VAE, the tanh of a GAN.
POOLED = {"width": [16, 32, 64, 128], "kernel": 3, "padded": False, "activation": "ReLU", "norm": False}
GROWING = {
    "depth": 6,
    "width": [256, 128, 64, 32, 16, 8],
    "kernel": [4, 4, 4, 4, 4, 3],
    **LEAKY,
    "sides": [8, 18, 38, 78, 158, 318, 320],
    "norm": [1, 2, 3, 4, 5],
    "norm_last": True,
    "last_activation": "LeakyReLU",
    "interpolation": "nearest",  # silent: PyTorch's default
}
VAE_ON_IMAGENETTE = {"encoder": {**POOLED, "pool": 2}, "decoder": GROWING, **SQUARED_ERROR, **ADAM}
GAN_ON_IMAGENETTE = {"encoder": {**POOLED, "pool": [2, 2, 2, 4]}, "decoder": GROWING, **GAN_ADAM}

VAE_MNIST = Cell(VAE, fc, 3, 20, mnist, {**ON_MNIST, **SQUARED_ERROR, **ADAM}, "D-vae-mnist")
GAN_MNIST = Cell(GAN, fc, 3, 100, mnist, {**ON_MNIST, **GAN_ADAM}, "D-gan-mnist")
# The table of layers has latent 200 (400 outputs), the table of settings 100: the first by default, the second as well
VAE_IMAGENETTE = Cell(VAE, conv, 4, 200, imagenette, VAE_ON_IMAGENETTE, "D-vae-imagenette")
GAN_IMAGENETTE = Cell(GAN, conv, 4, 500, imagenette, GAN_ON_IMAGENETTE, "D-gan-imagenette")
PUBLISHED = [VAE_MNIST, GAN_MNIST, VAE_IMAGENETTE, replace(VAE_IMAGENETTE, latent_dim=100), GAN_IMAGENETTE]

# Silent on the strength of each: that of the paper it is from. One layer fewer on either side, and its generator ends in
# 160 pixels by itself. Of other latents, DCGAN's.
REMEDIES = {
    "smoothing": {"smoothing": 0.1},  # Salimans et al. 2016
    "upsampled": {"decoder": {**GROWING, "upsample": True}},  # Odena et al. 2016
    "features": {"feature_matching": True},  # Salimans et al. 2016
    "shallower": {
        "encoder": {**POOLED, "width": [16, 32, 64], "pool": [2, 2, 4]},
        "decoder": {
            **GROWING,
            "depth": 5,
            "width": [256, 128, 64, 32, 16],
            "kernel": [4, 4, 4, 4, 3],
            "sides": [8, 18, 38, 78, 158, 160],
            "norm": [1, 2, 3, 4],
        },
    },
    "latent-100": {},
    "two-scales": {"lr_discriminator": 4e-4, "lr_generator": 1e-4},  # Heusel et al. 2017, rates of Zhang et al. 2019
}
OTHER = {"shallower": {"depth": 3}, "latent-100": {"latent_dim": 100}}


def changed(cell, name, settings, **changes):
    return replace(cell, settings={**cell.settings, **settings}, system=f"{cell.system}-{name}", **changes)


def matched(vae, gan):
    return changed(match_parameters([vae, gan], alike=())[1], "matched", {})


TRIED = [changed(GAN_IMAGENETTE, name, settings, **OTHER.get(name, {})) for name, settings in REMEDIES.items()]
PAIRS = [(VAE_MNIST, GAN_MNIST), (VAE_IMAGENETTE, GAN_IMAGENETTE)]

EPOCHS = {"D-vae-mnist": 100, "D-gan-mnist": 200, "D-vae-imagenette": 200, "D-gan-imagenette": 100}
BATCH = {"D-vae-mnist": 64, "D-gan-mnist": 64, "D-vae-imagenette": 48, "D-gan-imagenette": 48}


def budget(cell):
    published = "-".join(cell.system.split("-")[:3])
    looks = {"measured_every": 4, "whole_training_set": True}  # on one grid for both models: who arrives first?
    return shortened(Budget(EPOCHS[published], BATCH[published], **looks), cell)


VAE_BETTER = Claim(
    "Q1",
    "of a VAE and a GAN with as many parameters the VAE draws better digits",
    "D",
    (),
    better(Pair({"system": "D-gan-mnist-matched"}, {"system": "D-vae-mnist"}), on=MNIST, within=("dataset",)),
)
SPACE = Space(
    cells=PUBLISHED
    + [matched(*pair) for pair in PAIRS]
    + TRIED
    + moved_to(PUBLISHED, digits)
    + [matched(*moved_to(pair, digits)) for pair in PAIRS]
    + moved_to(TRIED, digits),
    propose=lambda trial, cell: {},
    budget=budget,
    replicates=11,
    claims=[VAE_BETTER],
)
