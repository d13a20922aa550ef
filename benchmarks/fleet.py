"""What bounds a study on many accelerators: what one training costs the driver, the shared folder, an object store and MLflow.

    python benchmarks/fleet.py [--slots 2 16 48] [--trainings 400] [--json FILE]

A real Ray of so many workers on this machine runs a real plan whose trainings do nothing, in packs of one and of eight. Workers
share its cores with the driver, so that no rate is read off a clock: what is counted is the processor time of the driver's
threads, its calls to the file system, and its requests to an object store. `most` is how many accelerators such a cost could keep
busy with trainings of a minute: a minute over it.
"""

import os
import secrets
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))  # of the cluster here; Ray reads it when imported

import psutil
import ray
from ray.cluster_utils import Cluster

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from benchmarks import overhead
from benchmarks.overhead import empty_pack, plan_of
from benchmarks.scale import drive
from benchmarks.table import keep, parser_of, row
from study.ledger.object_store import ObjectStoreLedger
from study.mlflow_view.background import BackgroundTracker
from study.mlflow_view.store import default_uri
from study.sweep import ray_executor
from study.sweep.plan import write_planned
from study.sweep.worker_messages import PackConfig

MINUTE_MS, FLEET = 60_000.0, 1_000  # what a training lasts, and the accelerators that are to be fed
FILE_CALLS = ("open", "os.rename", "os.link", "os.mkdir", "os.listdir", "os.scandir", "os.remove", "os.replace")
watched: Counter = Counter()
under_way: list[str] = []  # calls of an object store
watching: list[str] = []  # the folder that is watched, where one is: an audit hook stays for ever
sys.addaudithook(
    lambda event, found: (
        watched.update([event]) if watching and event in FILE_CALLS and str(found[0]).startswith(watching[0]) else None
    )
)


def main(arguments=None) -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--slots", type=int, nargs="+", default=[2, 16, 48])
    parser.add_argument("--trainings", type=int, default=400)
    options = parser.parse_args(arguments)
    ray.cloudpickle.register_pickle_by_value(overhead)  # the code that nodes get is the project's, without its benchmarks
    rows = []
    for slots in options.slots:
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": slots, "include_dashboard": False})
        try:
            for pack in (1, 8):
                rows += on_workers(cluster.address, slots, pack, options.trainings)
        finally:
            cluster.shutdown()
    rows += [bound(*in_a_folder(options.trainings)), bound(*in_an_object_store(options.trainings))]
    keep(rows, options)
    return 0


def bound(name: str, cost_ms: float, **more) -> dict:
    """A row: what a training costs, against what it may cost where FLEET accelerators are to be fed."""
    return row(name, cost_ms, MINUTE_MS / FLEET, "ms", "limit", most=int(MINUTE_MS / cost_ms), **more)


def on_workers(address: str, slots: int, pack: int, trainings: int) -> list[dict]:
    """Processor time of the driver's threads for each training, Ray's start and the end left out."""
    with tempfile.TemporaryDirectory() as folder:
        plan = plan_of(trainings, Path(folder), pack)
        write_planned(plan)
        tracker = BackgroundTracker(default_uri(Path(folder) / "studies"), plan.ledger, "overhead")
        tracker.start()
        spent, done = [], [0]

        def commit(trial, outcome):
            plan.ledger.put_result(trial.key, outcome)
            tracker.notify(trial.key)
            done[0] += 1
            if done[0] in (trainings // 10, trainings * 9 // 10):
                spent.append((done[0], *processor_ms(tracker), time.monotonic()))

        ray_executor.start(address)
        try:
            ray_executor.execute(
                plan,
                PackConfig(ledger=plan.ledger.address),
                slots,
                commit,
                lambda keys: None,
                lambda keys, epoch: None,
                tracker.notify,
                train=empty_pack,
            )
        finally:
            ray.shutdown()
        tracker.close(600)
        (first, whole, mlflow, start), (last, whole_after, mlflow_after, end) = spent
        count = last - first
        own, view = (whole_after - whole - mlflow_after + mlflow) / count, (mlflow_after - mlflow) / count
    where = f"{slots} workers, packs of {pack}"
    return [
        bound(f"{where}: Tune's loop and the ledger", own, wall_ms=round(1000 * (end - start) / count, 1)),
        bound(f"{where}: MLflow's thread meanwhile", max(view, 1e-3)),
    ]


def processor_ms(tracker: threading.Thread) -> tuple[float, float]:
    """Of this process and of the thread alone, so far."""
    process = psutil.Process()
    of_all = process.cpu_times()
    of_one = next((each for each in process.threads() if each.id == tracker.native_id), None)
    return 1000 * (of_all.user + of_all.system), 1000 * (of_one.user_time + of_one.system_time) if of_one else 0.0


def in_a_folder(trainings: int) -> tuple[str, float]:
    """Calls to the file system for each training, of the plan, the searcher and the ledger."""
    with tempfile.TemporaryDirectory() as folder:
        plan = plan_of(trainings, Path(folder))
        write_planned(plan)
        watched.clear()
        watching.append(folder)
        suggestions, _ = drive(plan)
        watching.clear()
    calls = sum(watched.values()) / len(suggestions)
    return f"a shared folder that answers in 1 ms: {calls:.1f} calls of the driver", calls


def in_an_object_store(trainings: int) -> tuple[str, float]:
    """Requests of the driver for each training, at 20 ms each."""
    requests: Counter = Counter()
    with tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache
        ledger = ObjectStoreLedger(f"memory://fleet/{secrets.token_hex(4)}/overhead")
        store = ledger.store
        for name in ("pipe", "pipe_file", "cat", "cat_file", "find", "exists", "info", "rm", "rm_file", "mv", "ls"):
            if hasattr(store, name):
                setattr(ledger.store, name, counted(getattr(store, name), requests, name))
        plan = plan_of(trainings, Path(cache), ledger=ledger)
        suggestions, _ = drive(plan)
    calls = sum(requests.values()) / len(suggestions)
    return f"an object store that answers in 20 ms: {calls:.1f} requests of the driver", 20 * calls


def counted(call, requests: Counter, name: str):
    """The call of a file system, which is noted where none of its other calls has made it."""

    def asked(*arguments, **options):
        requests[name] += not under_way
        under_way.append(name)
        try:
            return call(*arguments, **options)
        finally:
            under_way.pop()

    return asked


if __name__ == "__main__":
    sys.exit(main())
