"""What was tuned and what of it mattered; when trainings ran and how busy they kept the machine."""

import math
import random
from types import SimpleNamespace

import pytest

from study.analysis.searched import schedule, searches
from study.metrics.catalogue import FIDELITY, FIRST_RUNG

RANGES = {"lr": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True, "step": None}, "critic_steps": {"choices": [1, 5]}}


def trial(cell, values, measures, stage="search", time=0.0, pack=1):
    spec = SimpleNamespace(
        stage=stage, ranges=RANGES if values else {}, suggested=values, dataset="digits", model="models.gan:GAN", rungs=[3]
    )
    return SimpleNamespace(cell=cell, spec=spec, result=SimpleNamespace(measures=measures, time=time, pack=pack))


def proposals(cell, level, count=40):
    """Whose objective depends on the rate, at a level of the cell's own."""
    drawn = random.Random(cell)
    found = []
    for _ in range(count):
        lr, steps = 10 ** drawn.uniform(-4, -1), drawn.choice([1, 5])
        objective = level + abs(math.log10(lr) + 2.5) + 0.1 * drawn.random()
        found.append(trial(cell, {"lr": lr, "critic_steps": steps}, {FIRST_RUNG: objective, FIDELITY: 0.0}))
    return found


def test_the_hyperparameter_that_matters_is_found_whatever_the_level_of_a_cell():
    (found,) = searches(proposals("easy", 0) + proposals("hard", 100))
    assert found.count == len(found.proposals) == 80 and (found.dataset, found.model) == ("digits", "gan")
    assert found.importance["lr"] > 0.9 and sum(found.importance.values()) == pytest.approx(1)
    assert all(proposal.objective > 0 for proposal in found.proposals)  # at the first rung, where all had as many epochs


def test_what_diverged_is_the_worst_and_has_no_place_in_a_slice():
    lost = [trial("cell", {"lr": 0.1, "critic_steps": 5}, {}) for _ in range(3)]
    (found,) = searches(proposals("cell", 0) + lost)
    assert [proposal.objective for proposal in found.proposals[-3:]] == [None] * 3 and found.importance["lr"] > 0.8


def test_of_many_proposals_an_even_part_is_shown_and_all_are_counted():
    (found,) = searches(proposals("cell", 0, 1500))
    assert found.count == 1500 and 400 < len(found.proposals) <= 600


def test_a_study_of_which_nothing_is_tuned_has_no_searches():
    assert searches([trial("cell", {}, {FIDELITY: 1.0})]) == []


def test_how_busy_is_what_trainings_took_over_the_time_in_which_any_ran():
    spent = {"time/train_s": 9.0, "time/measure_s": 1.0}
    found = schedule([trial("a", {}, spent, time=10.0), trial("b", {}, spent, time=10.0), trial("a", {}, spent, time=110.0)])
    assert [(run.cell, run.start, run.end) for run in found.runs] == [("a", 0, 10), ("b", 0, 10), ("a", 100, 110)]
    assert found.busy == pytest.approx(1.5)  # 30 s of work in 20 s
    packed = schedule([trial("a", {}, spent, time=20.0, pack=2)] * 2)
    assert packed.runs[0].start == 0 and packed.busy == 1.0
