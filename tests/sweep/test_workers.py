"""Which workers are kept while they have nothing to do, by Ray's own cache of them; and how Ray is ended."""

import gc
import weakref
from types import SimpleNamespace

import pytest
import ray
from ray import tune
from ray.tune.utils.object_cache import _ObjectCache

from study.sweep.ray_executor import KeepWorkers, stop


@pytest.fixture
def controller():
    """What the scheduler sees of Tune's controller."""
    return SimpleNamespace(_actor_cache=_ObjectCache(may_keep_one=True))


def trial(gpus=0.0):
    return SimpleNamespace(placement_group_factory=tune.PlacementGroupFactory([{"CPU": 1, "GPU": gpus}]))


def idle(controller, kind, count) -> int:
    """How many of so many workers without a trial are still there after a step of Tune's loop in which none waits."""
    for number in range(count):
        controller._actor_cache.cache_object(kind.placement_group_factory, f"worker {number}")
    list(controller._actor_cache.flush_cached_objects())
    return controller._actor_cache.num_cached_objects


def test_tune_lets_all_workers_go_but_one(controller):
    assert idle(controller, trial(), 4) == 1


def test_workers_are_kept_while_all_cells_wait_at_a_rung(controller):
    workers = KeepWorkers(4)
    for _ in range(3):
        workers.on_trial_add(controller, trial())
    assert idle(controller, trial(), 4) == 4


def test_workers_go_when_a_trial_asks_for_other_resources(controller):
    workers = KeepWorkers(4)
    workers.on_trial_add(controller, trial())
    assert idle(controller, trial(), 4) == 4
    workers.on_trial_add(controller, trial(gpus=0.5))
    assert idle(controller, trial(), 0) <= 1
    workers.on_trial_add(controller, trial())
    assert not workers.kept  # once there are two kinds, none is kept


def test_workers_go_when_one_has_died_and_are_kept_again_from_the_next_trial_on(controller):
    workers = KeepWorkers(4)
    workers.on_trial_add(controller, trial())
    assert idle(controller, trial(), 4) == 4
    workers.let_go()
    assert idle(controller, trial(), 0) <= 1
    workers.on_trial_add(controller, trial())
    assert idle(controller, trial(), 3) >= 3


def test_what_is_left_of_ray_is_collected_before_it_ends_and_nothing_while_it_does(monkeypatch):
    class Handle:
        """Like those of Ray's actors, which refer to themselves."""

    garbage = Handle()
    garbage.itself, alive = garbage, weakref.ref(garbage)
    seen = []
    monkeypatch.setattr(ray, "shutdown", lambda: seen.append((alive(), gc.isenabled())))
    del garbage
    stop(print)
    assert seen == [(None, False)] and gc.isenabled()
