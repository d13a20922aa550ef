"""K seeds trained side by side against one at a time, per seed: what a pack of confirm trainings gains.

    python benchmarks/fused.py [--device cuda] [--json FILE]

On a processor one thread is used, as a trial gets. `best path` is what `Replicas` chooses by itself.
"""

import sys
import time
from pathlib import Path

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


def main(arguments=None) -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    clock = time.process_time if options.device == "cpu" else time.perf_counter
    rows = [line for name, definition in MODELS.items() for line in packs(name, definition, options.device, clock)]
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


if __name__ == "__main__":
    sys.exit(main())
