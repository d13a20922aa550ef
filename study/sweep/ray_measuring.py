"""Measures what trials kept once more, on Ray: one task per trial, put once, so that the same command goes on after a crash."""

import importlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import ray

from study.errors import UnfitMachine, UserError, first_line
from study.ledger.folder import Ledger
from study.ledger.records import Measurement, Result, Spec, measurement_name
from study.ledger.storage_check import Stopped, storage_mismatch, write_token
from study.metrics.catalogue import CATALOGUE
from study.metrics.evaluation import STAGES
from study.sweep import ray_executor
from study.sweep.plan import PROTOCOL
from study.sweep.worker_messages import PackConfig
from study.training.measuring import FeaturesOf, digests, measured_again

SHARE_OF_A_CARD = 0.25  # for one training's samples and features
TRIES = 3  # of a trial whose worker died


@dataclass(frozen=True)
class Wanted:
    """One trial to be measured."""

    key: str
    features: FeaturesOf
    own_measures: dict[str, str]  # of the space, name -> import path


def kept(trials: Iterable[tuple[str, Spec, Result]]) -> list[tuple[str, Spec, Result]]:
    """Those that left weights behind."""
    return [(key, spec, result) for key, spec, result in trials if spec.stage == "confirm" and result.status == "done"]


def lacking(
    ledger: Ledger, trials: Iterable[tuple[str, Spec, Result]], chosen: Mapping[str, FeaturesOf], own: dict[str, str]
) -> list[Wanted]:
    """Those of the trials that have still to be measured. `chosen`: dataset -> by what; `own`: the
    space's measures, name -> import path."""
    wanted, now = [], digests(own, "")
    for key, spec, _ in trials:
        by = chosen[spec.dataset]
        name = measurement_name(by.hash, by.against or STAGES[spec.stage][0], CATALOGUE, now, PROTOCOL, by.samples)
        if name not in {each.name for each in ledger.measurements(key)}:
            wanted.append(Wanted(key, by, own))
    return wanted


def measured(config: PackConfig, wanted: Wanted) -> dict | str:
    """In a worker: the measurement of a trial as JSON, or in one line why there is none. Stopped ends the whole."""
    if wrong := storage_mismatch(config.ledger, config.token):
        raise Stopped(wrong)
    device = ray_executor.settled(config)
    ledger = ray_executor.open_with_data(config.ledger)
    ledger.fetch_trial(wanted.key)
    try:
        found = measured_again(
            ledger.folder(wanted.key), Path(config.data_dir), wanted.features, wanted.own_measures, PROTOCOL, device
        )
        return found.to_json()
    except UnfitMachine as error:
        raise Stopped(str(error)) from None
    except Exception as error:  # a model's or a measure's own code may raise anything: the others go on
        return f"{type(error).__name__}: {first_line(error)}" if not isinstance(error, UserError) else str(error)
    finally:
        ledger.leave(wanted.key)


def begin(options, at_work: ExitStack, log=print) -> None:
    """Start Ray, and workers with what they need, which takes seconds in which something else may be done; `at_work` ends it."""
    if not ray.is_initialized():
        at_work.callback(ray_executor.stop, log)
        ray_executor.start(options.address)
        gpus, slots = shares(options)
        for _ in range(slots):
            ray.remote(num_cpus=options.cpus_per_trial, num_gpus=gpus)(nothing).remote()


def shares(options) -> tuple[float, int]:
    """The share of a card that measuring a training gets, and how many are measured at a time."""
    asked = options.cpus_per_trial, options.gpus_per_trial, options.max_concurrent
    return ray_executor.shares(*asked, lambda: SHARE_OF_A_CARD)


def nothing() -> None:
    """What a worker reads this module for, and so all that it measures by."""
    importlib.import_module("sklearn.linear_model")  # which a first measure would wait for


def measure(
    ledger: Ledger,
    data_dir: Path,
    options,
    trust: tuple[str, bool],
    wanted: Sequence[Wanted],
    measured_one: Callable[[Measurement], None],
    failed: Callable[[str, str], None],
) -> None:
    """Measure the trials on Ray, which has begun: measured_one(measurement) is told of each, failed(key, reason) where there is
    none. options: address, cpus_per_trial, gpus_per_trial and max_concurrent as a launch has them."""
    token = write_token(ledger)
    if options.address:
        ray_executor.check_nodes(ledger.address, token)
    gpus, slots = shares(options)
    config = PackConfig(
        ledger=ledger.address,
        token=token,
        data_dir=str(data_dir.resolve()),
        cwd=os.getcwd(),
        cpus=options.cpus_per_trial,
        gpus=gpus,
        trust=trust,
    )
    _measure(config, wanted, slots, measured_one, failed)


def _measure(config: PackConfig, wanted, slots: int, measured_one, failed) -> None:
    task = ray.remote(num_cpus=config.cpus, num_gpus=config.gpus, max_retries=TRIES)(measured)
    waiting, running = list(reversed(wanted)), {}
    while waiting or running:
        while waiting and len(running) < slots:
            each = waiting.pop()
            running[task.remote(config, each)] = each.key
        (ended, *_), _ = ray.wait(list(running), num_returns=1)
        key = running.pop(ended)
        try:
            found = ray.get(ended)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, Stopped):
                raise error.cause from None
            raise
        except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as error:
            failed(key, f"its worker died {TRIES + 1} times ({first_line(error)})")
            continue
        measured_one(Measurement.from_json(found)) if isinstance(found, dict) else failed(key, found)
