"""Whether a checkpoint's account of a trial is whole and the trial's own, asked before any of it is used.

What the replicas need is checked where it is loaded (study/training/replicas.py).
"""

import math
from dataclasses import dataclass, field, fields

from study.ledger.records import EpochRow, Spec

CHECKPOINT_S = 5.0  # seconds between checkpoints of a trial, unless a launch says otherwise: what a crash can cost


@dataclass
class State:
    """How far a trial is, as its checkpoint keeps it."""

    diverged_at: list[int | None]  # per seed the epoch at which it did
    epoch: int = 0
    steps: int = 0  # of the phase that has most
    train_s: float = 0.0  # seconds spent in training
    measure_s: float = 0.0  # seconds spent in measuring and drawing
    attempts: list[int] = field(default_factory=list)  # the epoch at which each try began


def progress_of(saved: dict, spec: Spec, rows: dict[int, EpochRow], phases: list, batches: int) -> State:
    """How far a checkpoint is; ValueError, KeyError or TypeError unless it can be what the trial of `spec` wrote.

    rows: epoch -> row of metrics.jsonl; batches: those of one epoch.
    """
    state, replicas = State(**{each.name: saved["state"][each.name] for each in fields(State)}), saved["replicas"]
    epoch = state.epoch
    claim(saved["key"] == spec.key, "it is another trial's")
    claim(whole(epoch, 1, spec.epochs), "there is no such epoch")
    claim((replicas["epoch"], replicas["batches"]) == (epoch, epoch * batches), "its weights are of another epoch")
    claim(rows.keys() >= set(range(epoch + 1)), "rows are missing")
    check_state(state, spec, epoch * batches)
    check_curves(
        saved["curves"], len(spec.seeds), logged(rows, epoch), {phase.name: epoch * batches // phase.every for phase in phases}
    )
    return state


def check_state(state: State, spec: Spec, batches: int) -> None:
    diverged, attempts = state.diverged_at, state.attempts
    claim(whole(state.steps, 0, batches), "its steps are not those of its batches")
    claim(
        all(isinstance(seconds, float) and 0 <= seconds < math.inf for seconds in (state.train_s, state.measure_s)),
        "its times are none",
    )
    claim(
        len(diverged) == len(spec.seeds) and all(at is None or whole(at, 1, state.epoch) for at in diverged),
        "what diverged is not told for each seed",
    )
    claim(bool(attempts) and all(whole(begun, 0, state.epoch) for begun in attempts), "its attempts are none")


def check_curves(curves: dict, seeds: int, names: set, turns: dict) -> None:
    """A curve is one loss "phase/loss" in every batch that was the phase's turn: (seeds, turns)."""
    claim(curves.keys() == names, "curves are missing")
    claim(
        all(
            curve.is_floating_point() and tuple(curve.shape) == (seeds, turns[name.split("/")[0]]) for name, curve in curves.items()
        ),
        "its curves do not hold every step",
    )


def logged(rows: dict[int, EpochRow], epoch: int) -> set:
    """The losses that the rows up to an epoch have means of."""
    return {name.removeprefix("loss/") for each in range(epoch + 1) for name in rows[each].values if name.startswith("loss/")}


def whole(value, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def claim(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)
