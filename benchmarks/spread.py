"""How busy four machines are with a study of two large cells: packs of one against packs of 32, whose trainings a processor
trains one after the other anyway.

    python benchmarks/spread.py [--json FILE]

A real Ray of four nodes with a slot each runs a real plan; a training sleeps for as long as one would train, its epochs a
fifth longer or shorter from training to training. Busy is the share of the slots' time, from the first pack's beginning to
the last one's end, in which a training sleeps: what is lost is Tune's loop, the rungs, and the end, when few are left.
"""

import os
import secrets
import sys
import tempfile
import time
import zlib
from pathlib import Path

os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))  # of the cluster here; Ray reads it when imported

import ray
from ray.cluster_utils import Cluster

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from benchmarks.overhead import nothing
from benchmarks.table import keep, parser_of, row
from models.nets import fc
from models.vae import VAE
from study.data import digits
from study.ledger.files import append_line, read_spec
from study.ledger.folder import Ledger
from study.ledger.records import Replica, Result
from study.space import Budget, Search, Space, grid
from study.sweep import ray_executor
from study.sweep.plan import Plan
from study.sweep.worker_messages import PackConfig

NODES, EPOCHS, EPOCH_S = 4, 9, 1.5
SPACE = Space(
    cells=grid([VAE], [fc], [1], [2, 4], [digits]),
    propose=lambda trial, cell: {"lr": trial.suggest_float("lr", 1e-4, 1e-2, log=True)},
    budget=lambda cell: Budget(EPOCHS),
    search=Search(rounds=(6,), rungs=(1 / 3,)),
    replicates=6,
    name="spread",
)


def sleep_through(config: dict) -> None:
    """A pack as a processor trains one of large images: each training in turn."""
    from ray import tune

    from study.sweep.worker_messages import Final

    results, waiting = [], {}
    for key in config["keys"]:
        folder = Path(config["ledger"]) / "trials" / key
        spec, begin = read_spec(folder), time.time()
        before = max([rung for rung in spec.rungs if rung < config["until"]], default=0)
        share = 0.8 + 0.4 * zlib.crc32(key.encode()) / 2**32
        time.sleep((config["until"] - before) * EPOCH_S * share)
        append_line(folder / "busy", f"{begin} {time.time()}")
        if config["until"] < spec.epochs:
            waiting[key] = share
        else:
            results.append(ended(spec, share))
    tune.report(Final(tuple(results), waiting).to_tune())


def ended(spec, objective: float) -> Result:
    measures = {"quality/fd_rel": objective}
    return Result(
        key=spec.key,
        status="done",
        objective=objective,
        measures=measures,
        replicas=[Replica(seed, "done", measures) for seed in spec.seeds],
        seeds=spec.seeds,
        epochs=spec.epochs,
        params=spec.params,
        time=time.time(),
    )


def main(arguments=None) -> int:
    options = parser_of(__doc__).parse_args(arguments)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        for _ in range(NODES - 1):
            cluster.add_node(num_cpus=1)
        (apart, busy), (together, before) = (run(cluster.address, side_by_side) for side_by_side in (False, True))
    finally:
        cluster.shutdown()
    names = {"busy_share": round(busy, 3), "busy_share_in_packs_of_32": round(before, 3)}
    keep([row("two large cells on four nodes", apart, together, "s", "packs of 32", **names)], options)
    return 0


def run(address: str, side_by_side: bool) -> tuple[float, float]:
    """Seconds of the study, and the share of the slots' time that its trainings took."""
    with tempfile.TemporaryDirectory() as folder:
        identity = {"digits": {"fingerprint": "", "features": "", "shape": [1, 28, 28]}}
        plan = Plan(SPACE, Ledger(Path(folder) / "spread"), identity)
        plan.pack_on_cards = plan.space.pack if side_by_side else 0
        ray_executor.start(address)
        try:
            ray_executor.execute(
                plan,
                PackConfig(ledger=plan.ledger.address),
                NODES,
                lambda trial, outcome: plan.ledger.put_result(trial.key, outcome),
                nothing,
                nothing,
                nothing,
                train=sleep_through,
            )
        finally:
            ray.shutdown()
        lines = [line for path in plan.ledger.root.glob("trials/*/busy") for line in path.read_text().splitlines()]
        spans = [tuple(map(float, line.split())) for line in lines]
        whole = max(end for _, end in spans) - min(begin for begin, _ in spans)
        return whole, sum(end - begin for begin, end in spans) / NODES / whole


if __name__ == "__main__":
    sys.exit(main())
