"""What a sweep adds to a trial: Ray Tune, Optuna, the ledger and MLflow around an empty training step.

python benchmarks/overhead.py [--trials 200]
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from models.nets import fc
from models.vae import VAE
from study.data import digits
from study.ledger.files import read_spec
from study.ledger.folder import Ledger
from study.ledger.records import Replica, Result, Spec
from study.space import Budget, Search, Space, grid
from study.sweep.plan import Plan


def empty_pack(config: dict) -> None:
    """Reports what a pack reports, having done nothing."""
    from ray import tune

    from study.sweep.worker_messages import Final

    folders = [Path(config["ledger"]) / "trials" / key for key in config["keys"]]
    tune.report(Final(tuple(empty_outcome(read_spec(folder)) for folder in folders)).to_tune())


def empty_outcome(spec: Spec) -> Result:
    """The result of a trial that trained nothing; its objective is its learning rate."""
    measures = {"quality/fd_rel": spec.params["lr"]}
    return Result(
        key=spec.key,
        status="done",
        objective=measures["quality/fd_rel"],
        measures=measures,
        replicas=[Replica(seed, "done", measures) for seed in spec.seeds],
        seeds=spec.seeds,
        epochs=1,
        params=spec.params,
        time=time.time(),
        suggested=spec.suggested,
    )


def plan_of(trials: int, root: Path, ledger: Ledger | None = None) -> Plan:
    """A plan of `trials` search trials in cells of ten, with as many confirm trials as cells; its ledger is new, under root."""
    cells = grid([VAE], [fc], [1], list(range(1, max(2, trials // 11 + 1))), [digits])
    space = Space(
        cells=cells,
        propose=lambda trial, cell: {"lr": trial.suggest_float("lr", 1e-4, 1e-1, log=True)},
        budget=lambda cell: Budget(1),
        search=Search(rounds=(10,), rungs=()),
        replicates=1,
        pack=1,
        name="overhead",
    )
    return Plan(space, ledger or Ledger(root / "overhead"), {"digits": {"fingerprint": "", "features": ""}})


def nothing(*what, **how) -> None:
    """What a benchmark does with a sweep's news of its packs."""


def measure(trials: int = 220) -> dict:
    """Milliseconds per trial of a sweep of empty trials, one at a time, Ray's start left out."""
    import ray

    from study.mlflow_view.background import BackgroundTracker
    from study.mlflow_view.store import default_uri
    from study.sweep import ray_executor
    from study.sweep.worker_messages import PackConfig

    with tempfile.TemporaryDirectory() as folder:
        plan, moments = plan_of(trials, Path(folder)), []
        sink = BackgroundTracker(default_uri(Path(folder) / "studies"), plan.ledger, "overhead")
        sink.start()

        def commit(trial, outcome):
            plan.ledger.put_result(trial.key, outcome)
            sink.notify(trial.key)
            moments.append(time.monotonic())

        ray_executor.start(None)
        try:
            ray_executor.execute(
                plan, PackConfig(ledger=plan.ledger.address), 1, commit, nothing, nothing, sink.notify, train=empty_pack
            )
        finally:
            ray.shutdown()
        start = time.monotonic()
        sink.close(600)
        behind = time.monotonic() - start
    return {
        "name": "overhead of a trial in a sweep",
        "trials": len(moments),
        "unit": "ms per trial",
        "ours": 1000 * (moments[-1] - moments[9]) / (len(moments) - 10),
        "mlflow_behind_s": behind,
    }


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=220)
    options = parser.parse_args(arguments)
    print(line(measure(options.trials)))
    return 0


def line(row: dict) -> str:
    return (
        f"{row['name']}: {row['ours']:.1f} ms ({row['trials']} empty trials, one at a time; MLflow caught up"
        f" {row['mlflow_behind_s']:.1f} s after the end)"
    )


if __name__ == "__main__":
    sys.exit(main())
