"""What less exact products move and what they save, against the deviation over seeds and float32's time.

    python benchmarks/precision.py [--device cuda] [--json FILE]       bf16 on a processor; TF32 and bf16 on a card

Each model is trained on digits for a few epochs with as many seeds; ours is by how much the mean objective shifts, and a ratio
below 1 would mean that it shifts by more than seeds do.
"""

import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.table import keep, parser_of, row
from models.gan import GAN
from models.nets import conv, fc
from models.vae import VAE
from models.wgan import WGAN
from study.data import digits
from study.metrics import features
from study.metrics.catalogue import OBJECTIVE
from study.metrics.evaluation import Evaluation
from study.training.image_grids import decode
from study.training.replicas import Replicas

SEEDS, EPOCHS, BATCH = 8, 20, 64
NETS = {"fc": (fc, 400), "conv": (conv, 32)}  # with their width


def main(arguments=None) -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    keep(shifts(options.device, ("bf16",) if options.device == "cpu" else ("tf32", "bf16")), options, device=options.device)
    return 0


def shifts(device, precisions) -> list[dict]:
    with tempfile.TemporaryDirectory() as folder:
        images = digits.prepare(folder, log=lambda line: None)
        extractor = features.prepare(digits, images, Path(folder))
    images, judge = images.to(device), Evaluation(images.to(device), extractor.to(device), "search")
    return [
        made
        for name, (net, width) in NETS.items()
        for model in (VAE, GAN, WGAN)
        for made in shift(
            f"{model.__name__} {name}", partial(model, images.shape, net, 2, 8, width=width), images, judge, precisions
        )
    ]


def shift(name, build, images, judge, precisions) -> list[dict]:
    exact, spent = scores(build, images, judge, "float32")
    rows = []
    for precision in precisions:
        others, took = scores(build, images, judge, precision)
        means = statistics.fmean(exact), statistics.fmean(others)
        rows.append(
            row(
                f"{name}, {precision}: fd_rel {means[0]:.4f} to {means[1]:.4f}",
                max(abs(means[1] - means[0]), 1e-6),
                statistics.stdev(exact),
                "",
                "seeds' deviation",
                faster=f"{spent / took:.2f}",
            )
        )
    return rows


def scores(build, images, judge, precision) -> tuple[list[float], float]:
    """The objective of each seed, and the seconds that training took."""
    own = Replicas([build] * SEEDS, range(SEEDS), judge.device, precision)
    start = time.perf_counter()
    for _ in range(EPOCHS):
        own.train_epoch(images.train.images, images.levels, BATCH)
    spent, noise = time.perf_counter() - start, judge.noise(own.model.latent_dim)
    return [judge.objective(decode(each, noise))[OBJECTIVE] for each in own.models], spent


if __name__ == "__main__":
    sys.exit(main())
