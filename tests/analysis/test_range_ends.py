"""A range whose end holds the winners is said, with what to do; and what lies between tunings is told from what lies between seeds."""

import pytest
from tiny import finish, tiny_space

from study.analysis.effects import deviations
from study.analysis.range_ends import lies_at
from study.analysis.report_data import findings

RATE = {"type": "float", "low": 1e-4, "high": 1e-2, "log": True, "step": None}


@pytest.mark.parametrize(
    ("value", "low", "high"), [(1e-2, 0, 1), (8e-3, 0, 1), (5e-3, 0, 0), (1e-3, 0, 0), (1.2e-4, 1, 0), (None, 0, 0), ("x", 0, 0)]
)
def test_an_end_is_a_tenth_of_a_range_by_its_own_scale(value, low, high):
    assert (lies_at(value, RATE, "low"), lies_at(value, RATE, "high")) == (low, high)


def test_winners_at_an_end_in_most_tunings_are_reported(plan):
    for cell in plan.space.cells:
        for trial in plan.search[cell.name]:
            best = trial.proposal == 1
            finish(plan, trial, objective=0.5 if best else 1.0, params={"lr": 9.5e-3 if best and cell.latent_dim == 2 else 1e-3})
        for trial in list(plan.confirm[cell.name]):
            finish(plan, trial, objective=0.4 + trial.replicate / 10)
    (note,) = [note for note in findings(plan.ledger).notes if "end of its range" in note]
    assert "lr is at the high end of its range in most tunings of 1 cells" in note and "-z2-" in note and "4 of 4" in note


def row(cell, value, stage="confirm", **more):
    about = {"dataset": "digits", "model": "vae", "cell": cell, "stage": stage, "status": "done", "proposed_by": "confirm"}
    return {**about, "quality/fd_rel": value, **more}


def test_the_deviation_between_tunings_is_what_seeds_leave_of_that_between_replicates():
    rows = [row(cell, 2.0**power) for cell in "ab" for power in (-1, 0, 1)]
    assert deviations(rows) == []  # nothing says what seeds alone would do
    seeds = [
        row("a", 1.0, "search", status="stopped", proposed_by="default", **{"search/first_rung": 2.0 ** (0.6 * power)})
        for power in (-1, 0, 1)
    ]
    (found,) = deviations(rows + seeds)
    assert (found.replicate, found.seed, found.tuning) == pytest.approx((1.0, 0.6, 0.8))


def test_a_tiny_space_has_a_range():
    assert tiny_space().ranges(tiny_space().cells[0]) == {"lr": RATE}
