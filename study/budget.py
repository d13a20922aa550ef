"""A launch that is given a time: every cell gets its first replicate before any gets its second, and it ends on time."""

from collections.abc import Iterator

from study.looks import grown
from study.sweep.plan import Plan

FOR_THE_REPORT_S, SHARE = 60.0, 0.1  # so long before its time, or so large a part of it, a launch turns to its report


def deadline(began: float, budget: float) -> float:
    """Until when trainings go on, on time.monotonic(), in a launch that began then and has so many seconds."""
    return began + budget - min(FOR_THE_REPORT_S, SHARE * budget)


def in_turn(plan: Plan, log) -> Iterator[Plan]:
    """The plan replicate by replicate, each part asked for when the one before has been run; the whole plan at the end."""
    for replicates in range(1, plan.space.replicates):
        part = grown(plan, replicates)
        part.meant = plan.space.replicates
        if part.finished() < part.planned():
            log(f"replicate {replicates} of {plan.space.replicates} of every cell")
            yield part
    yield grown(plan, plan.space.replicates)
