"""Ray Tune runs what is left of a plan: one actor per slot, used for trial after trial. Ray keeps nothing that matters."""

import contextlib
import gc
import math
import os
import secrets
import shutil
import signal
import socket
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

os.environ.update(
    {  # before Ray is imported; each was found to matter by running without it
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the ledger is the log: 1.5 ms per report instead of 4.1
        "TUNE_FUNCTION_THREAD_TIMEOUT_S": "60",  # at the default 2 s a slow end of one trial fails the next one
        "TUNE_GLOBAL_CHECKPOINT_S": "300",  # Tune's own snapshot is never read
        "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C reaches us at once: nothing of Tune's needs saving
        "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
        "RAY_CHDIR_TO_TRIAL_DIR": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_AIR_NEW_OUTPUT": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
)
OWN = {  # the environment of a Ray of our own
    "RAY_AUTH_TOKEN": secrets.token_hex(32),  # who has it runs code as this user; the environment is for this user alone to read
    "RAY_enable_metrics_collection": "false",  # what it would collect for a dashboard that it does not have
    "RAY_task_events_report_interval_ms": "0",
    "REPORTER_UPDATE_INTERVAL_MS": "60000",
}

import logging

import ray
from ray import tune
from ray._private import ray_constants
from ray.tune.schedulers import FIFOScheduler
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from study.errors import BusyMachine, UnfitMachine, UserError, first_line
from study.ledger.files import read_spec, write_atomic
from study.ledger.folder import DATA, DEVICES, PACKS, Ledger
from study.ledger.records import Result, failure
from study.ledger.storage_check import Stopped, ledger_here, storage_mismatch, unwritable
from study.space.importing import allow
from study.sweep.ray_searcher import RAY_IS_GONE, LedgerSearch
from study.sweep.scratch import check_scratch
from study.sweep.worker_messages import Final, PackConfig, Progress
from study.training.own_errors import in_one_line, own_place, printable

RETRIES = 3  # of a trial whose worker or node died
ANSWER_S = 10.0  # within which the port of a node that is alive takes a connection
LOOK_S = 5.0  # between looks whether Ray is still there
NOTIFY_S = 3.0  # between a pack's news for MLflow, times its trainings: each brings all of them up to date there
ROOT = Path(__file__).resolve().parents[2]
CACHES = [".hypothesis", ".pytest_cache", ".mypy_cache", ".ruff_cache"]
CODE = {  # what the nodes of a cluster get of this project: its code, without what is large or belongs to one machine
    "working_dir": str(ROOT),
    "excludes": [f"/{name}" for name in (".git", ".venv", "data", "mlruns", "results", "docs", "tests", "benchmarks")] + CACHES,
    "env_vars": {name: os.environ[name] for name in ("RAY_CHDIR_TO_TRIAL_DIR", "TUNE_FUNCTION_THREAD_TIMEOUT_S")},
}


def start(address: str | None) -> None:
    """Connect to the cluster at `address`, or start Ray on this machine: on loopback, and nobody comes in without its token."""
    for name in ("ray.tune", "ray.tune.analysis.experiment_analysis", "ray.tune.tune", "ray.tune.execution.tune_controller"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # a dead worker is said in one line, without Ray's traceback
    if address:
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # else a token file left by another Ray silently turns it on
        where: dict[str, Any] = (
            {} if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ else {"runtime_env": CODE}
        )  # a submitted job has its own
    else:
        check_scratch()
        if os.pathsep in str(ROOT):
            raise UserError(
                f"the project lies in {ROOT}, and Python's path cannot hold a folder with {os.pathsep} in its name: rename it"
            )
        os.environ.update(OWN)
        os.environ.pop("RAY_AUTH_MODE", None)  # Ray then asks for the token
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))  # workers run this code
        where = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    asked_to_end, clusters = signal.getsignal(signal.SIGTERM), ray_constants.ENABLE_RAY_CLUSTER
    try:
        if not address:
            ray_constants.ENABLE_RAY_CLUSTER = False  # else it puts this machine's address in the place of 127.0.0.1
        # "local": without it Ray joins whatever `ray start` noted on this machine last, dead or alive
        ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, configure_logging=True, **where)
    except (ConnectionError, RuntimeError, ValueError) as error:
        if address:
            raise UserError(
                f"there is no Ray cluster at --address {address} that lets us in"
                f" ({' '.join(str(error).split())[:200]}); RAY_AUTH_MODE is {os.environ['RAY_AUTH_MODE']}"
            ) from error
        raise
    except Exception as error:
        if "timed out during startup" not in str(error):
            raise
        raise BusyMachine(
            f"Ray did not come up in time: this machine is busy (load {os.getloadavg()[0]:.0f} on {os.cpu_count()} processors)."
            " Nothing was lost; launch again when other work is done"
        ) from error
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = clusters  # a cluster that this process starts or joins later is none of ours
    signal.signal(signal.SIGTERM, asked_to_end)  # Ray puts its own in place


def stop(log) -> None:
    """End Ray, or leave the cluster. What it may still have to complain of then has cost nothing.

    Ray ends this process where another thread, such as MLflow's, collects one of its objects while it shuts down: so they are
    collected before, and nothing is meanwhile."""
    gc.collect()
    gc.disable()
    try:
        ray.shutdown()
    except Exception as error:
        log(f"Ray did not end as it should ({first_line(error)}); all that was finished is kept")
    finally:
        gc.enable()


def shares(cpus_per_trial: float, gpus_per_trial: float | None, max_concurrent: int | None, measure) -> tuple[float, int]:
    """The share of an accelerator that a trial gets, and how many trials there are at once: as many as asked for, of which some may
    wait for room, so that a cluster that can grow does; else as many as it holds now. measure() finds the share that one needs,
    where there are accelerators and nothing else is said. UserError where there is room for none."""
    have = ray.cluster_resources()
    cpus, gpus = have.get("CPU", 0), have.get("GPU", 0)
    if gpus_per_trial is None:
        gpus_per_trial = measure() if gpus else 0
    held = int(cpus // cpus_per_trial)
    if gpus_per_trial:
        held = min(held, int(gpus / gpus_per_trial + 1e-9))  # 1 // 0.2 is 4
    if not (held or max_concurrent):
        raise UserError(
            f"Ray has {cpus:g} processors and {gpus:g} accelerators, a trial needs {cpus_per_trial:g} and {gpus_per_trial:g}:"
            " start a worker first, or say --max-concurrent N where the cluster grows by itself"
        )
    return float(gpus_per_trial), max_concurrent or held


def alive() -> bool:
    """Whether a node of Ray is left. A new worker is not asked: where all processors are busy, it takes minutes to start."""
    return any(listening(node) for node in ray.nodes() if node["Alive"])


def listening(node: dict) -> bool:
    """Whether the node's Ray still has its port, which tells at once what the list of nodes tells some 13 s after a death."""
    try:
        socket.create_connection((node["NodeManagerAddress"], node["NodeManagerPort"]), ANSWER_S).close()
        return True
    except OSError:
        return False


def on_a_card(trust: tuple, function, *arguments):
    """What the function returns in a worker that has a whole card, which the worker then leaves."""
    return ray.get(ray.remote(num_gpus=1, max_calls=1)(trusting).remote(trust, function, *arguments))


def trusting(trust: tuple, function, *arguments):
    allow(*trust)
    return function(*arguments)


def settled(config: PackConfig) -> str:
    """Make a worker what the driver wants it to be; the device that it computes on."""
    import torch

    allow(*config.trust)
    if os.path.isdir(config.cwd):
        os.chdir(config.cwd)  # relative paths mean here what they mean to the driver
    torch.set_num_threads(max(1, int(config.cpus)))
    device = "cuda" if torch.cuda.is_available() and config.gpus else "cpu"
    if device == "cuda" and config.gpus < 1:
        torch.cuda.set_per_process_memory_fraction(config.gpus)
    return device


def train(given: dict) -> None:
    """A pack inside a Ray worker. An error of a model's code is that training's own and is recorded; a dead worker is
    retried, as is a pack that lost its storage."""
    config = PackConfig(**given)
    if wrong := storage_mismatch(config.ledger, config.token):
        return tune.report(Final(stop=wrong).to_tune())
    device = settled(config)
    try:
        with trial_folders(config.ledger, config.keys) as (folders, on_checkpoint):
            found = trained(config, folders, device, on_checkpoint)
    except UnfitMachine as error:
        return tune.report(Final(stop=str(error)).to_tune())
    except OSError as error:
        if wrong := unwritable(config.ledger, error):
            return tune.report(Final(stop=wrong).to_tune())
        raise  # a lost mount or connection may pass: let Ray try again
    tune.report(found.to_tune())


def trained(config: PackConfig, folders: Sequence[Path], device: str, on_checkpoint) -> Final:
    """What comes of the trainings in these folders. Where code of one raises, each is tried by itself, so that it fails alone."""
    import torch

    from study.training.run import run_pack

    try:
        results, waiting = run_pack(
            folders,
            config.until,
            config.data_dir,
            device,
            progressed,
            config.checkpoint_s,
            on_checkpoint,
            config.reference,
            config.limit_s or math.inf,
        )
        return Final(tuple(results), waiting)
    except UnfitMachine:
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, OSError | SystemExit) and not own_place(error):
            raise  # the storage's, or Tune's way to end this thread
        lacking = isinstance(error, torch.OutOfMemoryError)
        failure = failed(folders[0], error)
    if lacking:
        torch.cuda.empty_cache()
    if len(folders) > 1:
        alone = [trained(config, [folder], device, on_checkpoint) for folder in folders]
        waiting = {key: objective for each in alone for key, objective in each.waiting.items()}
        return Final(tuple(result for each in alone for result in each.results), waiting)
    return Final((replace(failure, out_of_memory=lacking, gpus=config.gpus if lacking else 0.0),))  # see study/sweep/gpu_share.py


def progressed(epoch: int, objective: float | None) -> None:
    tune.report(Progress(epoch, objective).to_tune())


@lru_cache(maxsize=1)
def open_with_data(address: str) -> Ledger:
    """The study as this worker sees it, with the images and the features that its trials need."""
    ledger = ledger_here(address)
    ledger.fetch("features")
    ledger.fetch(DATA)
    ledger.fetch(DEVICES)
    return ledger


@contextlib.contextmanager
def trial_folders(address: str, keys: Sequence[str]):
    """The folders of trials with what was left there, and what stores their checkpoints; at the end all of it is stored."""
    ledger = open_with_data(address)
    for key in keys:
        ledger.fetch_trial(key)
    yield [ledger.folder(key) for key in keys], lambda: ledger.publish_later([PACKS, *(f"trials/{key}" for key in keys)])
    for key in keys:
        ledger.leave(key)
    ledger.publish(PACKS)  # after the rows that it rests on
    ledger.publish(DEVICES)


def failed(folder: Path, error: BaseException) -> Result:
    """The result of a trial whose own code raised, with the traceback beside it."""
    write_atomic(folder / "error.txt", printable(traceback.format_exc()).encode())
    try:
        spec = read_spec(folder)
    except UserError:
        spec = None
    return failure(folder.name, spec, in_one_line(error))


class OutOfTime(Exception):
    """The time that a launch was given is over; what is under way goes on from its last checkpoint in another."""


class News(tune.Callback):
    """Passes on what happens to trials: quick calls only, this is the Tune loop. Ends it at the deadline."""

    def __init__(self, began, advanced, notify, log, deadline: float, workers: "KeepWorkers"):
        self.began, self.advanced, self.notify, self.log, self.deadline = began, advanced, notify, log, deadline
        self.workers = workers
        self.looked = time.monotonic()
        self.notified: dict[str, float] = {}  # first key of a pack -> when

    def on_trial_start(self, iteration, trials, trial, **info):
        keys = trial.config["keys"]
        self.notified[keys[0]] = time.monotonic()
        self.began(keys)

    def on_trial_result(self, iteration, trials, trial, result, **info):
        keys, until = trial.config["keys"], trial.config["until"]
        if "outcome" in result:  # that one's news is the committed result
            return self.advanced(keys, Final.from_tune(result).epoch(until), over=True)
        self.advanced(keys, result.get("epoch", 0))  # none where a worker asks to stop
        if time.monotonic() - self.notified[keys[0]] >= NOTIFY_S * len(keys):
            self.notified[keys[0]] = time.monotonic()
            for key in keys:
                self.notify(key)

    def on_trial_recover(self, iteration, trials, trial, **info):
        self.workers.let_go()
        first, *others = trial.config["keys"]
        more = f" and {len(others)} more" if others else ""
        self.log(f"the worker of {first}{more} died; it goes on from its last checkpoint in another one")

    def on_step_end(self, iteration, trials, **info):
        """Without nodes Ray would wait for ever for new ones."""
        if time.monotonic() > self.deadline:
            raise OutOfTime
        if time.monotonic() - self.looked > LOOK_S:
            self.looked = time.monotonic()
            if not any(node["Alive"] for node in ray.nodes()):
                raise Stopped(RAY_IS_GONE)

    def __getstate__(self):
        return {}  # Tune pickles callbacks beside its snapshot, which is never read


class KeepWorkers(FIFOScheduler):
    """Trials in the order of the plan, on workers that stay while there is nothing for them to do.

    Tune lets all of them go but one where no trial waits, as when the trainings of every cell meet at a rung: what goes on then
    waits for new workers, ten seconds each, or one after the other for the one that is left. Workers of one kind are kept, at most
    `slots`: once trials ask for other resources, those without a trial must not hold theirs."""

    def __init__(self, slots: int):
        super().__init__()
        self.slots, self.kinds, self.kept = slots, [], False

    def on_trial_add(self, tune_controller, trial):
        super().on_trial_add(tune_controller, trial)
        self.cache = tune_controller._actor_cache
        if trial.placement_group_factory not in self.kinds:
            self.kinds.append(trial.placement_group_factory)
        if len(self.kinds) > 1:
            self.let_go()
        elif not self.kept:
            self.cache.increase_max(self.kinds[0], self.slots)
            self.kept = True

    def let_go(self) -> None:
        """Keep none until the next trial is added: those without one may have died with the node of one that did."""
        if self.kept:
            self.cache.decrease_max(self.kinds[0], self.slots)
            self.kept = False


def execute(
    plan,
    config: PackConfig,
    slots: int,
    commit,
    began,
    advanced,
    notify,
    log=print,
    train=train,
    seconds=lambda cell: 0.0,
    deadline: float = math.inf,
) -> None:
    """Run every trial that is left with that `config`, `slots` at a time; `train` is what a worker does with one, `seconds` how
    long what is left of a cell is expected to take. OutOfTime at the deadline, on time.monotonic()."""
    search = LedgerSearch(plan, config, commit, alive, seconds)
    scratch = plan.ledger.root / "ray"
    going_on = True
    try:
        while going_on:
            workers = KeepWorkers(slots)
            tuner = tune.Tuner(
                tune.with_resources(train, needs),
                tune_config=tune.TuneConfig(
                    num_samples=-1, search_alg=search, scheduler=workers, max_concurrent_trials=slots, reuse_actors=True
                ),
                run_config=tune.RunConfig(
                    storage_path=str(scratch),
                    verbose=0,
                    callbacks=[News(began, advanced, notify, log, deadline, workers)],
                    failure_config=tune.FailureConfig(max_failures=RETRIES),
                ),
            )
            going_on = not fitted(tuner, search, log)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if search.stopped:
        raise Stopped(search.stopped)


def fitted(tuner, search: LedgerSearch, log) -> bool:
    """Run the tuner; False where Ray ended workers for want of memory, which Tune does not outlive: start it again."""
    try:
        tuner.fit()
    except RuntimeError as error:
        if not isinstance(error.__cause__, ray.exceptions.OutOfMemoryError):
            raise
        log("this machine ran low on memory, and Ray ended trials to free some; they go on from their last checkpoints")
        search.workers_lost(RETRIES, "its worker was ended for want of memory more often than it is retried")
        return False
    return True


def needs(config: dict) -> tune.PlacementGroupFactory:
    """The resources of one trial."""
    return tune.PlacementGroupFactory([{"CPU": config["cpus"], "GPU": config["gpus"]}])


def check_nodes(address: str, word: str) -> None:
    """Ask every node of the connected cluster before anything is trained; Stopped names the first that complains."""
    look = ray.remote(num_cpus=0)(storage_mismatch)
    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    answers = [
        look.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(address, word) for node in nodes
    ]
    for answer in ray.get(answers):
        if answer:
            raise Stopped(answer)
