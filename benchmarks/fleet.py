"""Whether 1,000 accelerators with trainings of a minute can be fed, and what bounds a study on more of them.

    python benchmarks/fleet.py [--workers 48] [--trainings 600] [--json FILE]

A real Ray with so many workers on this machine runs a real plan at the rate of that fleet: a training only sleeps, as much shorter
than a minute as there are fewer workers, while the driver proposes, records and tells MLflow of every one. Busy is the share of
the workers' time in which they sleep, between the first and the last tenth of the trainings. What a training costs is counted as
the processor time of the driver's threads, its calls to a shared folder, and its requests to an object store; `most` is how many
accelerators such a cost keeps fed: a minute over it.
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
from benchmarks.overhead import empty_outcome, nothing, plan_of
from benchmarks.scale import drive
from benchmarks.table import keep, parser_of, row
from study.ledger.files import append_line, read_spec
from study.ledger.object_store import ObjectStoreLedger
from study.mlflow_view.background import BackgroundTracker
from study.mlflow_view.store import default_uri
from study.sweep import ray_executor
from study.sweep.plan import write_planned
from study.sweep.worker_messages import PackConfig

TRAINING_S, FLEET = 60.0, 1_000  # what a training lasts, and the accelerators that are to be fed
FILE_CALLS = ("open", "os.rename", "os.link", "os.mkdir", "os.listdir", "os.scandir", "os.remove", "os.replace")
REQUESTS = ("pipe", "pipe_file", "cat", "cat_file", "find", "exists", "info", "rm_file", "mv")
watched: Counter = Counter()
watching: list[str] = []  # the folder that is watched, where one is: an audit hook stays for ever
under_way: list[str] = []  # calls of an object store
sys.addaudithook(
    lambda event, found: (
        watched.update([event]) if watching and event in FILE_CALLS and str(found[0]).startswith(watching[0]) else None
    )
)


def main(arguments=None) -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--workers", type=int, default=48)
    parser.add_argument("--trainings", type=int, default=600)
    options = parser.parse_args(arguments)
    ray.cloudpickle.register_pickle_by_value(overhead)  # the code that nodes get is the project's, without its benchmarks
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": options.workers, "include_dashboard": False})
    try:
        rows = at_the_rate_of_a_fleet(cluster.address, options.workers, options.trainings)
    finally:
        cluster.shutdown()
    rows += [bound(*in_a_folder(options.trainings)), bound(*in_an_object_store(options.trainings))]
    keep(rows, options)
    return 0


def bound(name: str, cost_ms: float, **more) -> dict:
    """A row: what a training costs, against what it may cost where FLEET accelerators are to be fed."""
    most = int(1000 * TRAINING_S / cost_ms)
    return row(name, cost_ms, 1000 * TRAINING_S / FLEET, "ms", "limit", most=most, **more)


def sleeping(seconds: float):
    """A pack that lasts so long."""

    def asleep(config: dict) -> None:
        from ray import tune

        from study.sweep.worker_messages import Final

        folders = [Path(config["ledger"]) / "trials" / key for key in config["keys"]]
        begin = time.time()
        time.sleep(seconds)
        append_line(folders[0] / "busy", f"{begin} {time.time()}")
        tune.report(Final(tuple(empty_outcome(read_spec(folder)) for folder in folders)).to_tune())

    return asleep


def at_the_rate_of_a_fleet(address: str, workers: int, trainings: int) -> list[dict]:
    """How busy the workers are, and the processor time of the driver's threads for each training."""
    with tempfile.TemporaryDirectory() as folder:
        plan, spent, done = plan_of(trainings, Path(folder)), [], [0]
        write_planned(plan)
        tracker = BackgroundTracker(default_uri(Path(folder) / "studies"), plan.ledger, "overhead")
        tracker.start()

        def commit(trial, outcome):
            plan.ledger.put_result(trial.key, outcome)
            tracker.notify(trial.key)
            done[0] += 1
            if done[0] in (trainings // 10 + workers, trainings * 9 // 10):  # each worker has been started by then
                spent.append((done[0], *processor_ms(tracker), time.time()))

        ray_executor.start(address)
        try:
            train = sleeping(TRAINING_S * workers / FLEET)
            ray_executor.execute(
                plan, PackConfig(ledger=plan.ledger.address), workers, commit, nothing, nothing, tracker.notify, train=train
            )
        finally:
            ray.shutdown()
        lagging = time.monotonic()
        tracker.close(600)
        lag = time.monotonic() - lagging
        (first, whole, view, start), (last, whole_after, view_after, end) = spent
        lines = [line for path in plan.ledger.root.glob("trials/*/busy") for line in path.read_text().splitlines()]
    spans = [tuple(map(float, line.split())) for line in lines]
    busy = sum(max(0.0, min(e, end) - max(b, start)) for b, e in spans) / (end - start) / workers
    count, mlflow = last - first, view_after - view
    rate = {"trainings_per_s": round(count / (end - start), 1), "wanted_per_s": round(FLEET / TRAINING_S, 1)}
    return [
        row(f"{workers} workers at the rate of {FLEET:,} accelerators: busy", busy, 0.9, "of their time", "wanted", **rate),
        bound("Tune's loop, the searcher and the ledger", (whole_after - whole - mlflow) / count),
        bound("MLflow's thread", max(mlflow / count, 1e-3), behind_s=round(lag, 1)),
        bound("both, which share one interpreter", (whole_after - whole) / count),
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
        for name in REQUESTS:
            setattr(ledger.store, name, counted(getattr(ledger.store, name), requests, name))
        suggestions, _ = drive(plan_of(trainings, Path(cache), ledger=ledger))
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
