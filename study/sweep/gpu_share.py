"""How large a share of a card a trial needs: measured on the cell of a plan that asks most, and more for who ran out of memory.

What needs torch imports it itself: the driver asks for shares before it needs torch, and workers that never train read this.
"""

import math
import time
from dataclasses import replace

from study.ledger.folder import Ledger
from study.ledger.records import Spec
from study.space.from_spec import model_of
from study.sweep.plan import Plan

STEPS = 40  # of the training that is measured
CONTEXT = 600 * 2**20  # bytes that a process on a card takes before it has allocated anything
MOST = 16  # packs on one card
PACK_ON_CARDS = 64  # trainings at most: a cell's whole search of 8 replicates with 8 proposals
LEAST = 2  # packs on one card whatever their kernels' time, where its memory holds them: one trains while another is measured


def share_of(peak: float, total: float, busy: float) -> float:
    """The part of a card, 1/n, whose memory holds a peak of so many of `total` bytes, and whose time is busy that long."""
    from study.training.self_check import RESERVE

    need = max((RESERVE * peak + CONTEXT) / total, min(busy, 1 / LEAST))
    return math.floor(1e4 / max(1, min(MOST, int(1 / need + 1e-9)))) / 1e4  # Ray counts in ten-thousandths


def share_after_failures(ledger: Ledger, key: str, share: float) -> float:
    """What a trial gets of a card: `share`, or twice the largest share whose memory it ran out of. 0 where there is no card."""
    small = [result.gpus for result in ledger.failures(key) if result.out_of_memory]
    return max(share, min(1.0, 2 * max(small))) if small and share else share


def heaviest(plan: Plan, data_dir, pack: int) -> Spec:
    """The spec of a training of the cell whose steps have most operations, with as many seeds as a pack has. A model of one's own
    is never trained here: the project's that it is derived from stands for it."""
    from study.metrics.cost import cost
    from study.sweep.step_timing import built, of_the_project

    def flops(cell):
        known, shape = of_the_project(cell), cell.dataset.load(data_dir).shape
        try:
            return plan.space.budget(cell).batch_size * cost(built(known, shape).train(), shape)["cost/flops_per_image"]
        except Exception:  # there is none, or its settings are another's: its trials will say so
            return 0.0

    cell = max(plan.space.cells, key=flops)
    spec = plan.spec((plan.search[cell.name] + plan.confirm[cell.name])[0], {}, "default")
    return replace(spec, seeds=list(range(pack)), shape=list(cell.dataset.load(data_dir).shape))


def measured(spec: Spec, reference: bool) -> float:
    """The share of this process's card that a pack needs: its memory at most, its kernels' time of all time."""
    import torch

    from study.training.self_check import REFERENCE, Example, chosen

    builds = [lambda: model_of(spec)] * len(spec.seeds)
    images = torch.randint(0, 256, (STEPS * spec.batch_size, *spec.shape), dtype=torch.uint8, device="cuda")
    example = Example(images, 256, spec.batch_size)
    way, pack = REFERENCE, len(builds)
    if not reference:
        choice = chosen(builds, spec.seeds, example, spec.precision)
        way, pack = choice.way, choice.pack
    replicas = way.replicas(builds[:pack], spec.seeds[:pack], "cuda", spec.precision)
    torch.cuda.reset_peak_memory_stats()
    example.epoch_of(replicas)  # libraries choose their kernels, graphs are captured
    start = time.perf_counter()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        example.epoch_of(replicas)
    wall = time.perf_counter() - start
    busy = sum(event.self_device_time_total for event in profiler.key_averages()) / 1e6
    return share_of(torch.cuda.max_memory_allocated(), torch.cuda.mem_get_info()[1], busy / wall)
