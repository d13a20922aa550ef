"""Numbers that were published for systems which a space holds, and whether ours agree with them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from study.analysis.comparisons import matches
from study.analysis.trainings import OWN, Features

LOG_LIKELIHOOD, RECONSTRUCTION, KL = "log_likelihood", "reconstruction", "kl"  # over all test images: study/metrics/likelihood.py


@dataclass(frozen=True)
class Number:
    """As it was published: a mean over runs, and their standard deviation where that was given."""

    value: float
    deviation: float | None = None


@dataclass(frozen=True)
class PublishedCell:
    """The published numbers of the trainings that have these settings; measure -> number."""

    settings: Mapping
    numbers: Mapping[str, Number]


@dataclass(frozen=True)
class Protocol:
    """A published table, the space that repeats it, and how near ours must come.

    gate: the measure that decides. margin: how far the mean over our trainings may be from theirs, in the measure's unit; None: two
    standard deviations of a difference between one run of theirs and one of ours. features: by which ours are measured; bounds:
    whether the log-likelihood of all test images is asked for as well. differs: what of the published procedure is not repeated.
    """

    space: str
    source: str
    link: str
    gate: str
    unit: str
    margin: float | None
    cells: Sequence[PublishedCell]
    features: Features = OWN
    bounds: bool = False
    differs: Sequence[str] = ()


@dataclass(frozen=True)
class Comparison:
    """Ours beside theirs: one cell, one measure."""

    name: str
    measure: str
    theirs: Number
    ours: tuple[float, ...]  # of every training on held-out images
    verdict: str = ""  # of the measure that decides

    @property
    def mean(self) -> float:
        return float(np.mean(self.ours))

    @property
    def deviation(self) -> float | None:
        return float(np.std(self.ours, ddof=1)) if len(self.ours) > 1 else None


def compared(protocol: Protocol, rows: Sequence[Mapping]) -> list[Comparison]:
    """Every published number beside those of our trainings (rows of study/analysis/trainings.py), decided where it is the gate."""
    found = []
    for cell in protocol.cells:
        ours = [row for row in rows if row["stage"] == "confirm" and matches(row, cell.settings)]
        name = ", ".join(f"{factor.replace('_dim', '')} {value}" for factor, value in cell.settings.items() if value is not None)
        for measure, theirs in cell.numbers.items():
            values = tuple(row[measure] for row in ours if row.get(measure) is not None)
            verdict = decided(values, theirs, protocol) if measure == protocol.gate else ""
            found.append(Comparison(name, measure, theirs, values, verdict))
    return found


def decided(ours: Sequence[float], theirs: Number, protocol: Protocol) -> str:
    """Whether the mean of our trainings is as near as the protocol asks for."""
    if not ours:
        return "not run"
    apart = float(np.mean(ours)) - theirs.value
    margin = protocol.margin if protocol.margin is not None else 2 * spread_of_both(ours, theirs)
    return f"within {margin:.2g}" if abs(apart) <= margin else f"{apart:+.2g}: more than {margin:.2g} apart"


def spread_of_both(ours: Sequence[float], theirs: Number) -> float:
    own = np.var(ours, ddof=1) if len(ours) > 1 else 0.0
    return float((own + (theirs.deviation or 0.0) ** 2) ** 0.5)


def gaussian_vae(latent: int, log_likelihood: float, reconstruction: float, kl: float) -> PublishedCell:
    numbers = {LOG_LIKELIHOOD: log_likelihood, RECONSTRUCTION: reconstruction, KL: kl}
    return PublishedCell({"latent_dim": latent}, {measure: Number(value) for measure, value in numbers.items()})


def fids(settings: Mapping, **published: tuple[float, float]) -> list[PublishedCell]:
    """Of one model on several datasets: mean and deviation of each."""
    return [PublishedCell({"dataset": name, **settings}, {"quality/fid": Number(*each)}) for name, each in published.items()]


PROTOCOLS = {
    "vae_latent": Protocol(
        "vae_latent_reference",
        "Davidson, Falorsi, De Cao, Kipf and Tomczak (2018), Hyperspherical Variational Auto-Encoders, the Gaussian VAE on MNIST",
        "https://arxiv.org/abs/1804.00891",
        gate=LOG_LIKELIHOOD,
        unit="nats",
        margin=1.5,
        bounds=True,
        cells=(
            gaussian_vae(2, -135.73, -129.84, 7.24),
            gaussian_vae(5, -110.21, -100.16, 12.82),
            gaussian_vae(10, -93.84, -78.93, 19.44),
            gaussian_vae(20, -88.90, -71.29, 23.50),
            gaussian_vae(40, -88.93, -71.14, 23.77),
        ),
        differs=("120 epochs, from a latent of 20 on 220, instead of a stop by validation images",),
    ),
    "fid": Protocol(
        "fid_reference",
        "Lucic, Kurach, Michalski, Gelly and Bousquet (2018), Are GANs Created Equal? A Large-Scale Study",
        "https://arxiv.org/abs/1711.10337",
        gate="quality/fid",
        unit="FID",
        margin=None,
        features=Features("inception", samples=10_000),
        cells=(
            *fids({"model": "gan", "loss": "minimax"}, mnist=(9.8, 0.9), fashion_mnist=(29.6, 1.6), cifar10=(72.7, 3.6)),
            *fids({"model": "gan", "loss": "non_saturating"}, mnist=(6.8, 0.5), fashion_mnist=(26.5, 1.6), cifar10=(58.5, 1.9)),
            *fids({"model": "wgan", "clip": 0.01}, mnist=(6.7, 0.4), fashion_mnist=(21.5, 1.6), cifar10=(55.2, 2.3)),
            *fids({"model": "wgan", "clip": None}, mnist=(20.3, 5.0), fashion_mnist=(24.5, 2.1), cifar10=(55.8, 0.9)),
            *fids({"model": "vae"}, mnist=(23.8, 0.6), fashion_mnist=(58.7, 1.2), cifar10=(155.7, 11.6)),
        ),
        differs=(
            "a replicate is a search of its own, where they trained the best of one search 50 times",
            "10,000 training images are held out for the search",
            "the clip is .01 and not tuned",
            "Adam's first decay is one of 0, .5 and .9",
        ),
    ),
}
