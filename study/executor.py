"""Ray Tune runs what is left of a plan: one actor per slot, used for trial after trial. Ray keeps nothing that matters."""
import json
import os
import shutil
import signal
import traceback
from pathlib import Path

os.environ.update({  # before Ray is imported; each was found to matter by running without it
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the ledger is the log: 1.5 ms per report instead of 4.1
    "TUNE_FUNCTION_THREAD_TIMEOUT_S": "60",     # at the default 2 s a slow end of one trial fails the next one
    "TUNE_GLOBAL_CHECKPOINT_S": "300",          # Tune's own snapshot is never read
    "TUNE_DISABLE_SIGINT_HANDLER": "1",         # Ctrl-C reaches us at once: nothing of Tune's needs saving
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
})
os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # else a token file left by another Ray silently turns it on

import logging  # noqa: E402

import ray  # noqa: E402
from ray import tune  # noqa: E402

from study.ledger import failure, read_json, write_atomic  # noqa: E402
from study.proposals import LedgerSearch  # noqa: E402

RETRIES = 3  # of a trial whose worker or node died


def start(address: str | None) -> None:
    """Connect to the cluster at `address`, or start Ray on this machine, on loopback."""
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    for name in ("ray.tune.analysis.experiment_analysis", "ray.tune.tune", "ray.tune.execution.tune_controller"):
        logging.getLogger(name).setLevel(logging.ERROR)
    local = {} if address else {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=True, **local)
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(*_):
    raise KeyboardInterrupt


def shares(cpus_per_trial: float, gpus_per_trial: float | None, max_concurrent: int | None) -> tuple[dict, int]:
    """The resources of one trial, and how many trials the cluster holds at once."""
    have = ray.cluster_resources()
    gpus = have.get("GPU", 0)
    if gpus_per_trial is None:
        gpus_per_trial = 0.25 if gpus else 0  # small models leave most of a card idle: four share one
    slots = int(have.get("CPU", 1) // cpus_per_trial)
    if gpus_per_trial:
        slots = min(slots, int(gpus // gpus_per_trial))
    return {"CPU": cpus_per_trial, "GPU": gpus_per_trial}, max(1, min(slots, max_concurrent or slots))


def train(config: dict) -> None:
    """One trial inside a Ray worker. A Python error is the trial's own and is recorded; a dead worker is retried."""
    import torch

    from study.trial import run_trial
    torch.set_num_threads(max(1, int(config["cpus"])))
    device = "cuda" if torch.cuda.is_available() and config["gpus"] else "cpu"
    if device == "cuda" and config["gpus"] < 1:
        torch.cuda.set_per_process_memory_fraction(config["gpus"])
    folder = Path(config["root"]) / "trials" / config["key"]
    try:
        outcome = run_trial(folder, config["data_dir"], device, tune.report, config["checkpoint_s"])
    except OSError:
        raise  # a full disk or a lost mount may pass: let Ray try again
    except Exception as error:
        outcome = failed(folder, error)
    tune.report({"objective": outcome["objective"], "outcome": json.dumps(outcome)})  # as text: Tune flattens dicts


def failed(folder: Path, error: Exception) -> dict:
    """The result of a trial whose own code raised, with the traceback beside it."""
    write_atomic(folder / "error.txt", traceback.format_exc().encode())
    spec = read_json(folder / "spec.json") or {}
    return failure(folder.name, spec, f"{type(error).__name__}: {error}"[:500])


class News(tune.Callback):
    """Passes on what happens to trials: quick calls only, this is the Tune loop."""

    def __init__(self, began, progressed):
        self.began, self.progressed = began, progressed

    def on_trial_start(self, iteration, trials, trial, **info):
        self.began(trial.config["key"])

    def on_trial_result(self, iteration, trials, trial, result, **info):
        self.progressed(trial.config["key"])

    def __getstate__(self):
        return {}  # Tune pickles callbacks beside its snapshot, which is never read


def execute(plan, settings: dict, resources: dict, slots: int, commit, began, progressed, train=train) -> None:
    """Run every trial that is left, `slots` at a time; `train` is what a worker does with one."""
    search = LedgerSearch(plan, {**settings, "cpus": resources["CPU"], "gpus": resources["GPU"]}, commit)
    scratch = Path(settings["root"]) / "ray"
    try:
        tune.Tuner(
            tune.with_resources(train, tune.PlacementGroupFactory([resources])),
            tune_config=tune.TuneConfig(num_samples=-1, search_alg=search, max_concurrent_trials=slots, reuse_actors=True),
            run_config=tune.RunConfig(storage_path=str(scratch), verbose=0, callbacks=[News(began, progressed)],
                                      failure_config=tune.FailureConfig(max_failures=RETRIES)),
        ).fit()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
