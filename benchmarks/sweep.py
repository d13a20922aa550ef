"""A digits study of 200 trials against the same trials without any of the machinery, and against the customary script.

    python benchmarks/sweep.py [--json FILE]

The floor: the specs of our own study run again by plain processes, one per core, with the same measures and pictures,
but without Ray, Optuna and MLflow. The customary script: Ray Tune with a DataLoader per trial, new workers for every
trial and MLflow's logger callback, for the same model and epochs, measuring nothing. Times are from the first epoch's
row to the last result, so that starting is left out on all sides.

A machine's speed drifts by a fifth within minutes, so two sides take turns of two seconds: all processes of the one
stand still while the other runs, and each is timed by its own turns. Ours is run against the floor, then the customary
script against the floor; what the floor lost or won between the two is taken off the script.
"""

import contextlib
import itertools
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from benchmarks.table import keep, parser_of, row
from study.ledger.folder import Ledger

EPOCHS, CUSTOMARY_TRIALS = 10, 16
TURN_S = 2.0  # long against a trial, short against the drift of a machine and the time between a trial's reports
SPACE = f'''"""Two hundred small trainings."""
from models.gan import GAN
from models.nets import fc
from models.vae import VAE
from study.data import digits
from study.space import Budget, Search, Space, grid

SPACE = Space(cells=grid([VAE, GAN], [fc], [1, 2], [2, 8], [digits], width=[128]),
              propose=lambda trial, cell: {{"lr": trial.suggest_float("lr", 1e-4, 1e-2, log=True)}},
              budget=lambda cell: Budget(epochs={EPOCHS}, batch_size=64),
              search=Search(rounds=(8,), rungs=()), replicates=4, pack=8)
'''
FLOOR = """
import sys
from itertools import groupby
import torch
from study.ledger.folder import Ledger
from study.ledger.names import cell_of
from study.training.run import run_pack
torch.set_num_threads(1)
ledger, share, of, epochs = Ledger(sys.argv[1]), *map(int, sys.argv[2:])
def pack(key):
    return cell_of(key) if "-confirm-" in key else key.split("-search-")[0]

packs = [list(keys) for _, keys in groupby(sorted(ledger.keys(), key=pack), pack)]
for keys in packs[share::of]:
    for result in run_pack([ledger.folder(key) for key in keys], epochs, "data")[0]:
        ledger.put_result(result.key, result)
"""
CUSTOMARY = """
import json, sys, time
import ray
import torch
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
folder, epochs, trials = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

def train(config):
    images = torch.tensor(load_digits().images[:1077], dtype=torch.float32).flatten(1) / 16
    loader = DataLoader(TensorDataset(images), batch_size=64, shuffle=True)
    encoder = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 16))
    decoder = nn.Sequential(nn.Linear(8, 128), nn.ReLU(), nn.Linear(128, 64))
    optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=config["lr"])
    for epoch in range(epochs):
        total = 0.0
        for x, in loader:
            optimiser.zero_grad()
            mean, log_variance = encoder(x).chunk(2, 1)
            logits = decoder(mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance))
            loss = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") + 0.5 * torch.sum(
                mean ** 2 + log_variance.exp() - 1 - log_variance)
            loss.backward()
            optimiser.step()
            total += loss.item()
        tune.report({"loss": total, "now": time.time()})

ray.init("local", log_to_driver=False, include_dashboard=False)
results = tune.Tuner(train, param_space={"lr": tune.loguniform(1e-4, 1e-2)},
                     tune_config=tune.TuneConfig(num_samples=trials, metric="loss", mode="min"),
                     run_config=tune.RunConfig(storage_path=f"{folder}/customary", verbose=0, callbacks=[
                         MLflowLoggerCallback(tracking_uri=f"sqlite:///{folder}/mlflow.db", experiment_name="customary")])).fit()
rows = [row for result in results for row in result.metrics_dataframe["now"]]
json.dump([min(rows), max(rows)], open(f"{folder}/customary.json", "w"))
"""


def main(arguments=None) -> int:
    options = parser_of(__doc__).parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "floor_study.py").write_text(SPACE)
        for process in our_study(folder, "specs"):
            succeed(process)
        ours, floor = in_turns(our_study(folder, "ours"), plain_processes(folder, "floor"))
        customary, again = in_turns(customary_script(folder), plain_processes(folder, "again"))
        ours, trials = window(Ledger(folder / "ours" / "floor_study"), ours)
        floor, again = (
            window(Ledger(folder / name / "floor_study"), turns)[0] for name, turns in (("floor", floor), ("again", again))
        )
        customary = own_time(customary, *json.loads((folder / "customary.json").read_text())) * floor / again
    rows = [
        row(
            f"{trials} trials, each",
            1000 * ours / trials,
            1000 * floor / trials,
            "ms",
            "floor",
            overhead_ms=round(1000 * (ours - floor) / trials, 1),
            overhead_core_ms=round(1000 * (ours - floor) / trials * (os.cpu_count() or 1), 1),
        ),
        row("a trial", 1000 * ours / trials, 1000 * customary / CUSTOMARY_TRIALS, "ms", "customary"),
    ]
    keep(rows, options)
    return 0


def our_study(folder: Path, name: str) -> list[subprocess.Popen]:
    return [started("study/launch.py", "--space", folder / "floor_study.py", "--storage", folder / name)]


def plain_processes(folder: Path, name: str) -> list[subprocess.Popen]:
    """The specs of the study in "specs" in the same packs, in a ledger of their own, shared out over one process per core."""
    source, target = (Ledger(folder / part / "floor_study") for part in ("specs", name))
    for key in source.keys():
        target.put_spec(key, source.spec(key))
    shutil.copytree(source.root / "features", target.root / "features")
    cores = os.cpu_count() or 1
    return [started("-c", FLOOR, target.root, share, cores, EPOCHS) for share in range(cores)]


def customary_script(folder: Path) -> list[subprocess.Popen]:
    return [
        started(
            "-c",
            CUSTOMARY,
            folder,
            EPOCHS,
            CUSTOMARY_TRIALS,
            RAY_AUTH_MODE="token",
            RAY_AUTH_TOKEN=secrets.token_hex(32),
            TUNE_DISABLE_STRICT_METRIC_CHECKING="1",
        )
    ]


def started(*command, **environment) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, *map(str, command)], cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.DEVNULL
    )


def succeed(process: subprocess.Popen) -> None:
    if process.wait():
        raise RuntimeError(f"{' '.join(process.args)[:200]} failed")


def in_turns(*sides: list[subprocess.Popen]) -> list[list[tuple[float, float]]]:
    """Let the sides run to their ends, one at a time; for each its turns, as (begin, end) in seconds since the epoch."""
    turns = [[] for _ in sides]
    try:
        for side in sides:
            stop(side)
        while any(map(running, sides)):
            for side, own in zip(sides, turns):
                if running(side):
                    own.append(turn(side))
    finally:
        for side in sides:
            send(tree(side), signal.SIGCONT)  # an interrupt reaches nobody who stands still
    for process in itertools.chain(*sides):
        succeed(process)
    return turns


def turn(side: list[subprocess.Popen]) -> tuple[float, float]:
    members = tree(side)
    begin = time.time()
    send(members, signal.SIGCONT)
    while running(side) and time.time() < begin + TURN_S:
        time.sleep(0.05)
    return begin, stop(side)


def stop(side: list[subprocess.Popen]) -> float:
    """Let a side stand still; since when, in seconds since the epoch."""
    members = tree(side)
    end = time.time()
    send(members, signal.SIGSTOP)
    send(tree(side), signal.SIGSTOP)  # those that were made meanwhile
    return end


def running(side: list[subprocess.Popen]) -> bool:
    return any(process.poll() is None for process in side)


def tree(side: list[subprocess.Popen]) -> list[psutil.Process]:
    """All processes of a side that still run. Finding them takes longer than a signal."""
    members = []
    for process in side:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.poll() is None:
                root = psutil.Process(process.pid)
                members += [root, *root.children(recursive=True)]
    return members


def send(members: list[psutil.Process], number: int) -> None:
    for member in members:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.send_signal(number)


def own_time(turns: list[tuple[float, float]], first: float, last: float) -> float:
    """Seconds of the turns that lie between two times."""
    return sum(max(0.0, min(end, last) - max(begin, first)) for begin, end in turns)


def window(ledger: Ledger, turns: list[tuple[float, float]]) -> tuple[float, int]:
    """A side's own seconds from the first row to the last result, and the number of results."""
    keys = ledger.keys()
    first = min(ledger.rows(key)[0].time for key in keys)
    return own_time(turns, first, max(ledger.result(key).time for key in keys)), len(keys)


if __name__ == "__main__":
    sys.exit(main())
