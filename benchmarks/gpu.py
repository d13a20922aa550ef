"""What an accelerator gains: trainings side by side, steps as CUDA graphs, both; and that the results stay the same.

    benchmarks/gpu.sh [--data-dir DIR] [--json FILE]       says what it needs; under ten minutes on one card
    make gpu                                               the same from the project's own environment
    python benchmarks/gpu.py --device cpu                  the same rows without graphs, to see that it runs

Rows with a limit as peer: the limit that the project set itself, or what each operation's arithmetic takes at the rate of a
large matrix product, or its bytes at the rate of a large copy, whichever is longer, in this run. The rows of packs are what
the self-check finds of each way to train them (study/training/self_check.py), those on precision as in benchmarks/precision.py.
"""

import dataclasses
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import torch
from torch.utils._pytree import tree_leaves

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.precision import shifts
from benchmarks.step import BATCH, mnist_or_noise
from benchmarks.table import in_turn, keep, parser_of, row
from models.gan import GAN
from models.nets import conv, fc
from models.vae import VAE
from models.wgan import WGAN
from search_spaces.latent_sweep import SPACE
from study.data import mnist
from study.ledger.folder import Ledger
from study.metrics import features
from study.metrics.cost import Flops
from study.sweep.plan import Plan
from study.training.replicas import Replicas
from study.training.run import run_pack
from study.training.self_check import Example, Way, chosen

ROUNDS, STEPS, MANY, EPOCHS = 5, 40, (32, 64), 20
NEIGHBOURS = 2, 4
REPLICATES, PROPOSALS, CELLS = 8, 8, 30
GRAPH = Way(graphs=True)
FULLY_CONNECTED = {
    "VAE 784-400-20": (VAE, 1, 20),
    "GAN 784, two layers of 400": (GAN, 2, 100),
    "GAN 784, the same with a shared draw": (partial(GAN, shared_draw=True), 2, 100),
    "WGAN-GP 784, two layers of 400": (WGAN, 2, 100),
}
PACKS = {  # name -> (model, net, depth, latent size, image shape, width, trainings)
    "VAE 784, one layer of 400": (VAE, fc, 1, 20, (1, 28, 28), 400, 64),
    "VAE conv 28x28, 32 channels": (VAE, conv, 2, 20, (1, 28, 28), 32, 32),
    "GAN 784, two layers of 400": (GAN, fc, 2, 100, (1, 28, 28), 400, 64),
    "DCGAN 28x28, 16 channels": (GAN, conv, 2, 100, (1, 28, 28), 16, 32),
    "DCGAN 32x32 in colour, 64 channels": (GAN, conv, 3, 100, (3, 32, 32), 64, 8),
    "WGAN-GP 784, two layers of 400": (WGAN, fc, 2, 100, (1, 28, 28), 400, 64),
    "WGAN-GP conv 28x28, 16 channels": (WGAN, conv, 2, 100, (1, 28, 28), 16, 16),
}


def main(arguments=None) -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--data-dir", default=os.environ.get("STUDY_DATA", "data"))
    options = parser.parse_args(arguments)
    bench = Bench(options.device)
    sections = [
        *[partial(bench.fully_connected, name, *definition) for name, definition in FULLY_CONNECTED.items()],
        *[partial(bench.alike, name, *definition) for name, definition in PACKS.items()],
        bench.dcgan,
        partial(bench.twenty_epochs, options.data_dir),
        partial(bench.study, options.data_dir),
        partial(shifts, options.device, ("tf32", "bf16") if bench.cuda else ("bf16",)),
        bench.neighbours,
    ]
    rows = []
    for section in sections:
        rows += section()
        keep(rows, options, **bench.circumstances())  # what there is, should the card's time be over before the last row
    return int(any(line.get("difference", 0) > 1e-3 for line in rows))


class Bench:
    """The rows on one device; without CUDA, graphs are left out."""

    def __init__(self, device):
        self.device, self.cuda = device, device.startswith("cuda")
        self.images = torch.randint(0, 256, (STEPS * BATCH, 1, 28, 28), dtype=torch.uint8, device=device)

    def circumstances(self) -> dict:
        if not self.cuda:
            return {"device": "cpu"}
        asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        driver = subprocess.run(asked, capture_output=True, text=True).stdout.split("\n")[0]
        return {"device": torch.cuda.get_device_name(), "driver": driver, "cuda": torch.version.cuda}

    def replicas(self, model, net, depth, latent_dim, seeds, way, shape=(1, 28, 28), **settings):
        builds = [lambda: model(shape, net, depth, latent_dim, **settings)] * seeds
        return (way if self.cuda else Way(way.fused)).replicas(builds, range(seeds), self.device, "float32")

    def epoch_s(self, *replicas, images=None) -> list[float]:
        """Seconds of an epoch of each; the losses are fetched at its end, which waits for the device."""
        images = self.images if images is None else images
        return in_turn([lambda own=own: own.train_epoch(images, 256, BATCH) for own in replicas], ROUNDS, time.perf_counter)

    def fully_connected(self, name, model, depth, latent_dim) -> list[dict]:
        ways = [(1, Way()), (1, GRAPH), *[(many, Way(fused=True, graphs=True)) for many in MANY]]
        made = [self.replicas(model, fc, depth, latent_dim, seeds, way, width=400) for seeds, way in ways]
        plain_ms, graph_ms, *packed_ms = (1000 * spent / STEPS for spent in self.epoch_s(*made))
        each = [spent / many for spent, many in zip(packed_ms, MANY)]
        return [
            row(f"{name}: a step as a graph", graph_ms, plain_ms, "ms", "eager", difference=difference(*made[:2])),
            *[
                row(
                    f"{name}: {many} trainings, each",
                    own,
                    plain_ms,
                    "ms",
                    "eager, one at a time",
                    against_a_graph=f"{graph_ms / own:.1f}",
                )
                for many, own in zip(MANY, each)
            ],
        ]

    def alike(self, name, model, net, depth, latent_dim, shape, width, count) -> list[dict]:
        """What the self-check finds of every way: milliseconds of a step of the whole pack, and what is wrong with it."""
        builds = [partial(model, shape, net, depth, latent_dim, width=width)] * count
        images = torch.randint(0, 256, (STEPS * BATCH, *shape), dtype=torch.uint8, device=self.device)
        start = time.perf_counter()
        choice = chosen(builds, range(count), Example(images, 256, BATCH), "float32")
        spent = time.perf_counter() - start
        plainest = next(each for each in choice.tried if each.way == Way())
        rows = []
        for each in choice.tried:
            found = {"peak_mb": each.peak >> 20}
            if each.way == choice.way:
                found["chosen"] = f"{choice.pack} at a time, found in {spent:.1f} s"
            if each.wrong:
                found["wrong"] = each.wrong
            named = f"{name}, {count} {each.way}"
            if each.step_ms:
                rows.append(row(named, each.step_ms, plainest.step_ms, "ms", "plainest", **found))
            else:
                rows.append({"name": named, **found})
                print(f"{named}: {each.wrong}", flush=True)
        return rows

    def dcgan(self) -> list[dict]:
        """Eight trainings of DCGAN on 32x32 colour images against what their operations' arithmetic and bytes allow."""
        seeds, images = 8, torch.randint(0, 256, (8 * BATCH, 3, 32, 32), dtype=torch.uint8, device=self.device)
        own = self.replicas(GAN, conv, 3, 100, seeds, GRAPH, shape=(3, 32, 32), width=64)
        with Roofline(self.matrix_rate(), self.copy_rate()) as allowed:
            self.replicas(GAN, conv, 3, 100, 1, Way(), shape=(3, 32, 32), width=64).train_epoch(images, 256, BATCH)
        (spent,) = self.epoch_s(own, images=images)
        limit = seeds * allowed.seconds
        return [row(f"DCGAN 32x32, {seeds} trainings, an epoch of 8 steps", 1000 * spent, 1000 * limit, "ms", "limit")]

    def twenty_epochs(self, data_dir) -> list[dict]:
        """The MNIST VAE of the literature, from images on the device to the last loss."""
        known, source = mnist_or_noise(data_dir, STEPS * BATCH if not self.cuda else None)
        images = known.data.unsqueeze(1).to(self.device)
        own = self.replicas(VAE, fc, 1, 20, 1, GRAPH, width=400)
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

    def neighbours(self) -> list[dict]:
        """Several processes on one card: epochs of the MNIST VAE in all of them, against one process alone."""
        alone = together_s(1, self.device)
        return [
            row(f"VAE 784-400-20, {count} trials on a card, per trial", together_s(count, self.device) / count, alone, "s", "one")
            for count in NEIGHBOURS
        ]

    def study(self, data_dir) -> list[dict]:
        """A cell of latent_sweep on MNIST from its first search step to its last measure, as a worker does it; and by the steps of
        its other fully connected cells, an hour's study of so many cells."""
        if not (Path(data_dir) / "MNIST").is_dir() or not self.cuda:
            return []
        space = SPACE.with_dataset(mnist)
        connected = [cell for cell in space.cells if cell.net is fc and cell.latent_dim == 32 and not cell.settings]
        cells = {cell.name: cell for cell in connected if cell.depth in (1, 3)}
        images = mnist.prepare(data_dir, log=lambda line: None)
        train, spent = images.train.images.to(self.device), {}
        for name, cell in cells.items():
            builds = [partial(cell.build, images.shape, {})] * (REPLICATES * PROPOSALS)
            choice = chosen(builds, range(len(builds)), Example(train, images.levels, space.budget(cell).batch_size), "float32")
            best = next(each for each in choice.tried if each.way == choice.way)
            spent[name] = best.step_ms / len(builds)
        cell = cells["vae-fc-d3-z32-mnist"]
        took, trained = whole_cell(space, cell, images, data_dir, self.device)
        others = statistics.fmean(spent.values()) / spent[cell.name] * trained + took - trained
        steps = {name: round(each, 4) for name, each in spent.items()}
        return [
            row(
                f"{cell.name}, {REPLICATES * (PROPOSALS + 1)} trainings, measured",
                took,
                3600 / CELLS,
                "s",
                "limit",
                training=f"{trained:.1f} s",
            ),
            row(
                f"{CELLS} fully connected cells of the mean of {len(spent)} structures",
                CELLS * others / 60,
                60.0,
                "min",
                "limit",
                ms_of_a_step_and_training=steps,
            ),
        ]


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


def whole_cell(space, cell, images, data_dir, device) -> tuple[float, float]:
    """Seconds of a cell's search, to its rung and beyond, and of its confirm trainings; and those of them that were training."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder) / "study")
        extractor = features.prepare(cell.dataset, images, ledger.root / "features")
        known = {
            "fingerprint": images.fingerprint,
            "features": extractor.hash,
            "features_kind": "classifier",
            "shape": [*images.shape],
        }
        plan = Plan(space, ledger, {cell.dataset.name: known})
        budget, folders = space.budget(cell), {"search": [], "confirm": []}
        rung = round(budget.epochs / 3)
        for stage, count in (("search", PROPOSALS), ("confirm", 1)):
            for replicate, proposal in itertools.product(range(REPLICATES), range(count)):
                planned = plan.rounds[cell.name][0][replicate][0]
                spec = plan.spec(planned, {"lr": 1e-4 * 10 ** (2 * proposal / PROPOSALS)}, "a sequence")
                key = f"{cell.name}-r{replicate:02d}-{stage}-{proposal:03d}"
                rungs = [rung] if stage == "search" else []
                ledger.put_spec(
                    key, dataclasses.replace(spec, key=key, stage=stage, seeds=[replicate], proposal=proposal, rungs=rungs)
                )
                folders[stage].append(ledger.folder(key))
        start, results = time.perf_counter(), []
        _, waiting = run_pack(folders["search"], rung, data_dir, device)
        best = sorted(waiting, key=lambda key: waiting[key])[: len(waiting) // 2]
        for part in ([ledger.folder(key) for key in best], folders["confirm"]):
            results += run_pack(part, budget.epochs, data_dir, device)[0]
        took = time.perf_counter() - start
        trained = [result.measures["time/train_s"] for result in results]
        return took, sum(trained) + len(waiting) / 2 * statistics.fmean(trained) / 3  # those that stopped at the rung


def epochs_of(device: str, ready, go, count: int) -> None:
    """One process of several: a VAE on images of its own, trained when all are ready."""
    bench = Bench(device)
    own = bench.replicas(VAE, fc, 1, 20, 1, GRAPH, width=400)
    own.train_epoch(bench.images, 256, BATCH)  # libraries choose their kernels, graphs are captured
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
