"""How near what a launch expects of a training comes to what it takes: seconds of one epoch of one training in its pack.

    STUDY_DATA=... python benchmarks/estimates.py [--json FILE]

The guess is made in the time that a cell of a plan has for it (study/sweep/step_timing.py); the truth is a pack that is
trained for some batches more. The peer of every row is the truth.
"""

import sys
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
from study.data import digits, imagenette, mnist
from study.data.datasets import data_folder
from study.space import Budget, Cell
from study.sweep.step_timing import batch_seconds
from study.training.replicas import Replicas

PACK, BATCHES, TRUTH_S = 16, 5, 10.0  # all phases have a turn among so many batches
CLIPPED = {"clip": 0.01, "optimiser": "rmsprop", "lr": 5e-5}
CELLS = {  # name -> cell and the images of a step
    "VAE on digits, two layers of 128": (Cell(VAE, fc, 2, 8, digits, {"width": 128}), 32),
    "WGAN on digits, clipped, two layers of 128": (Cell(WGAN, fc, 2, 8, digits, {"width": 128, **CLIPPED}), 32),
    "WGAN-GP on digits, two layers of 128": (Cell(WGAN, fc, 2, 8, digits, {"width": 128}), 32),
    "DCGAN on MNIST, two layers of 64 and 128": (Cell(GAN, conv, 2, 32, mnist), 64),
    "VAE on Imagenette, two convolutions": (Cell(VAE, conv, 2, 32, imagenette), 48),
}


def main(arguments=None) -> int:
    options = parser_of(__doc__).parse_args(arguments)
    torch.set_num_threads(1)
    rows = [compared(name, cell, Budget(1, batch)) for name, (cell, batch) in CELLS.items()]
    keep(rows, options, threads=1)
    return 0


def compared(name: str, cell: Cell, budget: Budget) -> dict:
    images = cell.dataset.prepare(data_folder(None))
    start = time.thread_time()
    guess = batch_seconds(cell, budget, images, PACK)
    spent, steps = time.thread_time() - start, len(images.train.images) // budget.batch_size
    return row(name, steps * guess, steps * truth(cell, budget, images), "s", "truth", guessing_s=round(spent, 2))


def truth(cell: Cell, budget: Budget, images) -> float:
    """Processor seconds of a batch and a training, of a pack that trains for TRUTH_S; unfused ones are timed by one of the pack."""
    build = partial(cell.build, images.shape)
    pack = PACK if Replicas([build] * 2, range(2)).fused else 1
    replicas, batches, spent = Replicas([build] * pack, range(pack)), 0, 0.0
    some = images.train.images[: BATCHES * budget.batch_size]
    replicas.train_epoch(some, images.levels, budget.batch_size, images.binarised)
    while spent < TRUTH_S:
        start = time.thread_time()
        replicas.train_epoch(some, images.levels, budget.batch_size, images.binarised)
        spent += time.thread_time() - start
        batches += BATCHES
    return spent / batches / pack


if __name__ == "__main__":
    sys.exit(main())
