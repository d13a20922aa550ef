"""How each measure is named, grouped and read: what a report prints beside a number."""
from typing import NamedTuple

LOWER, HIGHER, NEITHER = "lower", "higher", ""


class Measure(NamedTuple):
    key: str
    name: str
    group: str
    better: str   # "lower", "higher", or "" where neither is
    reads: str    # what the number says, with its unit and source


MEASURES = tuple(Measure(*row) for row in (
    ("quality/fd_rel", "fd_rel", "Fidelity", LOWER,
     "Fréchet distance in a frozen feature space over the spread of the real features; 1 is one constant image"
     " (Heusel et al. 2017)"),
    ("quality/precision", "precision", "Fidelity", HIGHER,
     "share of samples among the real images, by fifth nearest neighbours (Kynkäänniemi et al. 2019)"),
    ("quality/density", "density", "Fidelity", HIGHER,
     "how many real neighbourhoods hold a sample (Naeem et al. 2020)"),
    ("quality/recall", "recall", "Coverage", HIGHER,
     "share of real images among the samples (Kynkäänniemi et al. 2019)"),
    ("quality/coverage", "coverage", "Coverage", HIGHER,
     "share of real images with a sample nearby (Naeem et al. 2020)"),
    ("modes/label_jsd", "label_jsd", "Coverage", LOWER,
     "Jensen-Shannon divergence in bits of the samples' classes from the real ones; 3 of 10 classes score 0.49"),
    ("modes/classes", "classes", "Coverage", HIGHER, "classes that make up more than 1 % of the samples"),
    ("quality/fd", "fd", "Further distances", LOWER, "the Fréchet distance itself, in squared units of the features"),
    ("quality/fid", "fid", "Further distances", LOWER, "the same on Inception features"),
    ("quality/kid", "kid", "Further distances", LOWER,
     "squared maximum mean discrepancy of the features that vary on real images, unbiased: below 0 is chance"
     " (Bińkowski et al. 2018)"),
    ("quality/swd", "swd", "Further distances", LOWER, "sliced Wasserstein distance of the features, 256 projections"),
    ("quality/swd_pixel", "swd_pixel", "Further distances", LOWER, "the same of the pixels"),
    ("two_sample/accuracy", "two-sample accuracy", "Two-sample test", LOWER,
     "share that a classifier of real against generated gets right; 0.5 is chance"),
    ("two_sample/jsd", "two-sample JSD", "Two-sample test", LOWER,
     "the divergence in bits that this classifier proves"),
    ("memory/nn_ratio", "nearest-neighbour ratio", "Memory", NEITHER,
     "distance of samples to the training set over that of held-out images: far below 1 is copying"),
    ("memory/authenticity", "authenticity", "Memory", HIGHER, "share of samples that are no copies (Alaa et al. 2022)"),
    ("memory/authenticity_held_out", "authenticity of held-out images", "Memory", NEITHER,
     "what the line above is held against"),
    ("likelihood/elbo", "evidence lower bound", "Likelihood", HIGHER, "nats per image, summed over pixels"),
    ("likelihood/recon", "reconstruction", "Likelihood", LOWER, "nats per image"),
    ("likelihood/kl", "KL divergence", "Likelihood", NEITHER, "nats per image that the latent carries"),
    ("likelihood/iw_nll", "negative log-likelihood", "Likelihood", LOWER,
     "nats per image, importance-weighted, K = 500 (Burda et al. 2016); of binarised images under Bernoulli pixels"),
    ("likelihood/bits_per_dim", "bits per dimension", "Likelihood", LOWER, "the same per pixel and channel"),
    ("likelihood/active_units", "active units", "Likelihood", HIGHER,
     "latent dimensions that the data moves by more than 0.01"),
    ("beta_effective", "effective beta", "Likelihood", NEITHER, "weight of the KL divergence under summed losses"),
    ("diagnostics/jsd_discriminator", "JSD of the discriminator", "Diagnostics", NEITHER,
     "bits, on held-out images; depends on the discriminator, so it compares nothing"),
    ("diagnostics/w1_critic", "earth mover of the critic", "Diagnostics", NEITHER,
     "raw; depends on the critic's scale"),
    ("diagnostics/w1_critic_scaled", "earth mover, scaled", "Diagnostics", NEITHER,
     "over the critic's largest gradient"),
    ("time/train_s", "training time", "Cost", LOWER, "seconds of all seeds of a trial, which train side by side"),
    ("time/step_ms", "step", "Cost", LOWER, "milliseconds, all seeds of a trial"),
    ("time/images_per_s", "images per second", "Cost", HIGHER, "all seeds together"),
    ("time/measure_s", "measuring time", "Cost", LOWER, "seconds"),
    ("cost/parameters", "parameters", "Cost", LOWER, "of one model"),
    ("cost/flops_per_image", "FLOPs per image", "Cost", LOWER, "of one training step, every phase at its rate"),
    ("cost/peak_memory_mb", "peak memory", "Cost", LOWER, "megabytes, of the whole process"),
))
LOSSES = {   # model -> loss recorded for every batch -> its scale
    "vae": {"vae/loss": "minimised: recon + beta kl, over the pixel values under a mean reduction",
            "vae/recon": "nats per image, summed over pixels", "vae/kl": "nats per image, summed over latents"},
    "gan": {"critic/loss": "nats per image: cross-entropy of real plus of generated",
            "critic/real": "mean logit of real",
            "critic/fake": "mean logit of generated", "generator/loss": "nats per image"},
    "wgan": {"critic/loss": "minimised: penalty - distance",
             "critic/distance": "gap of mean scores: its unit is the critic's",
             "critic/penalty": "as added to the loss", "generator/loss": "minus the mean score of generated"},
}
BY_KEY = {measure.key: measure for measure in MEASURES}
FIDELITY, COVERAGE = ("quality/fd_rel", "quality/precision"), ("quality/recall", "quality/coverage", "modes/label_jsd")


def described(key: str) -> Measure:
    """The measure of that key; one that this table does not know is shown under its own name."""
    return BY_KEY.get(key) or Measure(key, key.split("/")[-1], "Others", NEITHER, "")


def number(value: float | None) -> str:
    """Three significant digits, or whole thousands with commas."""
    if value is None:
        return "–"
    return (f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}").replace("-", "−")


def interval(pair) -> str:
    return "" if pair is None else f"[{number(pair[0])}, {number(pair[1])}]"
