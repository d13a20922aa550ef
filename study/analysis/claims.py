"""The claims of five published reports, as data: what is compared, on which cells, and which rule decides.

Each was made from one training per setting. Fidelity is quality/fd_rel, which class means can fool, so coverage stands
beside it as a part of its own. "On MNIST" is answered on digits where no MNIST cell was trained; the verdict is then one
"on digits in place of mnist".
Levels are those a space has, of which the least and the largest are compared; claims that name levels need those.

Nine of them are laws about a family: what more latent units, more layers, convolutions, harder images or other
hyperparameters do to VAEs or GANs in general (C2, C3, C6, C10, C11, C13, C18, C21, C23). Their cells are a sample, and a few
of them cannot decide, whatever the number of seeds. The others speak of systems that the reports had in hand (sizes,
latents or nets that they name, the best cell, or one model of each kind), and are about these cells.
"""

import math
from collections.abc import Sequence
from functools import partial

from study.analysis.comparisons import CELL, Champion, Levels, Only, Pair
from study.analysis.outcomes import (
    collapsed,
    cost_in_doublings,
    early_and_end,
    epochs_to_arrive,
    in_doublings,
    spread_over_architectures,
    spread_over_proposals,
    trend_over_training,
    unsteadiness,
)
from study.analysis.rules import (
    below_half,
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
    stays_above,
    stays_below,
)
from study.analysis.verdicts import THE_FAMILY, Claim, Part
from study.metrics.catalogue import COVERAGE, FIDELITY
from study.space.space import Space

MNIST = ("mnist", "digits")
HARDER = ("cifar10", "imagenette")
ONE_NAT = 1.0  # per image: a smaller difference of likelihood is none that matters
STEADY = 0.5  # Kendall's tau beyond which three of four pairs of epochs are in order
FLAT = 0.3  # Kendall's tau within which a loss has no trend: what pure noise reaches over ten epochs
ANY_CHANGE = 0.0  # for what is itself a spread

# Averaging the loss over pixels or latent units changes the effective beta, so the default sum is compared; and a loss with a
# fault is no autoencoder's bound
BOUND = {"reduction": (None, "sum"), "published_loss": None}
VAE = {"model": "vae", **BOUND}
GAN, GANS, CLIPPED = {"model": "gan"}, {"model": ("gan", "wgan")}, {"model": "wgan", "clip": 0.01}
EITHER = {"model": ("vae", "gan"), **BOUND}
# Of report D the systems that it published: not those that it tried in vain, nor ours of equal weights
OF_D = {"system": (None, "", "D-vae-mnist", "D-gan-mnist", "D-vae-imagenette", "D-gan-imagenette")}
VAE_TO_GAN = Pair({"model": "vae"}, {"model": "gan"})


def better(of, of_what="", **options) -> tuple[Part, Part]:
    """From the first arm to the last, samples gain in fidelity and in coverage."""
    return (Part(f"fidelity{of_what}", FIDELITY, falls, of, **options), Part(f"coverage{of_what}", COVERAGE, rises, of, **options))


def worse(of, **options) -> tuple[Part, Part]:
    return Part("fidelity", FIDELITY, rises, of, **options), Part("coverage", COVERAGE, falls, of, **options)


def from_100_to_200(model: str) -> tuple[Part, ...]:
    wider, of_what, where = Pair({"latent_dim": 100}, {"latent_dim": 200}), f" of the {model}", {"model": model}
    return (*better(wider, of_what, where=where), Part(f"sharpness{of_what}", "quality/sharpness", rises, wider, where))


def along(path: str, model: str, where: dict, on: tuple[str, ...]) -> tuple[Part, ...]:
    """Images on paths between latents lie among real ones, and no step is most of the way."""
    only = Only({"model": model})
    return (
        Part(f"among real images ({model})", f"{path}/precision", exceeds_half, only, where, on=on, unit="share of images"),
        Part(f"step by step ({model})", f"{path}/largest_jump", below_half, only, where, on=on, unit="share of the way"),
    )


def no_trend(model: str, where: dict, *losses: tuple[str, str]) -> tuple[Part, ...]:
    return tuple(
        Part(f"{model} {name}", f"curve/loss/{loss}", is_flat, Only(where), where, FLAT, outcome=trend_over_training, unit="tau")
        for name, loss in losses
    )


def no_better_with(remedy: str) -> Part:
    as_published = {"system": "D-gan-imagenette"}
    changed = {"system": f"D-gan-imagenette-{remedy}"}
    return Part(remedy, FIDELITY, stays_above, Pair(as_published, changed), on=("imagenette", "digits"), within=("dataset",))


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


def best_of_all(champion: dict, on: tuple[str, ...], among: tuple[str, ...] = CELL) -> tuple[Part, Part]:
    best = Champion(champion, among)
    return (
        Part(f"fidelity on {on[0]}", FIDELITY, lowest, best, BOUND, on=on, within=("dataset",)),
        Part(f"coverage on {on[0]}", COVERAGE, highest, best, BOUND, on=on, within=("dataset",)),
    )


CLAIMS = (
    Claim(
        "C1",
        "a latent of 100 instead of 50 raises a VAE's reconstruction loss",
        "B",
        ("three_sizes",),
        (Part("reconstruction", "likelihood/recon", rises, Levels("latent_dim", (50, 100)), VAE, ONE_NAT, unit="nats"),),
    ),
    Claim(
        "C2",
        "a larger latent lowers a VAE's loss, with no gain past about 20",
        "E",
        ("depth_and_latent", "latent_sweep", "mnist_fc"),
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
        ("latent_sweep", "depth_and_latent", "mnist_fc"),
        (Part("bound", "likelihood/elbo", falls, Levels("depth"), VAE, ONE_NAT, unit="nats"),),
        THE_FAMILY,
    ),
    Claim(
        "C4",
        "a deeper VAE has about the reconstruction loss of a shallower one at the same latent size, and sharper samples",
        "B",
        ("latent_sweep", "three_sizes", "mnist_fc"),
        (
            Part("reconstruction", "likelihood/recon", equivalent, Levels("depth"), VAE, ONE_NAT, on=MNIST, unit="nats"),
            Part("sharpness", "quality/sharpness", rises, Levels("depth"), VAE, on=MNIST),
        ),
    ),
    Claim(
        "C5",
        "latent 200 instead of 100 steadies a GAN's Jensen-Shannon divergence over training and improves its samples; a WGAN's too",
        "B",
        ("three_sizes",),
        (
            *from_100_to_200("gan"),
            Part(
                "unsteadiness",
                "curve/diagnostics/jsd_discriminator",
                falls,
                Pair({"latent_dim": 100}, {"latent_dim": 200}),
                GAN,
                ANY_CHANGE,
                outcome=unsteadiness,
                unit="bits from look to look",
            ),
            *from_100_to_200("wgan"),
        ),
    ),
    Claim(
        "C6",
        "a deeper generator and discriminator give worse samples at an equal number of epochs",
        "B",
        ("latent_sweep", "three_sizes", "mnist_fc"),
        worse(Levels("depth"), where=GANS),
        THE_FAMILY,
    ),
    Claim(
        "C7",
        "fully connected GANs collapse to 3 or 4 classes on MNIST",
        "B",
        ("latent_sweep", "three_sizes", "mnist_fc"),
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
        "the earth mover estimate of a WGAN with clipped weights falls steadily over training",
        "B",
        ("three_sizes",),
        (
            Part(
                "estimate",
                "curve/loss/critic/distance",
                is_below,
                Only(CLIPPED),
                CLIPPED,
                STEADY,
                outcome=trend_over_training,
                unit="tau",
            ),
        ),
    ),
    Claim(
        "C9",
        "GAN samples on MNIST are clear at latent 350-500 and worse at 750-1000",
        "E",
        ("depth_and_latent", "mnist_fc"),
        (
            Part("clear", "quality/precision", exceeds_half, Only({"latent_dim": (350, 500)}), GAN, on=MNIST),
            *worse(Pair({"latent_dim": (350, 500)}, {"latent_dim": (750, 1000)}), where=GAN, on=MNIST),
        ),
    ),
    Claim(
        "C10",
        "convolutional GANs beat fully connected ones; a conv GAN step costs much more than an FC VAE step",
        "A, B, C",
        ("latent_sweep", "mnist_fc"),
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
        ("latent_sweep", "matched_weights", "mnist_fc"),
        (
            Part("fidelity", FIDELITY, equivalent, VAE_TO_GAN, {**EITHER, **OF_D}, on=MNIST, within=("dataset", "net", "depth")),
            Part("coverage", COVERAGE, equivalent, VAE_TO_GAN, {**EITHER, **OF_D}, on=MNIST, within=("dataset", "net", "depth")),
            Part(
                "epochs to arrive",
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
                "quality/sharpness",
                rises,
                VAE_TO_GAN,
                {**EITHER, **OF_D},
                on=MNIST,
                within=("dataset", "net", "depth"),
            ),
        ),
    ),
    Claim(
        "C13",
        "a VAE is much more stable across hyperparameters than a GAN",
        "D",
        ("latent_sweep", "mnist_fc"),
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
    Claim(
        "C14",
        "images between two draws are recognisable digits, and change into one another step by step",
        "D",
        ("latent_sweep", "matched_weights", "mnist_fc"),
        tuple(
            part
            for model, of_model in (("vae", {**BOUND, **OF_D, "model": "vae"}), ("gan", {**OF_D, "model": "gan"}))
            for part in (
                *along("path", model, of_model, MNIST),
                Part(f"recognised ({model})", "path/confidence", exceeds_half, Only({"model": model}), of_model, on=MNIST),
            )
        ),
    ),
    Claim(
        "C15",
        "longer training keeps improving DCGAN samples (25 to 50 epochs)",
        "A, C",
        ("bottleneck_20", "dropout_or_dcgan", "latent_sweep", "mnist_fc"),
        (
            Part(
                "second half of training",
                "curve/quality/fd_rel",
                falls,
                Pair({"share": "early"}, {"share": "end"}),
                {"model": "gan", "net": "conv"},
                outcome=early_and_end,
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
    Claim(
        "C17",
        "the losses of a WGAN with clipped weights remain the same throughout training",
        "E",
        ("depth_and_latent",),
        no_trend("WGAN", CLIPPED, ("critic", "critic/loss"), ("generator", "generator/loss")),
    ),
    Claim(
        "C18",
        "a GAN's losses show no trend over training",
        "E",
        ("depth_and_latent", "latent_sweep", "mnist_fc"),
        no_trend("GAN", GAN, ("generator", "generator/loss"), ("discriminator", "critic/loss")),
        THE_FAMILY,
    ),
    Claim(
        "C19",
        "50 instead of 20 epochs make a VAE's reconstructions of MNIST slightly better, and leave its samples poor",
        "A",
        ("bottleneck_20",),
        (
            Part(
                "reconstruction",
                "curve/likelihood/recon",
                falls,
                Pair({"share": "early"}, {"share": "end"}),
                VAE,
                ANY_CHANGE,
                on=MNIST,
                outcome=partial(early_and_end, early=20 / 50),
                unit="nats",
            ),
            Part("samples", "quality/precision", below_half, Only({"model": "vae"}), VAE, on=MNIST, unit="share of samples"),
        ),
    ),
    Claim(
        "C20",
        "a fully connected VAE reconstructs MNIST well, and CIFAR-10 not even after 50 epochs",
        "A",
        ("bottleneck_20",),
        tuple(
            Part(f"classes of {on[0]}", "likelihood/class_kept", rule, Only({"model": "vae"}), VAE, on=on, unit="share of images")
            for on, rule in ((MNIST, exceeds_half), (("cifar10",), below_half))
        ),
    ),
    Claim(
        "C21",
        "a deeper generator and discriminator need more epochs to converge",
        "B",
        ("latent_sweep", "three_sizes", "mnist_fc"),
        (Part("epochs", "curve/quality/fd_rel", rises, Levels("depth"), GANS, outcome=epochs_to_arrive, unit="epochs"),),
        THE_FAMILY,
    ),
    Claim(
        "C22",
        "no usual remedy makes a GAN of Imagenette better: smooth labels, upsampling, feature matching, fewer layers, another"
        " latent, two time scales",
        "D",
        ("matched_weights",),
        tuple(map(no_better_with, ("smoothing", "upsampled", "features", "shallower", "latent-100", "two-scales"))),
    ),
    Claim(
        "C23",
        "slight changes of architecture move a GAN much more than a VAE",
        "D",
        ("latent_sweep", "mnist_fc"),
        (
            Part(
                "spread over architectures",
                FIDELITY,
                doubles,
                VAE_TO_GAN,
                EITHER,
                outcome=spread_over_architectures,
                within=("dataset", "net"),
                unit="doublings",
            ),
        ),
        THE_FAMILY,
    ),
    Claim(
        "C24",
        "a WGAN's samples of CIFAR-10 hold no information: they are nearer to one constant image than to the data",
        "E",
        ("depth_and_latent",),
        (Part("fidelity", FIDELITY, exceeds_half, Only(CLIPPED), CLIPPED, on=("cifar10",)),),
    ),
    Claim(
        "C25",
        "images between two real photographs, as a VAE decodes them, look natural",
        "D",
        ("matched_weights",),
        along("path_real", "vae", {**BOUND, "model": "vae", "system": "D-vae-imagenette"}, ("imagenette", "digits")),
    ),
)


def about(space: Space) -> list[str]:
    """The claims that a space is about, by their ids."""
    return [claim.id for claim in judged_in([space.name], space.claims)]


def judged_in(spaces: Sequence[str], own: Sequence[Claim]) -> tuple[Claim, ...]:
    """The claims that a study judges, or several together: the published ones that name its space, its own, and no others, so that
    Holm's correction is for these alone."""
    return (*(claim for claim in CLAIMS if not set(spaces).isdisjoint(claim.spaces)), *own)
