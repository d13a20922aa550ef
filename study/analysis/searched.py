"""What was tuned, with what came of it, and how much each hyperparameter matters; and when each training ran."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from study.analysis.trainings import FinishedTrial, family_order, grouped
from study.metrics.catalogue import FIDELITY, FIRST_RUNG, time_taken
from study.space.cells import label

MOST = 600  # proposals of a family that a page shows, evenly taken


@dataclass(frozen=True)
class Proposal:
    """Values of the hyperparameters by name, and the objective after as many epochs as all of its round had, None where it
    diverged."""

    cell: str
    values: Mapping
    objective: float | None


@dataclass(frozen=True)
class Searched:
    """The proposals of a family on a dataset, which have equal ranges.

    importance: by PED-ANOVA (Watanabe et al. 2023), as shares, of ranks inside cells, so that easy cells do not stand for good
    values; empty where there are too few proposals."""

    dataset: str
    model: str
    ranges: Mapping[str, Mapping]  # name -> as study/space/hyperparameters.py records it
    proposals: Sequence[Proposal]  # at most MOST
    count: int
    diverged: int  # of these
    rung: int | None  # the epoch at which their objectives are compared, where the worse ones were stopped; else their end
    importance: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Ran:
    """When a training ran, about: in seconds since 1970, as long as its pack took; `own`: the seconds that were its share."""

    cell: str
    stage: str
    start: float
    end: float
    own: float


@dataclass(frozen=True)
class Schedule:
    """When trainings ran, and how many processors they kept busy on average while any of them did."""

    runs: Sequence[Ran]
    busy: float


def searches(trials: Sequence[FinishedTrial]) -> list[Searched]:
    """Of every family and dataset of which something was tuned."""
    tuned = [trial for trial in trials if trial.spec.stage == "search" and trial.spec.ranges]
    groups = grouped(
        tuned, lambda trial: (trial.spec.dataset, label(trial.spec.model), json.dumps(trial.spec.ranges, sort_keys=True))
    )
    found = []
    for (dataset, model, ranges), group in sorted(
        groups.items(), key=lambda item: (item[0][0], family_order(item[0][1]), item[0][2])
    ):
        proposals = [Proposal(trial.cell, known(trial), objective(trial)) for trial in group]
        every = max(1, -(-len(proposals) // MOST))
        found.append(
            Searched(
                dataset,
                model,
                json.loads(ranges),
                proposals[::every],
                count=len(group),
                diverged=sum(proposal.objective is None for proposal in proposals),
                rung=next((trial.spec.rungs[0] for trial in group if trial.spec.rungs), None),
                importance=importance_of(json.loads(ranges), proposals),
            )
        )
    return found


def known(trial: FinishedTrial) -> dict:
    return {name: value for name, value in trial.spec.suggested.items() if name in trial.spec.ranges}


def objective(trial: FinishedTrial) -> float | None:
    """At the first rung where there is one, and else at the end."""
    measures = trial.result.measures
    return measures.get(FIRST_RUNG, measures.get(FIDELITY))


def importance_of(ranges: Mapping, proposals: Sequence[Proposal]) -> dict[str, float]:
    from study.sweep.optuna_sampler import importance  # here: Optuna takes a second to import

    return importance(ranges, [(proposal.values, rank) for proposal, rank in zip(proposals, ranks(proposals))])


def ranks(proposals: Sequence[Proposal]) -> list[float]:
    """Of each proposal its place in its cell, from 0 for the best to 1; what diverged is last."""
    found = {}
    for cell in grouped(proposals, lambda proposal: proposal.cell).values():
        ordered = sorted(cell, key=lambda proposal: (proposal.objective is None, proposal.objective or 0.0))
        found |= {id(proposal): place / max(1, len(cell) - 1) for place, proposal in enumerate(ordered)}
    return [found[id(proposal)] for proposal in proposals]


def schedule(trials: Sequence[FinishedTrial]) -> Schedule:
    runs = sorted(filter(None, map(ran, trials)), key=lambda run: run.start)
    at_work, until = 0.0, 0.0
    for run in runs:
        at_work += max(0.0, run.end - max(run.start, until))
        until = max(until, run.end)
    return Schedule(runs, sum(run.own for run in runs) / at_work if at_work else 0.0)


def ran(trial: FinishedTrial) -> Ran | None:
    """None where nothing says how long it took."""
    result = trial.result
    own = time_taken(result.measures)
    return Ran(trial.cell, trial.spec.stage, result.time - own * (result.pack or 1), result.time, own) if own else None
