"""What an accelerator gains: seeds side by side, steps as CUDA graphs, both; and that the results stay the same.

    benchmarks/gpu.sh [--data-dir DIR] [--json FILE]       needs torch, torchvision, numpy and scikit-learn only
    python benchmarks/gpu.py --device cpu                  the same rows without graphs, to see that it runs

Rows with a limit as peer: the limit that the project set itself, or what each operation's arithmetic takes at the rate of a
large matrix product, or its bytes at the rate of a large copy, whichever is longer, in this run. The rows on TF32 have the
shift of a measure as ours and its standard deviation over seeds as peer: below 1 it would move more than seeds do.
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch.utils._pytree import tree_leaves

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.step import BATCH, mnist_or_noise
from benchmarks.table import in_turn, keep, parser_of, row
from models.gan import GAN
from models.nets import conv, fc
from models.vae import VAE
from models.wgan import WGAN
from study.data import digits
from study.metrics import features
from study.metrics.catalogue import OBJECTIVE
from study.metrics.cost import Flops
from study.metrics.evaluation import Evaluation
from study.training.image_grids import decode
from study.training.replicas import Replicas

ROUNDS, STEPS, MANY, EPOCHS = 5, 40, 32, 20
SEEDS, PRECISION_EPOCHS, NEIGHBOURS = 8, 20, (2, 4, 8)
FULLY_CONNECTED = {
    "VAE 784-400-20": (VAE, 1, 20),
    "GAN 784, two layers of 400": (GAN, 2, 100),
    "WGAN-GP 784, two layers of 400": (WGAN, 2, 100),
}


def main(arguments=None) -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--data-dir", default=os.environ.get("STUDY_DATA", "data"))
    options = parser.parse_args(arguments)
    bench = Bench(options.device)
    rows = []
    for name, definition in FULLY_CONNECTED.items():
        rows += bench.fully_connected(name, *definition)
    rows += [bench.dcgan(), *bench.twenty_epochs(options.data_dir), *bench.precision(options.data_dir), *bench.neighbours()]
    keep(rows, options, device=torch.cuda.get_device_name() if bench.cuda else "cpu")
    return int(any(line.get("difference", 0) > 1e-3 for line in rows))


class Bench:
    """The rows on one device; without CUDA, graphs are left out."""

    def __init__(self, device):
        self.device, self.cuda = device, device.startswith("cuda")
        self.images = torch.randint(0, 256, (STEPS * BATCH, 1, 28, 28), dtype=torch.uint8, device=device)

    def replicas(self, model, net, depth, latent_dim, seeds, graphs, shape=(1, 28, 28), **settings):
        return Replicas(
            [lambda: model(shape, net, depth, latent_dim, **settings)] * seeds,
            range(seeds),
            self.device,
            graphs=graphs and self.cuda,
        )

    def epoch_s(self, *replicas, images=None) -> list[float]:
        """Seconds of an epoch of each; the losses are fetched at its end, which waits for the device."""
        images = self.images if images is None else images
        return in_turn([lambda own=own: own.train_epoch(images, 256, BATCH) for own in replicas], ROUNDS, time.perf_counter)

    def fully_connected(self, name, model, depth, latent_dim) -> list[dict]:
        plain, graph, packed = (
            self.replicas(model, fc, depth, latent_dim, seeds, graphs, width=400)
            for seeds, graphs in ((1, False), (1, True), (MANY, True))
        )
        plain_ms, graph_ms, packed_ms = (1000 * spent / STEPS for spent in self.epoch_s(plain, graph, packed))
        return [
            row(f"{name}: a step as a graph", graph_ms, plain_ms, "ms", "eager", difference=difference(plain, graph)),
            row(
                f"{name}: {MANY} seeds, per seed",
                packed_ms / MANY,
                plain_ms,
                "ms",
                "eager, one at a time",
                peak_memory_mb=self.peak_mb(),
            ),
        ]

    def dcgan(self) -> dict:
        """Eight seeds of DCGAN on 32x32 colour images against what their operations' arithmetic and bytes allow."""
        seeds, images = 8, torch.randint(0, 256, (8 * BATCH, 3, 32, 32), dtype=torch.uint8, device=self.device)
        own = self.replicas(GAN, conv, 3, 100, seeds, True, shape=(3, 32, 32), width=64)
        with Roofline(self.matrix_rate(), self.copy_rate()) as allowed:
            self.replicas(GAN, conv, 3, 100, 1, False, shape=(3, 32, 32), width=64).train_epoch(images, 256, BATCH)
        (spent,) = self.epoch_s(own, images=images)
        limit = seeds * allowed.seconds
        return row(f"DCGAN 32x32, {seeds} seeds, an epoch of 8 steps", 1000 * spent, 1000 * limit, "ms", "limit")

    def twenty_epochs(self, data_dir) -> list[dict]:
        """The MNIST VAE of the literature, from images on the device to the last loss."""
        mnist, source = mnist_or_noise(data_dir, STEPS * BATCH if not self.cuda else None)
        images = mnist.data.unsqueeze(1).to(self.device)
        own = self.replicas(VAE, fc, 1, 20, 1, True, width=400)
        start = time.perf_counter()
        for _ in range(EPOCHS):
            own.train_epoch(images, 256, BATCH)
        spent = time.perf_counter() - start
        return [row(f"VAE 784-400-20, {EPOCHS} epochs of {len(images):,} images ({source.split()[0]})", spent, 3.0, "s", "limit")]

    def matrix_rate(self) -> float:
        """Floating point operations per second of a 4,096 x 4,096 product in this precision."""
        size = 4096 if self.cuda else 1024
        a = torch.randn(size, size, device=self.device)

        def products():
            for _ in range(8):
                torch.mm(a, a)
            if self.cuda:
                torch.cuda.synchronize()

        (spent,) = in_turn([products], ROUNDS, time.perf_counter)
        return 8 * 2 * size**3 / spent

    def copy_rate(self) -> float:
        """Bytes read and written per second by a copy too large for any cache."""
        source = torch.zeros(2 ** (28 if self.cuda else 25), device=self.device)
        target = torch.empty_like(source)

        def copies():
            for _ in range(4):
                target.copy_(source)
            if self.cuda:
                torch.cuda.synchronize()

        (spent,) = in_turn([copies], ROUNDS, time.perf_counter)
        return 4 * 2 * 4 * source.numel() / spent

    def precision(self, data_dir) -> list[dict]:
        """What TF32 moves: the objective of each model after a few epochs of digits, against its spread over seeds."""
        images = digits.prepare(data_dir, log=lambda line: None)
        with tempfile.TemporaryDirectory() as folder:
            extractor = features.prepare(digits, images, folder)
        images, judge = images.to(self.device), Evaluation(images.to(self.device), extractor.to(self.device), "search")
        return [self.shift(name, model, images, judge) for name, model in (("VAE", VAE), ("GAN", GAN), ("WGAN-GP", WGAN))]

    def shift(self, name, model, images, judge) -> dict:
        scores = []
        for precision in ("float32", "tf32"):
            builds = [lambda: model(images.shape, conv, 2, 8, width=32)] * SEEDS
            own = Replicas(builds, range(SEEDS), self.device, precision=precision)
            for _ in range(PRECISION_EPOCHS):
                own.train_epoch(images.train.images, images.levels, 64)
            noise = judge.noise(own.model.latent_dim)
            scores.append([judge.objective(decode(each, noise))[OBJECTIVE] for each in own.models])
        exact, rounded = map(statistics.fmean, scores)
        return row(
            f"{name} conv, TF32: fd_rel {exact:.3f} to {rounded:.3f}",
            max(abs(rounded - exact), 1e-6),
            statistics.stdev(scores[0]),
            "",
            "seeds' deviation",
        )

    def neighbours(self) -> list[dict]:
        """Several processes on one card: epochs of the MNIST VAE in all of them, against one process alone."""
        alone = together_s(1, self.device)
        return [
            row(f"VAE 784-400-20, {count} trials on a card, per trial", together_s(count, self.device) / count, alone, "s", "one")
            for count in NEIGHBOURS
        ]

    def peak_mb(self) -> float:
        return round(torch.cuda.max_memory_allocated() / 2**20) if self.cuda else 0


class Roofline(Flops):
    """The least time of the operations that are called in it: of each the longer of arithmetic and bytes."""

    def __init__(self, flops_per_s, bytes_per_s):
        super().__init__()
        self.rates, self.seconds = (flops_per_s, bytes_per_s), 0.0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        before = self.total
        result = super().__torch_dispatch__(operation, types, args, kwargs)
        size = (
            0
            if operation.is_view
            else sum(
                value.numel() * value.element_size()
                for value in tree_leaves((args, kwargs, result))
                if isinstance(value, torch.Tensor)
            )
        )
        self.seconds += max((self.total - before) / self.rates[0], size / self.rates[1])
        return result


def epochs_of(device: str, ready, go, count: int) -> None:
    """One process of several: a VAE on images of its own, trained when all are ready."""
    bench = Bench(device)
    own = bench.replicas(VAE, fc, 1, 20, 1, False, width=400)
    own.train_epoch(bench.images, 256, BATCH)
    ready.wait()
    go.wait()
    for _ in range(count):
        own.train_epoch(bench.images, 256, BATCH)


def together_s(processes: int, device: str) -> float:
    """Seconds that so many processes take for EPOCHS epochs each, side by side."""
    spawn = torch.multiprocessing.get_context("spawn")
    ready, go = spawn.Barrier(processes + 1), spawn.Event()
    started = [spawn.Process(target=epochs_of, args=(device, ready, go, EPOCHS)) for _ in range(processes)]
    for process in started:
        process.start()
    ready.wait()
    start = time.perf_counter()
    go.set()
    for process in started:
        process.join()
    if any(process.exitcode for process in started):
        raise RuntimeError("a process on the card failed")
    return time.perf_counter() - start


def difference(one: Replicas, other: Replicas) -> float:
    """The largest difference of any parameter, relative to the largest parameter, after the same epochs."""
    gaps = [(value - other.parameters[name]).abs().max() / value.abs().max() for name, value in one.parameters.items()]
    return round(torch.stack(gaps).max().item(), 6)


if __name__ == "__main__":
    sys.exit(main())
