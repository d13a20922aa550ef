"""Every measure once: its name, its group, its unit, which way is better, what a diverged training has, how it is read."""

import hashlib
import math
import statistics
from collections.abc import Mapping
from typing import NamedTuple

from study.ledger.records import Replica

OBJECTIVE = "quality/fd_rel"  # what every sweep minimises: Frechet distance over the spread of the real features
FIRST_RUNG = "search/first_rung"  # the objective where all proposals of a round have had as many epochs
FIDELITY, COVERAGE = OBJECTIVE, "quality/coverage"  # what the answer, the claims and the choice of best are about
LOWER, HIGHER, NEITHER = "lower", "higher", ""
OVER_IMAGES = "quality/fd_rel_over_images"
COSTS = ("time/", "cost/")  # of a diverged training too they are what they are; of a training's own share of its pack
OF_SOME_MODELS = ("likelihood/", "path_real/", "average/", "diagnostics/", "loss/")  # all others ask for samples only


class Measure(NamedTuple):
    key: str
    name: str
    group: str
    unit: str  # "" of a pure number
    better: str  # "lower", "higher", or "" where neither is: then a diverged training has no value of it
    worst: float | None  # what a diverged training counts as at least, where the measure itself says it
    reads: str  # what the number says, with its source

    @property
    def says(self) -> str:
        """What the number says, with its unit: the sentence that a report shows."""
        return f"{self.reads} ({self.unit})" if self.unit else self.reads


MEASURES = tuple(
    Measure(*row)
    for row in (
        (
            "quality/fd_rel",
            "fd_rel",
            "Fidelity",
            "",
            LOWER,
            1.0,
            "Fréchet distance in a frozen feature space over the spread of the real features; 1 is one constant image"
            " (Heusel et al. 2017)",
        ),
        (
            "quality/precision",
            "precision",
            "Fidelity",
            "",
            HIGHER,
            0.0,
            "share of samples among the real images, by fifth nearest neighbours (Kynkäänniemi et al. 2019)",
        ),
        (
            "quality/density",
            "density",
            "Fidelity",
            "",
            HIGHER,
            0.0,
            "how many real neighbourhoods hold a sample (Naeem et al. 2020)",
        ),
        (
            "quality/sharpness",
            "sharpness",
            "Fidelity",
            "",
            NEITHER,
            None,
            "variance of the images' second differences over that of the real images: below 1 is blur, above 1 is noise or"
            " hard edges (Tolstikhin et al. 2018)",
        ),
        (
            "quality/recall",
            "recall",
            "Coverage",
            "",
            HIGHER,
            0.0,
            "share of real images among the samples (Kynkäänniemi et al. 2019)",
        ),
        (
            "quality/coverage",
            "coverage",
            "Coverage",
            "",
            HIGHER,
            0.0,
            "share of real images with a sample nearby (Naeem et al. 2020)",
        ),
        (
            "modes/label_jsd",
            "label_jsd",
            "Coverage",
            "bits",
            LOWER,
            1.0,
            "Jensen-Shannon divergence of the samples' classes from the real ones; 3 of 10 classes score 0.49",
        ),
        ("modes/classes", "classes", "Coverage", "", HIGHER, 0.0, "classes that make up more than 1 % of the samples"),
        (
            "modes/train_on_samples",
            "trained on samples",
            "Coverage",
            "",
            HIGHER,
            0.0,
            "classification accuracy score (Ravuri & Vinyals 2019; GAN-train of Shmelkov et al. 2018): share of real held-out"
            " images whose class the nearest sample has, by pixels and as the features' classifier labels it, over the share that"
            " is found with as many real images and their true labels",
        ),
        ("quality/fd", "fd", "Further distances", "squared units of the features", LOWER, None, "the Fréchet distance itself"),
        (
            OVER_IMAGES,
            "fd_rel over images",
            "Further distances",
            "",
            NEITHER,
            None,
            "standard deviation of fd_rel over the choice of the held-out images, which is in no interval (infinitesimal"
            " jackknife, Efron 1982)",
        ),
        ("quality/fid", "fid", "Further distances", "squared units of the features", LOWER, None, "the same on Inception features"),
        (
            "quality/kid",
            "kid",
            "Further distances",
            "",
            LOWER,
            None,
            "squared maximum mean discrepancy of the features that vary on real images, unbiased: below 0 is chance"
            " (Bińkowski et al. 2018)",
        ),
        (
            "quality/swd",
            "swd",
            "Further distances",
            "units of the features",
            LOWER,
            None,
            "sliced Wasserstein distance of the features, 256 projections",
        ),
        ("quality/swd_pixel", "swd_pixel", "Further distances", "pixel values from 0 to 1", LOWER, None, "the same of the pixels"),
        (
            "two_sample/accuracy",
            "two-sample accuracy",
            "Two-sample test",
            "",
            LOWER,
            1.0,
            "share that a classifier of real against generated gets right; 0.5 is chance",
        ),
        ("two_sample/jsd", "two-sample JSD", "Two-sample test", "bits", LOWER, 1.0, "the divergence that this classifier proves"),
        *(
            (f"{group}/{key}", f"{name} {between}", "Paths between latents", "", better, worst, f"{reads}, {between}")
            for group, between in (("path", "between draws"), ("path_real", "between images"))
            for key, name, better, worst, reads in (
                ("precision", "precision", HIGHER, 0.0, "share of the images among the real ones"),
                ("confidence", "confidence", HIGHER, 0.0, "mean probability of the class that the classifier sees"),
                ("largest_jump", "largest jump", LOWER, 1.0, "share of the largest of 11 steps in the way that the features go"),
            )
        ),
        (
            "memory/nn_ratio",
            "nearest-neighbour ratio",
            "Memory",
            "",
            NEITHER,
            None,
            "distance of samples to the training set over that of held-out images: far below 1 is copying",
        ),
        (
            "memory/authenticity",
            "authenticity",
            "Memory",
            "",
            NEITHER,
            None,
            "share of samples that are no copies (Alaa et al. 2022): copying where it is below that of held-out images;"
            " noise scores 1",
        ),
        (
            "memory/authenticity_held_out",
            "authenticity of held-out images",
            "Memory",
            "",
            NEITHER,
            None,
            "what authenticity is held against",
        ),
        (
            "likelihood/elbo",
            "evidence lower bound",
            "Likelihood",
            "nats per image",
            HIGHER,
            None,
            "lower bound of the log-likelihood, summed over pixels",
        ),
        (
            "likelihood/recon",
            "reconstruction",
            "Likelihood",
            "nats per image",
            LOWER,
            None,
            "what of an image its latent does not tell, summed over pixels",
        ),
        ("likelihood/kl", "KL divergence", "Likelihood", "nats per image", NEITHER, None, "what the latent carries"),
        (
            "likelihood/iw_nll",
            "negative log-likelihood",
            "Likelihood",
            "nats per image",
            LOWER,
            None,
            "importance-weighted, K = 500 (Burda et al. 2016), or exact where a model has a density; of binarised images under"
            " Bernoulli pixels",
        ),
        ("likelihood/bits_per_dim", "bits per dimension", "Likelihood", "bits", LOWER, None, "the same per pixel and channel"),
        (
            "likelihood/active_units",
            "active units",
            "Likelihood",
            "",
            HIGHER,
            0.0,
            "latent dimensions that the data moves by more than 0.01",
        ),
        (
            "likelihood/class_kept",
            "class kept",
            "Likelihood",
            "",
            HIGHER,
            0.0,
            "share of held-out images whose reconstruction the classifier puts into the same class",
        ),
        (
            "likelihood/probe_accuracy",
            "probe accuracy",
            "Likelihood",
            "",
            HIGHER,
            0.0,
            "share of held-out images whose class a logistic regression tells from the means of their latents (linear probe,"
            " Alain & Bengio 2016)",
        ),
        (
            "likelihood/beta_effective",
            "effective beta",
            "Likelihood",
            "",
            NEITHER,
            None,
            "weight of the KL divergence under summed losses",
        ),
        (
            "diagnostics/jsd_discriminator",
            "JSD of the discriminator",
            "Diagnostics",
            "bits",
            NEITHER,
            None,
            "on held-out images; depends on the discriminator, so it compares nothing",
        ),
        (
            "diagnostics/w1_critic",
            "earth mover of the critic",
            "Diagnostics",
            "units of the critic's scores",
            NEITHER,
            None,
            "raw; depends on the critic's scale",
        ),
        (
            "diagnostics/w1_critic_scaled",
            "earth mover, scaled",
            "Diagnostics",
            "Euclidean distance of pixels",
            NEITHER,
            None,
            "over the critic's largest gradient",
        ),
        (FIRST_RUNG, "fd_rel at the first rung", "Search", "", LOWER, 1.0, "after as many epochs for all proposals of a round"),
        ("time/train_s", "training time", "Cost", "s", LOWER, None, "of one training: its share of those that train side by side"),
        ("time/step_ms", "step", "Cost", "ms", LOWER, None, "of one training: its share of those that train side by side"),
        ("time/images_per_s", "images per second", "Cost", "images/s", HIGHER, None, "of one training"),
        ("time/measure_s", "measuring time", "Cost", "s", LOWER, None, "of measures and pictures of one training"),
        ("cost/parameters", "parameters", "Cost", "", LOWER, None, "of one model"),
        ("cost/flops_per_image", "FLOPs per image", "Cost", "FLOPs", LOWER, None, "of one training step, every phase at its rate"),
        ("cost/peak_memory_mb", "peak memory", "Cost", "MB", LOWER, None, "of the whole process"),
    )
)
AVERAGED = {f"average/{name}": f"quality/{name}" for name in ("fd_rel", "precision", "density", "recall", "coverage")}
MEASURES += tuple(  # of samples by averaged weights the same as of those by the weights themselves
    measure._replace(
        key=key, name=f"{measure.name}, averaged", group="Averaged weights", reads=f"averaged weights: {measure.reads}"
    )
    for key, same in AVERAGED.items()
    for measure in MEASURES
    if measure.key == same
)
BY_KEY = {measure.key: measure for measure in MEASURES}
CATALOGUE = hashlib.sha256(" ".join(BY_KEY).encode()).hexdigest()[:8]  # another where there are measures that were not known before


def described(key: str) -> Measure:
    """The measure of that key; one that this table does not know is shown under its own name."""
    return BY_KEY.get(key) or Measure(key, key.split("/")[-1], "Others", "", NEITHER, None, "")


def ranked(key: str) -> bool:
    """Whether a diverged training counts as the worst: in what has a better end and is not spent."""
    return bool(described(key).better) and not key.startswith(COSTS)


def of_every_model(key: str) -> bool:
    """Whether every model has the measure, or the curve of it."""
    return not key.removeprefix("curve/").startswith(OF_SOME_MODELS)


def time_taken(measures: Mapping) -> float:
    """The seconds that a training took of its processors: its own share of its pack, measuring included."""
    return sum(measures.get(part) or 0.0 for part in ("time/train_s", "time/measure_s"))


def number(value: float | None) -> str:
    """Three significant digits, or whole thousands with commas."""
    if value is None:
        return "–"
    return (f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}").replace("-", "−")


def interval(pair) -> str:
    return "" if pair is None else f"[{number(pair[0])}, {number(pair[1])}]"


def spread(pair) -> str:
    """Mean and standard deviation."""
    return f"{number(pair[0])} ± {number(pair[1])}"


def literal(text: str) -> str:
    """A name as a figure is to show it: what stands between two dollar signs would be mathematics to matplotlib, and it draws no
    bytes of a file's name that are not UTF-8."""
    return text.encode("utf-8", "replace").decode().replace("$", r"\$")


RENAMED = {"beta_effective": "likelihood/beta_effective"}  # in results of an earlier version


def aggregate(values: dict[str, list]) -> dict[str, float]:
    """Per-seed values, None where a seed has none, as their middle(), with the standard deviation of those there are as
    `<name>_sd`."""
    table = {}
    for name, column in values.items():
        if (value := middle(name, column)) is not None:
            table[name] = value
        if len(known := there(column)) > 1 and not name.startswith(COSTS):
            table[f"{name}_sd"] = statistics.stdev(known)
    return table


def middle(name: str, column: list) -> float | None:
    """The median over seeds. Those that have no value count as the worst where a measure has a better end: where that makes
    the median one of them, or half of one, there is none, as only the table of cells knows how bad the worst is."""
    known = there(column)
    lost = [-math.inf if described(name).better == HIGHER else math.inf] * (len(column) - len(known))
    value = statistics.median(known + lost if ranked(name) else known) if known else math.inf
    return value if math.isfinite(value) else None


def there(column: list) -> list[float]:
    return [value for value in column if value is not None and math.isfinite(value)]


def over_seeds(replicas: list[Replica]) -> dict[str, float]:
    """The measures of a trial, from those of its seeds, and the rate of the diverged among these."""
    if not replicas:
        return {}
    statuses, rows = [status_of(replica) for replica in replicas], [measures_of(replica) for replica in replicas]
    columns = {
        name: [row.get(name) for row, status in zip(rows, statuses) if name in row or status == "diverged"]
        for name in dict.fromkeys(name for row in rows for name in row)
    }
    return {**aggregate(columns), "rate/diverged": statuses.count("diverged") / len(replicas)}


def status_of(replica: Replica) -> str:
    """A training that ended with images that cannot be measured has diverged, whatever its losses say."""
    unmeasured = replica.status == "done" and replica.measures.get(OBJECTIVE) is None
    return "diverged" if unmeasured else replica.status


def measures_of(replica: Replica) -> dict[str, float | None]:
    return {RENAMED.get(name, name): value for name, value in replica.measures.items()}
