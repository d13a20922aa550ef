"""The sixteen claims of five published reports, as data: what is compared, on which cells, and which rule decides.

Each was made from one training per setting. Fidelity is quality/fd_rel, which class means can fool, so coverage stands
beside it as a part of its own. "On MNIST" is answered on digits where no MNIST cell was trained; the verdict is then one
"on digits in place of mnist".
Levels are those a space has, of which the least and the largest are compared; claims that name levels need those.

Eight of them are laws about a family: what more latent units, more layers, convolutions, harder images or other
hyperparameters do to VAEs or GANs in general (C1, C2, C3, C6, C8, C10, C11, C13). Their cells are a sample, and a few
of them cannot decide, whatever the number of seeds. The others speak of systems that the reports had in hand (sizes,
latents or nets that they name, the best cell, or one model of each kind), and are about these cells.
"""

import math
from collections.abc import Sequence

from study.analysis.comparisons import Champion, Corners, Levels, Only, Pair
from study.analysis.outcomes import (
    collapsed,
    cost_in_doublings,
    epochs_to_arrive,
    half_and_end,
    in_doublings,
    instability,
    spread_over_proposals,
    trend_over_training,
)
from study.analysis.rules import (
    doubles,
    equivalent,
    exceeds_half,
    falls,
    highest,
    is_below,
    is_flat,
    lowest,
    mostly_happens,
    rises,
    stays_below,
)
from study.analysis.verdicts import THE_FAMILY, Claim, Part
from study.metrics.catalogue import COVERAGE, FIDELITY
from study.space.space import Space

REPORTS = {  # the student reports that made the claims: tag -> (space with their systems, what they compared)
    "A": ("bottleneck_20", "a VAE, fully connected and convolutional GANs, and a WGAN on MNIST and CIFAR-10"),
    "B": ("three_sizes", "three sizes each of VAE, GAN and WGAN on MNIST and CIFAR-10"),
    "C": ("dropout_or_dcgan", "a VAE with dropout and a DCGAN on MNIST"),
    "D": ("matched_weights", "a VAE and a GAN of about as many weights on MNIST and Imagenette"),
    "E": ("depth_and_latent", "depth and latent size of VAEs, latent size of GANs and WGANs on MNIST and CIFAR-10"),
}
MNIST = ("mnist", "digits")
HARDER = ("cifar10", "imagenette")
ONE_NAT = 1.0  # per image: a smaller difference of likelihood is none that matters
STEADY = 0.5  # Kendall's tau beyond which three of four pairs of epochs are in order
FLAT = 0.3  # Kendall's tau within which a loss has no trend: what pure noise reaches over ten epochs
ANY_CHANGE = 0.0  # for a spread over seeds, which is no larger than the seed deviation itself

# Averaging the loss over pixels or latent units changes the effective beta, so the default sum is compared; and a loss with a
# fault is no autoencoder's bound
BOUND = {"reduction": (None, "sum"), "published_loss": None}
VAE = {"model": "vae", **BOUND}
GAN, WGAN, GANS = {"model": "gan"}, {"model": "wgan"}, {"model": ("gan", "wgan")}
EITHER = {"model": ("vae", "gan"), **BOUND}
# Of report D the systems that it published: not those that it tried in vain, nor ours of equal weights
OF_D = {"system": (None, "", "D-vae-mnist", "D-gan-mnist", "D-vae-imagenette", "D-gan-imagenette")}
VAE_TO_GAN = Pair({"model": "vae"}, {"model": "gan"})


def better(of, of_what="", **options) -> tuple[Part, Part]:
    """From the first arm to the last, samples gain in fidelity and in coverage."""
    return (Part(f"fidelity{of_what}", FIDELITY, falls, of, **options), Part(f"coverage{of_what}", COVERAGE, rises, of, **options))


def worse(of, **options) -> tuple[Part, Part]:
    return Part("fidelity", FIDELITY, rises, of, **options), Part("coverage", COVERAGE, falls, of, **options)


def from_100_to_200(model: dict) -> tuple[Part, ...]:
    wider, of_what = Pair({"latent_dim": 100}, {"latent_dim": 200}), f" of the {model['model']}"
    return (
        *better(wider, of_what, where=model),
        Part(f"stability{of_what}", FIDELITY, falls, wider, model, ANY_CHANGE, outcome=instability),
    )


def far_worse_than_mnist(dataset: str) -> tuple[Part, ...]:
    """At least twice as far from the data for each family, and less of it covered."""
    harder = Pair({"dataset": "mnist"}, {"dataset": dataset})
    return (
        *(
            Part(
                f"{model} on {dataset}",
                FIDELITY,
                doubles,
                harder,
                {**BOUND, "model": model},
                outcome=in_doublings,
                unit="doublings",
            )
            for model in ("vae", "gan", "wgan")
        ),
        Part(f"coverage on {dataset}", COVERAGE, falls, harder, BOUND),
    )


def best_of_all(champion: dict, on: tuple[str, ...]) -> tuple[Part, Part]:
    best = Champion(champion)
    return (
        Part(f"fidelity on {on[0]}", FIDELITY, lowest, best, BOUND, on=on, within=("dataset",)),
        Part(f"coverage on {on[0]}", COVERAGE, highest, best, BOUND, on=on, within=("dataset",)),
    )


CLAIMS = (
    Claim(
        "C1",
        "a larger latent raises a VAE's reconstruction loss",
        "B",
        ("latent_sweep", "three_sizes"),
        (Part("reconstruction", "likelihood/recon", rises, Levels("latent_dim"), VAE, ONE_NAT, unit="nats"),),
        THE_FAMILY,
    ),
    Claim(
        "C2",
        "a larger latent lowers a VAE's loss, with no gain past about 20",
        "E",
        ("depth_and_latent", "latent_sweep"),
        (
            Part("gain up to 20", "likelihood/elbo", rises, Levels("latent_dim", (0, 20)), VAE, ONE_NAT, unit="nats"),
            Part(
                "no gain past 20", "likelihood/elbo", stays_below, Levels("latent_dim", (20, math.inf)), VAE, ONE_NAT, unit="nats"
            ),
        ),
        THE_FAMILY,
    ),
    Claim(
        "C3",
        "more hidden layers raise a VAE's loss",
        "E",
        ("latent_sweep", "depth_and_latent"),
        (Part("bound", "likelihood/elbo", falls, Levels("depth"), VAE, ONE_NAT, unit="nats"),),
        THE_FAMILY,
    ),
    Claim(
        "C4",
        "a deeper VAE carries a larger latent at no higher reconstruction loss",
        "B",
        ("latent_sweep", "three_sizes"),
        (
            Part(
                "reconstruction",
                "likelihood/recon",
                stays_below,
                Corners(("depth", "latent_dim")),
                VAE,
                ONE_NAT,
                on=MNIST,
                unit="nats",
            ),
        ),
    ),
    Claim(
        "C5",
        "latent 100 to 200 stabilises a GAN and improves its samples; the same for a WGAN",
        "B",
        ("three_sizes",),
        from_100_to_200(GAN) + from_100_to_200(WGAN),
    ),
    Claim(
        "C6",
        "a deeper generator and discriminator give worse samples at an equal number of epochs",
        "B",
        ("latent_sweep", "three_sizes"),
        worse(Levels("depth"), where=GANS),
        THE_FAMILY,
    ),
    Claim(
        "C7",
        "fully connected GANs collapse to 3 or 4 classes on MNIST",
        "B",
        ("latent_sweep", "three_sizes"),
        (
            Part(
                "collapse",
                "modes/classes",
                mostly_happens,
                Only({"model": "gan", "net": "fc"}),
                on=MNIST,
                outcome=collapsed,
                unit="share of trainings",
            ),
        ),
    ),
    Claim(
        "C8",
        "a WGAN's earth mover estimate falls steadily over training, a GAN's losses show no trend",
        "B, E",
        ("latent_sweep", "three_sizes"),
        (
            Part(
                "WGAN estimate",
                "curve/loss/critic/distance",
                is_below,
                Only(WGAN),
                WGAN,
                STEADY,
                outcome=trend_over_training,
                unit="tau",
            ),
            Part(
                "GAN generator", "curve/loss/generator/loss", is_flat, Only(GAN), GAN, FLAT, outcome=trend_over_training, unit="tau"
            ),
            Part(
                "GAN discriminator",
                "curve/loss/critic/loss",
                is_flat,
                Only(GAN),
                GAN,
                FLAT,
                outcome=trend_over_training,
                unit="tau",
            ),
        ),
        THE_FAMILY,
    ),
    Claim(
        "C9",
        "GAN samples on MNIST are clear at latent 350-500 and worse at 750-1000",
        "E",
        ("depth_and_latent",),
        (
            Part("clear", "quality/precision", exceeds_half, Only({"latent_dim": (350, 500)}), GAN, on=MNIST),
            *worse(Pair({"latent_dim": (350, 500)}, {"latent_dim": (750, 1000)}), where=GAN, on=MNIST),
        ),
    ),
    Claim(
        "C10",
        "convolutional GANs beat fully connected ones; a conv GAN step costs much more than an FC VAE step",
        "A, B, C",
        ("latent_sweep",),
        (
            *better(Pair({"net": "fc"}, {"net": "conv"}), where=GANS),
            Part(
                "cost",
                "time/step_ms",
                doubles,
                Pair({"model": "vae", "net": "fc"}, {"model": "gan", "net": "conv"}),
                EITHER,
                outcome=cost_in_doublings,
                within=(),
                unit="doublings",
            ),
        ),
        THE_FAMILY,
    ),
    Claim(
        "C11",
        "all models do far worse on CIFAR-10 and Imagenette than on MNIST; FC models worst",
        "all",
        ("latent_sweep",),
        (
            *far_worse_than_mnist("cifar10"),
            *far_worse_than_mnist("imagenette"),
            *worse(Pair({"net": "conv"}, {"net": "fc"}), where={**BOUND, "dataset": HARDER}),
        ),
        THE_FAMILY,
    ),
    Claim(
        "C12",
        "VAE and GAN reach similar quality on MNIST, the VAE in fewer epochs, with blurrier samples",
        "D",
        ("latent_sweep", "matched_weights"),
        (
            Part("fidelity", FIDELITY, equivalent, VAE_TO_GAN, {**EITHER, **OF_D}, on=MNIST, within=("dataset", "net", "depth")),
            Part("coverage", COVERAGE, equivalent, VAE_TO_GAN, {**EITHER, **OF_D}, on=MNIST, within=("dataset", "net", "depth")),
            Part(
                "epochs",
                "curve/quality/fd_rel",
                rises,
                VAE_TO_GAN,
                {**EITHER, **OF_D},
                on=MNIST,
                outcome=epochs_to_arrive,
                within=("dataset", "net", "depth"),
                unit="epochs",
            ),
            Part(
                "sharpness",
                "quality/precision",
                rises,
                VAE_TO_GAN,
                {**EITHER, **OF_D},
                on=MNIST,  # blur leaves the real manifold
                within=("dataset", "net", "depth"),
            ),
        ),
    ),
    Claim(
        "C13",
        "a VAE is much more stable across hyperparameters than a GAN",
        "D",
        ("latent_sweep",),
        (
            Part(
                "spread over proposals",
                FIDELITY,
                doubles,
                VAE_TO_GAN,
                EITHER,
                outcome=spread_over_proposals,
                within=("unit",),
                stage="search",
                unit="doublings",
            ),
        ),
        THE_FAMILY,
    ),
    # Points between two draws of the prior, on a path that keeps their norm, are themselves draws of the prior
    Claim(
        "C14",
        "points between two latents decode to recognisable images",
        "D",
        ("latent_sweep", "matched_weights"),
        tuple(
            Part(
                f"{model} samples among real images",
                "quality/precision",
                exceeds_half,
                Only({"model": model}),
                {**BOUND, **OF_D, "model": model, "dataset": (*MNIST, "imagenette")},
                unit="share of samples",
            )
            for model in ("vae", "gan")
        ),
    ),
    Claim(
        "C15",
        "longer training keeps improving DCGAN samples (25 to 50 epochs)",
        "A, C",
        ("bottleneck_20", "dropout_or_dcgan", "latent_sweep"),
        (
            Part(
                "second half of training",
                "curve/quality/fd_rel",
                falls,
                Pair({"share": "half"}, {"share": "end"}),
                {"model": "gan", "net": "conv"},
                outcome=half_and_end,
            ),
        ),
    ),
    Claim(
        "C16",
        "best on MNIST: GAN at latent 350; best on CIFAR-10: VAE at latent 1000 with 4 hidden layers",
        "E",
        ("depth_and_latent",),
        (
            *best_of_all({"model": "gan", "latent_dim": 350}, MNIST),
            *best_of_all({"model": "vae", "depth": 2, "latent_dim": 1000}, ("cifar10",)),  # of its 4 layers, 2 on each side
        ),
    ),
)


def about(space: Space) -> list[str]:
    """The claims that a space is about, by their ids: the published ones that name it, and its own."""
    return [claim.id for claim in (*naming(space.name), *space.claims)]


def naming(space: str) -> tuple[Claim, ...]:
    return tuple(claim for claim in CLAIMS if space in claim.spaces)


def judged_in(space: str, own: Sequence[Claim]) -> tuple[Claim, ...]:
    """The claims that a study judges: those that its space is about, so that Holm's correction is for no others; of a space that is
    about none, all that are published."""
    return (*naming(space), *own) or CLAIMS
