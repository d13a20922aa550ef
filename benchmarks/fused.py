"""K trainings side by side against one at a time, per training: what a pack gains, of equal settings and of different ones.

    python benchmarks/fused.py [--device cuda] [--json FILE]

On a processor one thread is used, as a trial gets. Seeds of one setting come first; then, on cells of latent_sweep's digits,
sixteen trainings of one setting beside sixteen whose rates (and penalties) are spread over the ranges that are searched.
"""

import sys
import time
from functools import partial
from pathlib import Path
from statistics import geometric_mean

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.table import in_turn, keep, parser_of, row
from models.gan import GAN
from models.nets import conv, fc
from models.vae import VAE
from models.wgan import WGAN
from study.training.replicas import Replicas

SEEDS, ROUNDS, BATCH, STEPS = (1, 2, 4, 8, 16, 32), 5, 128, 8
MODELS = {  # name -> (model, net, depth, latent size, image shape, grey levels, options)
    "VAE 64-128-20": (VAE, fc, 1, 20, (1, 8, 8), 17, {"width": 128}),
    "GAN 64, two layers of 128": (GAN, fc, 2, 20, (1, 8, 8), 17, {"width": 128}),
    "WGAN-GP 64, two layers of 128": (WGAN, fc, 2, 20, (1, 8, 8), 17, {"width": 128}),
    "VAE 784-400-20": (VAE, fc, 1, 20, (1, 28, 28), 256, {"width": 400}),
    "DCGAN 8x8, 16 and 32 channels": (GAN, conv, 2, 20, (1, 8, 8), 17, {"width": 16}),
}
TOGETHER, CELL_BATCH, CELL_STEPS = 16, 32, 16
CELLS = [(model, depth) for model in (VAE, GAN, WGAN) for depth in (1, 2, 3)]  # 8x8, width 128, latent size 8
RANGES = {"lr": (5e-5, 3e-2), "penalty": (0.1, 10.0)}  # of search_spaces/latent_sweep.py, logarithmic


def main(arguments=None) -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    clock = time.process_time if options.device == "cpu" else time.perf_counter
    rows = [line for name, definition in MODELS.items() for line in packs(name, definition, options.device, clock)]
    rows += cells(options.device, clock)
    keep(rows, options, device=options.device, threads=1)
    return 0


def packs(name, definition, device, clock) -> list[dict]:
    """Milliseconds per step and seed for every K; the peer is K = 1."""
    model, net, depth, latent_dim, shape, levels, settings = definition
    images = torch.randint(0, levels, (STEPS * BATCH, *shape), dtype=torch.uint8, device=device)

    def epoch(seeds):
        replicas = Replicas([lambda: model(shape, net, depth, latent_dim, **settings)] * seeds, range(seeds), device)
        return lambda: replicas.train_epoch(images, levels, BATCH)  # its losses are fetched: it waits for the device

    seconds = in_turn([epoch(seeds) for seeds in SEEDS], ROUNDS, clock)
    each = [1000 * spent / STEPS / seeds for spent, seeds in zip(seconds, SEEDS)]
    return [row(f"{name}, K = {seeds}, per seed", own, each[0], "ms", "one at a time") for seeds, own in zip(SEEDS, each)]


def cells(device, clock) -> list[dict]:
    """Milliseconds per step and training of each cell, and their geometric means; the peer is one training at a time."""
    spent = {f"{model.__name__} 8x8, depth {depth}": cell_ms(model, depth, device, clock) for model, depth in CELLS}
    spent["geometric mean"] = [geometric_mean(each) for each in zip(*spent.values())]
    return [
        row(f"{name}, {TOGETHER} {settings}", own, alone, "ms", "one at a time")
        for name, (alone, *packed) in spent.items()
        for settings, own in zip(("equal", "different"), packed)
    ]


def cell_ms(model, depth, device, clock) -> list[float]:
    """One training, as many as TOGETHER of equal settings, and as many of different ones: milliseconds of a step of each."""
    shape, known = (1, 8, 8), [name for name in RANGES if name in model.stackable]
    images = torch.randint(0, 17, (CELL_STEPS * CELL_BATCH, *shape), dtype=torch.uint8, device=device)
    build = partial(model, shape, fc, depth, 8, width=128)
    different = [partial(build, **{name: spread(*RANGES[name], place) for name in known}) for place in range(TOGETHER)]
    loops = [
        partial(Replicas(builds, range(len(builds)), device).train_epoch, images, 17, CELL_BATCH)
        for builds in ([build], [build] * TOGETHER, different)
    ]
    return [1000 * spent / CELL_STEPS / count for spent, count in zip(in_turn(loops, ROUNDS, clock), (1, TOGETHER, TOGETHER))]


def spread(low, high, place) -> float:
    """The place-th of TOGETHER values from `low` to `high`, in equal ratios."""
    return low * (high / low) ** (place / (TOGETHER - 1))


if __name__ == "__main__":
    sys.exit(main())
