"""Made-up trainings of a grid of cells, and for each claim a world in which it is plainly true and one in which it is not."""

import itertools
import math

import numpy as np
from synthetic import MEANS, measures


def trainings(world=lambda row: {}, seeds=8, proposals=4, rng=0, **factors):
    """Rows of a grid of factors, confirm seeds and search proposals; world(cell) -> what differs from MEANS."""
    rng, rows = np.random.default_rng(rng), []
    grid = {
        "model": ["vae", "gan", "wgan"],
        "net": ["fc"],
        "depth": [1, 2, 3],
        "latent_dim": [2, 8, 32],
        "dataset": ["mnist"],
        **factors,
    }
    for values in itertools.product(*grid.values()):
        cell = dict(zip(grid, values))
        means = {**MEANS, **world(cell)}
        cost = {"time/step_ms": means["time/step_ms"] * np.exp(rng.normal(0, 0.05))}  # one clock for all seeds
        rows += [
            {**cell, "stage": "confirm", "seed": seed, "status": "done", **measures(means, rng), **cost} for seed in range(seeds)
        ]
        rows += [
            {
                **cell,
                "stage": "search",
                "seed": 0,
                "status": "done",
                "quality/fd_rel": means["quality/fd_rel"] * 2 ** rng.normal(0, means["proposal_spread"]),
            }
            for _ in range(proposals)
        ]
    return rows


def log2(row):
    return math.log2(row["latent_dim"])


def is_conv(row):
    return row["net"] == "conv"


def champion(row):
    return (row["model"], row["latent_dim"]) == (("gan", 350) if row["dataset"] == "mnist" else ("vae", 1000))


def along(path, share):
    return {f"{path}/precision": share, f"{path}/confidence": share, f"{path}/largest_jump": 1 - share}


REMEDIES = ("smoothing", "upsampled", "features", "shallower", "latent-100", "two-scales")


# Claim -> (factors of its table, a world in which it is true, one in which it is not)
VAES, GANS, CLIPPED = {"model": ["vae"]}, {"model": ["gan", "wgan"]}, {"model": ["wgan"], "clip": [0.01]}
FIFTY = {**VAES, "latent_dim": [50, 70, 100]}
THREE_SETS = {"dataset": ["mnist", "digits", "cifar10"]}
TWO_SETS = {"dataset": ["mnist", "digits"], "net": ["fc", "conv"], "model": ["vae", "gan"]}
WORLDS = {
    "C1": (FIFTY, lambda row: {"likelihood/recon": 80 + 4 * log2(row)}, lambda row: {"likelihood/recon": 80 - 4 * log2(row)}),
    "C2": (
        {**VAES, "depth": [1, 2, 3, 4, 8], "latent_dim": [2, 10, 20, 50], "dataset": ["mnist", "cifar10"]},
        lambda row: {"likelihood/elbo": -130 + 5 * min(log2(row), math.log2(20))},
        lambda row: {"likelihood/elbo": -130 + 5 * log2(row)},
    ),
    "C3": ({**VAES, **THREE_SETS}, lambda row: {"likelihood/elbo": -100 - row["depth"]}, lambda row: {}),
    "C4": (
        VAES,
        lambda row: {"likelihood/recon": 80 + log2(row), "quality/sharpness": 0.2 * row["depth"]},
        lambda row: {"likelihood/recon": 80 - 3 * row["depth"], "quality/sharpness": 0.2 * row["depth"]},
    ),
    "C5": (
        {**GANS, "latent_dim": [100, 200], "seeds": 12},
        lambda row: {
            "quality/fd_rel": 0.5 - 0.001 * row["latent_dim"],
            "quality/coverage": 0.5 + 0.001 * row["latent_dim"],
            "quality/sharpness": 0.002 * row["latent_dim"],
            "curve/diagnostics/jsd_discriminator": [1, 0, 1, 0, 1] if row["latent_dim"] == 100 else [0.4, 0.6, 0.4, 0.6, 0.4],
        },
        lambda row: {"quality/sharpness": 0.5, "curve/diagnostics/jsd_discriminator": [1, 0, 1, 0, 1]},
    ),
    "C6": (
        {**GANS, **THREE_SETS},
        lambda row: {"quality/fd_rel": 0.2 + 0.05 * row["depth"], "quality/coverage": 0.8 - 0.05 * row["depth"]},
        lambda row: {"quality/fd_rel": 0.4 - 0.05 * row["depth"]},
    ),
    "C7": (GANS, lambda row: {"collapse": 0.9}, lambda row: {"collapse": 0.1}),
    "C8": (CLIPPED, lambda row: {"distance_slope": -0.5}, lambda row: {}),
    "C9": (
        {"model": ["gan"], "latent_dim": [350, 500, 750, 1000], "seeds": 12},
        lambda row: {
            "quality/fd_rel": 0.3 if row["latent_dim"] < 600 else 0.5,
            "quality/coverage": 0.7 if row["latent_dim"] < 600 else 0.5,
        },
        lambda row: {},
    ),
    "C10": (
        TWO_SETS,
        lambda row: {
            "quality/fd_rel": 0.2 if is_conv(row) else 0.4,
            "quality/coverage": 0.8 if is_conv(row) else 0.6,
            "time/step_ms": 9 if is_conv(row) else 2,
        },
        lambda row: {"quality/fd_rel": 0.2 if is_conv(row) else 0.4, "quality/coverage": 0.8 if is_conv(row) else 0.6},
    ),
    "C11": (
        {"net": ["fc", "conv"], "dataset": ["mnist", "cifar10", "imagenette"], "depth": [1, 2]},
        lambda row: {
            "quality/fd_rel": 0.1 if row["dataset"] == "mnist" else 0.5 if is_conv(row) else 0.7,
            "quality/coverage": 0.9 if row["dataset"] == "mnist" else 0.6 if is_conv(row) else 0.4,
        },
        lambda row: {"quality/fd_rel": 0.3 if row["dataset"] == "mnist" else 0.4},
    ),
    "C12": (
        {**TWO_SETS, "seeds": 16},
        lambda row: {"arrival": 6 if row["model"] == "vae" else 18, "quality/sharpness": 0.5 if row["model"] == "vae" else 1},
        lambda row: {
            "arrival": 6 if row["model"] == "vae" else 18,
            "quality/fd_rel": 0.3 if row["model"] == "vae" else 0.5,
            "quality/sharpness": 0.5 if row["model"] == "vae" else 1,
        },
    ),
    "C13": (
        TWO_SETS,
        lambda row: {"proposal_spread": 0.1 if row["model"] == "vae" else 1.0},
        lambda row: {"proposal_spread": 0.6 if row["model"] == "vae" else 0.3},
    ),
    "C14": ({"dataset": ["mnist", "digits"]}, lambda row: along("path", 0.8), lambda row: along("path", 0.2)),
    "C15": (TWO_SETS, lambda row: {"arrival": 24}, lambda row: {"arrival": 6}),
    "C16": (
        {"model": ["vae", "gan"], "depth": [2], "latent_dim": [20, 350, 1000], "dataset": ["mnist", "cifar10"], "seeds": 14},
        lambda row: {"quality/fd_rel": 0.1, "quality/coverage": 0.95} if champion(row) else {},
        lambda row: {"quality/fd_rel": 0.1, "quality/coverage": 0.95} if row["latent_dim"] == 20 else {},
    ),
    "C17": (CLIPPED, lambda row: {}, lambda row: {"loss_slope": -0.3}),
    "C18": ({**GANS, "dataset": ["mnist", "digits"]}, lambda row: {}, lambda row: {"loss_slope": -0.3}),
    "C19": (
        VAES,
        lambda row: {"curve/likelihood/recon": [200, 120, 100, 95, 90, 88], "quality/precision": 0.2},
        lambda row: {"curve/likelihood/recon": [200, 120, 88, 92, 95, 99], "quality/precision": 0.2},
    ),
    "C20": (
        {**VAES, "dataset": ["mnist", "cifar10"]},
        lambda row: {"likelihood/class_kept": 0.9 if row["dataset"] == "mnist" else 0.3},
        lambda row: {"likelihood/class_kept": 0.9},
    ),
    "C21": ({**GANS, **THREE_SETS}, lambda row: {"arrival": 3 + 5 * row["depth"]}, lambda row: {"arrival": 22 - 5 * row["depth"]}),
    "C22": (
        {
            "model": ["gan"],
            "system": ["D-gan-imagenette", *(f"D-gan-imagenette-{name}" for name in REMEDIES)],
            "dataset": ["imagenette"],
            "seeds": 10,
        },
        lambda row: {} if row["system"] == "D-gan-imagenette" else {"quality/fd_rel": 0.4},
        lambda row: {"quality/fd_rel": 0.1} if row["system"].endswith("smoothing") else {},
    ),
    "C23": (
        {**TWO_SETS, "latent_dim": [2], "dataset": ["mnist", "fashion_mnist", "digits", "cifar10", "imagenette"]},
        lambda row: {"quality/fd_rel": 0.3 if row["model"] == "vae" else 0.3 * row["depth"]},
        lambda row: {"quality/fd_rel": 0.3 * row["depth"]},
    ),
    "C24": ({**CLIPPED, "dataset": ["cifar10"]}, lambda row: {"quality/fd_rel": 0.9}, lambda row: {"quality/fd_rel": 0.2}),
    "C25": (
        {**VAES, "system": ["D-vae-imagenette"], "dataset": ["imagenette"]},
        lambda row: along("path_real", 0.8),
        lambda row: along("path_real", 0.2),
    ),
}
