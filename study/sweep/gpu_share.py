"""How large a share of a card a trial needs: measured, on the cell of a plan that asks most."""

import math
import time

import torch

from study.space.from_spec import model_of
from study.sweep.estimate import guess
from study.sweep.plan import Plan
from study.training.replicas import Replicas

STEPS = 20  # of the training that is measured
CONTEXT = 600 * 2**20  # bytes that a process on a card takes before it has allocated anything
RESERVE = 1.25  # memory for what is not trained: measuring, drawing, fragments
MOST = 16  # trials on one card


def share_of(peak: float, total: float, busy: float) -> float:
    """The part of a card, 1/n, whose memory holds a peak of so many of `total` bytes, and whose time is busy that long."""
    need = max((RESERVE * peak + CONTEXT) / total, busy)
    return math.floor(1e4 / max(1, min(MOST, int(1 / need + 1e-9)))) / 1e4  # Ray counts in ten-thousandths


def heaviest(plan: Plan, data_dir) -> dict:
    """What `measured` needs to know of the cell whose training takes longest."""

    def cost(cell):
        return guess(cell, plan.space.budget(cell), cell.dataset.load(data_dir))

    cell = max(plan.space.cells, key=cost)
    return {
        **cell.definition(),
        "origin": plan.space.origin,
        "shape": cell.dataset.load(data_dir).shape,
        "seeds": plan.space.pack,
        "batch_size": plan.space.budget(cell).batch_size,
    }


def measured(cell: dict, fast: bool) -> float:
    """The share of this process's card that the cell's training needs: its memory at most, its kernels' time of all time."""
    replicas = Replicas(lambda: model_of(cell), range(cell["seeds"]), "cuda", graphs=fast, tf32=fast)
    images = torch.zeros((STEPS * cell["batch_size"], *cell["shape"]), dtype=torch.uint8, device="cuda")
    replicas.train_epoch(images, 256, cell["batch_size"])  # libraries choose their kernels, graphs are captured
    start = time.perf_counter()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        replicas.train_epoch(images, 256, cell["batch_size"])
    wall = time.perf_counter() - start
    busy = sum(event.self_device_time_total for event in profiler.key_averages()) / 1e6
    return share_of(torch.cuda.max_memory_allocated(), torch.cuda.mem_get_info()[1], busy / wall)
