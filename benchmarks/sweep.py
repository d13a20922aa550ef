"""A digits study of 200 trials against the same trials without any of the machinery, and against the customary script.

    python benchmarks/sweep.py [--rounds 3] [--json FILE]

The floor: the specs of our own study run again by plain processes, one per core, with the same measures and pictures,
but without Ray, Optuna and MLflow. The customary script: Ray Tune with a DataLoader per trial, new workers for every
trial and MLflow's logger callback, for the same model and epochs, measuring nothing. Times are from the first epoch's
row to the last result, so that starting is left out on all sides; the three take turns, and the least of each counts.
"""
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from benchmarks.table import keep, parser_of, row
from study.ledger import Ledger

EPOCHS, CUSTOMARY_TRIALS = 10, 16
SPACE = f'''"""Two hundred small trainings."""
from models.gan import GAN
from models.nets import fc
from models.vae import VAE
from study.data import digits
from study.space import Budget, Space, grid

SPACE = Space(cells=grid([VAE, GAN], [fc], [1, 2], [2, 8], [digits], width=[128]),
              propose=lambda trial, cell: {{"lr": trial.suggest_float("lr", 1e-4, 1e-2, log=True)}},
              budget=lambda cell: Budget(epochs={EPOCHS}, batch_size=64), proposals=23, seeds=4, pack=2)
'''
FLOOR = '''
import sys
from pathlib import Path
import torch
from study.ledger import Ledger
from study.trial import run_trial
torch.set_num_threads(1)
ledger, share, of = Ledger(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
for key in ledger.keys()[share::of]:
    ledger.put_result(key, run_trial(ledger.folder(key), "data"))
'''
CUSTOMARY = '''
import sys, time
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
                     run_config=tune.RunConfig(storage_path=folder, verbose=0, callbacks=[
                         MLflowLoggerCallback(tracking_uri=f"sqlite:///{folder}/mlflow.db", experiment_name="customary")])).fit()
rows = [row for result in results for row in result.metrics_dataframe["now"]]
print(max(rows) - min(rows))
'''


def main(arguments=None) -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    rounds = []
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            ours, trials = our_study(Path(folder))
            rounds.append((ours, plain_processes(Path(folder)), customary_script(Path(folder))))
    ours, floor, customary = map(min, zip(*rounds))
    rows = [row(f"{trials} trials, each", 1000 * ours / trials, 1000 * floor / trials, "ms", "floor",
                overhead_ms=round(1000 * (ours - floor) / trials, 1),
                overhead_core_ms=round(1000 * (ours - floor) / trials * (os.cpu_count() or 1), 1)),
            row("a trial", 1000 * ours / trials, 1000 * customary / CUSTOMARY_TRIALS, "ms", "customary")]
    keep(rows, options, rounds_s=rounds)
    return 0


def our_study(folder: Path) -> tuple[float, int]:
    (folder / "floor_study.py").write_text(SPACE)
    run([ROOT / "study/launch.py", "--space", folder / "floor_study.py", "--storage", folder / "studies"])
    return window(Ledger(folder / "studies" / "floor_study"))


def plain_processes(folder: Path) -> float:
    """The same specs in a ledger of their own, shared out over one process per core."""
    source, target = (Ledger(folder / name / "floor_study") for name in ("studies", "floor"))
    for key in source.keys():
        target.put_spec(key, source.spec(key))
    shutil.copytree(source.root / "features", target.root / "features")
    cores = os.cpu_count() or 1
    processes = [subprocess.Popen([sys.executable, "-c", FLOOR, target.root, str(share), str(cores)], cwd=ROOT)
                 for share in range(cores)]
    if any([process.wait() for process in processes]):
        raise RuntimeError("a process of the floor failed")
    return window(target)[0]


def customary_script(folder: Path) -> float:
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1"}
    out = run(["-c", CUSTOMARY, folder / "customary", EPOCHS, CUSTOMARY_TRIALS], env=environment)
    return float(out.splitlines()[-1])


def run(command: list, **options) -> str:
    done = subprocess.run([sys.executable, *map(str, command)], cwd=ROOT, capture_output=True, text=True, **options)
    if done.returncode:
        raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
    return done.stdout


def window(ledger: Ledger) -> tuple[float, int]:
    """Seconds from the first row to the last result, and the number of results."""
    keys = ledger.keys()
    first = min(ledger.rows(key)[0]["time"] for key in keys)
    return max(ledger.result(key)["time"] for key in keys) - first, len(keys)


if __name__ == "__main__":
    sys.exit(main())
