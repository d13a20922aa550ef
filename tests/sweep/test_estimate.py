"""What a plan is guessed to take, against what it takes."""

import time
from dataclasses import replace
from functools import partial

import pytest
import torch
from tiny import IDENTITY, tiny_space

from models.nets import fc
from models.vae import VAE
from models.wgan import WGAN
from study.data import digits
from study.space import Budget, grid
from study.sweep.estimate import group, rates, seconds_left
from study.sweep.plan import Plan, stretches
from study.sweep.step_timing import batch_seconds, timed, turns_of
from study.training.replicas import Replicas

BUDGET = Budget(epochs=2, batch_size=32)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def trained(cell, images, pack) -> float:
    """Processor seconds that a training of a pack takes for a batch: the least of three epochs."""
    replicas, spent = Replicas([partial(cell.build, images.shape)] * pack, range(pack)), []
    for _ in range(4):
        start = time.thread_time()
        replicas.train_epoch(images.train.images, images.levels, BUDGET.batch_size)
        spent.append(time.thread_time() - start)
    return min(spent[1:]) / (len(images.train.images) // BUDGET.batch_size) / pack


@pytest.mark.parametrize(
    ("model", "settings", "pack"), [(VAE, {}, 6), (WGAN, {"clip": 0.01, "optimiser": "rmsprop", "critic_steps": 5}, 1)]
)
def test_a_training_is_guessed_to_take_about_as_long_as_it_does(data_dir, model, settings, pack):
    """Of a pack of six, each of which takes a third of what it takes alone; of a generator that learns at every fifth batch. A
    busy neighbour may slow either of the two down: one of three tries has to agree."""
    images = digits.prepare(data_dir)
    (cell,) = grid([model], [fc], [1], [8], [digits], width=[128])
    cell = replace(cell, settings={**cell.settings, **settings})
    tries = [batch_seconds(cell, BUDGET, images, pack) / trained(cell, images, pack) for _ in range(3)]
    assert any(1 / 1.5 < ratio < 1.5 for ratio in tries), tries


def test_a_phase_has_its_turns_on_average_over_the_choices_that_are_searched():
    (cell,) = grid([WGAN], [fc], [1], [8], [digits], width=[16])
    assert turns_of(cell, (1, 8, 8), {"critic_steps": {"choices": [1, 5]}, "lr": {"low": 0.1, "high": 1.0}}) == [1, 0.6]
    assert turns_of(cell, (1, 8, 8), {"lr": {"low": 0.1, "high": 1.0}}) == []


def test_the_trainings_of_one_pack_keep_one_core_busy(data_dir, ledger):
    """Six replicates of a cell on two cores take as long as on one; where packs hold three, half as long."""
    digits.prepare(data_dir)
    cells = grid([VAE], [fc], [1], [2], [digits], width=[16])
    space = tiny_space(cells=cells, propose=lambda trial, cell: {}, replicates=6, pack=6)
    plan = Plan(space, ledger, IDENTITY)
    known = rates(plan, data_dir)
    rate = known[group(cells[0], "confirm")]
    each = 6 * 2 * (rate.epoch + rate.looks) + 6 * rate.measuring
    assert seconds_left(plan, known, 2) == seconds_left(plan, known, 1) == (each, 1)
    halves = Plan(replace(space, pack=3), ledger, IDENTITY)
    assert [stretch.packs for stretch in stretches(halves, cells[0])] == [2]
    assert seconds_left(halves, known, 2) == (each / 2, 2)


def test_a_model_of_ones_own_is_never_trained_by_the_launch_itself(data_dir):
    images = digits.prepare(data_dir, log=lambda line: None)

    class Hungry(VAE):
        def loss(self, x, noise, epoch):
            raise AssertionError("trained")

    budget = Budget(epochs=2, batch_size=64)
    (own,), (project,) = (grid([model], [fc], [1], [2], [digits], width=[16]) for model in (Hungry, VAE))
    assert batch_seconds(own, budget, images) == pytest.approx(batch_seconds(project, budget, images), rel=3)
    (foreign,) = grid([type("Foreign", (), {})], [fc], [1], [2], [digits], width=[16])
    assert batch_seconds(foreign, budget, images) is None


def test_what_a_step_costs_whatever_its_images_is_not_multiplied_with_them(monkeypatch):
    """Steps of 100 + 1 per image are timed up to 8 images; a batch of 32 is on their line, and not four times as dear."""
    now = [0.0]
    monkeypatch.setattr("study.sweep.step_timing.time.thread_time", lambda: now[0])

    def step(size):
        now[0] += 100 + size
        return 100 + size

    assert timed(step, 32, 1.0) == 132
    assert timed(step, 32, 1e4) == 132
    assert timed(step, 1, 1.0) == 101
