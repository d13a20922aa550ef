"""What five student reports print of their systems, once: the tests hold every system to it, and docs/reports.md is made of it.

Layers are written as the reports print them, in the order the data flows: x stands for the number of pixel values, c for channels,
z for the latent size, n for one less than the hidden layers of a side; `Conv a-b k/s` has kernel k and stride s; `n x [...]` repeats.
A discriminator's last sigmoid is in its loss, a decoder's in its likelihood. `PYTHONPATH=. python tests/published.py` writes the page anew.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.phase import Adam, RMSprop
from study.analysis.claim_words import asked
from study.analysis.claims import CLAIMS
from study.data import cifar10, imagenette, mnist

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reports.md"


@dataclass(frozen=True)
class System:
    """One system: what is built, what of it the report says, and what is ours since it is silent or contradicts itself.

    epochs: dataset -> passes over its training images, and which datasets there are; hidden: layers on each side that are swept;
    loss: the settings of a VAE's loss that differ from Bernoulli pixels summed, or of a GAN's.
    """

    name: str
    says: str
    down: str
    up: str
    latents: Sequence[int] | dict
    optimiser: Adam | RMSprop
    batch: int
    epochs: dict
    ours: str
    clip: float | None = None
    critic_steps: int = 1
    loss: tuple = ()
    hidden: Sequence[int] = ()

    @property
    def report(self) -> str:
        return self.name[0]

    def cells(self) -> Iterator[tuple]:
        """(dataset, hidden layers or None, latent) of each of its cells."""
        for dataset in self.epochs:
            latents = self.latents[dataset] if isinstance(self.latents, dict) else self.latents
            yield from ((dataset, hidden, latent) for hidden in self.hidden or [None] for latent in latents)

    def layers(self, dataset, hidden, latent) -> tuple[str, str]:
        """Both sides of a cell, with numbers in place of letters and repetitions written out."""
        values = {"x": dataset.shape[0] * dataset.size**2, "c": dataset.shape[0], "z": latent, "2z": 2 * latent}
        return tuple(filled(repeated(side, (hidden or 1) - 1), values) for side in (self.down, self.up))


def repeated(side: str, n: int) -> str:
    return re.sub(r"(\w+) x \[(.*?)\], ", lambda found: (found[2] + ", ") * (n if found[1] == "n" else int(found[1])), side)


def filled(side: str, values: dict) -> str:
    return re.sub(r"\b(2z|[xcz])\b", lambda found: str(values[found[0]]), side)


def chain(sizes: str, *after: str) -> str:
    """Linear layers of the sizes "x-512-256-1", each followed by its entry of `after`; of one entry, all but the last layer."""
    names = sizes.split("-")
    after = after if len(after) > 1 else [*after * (len(names) - 2), ""]
    return ", ".join(", ".join(filter(None, (f"Linear {a}-{b}", then))) for a, b, then in zip(names, names[1:], after))


RELU, LEAKY = "ReLU", "LeakyReLU(0.2)"
ADAM, GAN_ADAM, CLIPPED = Adam(1e-3, (0.9, 0.999)), Adam(2e-4, (0.5, 0.999)), {"clip": 0.01, "critic_steps": 5}
BOTH, MNIST = {mnist: 50, cifar10: 50}, {mnist: 50}

A = [
    System(
        "A-vae",
        "fully connected, bottleneck of 20, code based on PyTorch's VAE example; looked at after 20 and 50 epochs: good "
        "reconstructions and vague samples of MNIST, CIFAR-10 not even reconstructed",
        chain("x-400-2z", RELU),
        chain("z-400-x", RELU, "Sigmoid"),
        [20],
        ADAM,
        128,
        BOTH,
        "one training of 50 epochs, measured after 8, 17, 25, 33, 42 and 50: the look at 20 lies between those at 17 and 25 (losses "
        "are kept of every epoch); images in [0, 1]; layers and training are the example's",
    ),
    System(
        "A-vae-as-published",
        "images normalised, loss of cross-entropy and KL divergence below zero, which it suspects the KL term of",
        chain("x-400-2z", RELU),
        chain("z-400-x", RELU, "Sigmoid"),
        [20],
        ADAM,
        128,
        BOTH,
        "its loss with that fault, for what it does; normalised to [-1, 1] as in the DCGAN tutorial",
        loss=(("published_loss", "normalised_cross_entropy"),),
    ),
    System(
        "A-gan-fc",
        "first attempt, fully connected, results unimpressive; no sizes",
        chain("x-1024-512-256-1", *[f"{LEAKY}, Dropout(0.3)"] * 3, "Sigmoid"),
        chain("z-256-512-1024-x", *[LEAKY] * 3, "Tanh"),
        [100],
        GAN_ADAM,
        128,
        BOTH,
        "everything: layers, dropout, latent and rate of notebook 1 of github.com/diegoalejogm/gans (2018); beta1, batch and epochs of "
        "the DCGAN below, so that the two compare",
    ),
    System(
        "A-dcgan",
        "follows PyTorch's DCGAN faces tutorial (Radford et al. 2015); samples after 25 and 50 epochs, better with longer training, "
        "convincing on MNIST, disappointing on CIFAR-10",
        f"Conv c-64 4/2, {LEAKY}, Conv 64-128 4/2, BatchNorm, {LEAKY}, Conv 128-256 4/2, BatchNorm, {LEAKY}, Linear 4096-1, Sigmoid",
        "Linear z-256x4x4, BatchNorm, ReLU, ConvTransp 256-128 4/2, BatchNorm, ReLU, ConvTransp 128-64 4/2, BatchNorm, ReLU, "
        "ConvTransp 64-c 4/2, Tanh",
        [100],
        GAN_ADAM,
        128,
        BOTH,
        "for 28 and 32 pixels one halving less than the tutorial has for 64; all else is the tutorial's: kernel 4, ngf and ndf 64, "
        "latent 100, Adam, batch, weights from N(0, 0.02)",
    ),
    System(
        "A-wgan",
        "based on a tutorial, wiseodd.github.io/techblog/2017/02/04/wasserstein-gan; MNIST after 20 epochs, CIFAR-10 after 50",
        chain("x-128-1", RELU),
        chain("z-128-x", RELU, "Sigmoid"),
        [10],
        RMSprop(1e-4),
        32,
        {mnist: 20, cifar10: 50},
        "nothing but the reading that its network is the tutorial's: latent, layers, batch, rate, clip and critic steps are",
        **CLIPPED,
    ),
]


def generator(sizes: str) -> str:
    """BatchNorm with eps 0.8 before the activation of every hidden layer but the first."""
    hidden = sizes.count("-") - 2
    return chain(sizes, LEAKY, *[f"BatchNorm(0.8), {LEAKY}"] * hidden, "Tanh")


SILENT = "epochs (50, equal for all), and batch, optimiser and rate of the PyTorch-GAN collection, whose layers these are"
TUTORIAL = "batch 64 and 50 epochs, as its GANs; activations and Adam's rate of the tutorial, avandekleut.github.io/vae"
VAES = {
    1: ("x-512-2z", "z-512-x", [50, 100], mnist, "latent 50 and 100; the larger has the larger loss"),
    2: ("x-512-256-2z", "z-256-512-x", [100], mnist, "more layers at latent 100: sharper samples at about the loss of the smaller"),
    3: ("x-1536-768-512-2z", "z-512-768-1536-x", [100], cifar10, "for CIFAR-10, on which it did not do well"),
}


def vae_of_b(number: int, suffix: str, ours: str, loss: tuple) -> System:
    down, up, latents, dataset, says = VAES[number]
    up = chain(up, *[RELU] * (up.count("-") - 1), "Sigmoid")
    return System(f"B-vae-{number}{suffix}", says, chain(down, RELU), up, latents, ADAM, 64, {dataset: 50}, ours, loss=loss)


UNHALVED = (("likelihood", "gaussian"), ("published_loss", "unhalved_kl"))
SMALL, LARGE = "z-128-256-512-1024-x", "z-128-256-512-768-1024-x"
B_GANS = {
    1: ("x-512-256-1", SMALL, [100, 200], mnist),
    2: ("x-512-256-128-1", LARGE, [200], mnist),
    3: ("x-512-256-1", SMALL, [100], cifar10),
}
GANS_SAY = {
    1: "latent 100 and 200; the larger steadies the Jensen-Shannon divergence and sharpens samples; 3 or 4 classes are left",
    2: "more layers at latent 200: less distinct samples, for want of training as it thinks",
    3: "for CIFAR-10, on which it did not do well",
}
WGANS_SAY = {
    1: "latent 100 and 200; the larger sharpens samples; the earth mover's distance falls steadily",
    2: "more layers at latent 200: less distinct samples; the distance falls steadily",
    3: "for CIFAR-10, at latent 200; did not do well",
}


def gan_of_b(number: int) -> System:
    down, up, latents, dataset = B_GANS[number]
    down = chain(down, *[LEAKY] * (down.count("-") - 1), "Sigmoid")
    return System(f"B-gan-{number}", GANS_SAY[number], down, generator(up), latents, GAN_ADAM, 64, {dataset: 50}, SILENT)


def wgan_of_b(number: int) -> System:
    down, up, latents, dataset = B_GANS[number]
    latents = [200] if number == 3 else latents
    return System(
        f"B-wgan-{number}",
        WGANS_SAY[number],
        chain(down, LEAKY),
        generator(up),
        latents,
        RMSprop(5e-5),
        64,
        {dataset: 50},
        SILENT + ", as are clip and critic steps",
        **CLIPPED,
    )


B = [
    *(vae_of_b(number, "", f"Bernoulli pixels in place of the tutorial's loss; {TUTORIAL}", ()) for number in VAES),
    *(
        vae_of_b(number, "-as-published", f"that its loss is the tutorial's, of which the classes are; {TUTORIAL}", UNHALVED)
        for number in VAES
    ),
    *map(gan_of_b, B_GANS),
    *map(wgan_of_b, B_GANS),
]

C = [
    System(
        "C-vae",
        "ELU and tanh, dropout that keeps 0.9 of the units, Bernoulli likelihood and analytic KL divergence; samples get more "
        "authentic with training",
        chain("x-512-512-2z", "ELU, Dropout(0.1)", "Tanh, Dropout(0.1)", ""),
        chain("z-512-512-512-x", "Tanh, Dropout(0.1)", "ELU, Dropout(0.1)", "ELU, Dropout(0.1)", "Sigmoid"),
        [20],
        ADAM,
        128,
        MNIST,
        "Adam 1e-3, batch 128, and 50 epochs as its DCGAN",
    ),
    System(
        "C-dcgan",
        "5 x 5 filters, stride 2, generator from 1 x 1 over 3, 7 and 14 to 28 pixels, non-saturating loss; much slower than the VAE, "
        "some flaws left after enough epochs",
        f"Conv 1-64 5/2, {LEAKY}, Conv 64-128 5/2, BatchNorm, {LEAKY}, Conv 128-256 5/2, BatchNorm, {LEAKY}, "
        f"Conv 256-512 5/2, BatchNorm, {LEAKY}, Linear 2048-1, Sigmoid",
        "Linear z-512x1x1, BatchNorm, ReLU, ConvTransp 512-256 5/2, BatchNorm, ReLU, ConvTransp 256-128 5/2, BatchNorm, ReLU, "
        "ConvTransp 128-64 5/2, BatchNorm, ReLU, ConvTransp 64-1 5/2, Tanh",
        [100],
        GAN_ADAM,
        128,
        MNIST,
        "the generator's kernels (its discriminator's), slope, latent, Adam, batch and first weights of Radford et al. 2015, and 50 "
        "epochs, measured half-way as well",
    ),
]

DROPPED = f"{LEAKY}, Dropout(0.3)"
DOWN = chain("x-1024-512-256-2z", DROPPED)
POOLED = "Conv 3-16 3/1, ReLU, Maxpool 2, Conv 16-32 3/1, ReLU, Maxpool 2, Conv 32-64 3/1, ReLU, Maxpool {third}"
FOURTH = ", Conv 64-128 3/1, ReLU, Maxpool {fourth}"
CHANNELS = ("256-128", "128-64", "64-32", "32-16", "16-8")


def growing(channels=CHANNELS, last="8-3", end="Interpolate 160 nearest, ", ending="Tanh") -> str:
    blocks = "".join(f"ConvTransp {pair} 4/2, {LEAKY}, BatchNorm, " for pair in channels)
    return f"Linear z-256x8x8, {LEAKY}, {blocks}ConvTransp {last} 3/1, {LEAKY}, {end}{ending}"


def upsampled() -> str:
    blocks = "".join(
        f"Interpolate {side} nearest, Conv {pair} 3/1, {LEAKY}, BatchNorm, " for side, pair in zip((18, 38, 78, 158, 318), CHANNELS)
    )
    return f"Linear z-256x8x8, {LEAKY}, {blocks}Interpolate 320 nearest, Conv 8-3 3/1, {LEAKY}, Interpolate 160 nearest, Tanh"


D_GAN_DOWN = POOLED.format(third=2) + FOURTH.format(fourth=4) + ", Linear 2048-1, Sigmoid"
SLOPE = "slope of the Leaky ReLU"
TRIED = "tried without success"


def tried(name: str, says: str, ours: str, down=D_GAN_DOWN, up=None, latent=500, loss=()) -> System:
    says = f"{TRIED}: {says}"
    return System(
        f"D-gan-imagenette-{name}", says, down, up or growing(), [latent], GAN_ADAM, 48, {imagenette: 100}, ours, loss=loss
    )


D = [
    System(
        "D-vae-mnist",
        "mean squared error and KL divergence; samples readable, somewhat blurry; the desired quality in fewer epochs than the GAN",
        DOWN,
        chain("z-256-512-1024-x", *[LEAKY] * 3, "Sigmoid"),
        [20],
        Adam(2e-4, (0.9, 0.999)),
        64,
        {mnist: 100},
        f"errors summed over the image, not averaged; {SLOPE}; the last sigmoid",
        loss=(("likelihood", "gaussian"), ("variance", 0.5)),
    ),
    System(
        "D-gan-mnist",
        "about as many weights (13.206 against 13.204 in its unit); samples readable, some with broken lines",
        chain("x-1024-512-256-1", DROPPED, DROPPED, DROPPED, "Sigmoid"),
        chain("z-256-512-1024-x", *[LEAKY] * 3, "Tanh"),
        [100],
        GAN_ADAM,
        64,
        {mnist: 200},
        f"Adam's beta1 0.5; {SLOPE}; the last tanh and sigmoid",
    ),
    System(
        "D-vae-imagenette",
        "images cropped to 160; 400 outputs in its table of layers, latent 100 in that of settings; loss still falling at the end, samples "
        "that resemble images from afar, good reconstructions and natural interpolations",
        POOLED.format(third=2) + FOURTH.format(fourth=2) + ", Linear 8192-2z",
        growing(ending="Sigmoid"),
        [200, 100],
        Adam(2e-4, (0.9, 0.999)),
        48,
        {imagenette: 200},
        f"both latents; nearest interpolation, PyTorch's default; no padding, which its 8,192 asks for; {SLOPE}; the last sigmoid",
        loss=(("likelihood", "gaussian"), ("variance", 0.5)),
    ),
    System(
        "D-gan-imagenette",
        "the same with a last pool of 4 and latent 500; no decent results",
        D_GAN_DOWN,
        growing(),
        [500],
        GAN_ADAM,
        48,
        {imagenette: 100},
        "as for its VAE; Adam's beta1 0.5 and first weights of Radford et al. 2015; the last tanh and sigmoid",
    ),
    tried("smoothing", "label smoothing", "0.1 (Salimans et al. 2016)", loss=(("smoothing", 0.1),)),
    tried(
        "upsampled",
        "upsampling in place of transposed convolutions",
        "nearest, then a convolution (Odena et al. 2016)",
        up=upsampled(),
    ),
    tried(
        "features", "feature matching", "means of the last hidden layer (Salimans et al. 2016)", loss=(("feature_matching", True),)
    ),
    tried(
        "shallower",
        "fewer layers",
        "one fewer on either side; the generator ends in 160 pixels by itself",
        POOLED.format(third=4) + ", Linear 5184-1, Sigmoid",
        growing(CHANNELS[:4], "16-3", end=""),
    ),
    tried("latent-100", "other latent sizes", "100, as DCGAN's", latent=100),
    tried(
        "two-scales",
        "two time scales",
        "4e-4 and 1e-4 (Zhang et al. 2019)",
        loss=(("lr_discriminator", 4e-4), ("lr_generator", 1e-4)),
    ),
]

E_DOWN, E_UP = (
    "Linear x-400, ReLU, n x [Linear 400-400, ReLU], Linear 400-2z",
    "Linear z-400, ReLU, n x [Linear 400-400, ReLU], Linear 400-x, Sigmoid",
)
E_CRITIC = f"Linear x-400, {LEAKY}, Linear 400-400, {LEAKY}, Linear 400-1"
E_GENERATOR = "Linear z-400, BatchNorm, ReLU, Linear 400-400, BatchNorm, ReLU, Linear 400-x, Tanh"
E_LATENTS = [10, 20, 30, 50, 75]
E_OURS = "fully connected layers of 400 with ReLU, half of the hidden layers on each side, Adam 1e-3, batch 128"
E_GANS = "two layers of 400 on each side, BatchNorm in the generator; latent 100 as the fifth"
E = [
    System(
        "E-vae-depth",
        "2, 4, 8, 10, 12 hidden layers at latent 2: losses .177, .179, .186, .217, .217 after 10 epochs on MNIST; the same trend on "
        "CIFAR-10 after 30",
        E_DOWN,
        E_UP,
        [2],
        ADAM,
        128,
        {mnist: 10, cifar10: 30},
        f"{E_OURS} (see below)",
        hidden=(1, 2, 4, 5, 6),
    ),
    System(
        "E-vae-latent",
        "4 hidden layers at latent 10, 20, 30, 50, 75: losses .108, .099, .102, .101, .102; latent 1000 is called the best on CIFAR-10",
        E_DOWN,
        E_UP,
        {mnist: E_LATENTS, cifar10: [*E_LATENTS, 1000]},
        ADAM,
        128,
        {mnist: 10, cifar10: 30},
        E_OURS,
        hidden=(2,),
    ),
    System(
        "E-vae-as-published",
        "prints its losses as averages over pixels",
        E_DOWN,
        E_UP,
        [20],
        ADAM,
        128,
        {mnist: 10, cifar10: 30},
        "the averages over pixels and over latents of Keras' first VAE (blog.keras.io, 2016), for what they do: of 20 latents none is "
        "used (KL .006 nats on MNIST), so one size is enough",
        loss=(("reduction", "mean_both"),),
        hidden=(2,),
    ),
    System(
        "E-gan-latent",
        "five latent sizes, of which it names 350, 500, 750, 1000; clear digits at 350 and 500, worse at 750 and 1000; losses without a trend",
        f"{E_CRITIC}, Sigmoid",
        E_GENERATOR,
        [100, 350, 500, 750, 1000],
        GAN_ADAM,
        256,
        {mnist: 30, cifar10: 30},
        E_GANS,
    ),
    System(
        "E-wgan-latent",
        "five latent sizes, RMSprop 5e-4, 1000 epochs; MNIST somewhat clear, CIFAR-10 without information",
        E_CRITIC,
        E_GENERATOR,
        [100, 350, 500, 750, 1000],
        RMSprop(5e-4),
        256,
        {mnist: 1000, cifar10: 1000},
        f"{E_GANS}; batch of its GAN; clip and critic steps of Arjovsky et al. 2017; what an epoch is (see below)",
        **CLIPPED,
    ),
]
SYSTEMS = [*A, *B, *C, *D, *E]
MATCHED = ("D-gan-mnist-matched", "D-gan-imagenette-matched")  # ours: whose widths the parameter count decides


TITLES = {
    "A": ("A report without a title", "bottleneck_20"),
    "B": ("Assignment 4", "three_sizes"),
    "C": ("Project 4: Generative modeling", "dropout_or_dcgan"),
    "D": ("Assignment #5a", "matched_weights"),
    "E": ("Homework Exercise 4", "depth_and_latent"),
}
HEAD = """# The five reports: what they say, what is run, and where we chose

One row per system. Layers stand in the order the data flows, first those down (encoder or discriminator), then those up (decoder or
generator): x is the number of pixel values, c of channels, z the latent size, n one less than the hidden layers of a side; kernel/stride
of convolutions, eps of BatchNorm where it is not PyTorch's, slope of Leaky ReLU. A discriminator's last sigmoid is in its loss, a
decoder's in its likelihood. This page is written by `PYTHONPATH=. python tests/published.py` from the table that
`tests/space/test_systems.py` holds the systems to.

"As published" marks a loss with its fault (`models/published_losses.py`), which is run for what it does; no claim is judged by it:

- **Cross-entropy of normalised images** (A) has no lower bound: the loss falls below zero and outweighs the KL divergence.
- **A KL divergence without its halves** (B) is that from N(0, 1/2) plus log(2) / 2, .347 nats for every latent unit, used or not. Under
  it the loss of MNIST's training images is 46.8 at latent 50, 64.2 at 100 and 62.8 for the deeper model at 100 in the last of 20 epochs,
  which are both of the report's findings: a larger latent has a larger loss, and a deeper model carries it at no more. Of the 17.5
  between the first two 17.3 are those of fifty more units; held-out images are reconstructed alike (465.7 nats both). The bound shows
  neither. (`study/launch.py --space three_sizes --systems B-vae-1-as-published B-vae-2-as-published --datasets mnist --replicates 1
  --epochs 20 --pack 1`; `loss/vae/loss` in MLflow.)
- **Averages over pixels and latents** (E) weigh the KL divergence as many times more as there are more pixel values than latents, 39
  times on MNIST at latent 20, and no latent is used.
"""
NOTES = {
    "D": """What it tried without success, it tried on Imagenette, and so it is run there. `D-gan-mnist-matched` and
`D-gan-imagenette-matched` are ours: its GANs with widths changed until they have as many parameters as its autoencoders, within 2 %.""",
    "E": """Its "hidden layers" are read as those of both sides together, half of them on each: that comes near its reconstruction losses per
pixel, at latent 10, 20 and 75 .110, .109 and .109 (nats of the held-out images' reconstruction over 784) for its .108, .099 and .102:

    .venv/bin/python study/launch.py --space depth_and_latent --systems E-vae-latent --datasets mnist --latents 10 20 75 --replicates 1

Its 1000 epochs of a Wasserstein GAN are read as its other epochs, passes over the training images: some 195,000 batches a training, 33
times those of its GAN, at 58 ms a batch (one busy core) three hours on MNIST and two to three times that on CIFAR-10. In public code of
the time, such as Keras-GAN, an "epoch" is one update of the generator: 1000 of these would be 5,000 batches, 26 passes. The command above
leaves it out.""",
}


CLAIMS_SAY = {  # claim -> what the report says, in our words; where we chose
    "C1": (
        "the reconstruction loss rises with the latent, shown at 50 and 100, since there is more space to draw from",
        "reconstruction under the bound on held-out images; a nat is the least that matters",
    ),
    "C2": (
        "losses of .108, .099, .102, .101, .102 at latent 10, 20, 30, 50, 75: the more latent the better, and after some size not"
        " drastically so",
        "20 as that size; the bound, in nats",
    ),
    "C3": ("losses of .177, .179, .186, .217, .217 with 2, 4, 8, 10, 12 hidden layers", "the bound, in nats"),
    "C4": (
        "a more complex model has a reconstruction loss like that of the less complex one on the same latent space, and sharper images",
        "alike: within a nat; sharpness by the Laplace filter",
    ),
    "C5": (
        "latent 200 instead of 100 stabilised the Jensen-Shannon divergence of a GAN and sharpened its images much; of a WGAN it says"
        " the latter",
        "the divergence that the discriminator proves on held-out images; steady: small steps from one look to the next; images by"
        " fidelity, coverage and sharpness",
    ),
    "C6": ("more layers make images of a GAN and of a WGAN less distinct", "fidelity and coverage; at equal latents"),
    "C7": (
        "in all cases a GAN collapses to 3 or 4 classes",
        "at most 4 classes with over 1 % of the samples, as a classifier sees them",
    ),
    "C8": (
        "in all cases the earth mover's distance of a WGAN decreases steadily with the epochs",
        "Kendall's tau of the critic's estimate and the epochs below -.5",
    ),
    "C9": ("GANs of latent 750 or 1000 draw less clear digits than those of 350 or 500", "clear: precision above a half"),
    "C10": (
        "fully connected GANs were unimpressive (A), convolutions could not be afforded (B), the DCGAN was much slower than the VAE (C)",
        "much: twice the time of a step",
    ),
    "C11": (
        "CIFAR-10 and Imagenette disappoint in every report, and most with fully connected models",
        "far worse: more than twice the distance, and less coverage",
    ),
    "C12": (
        "VAE and GAN draw digits of similar quality, the VAE's after fewer epochs (100 against 200) and somewhat blurry",
        "similar: within a seed deviation; arrived: within 10 % of its own best, on one grid of 4 epochs; blur: sharpness",
    ),
    "C13": (
        "the VAE was a lot more stable over hyperparameters, the GAN's performance could drop with a slight change",
        "twice the spread of fd_rel over proposals from equal ranges",
    ),
    "C14": (
        "between two samples lie recognisable digits, and the transition is clearly visible",
        "64 paths of 12 points that keep the prior's norm; precision and the classifier's confidence above a half, no step more than"
        " half of the way",
    ),
    "C15": (
        "the DCGAN's samples improve from 25 to 50 epochs (A), and with enough epochs (C)",
        "fd_rel at half of the epochs and at the end",
    ),
    "C16": (
        "a GAN of latent 350 draws the best digits, a VAE of latent 1000 and 4 hidden layers the best images of CIFAR-10",
        "4 hidden layers are 2 on each side; fidelity and coverage",
    ),
    "C17": (
        "losses of critic and WGAN are almost alike and remain the same throughout the training",
        "no trend: Kendall's tau with the epochs within .3",
    ),
    "C18": ("a GAN's losses show no clear trend over the epochs", "Kendall's tau with the epochs within .3"),
    "C19": (
        "30 epochs after the first 20 make reconstructions slightly better, and samples are again not great",
        "held-out reconstruction under the bound; not great: precision below a half",
    ),
    "C20": (
        "reconstructions of MNIST are fairly good, CIFAR-10 is not reconstructed with any fidelity after 50 epochs",
        "whether a classifier sees the class of the original in more than half of the reconstructions",
    ),
    "C21": ("a more complex GAN needs more training to converge", "epochs until it is within 10 % of its own best"),
    "C22": (
        "label smoothing, upsampling, feature matching, fewer layers, other latents and two time scales were tried on Imagenette, without"
        " decent results",
        "none gains more than a seed deviation of fd_rel",
    ),
    "C23": (
        "a slight change of architecture could make the GAN's performance drop, the VAE's was stable",
        "twice the spread of fd_rel over depths and latent sizes",
    ),
    "C24": ("a WGAN's images of CIFAR-10 hold no information", "fd_rel above a half, where 1 is one constant image"),
    "C25": (
        "between two real photographs the VAE's interpolation seems natural",
        "paths between the posterior means of 64 pairs; precision above a half, no step more than half of the way",
    ),
}


def page() -> str:
    return "\n".join([HEAD, *(section(report) for report in TITLES), *claims()])


def claims() -> list[str]:
    """The part about what the reports claim, and how it is decided."""
    return [
        "## What they claim",
        "",
        "How a claim is decided follows from `study/analysis/claims.py`; any space of the fourth column answers it, by",
        "`.venv/bin/python study/launch.py --space SPACE`, and with `--dry-run` tells which words it can get, on which cells, and",
        "how long these take.",
        "",
        "| claim | report | it says | spaces | decided by | ours |",
        "|---|---|---|---|---|---|",
        *(
            f"| {claim.id} | {claim.source} | {says} | {', '.join(f'`{space}`' for space in claim.spaces)} |"
            f" {'; '.join(dict.fromkeys(asked(part) for part in claim.parts))} | {ours} |"
            for claim in CLAIMS
            for says, ours in [CLAIMS_SAY[claim.id]]
        ),
        "",
    ]


def section(report: str) -> str:
    title, space = TITLES[report]
    rows = [system for system in SYSTEMS if system.report == report]
    named = " ".join(system.name for system in rows if system.name != "E-wgan-latent")
    lines = [
        f"## {report}: {title}",
        "",
        f"    .venv/bin/python study/launch.py --space {space} --systems {named}",
        "",
        "| system | the report | built | trained | ours |",
        "|---|---|---|---|---|",
        *("| " + " | ".join(columns(system)) + " |" for system in rows),
        "",
    ]
    return "\n".join([*lines, NOTES[report], ""] if report in NOTES else lines)


def columns(system: System) -> list[str]:
    layers = f"{system.down};<br>{system.up};<br>latent {described(system.latents)}"
    hidden = f"; {', '.join(map(str, system.hidden))} hidden layers on each side" if system.hidden else ""
    return [f"`{system.name}`", system.says, layers + hidden, trained(system), system.ours]


def described(latents) -> str:
    if isinstance(latents, dict):
        return "; ".join(f"{', '.join(map(str, sizes))} on {dataset.name}" for dataset, sizes in latents.items())
    return ", ".join(map(str, latents))


def trained(system: System) -> str:
    optimiser, betas = system.optimiser, getattr(system.optimiser, "betas", ())
    beta = f", beta1 {betas[0]}" if betas and betas[0] != 0.9 else ""
    clipped = f"; clip {system.clip}, {system.critic_steps} critic steps" if system.clip else ""
    loss = "".join(f"; {name} {value}" for name, value in system.loss)
    epochs = ", ".join(f"{epochs} epochs of {dataset.name}" for dataset, epochs in system.epochs.items())
    return f"{type(optimiser).__name__} {optimiser.lr:g}{beta}; batch {system.batch}; {epochs}{clipped}{loss}"


if __name__ == "__main__":
    PAGE.write_text(page())
