"""Kill a real study in every way we can think of, launch it again, and count what was lost, doubled or left stuck.

A round is one crash at a random moment; a study takes several of them before it is left to end and counted.

    python benchmarks/crash.py --rounds 20 [--only driver worker] [--markdown docs/crashes.md]
"""

import argparse
import atexit
import contextlib
import functools
import hashlib
import io
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import astuple, dataclass
from pathlib import Path

os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))  # of the clusters here; Ray reads it when imported

import psutil
import torch
from ray.cluster_utils import Cluster

PER_STUDY = 3  # crashes of one study before it may end; Ray gives a trial up that its workers die under a fourth time
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from study.ledger.files import read_sealed, write_sealed
from study.ledger.folder import Ledger
from study.mlflow_view.store import default_uri
from study.mlflow_view.tracker import Tracker

SPACE = '''"""A study made to be killed: checkpoints at every epoch, so that every kill hits something."""
from models.gan import GAN
from models.nets import fc
from models.vae import VAE
from study.data import digits
from study.space import Budget, Search, Space, grid

SPACE = Space(cells=grid([{models}], [fc], [1], [2], [digits], width=[32]),
              propose=lambda trial, cell: {{"lr": trial.suggest_float("lr", 1e-4, 1e-2, log=True)}},
              budget=lambda cell: Budget(epochs={epochs}, batch_size=64),
              search=Search(rounds=(2,), rungs=(0.5,)), replicates=4, pack=2)
'''


@functools.lru_cache
def shared_data() -> Path:
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder)
    return Path(folder)


@dataclass
class Study:
    """One study in a folder of its own, launched as a user launches it, here or on a cluster of Ray nodes."""

    folder: Path
    name: str = "killed"
    models: tuple = ("VAE", "GAN")
    epochs: int = 200
    cluster: Cluster | None = None
    own_data: bool = False  # its images and features are prepared by itself, not found beside those of the study before

    @property
    def planned(self) -> int:
        return len(self.models) * 4 * (2 + 1)

    @property
    def storage(self) -> Path:
        return self.folder / "mlruns" / "studies"

    @property
    def data(self) -> Path:
        return self.folder / "data" if self.own_data else shared_data()

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.storage / self.name)

    def start(self, *arguments, **options) -> subprocess.Popen:
        where = ["--address", self.cluster.address] if self.cluster else []
        with open(self.folder / f"{self.name}.txt", "a") as log:
            return subprocess.Popen(
                [*self.command(), *where, *arguments], stdout=log, stderr=log, start_new_session=True, **options
            )

    def command(self) -> list:
        """What launches the study, its space file written."""
        space = self.folder / f"{self.name}.py"
        space.write_text(SPACE.format(models=", ".join(self.models), epochs=self.epochs))
        return [
            sys.executable,
            ROOT / "study/launch.py",
            "--space",
            space,
            "--storage",
            self.storage,
            "--data-dir",
            self.data,
            "--checkpoint-seconds",
            "0.001",
        ]

    def finish(self, *arguments) -> None:
        """Launch until nothing is left, as a user would; a study that cannot be finished raises."""
        self.wait_for_the_end(self.start(*arguments))

    def wait_for_the_end(self, process) -> None:
        if process.wait(1200) != 0:
            raise RuntimeError(f"a launch that nobody disturbed ended with {process.returncode}:\n{self.log()[-3000:]}")

    def log(self) -> str:
        return (self.folder / f"{self.name}.txt").read_text()

    def epochs_trained(self) -> dict[str, int]:
        return {key: len(self.ledger.rows(key)) for key in self.ledger.keys()}

    def wait_until_at_work(self, process, epochs: int = 3, trials: int = 1, timeout_s: float = 600) -> None:
        """Return once so many trials have trained a few epochs since this call, or the study has ended."""
        deadline, before = time.monotonic() + timeout_s, self.epochs_trained()
        while time.monotonic() < deadline:
            if sum(now > before.get(key, 0) + epochs for key, now in self.epochs_trained().items()) >= trials:
                return
            if process.poll() == 0:
                return
            time.sleep(0.02)
        raise RuntimeError(f"the study never came to work:\n{self.log()[-3000:]}")


@dataclass(frozen=True)
class Count:
    """What a crash cost: trials (or the report) lost, results or runs doubled, runs stuck RUNNING, epochs trained twice."""

    lost: int
    doubled: int
    stuck: int
    retrained: int

    def __bool__(self):
        return bool(self.lost or self.doubled or self.stuck or self.retrained)

    def __add__(self, other):
        return Count(*map(sum, zip(astuple(self), astuple(other))))


NOTHING = Count(lost=0, doubled=0, stuck=0, retrained=0)


def checkpoints(study: Study) -> list[tuple]:
    """For every trial going on: its key, how often it has been begun, and the epoch of its last checkpoint."""
    saved = []
    for place in study.ledger.root.glob("packs/*.pt"):
        with contextlib.suppress(FileNotFoundError):  # the cell has just ended
            members = torch.load(io.BytesIO(read_sealed(place)), weights_only=True)
            saved += [(key, len(member["state"]["attempts"]), member["state"]["epoch"]) for key, member in members.items()]
    return saved


def count(study: Study, saved: list[tuple]) -> Count:
    """Hold ledger and MLflow against the plan, and every trial that a crash interrupted against its checkpoint then."""
    ledger = study.ledger
    ended = {key: result for key in ledger.keys() if (result := ledger.result(key)) and result.status in ("done", "stopped")}
    tracker = Tracker(default_uri(study.storage), ledger, study.name)
    runs = tracker.client.search_runs([tracker.experiment], "tags.stage != 'summary'", max_results=1000)
    tracked = [run.data.tags.get("trial_key", run.data.tags["cell"]) for run in runs]
    rows = {key: [row.epoch for row in ledger.rows(key)] for key in ended}
    attempts = {key: result.attempts for key, result in ended.items()}
    retrained = sum(max(0, epoch - attempts[key][begun]) for key, begun, epoch in saved if len(attempts.get(key, ())) > begun)
    return Count(
        lost=study.planned
        - len(ended)
        + len(set(ended) - set(tracked))
        + sum(len(set(rows[key])) != result.epochs + 1 for key, result in ended.items())
        + (not whole_report(study)),
        doubled=len(tracked)
        - len(set(tracked))
        + sum(len(row) - len(set(row)) for row in rows.values())
        + len(ledger.keys())
        - study.planned,
        stuck=sum(run.info.status == "RUNNING" for run in runs),
        retrained=retrained,
    )


def whole_report(study: Study) -> bool:
    """Whether the page, the tables and the figures are there to their ends."""
    report = study.ledger.root / "report"
    ends = [path.read_text().rstrip().endswith(f"</{path.suffix[1:]}>") for path in report.glob("**/*.[hs][tv][mg]*")]
    return (report / "report.html").exists() and all(ends) and any(report.glob("**/*.csv")) and any(report.glob("**/*.svg"))


def children(process, name: str = "") -> list[psutil.Process]:
    """The processes below `process` whose command line holds `name`; Ray's workers call themselves ray::..."""
    return [child for child in psutil.Process(process.pid).children(recursive=True) if name in " ".join(child.cmdline())]


def kill_driver(study, process):
    os.kill(process.pid, signal.SIGKILL)


def kill_worker(study, process):
    random.choice(children(process, "ray::ImplicitFunc")).kill()  # what Tune calls the workers that run trials


def kill_ray(study, process):
    """Ray's own process on this machine; the driver then ends by itself."""
    children(process, "raylet/raylet")[0].kill()


def kill_everything(study, process):
    for victim in [*children(process), psutil.Process(process.pid)]:
        try:
            victim.kill()
        except psutil.NoSuchProcess:
            pass


def kill_at_a_commit(study, process):
    """The moment a result appears: ledger written, MLflow not yet."""
    finished = len(list(study.ledger.root.glob("trials/*/result.json")))
    while process.poll() is None and len(list(study.ledger.root.glob("trials/*/result.json"))) == finished:
        pass
    kill_driver(study, process)


def damage_checkpoints(study, process):
    """Kill everything, then leave no checkpoint as it was: cut short, without one of its parts, or another trial's."""
    kill_everything(study, process)
    process.wait(1200)
    whole = {place: place.read_bytes() for place in study.ledger.root.glob("packs/*.pt")}
    for place, content in whole.items():
        others = [other for name, other in whole.items() if name != place]
        random.choice(
            [cut_short, without_a_part, *[lambda place, _, other=others[:1]: place.write_bytes(other[0])] * bool(others)]
        )(place, content)


def cut_short(place, content):
    place.write_bytes(content[: random.randrange(len(content))])


def without_a_part(place, content):
    """With a checksum that is right; one that was cut short before stays that."""
    if hashlib.sha256(content[32:]).digest() != content[:32]:
        return
    saved = torch.load(io.BytesIO(content[32:]), weights_only=True)
    member = random.choice(list(saved.values()))
    table, name = random.choice([(table, name) for table in (saved, member, member["replica"], member["state"]) for name in table])
    del table[name]
    torch.save(saved, buffer := io.BytesIO())
    write_sealed(place, buffer.getvalue())


def terminate(study, process):
    process.terminate()


def interrupt(study, process):
    """As a terminal does it: the signal goes to everything that was started from there."""
    os.killpg(process.pid, signal.SIGINT)


def kill_node(study, process):
    """All processes of one of three nodes, not the one that holds the cluster together."""
    nodes = [node for node in study.cluster.list_all_nodes() if node != study.cluster.head_node]
    study.cluster.remove_node(random.choice(nodes), allow_graceful=False)
    study.cluster.add_node(num_cpus=1)  # as a cloud or a queue would


@contextlib.contextmanager
def nodes(count: int):
    """A Ray cluster of so many nodes on this machine, a processor each."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        for _ in range(count - 1):
            cluster.add_node(num_cpus=1)
        yield cluster
    finally:
        cluster.shutdown()


def numbers(study: Study) -> dict:
    """All that training and measuring gave, to the bit: trial -> its rows, measures, weights and curves."""
    ledger, found = study.ledger, {}
    for key in ledger.keys():
        result = ledger.result(key)
        measures = (
            {name: value for name, value in result.measures.items() if not name.startswith(("time/", "cost/"))} if result else {}
        )
        files = [path.read_bytes() for path in sorted(ledger.folder(key).glob("*.safetensors"))]
        found[key] = [row.values for row in ledger.rows(key)], measures, files
    return found


@functools.lru_cache
def undisturbed(**options) -> dict:
    """The numbers of a study that nothing happened to."""
    with tempfile.TemporaryDirectory() as folder:
        study = Study(Path(folder), **options)
        study.finish()
        return numbers(study)


SURVIVED = (kill_worker, kill_node)  # by the driver: the trials go on by themselves


def at_work(study, process) -> bool:
    study.wait_until_at_work(process)
    time.sleep(random.random() * 4)
    return process.poll() != 0  # else it was quicker


def mlflow_being_made(study, process) -> bool:
    """Any moment from the first file of MLflow's store on, until it has surely been made; it is made once."""
    folder, start = study.folder / "mlruns", time.time()
    if (folder / "mlflow.db").exists():
        return False
    wait_until(lambda: any(path.stat().st_mtime > start for path in folder.glob("mlflow.db*")), process)
    time.sleep(random.random() * 5)
    return process.poll() != 0


def features_being_made(study, process) -> bool:
    """Any moment of a first launch from the first prepared image on, until features and floors have surely been made."""
    if study.ledger.root.exists():
        return False
    wait_until(study.data.exists, process)
    time.sleep(random.random() * 5)
    return process.poll() != 0


def report_being_written(study, process) -> bool:
    """Any moment between the last result and the end of the launch."""
    wait_until(lambda: len(list(study.ledger.root.glob("trials/*/result.json"))) == study.planned, process)
    time.sleep(random.random() * 5)
    return process.poll() != 0


def wait_until(condition, process, timeout_s: float = 600) -> None:
    deadline = time.monotonic() + timeout_s
    while process.poll() is None and not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("the moment of the crash never came")
        time.sleep(0.01)


def crash_again_and_again(
    kind, crashes: int, folder: Path, seed: int, moment=at_work, damaged=False, **options
) -> tuple[int, Count]:
    """Launch and crash at the moment, so many times or until the study is done or it comes no more; launch once more; count.

    The crashes that hit a study still at work, and what they cost together: a trial whose numbers are not those of an
    undisturbed study is lost. `damaged`: going back behind the last checkpoint costs nothing."""
    random.seed(seed)
    hits, saved, process = 0, [], None
    with nodes(3) if kind is kill_node else contextlib.nullcontext() as cluster:
        study = Study(folder, cluster=cluster, **options)
        while hits < crashes:
            process = study.start() if process is None or process.poll() is not None else process  # some kills it survives
            if not moment(study, process):
                break
            try:
                kind(study, process)
            except IndexError:
                break  # its trials are done, so there is neither worker nor raylet left to kill
            saved += [] if damaged else checkpoints(study)
            hits += 1
            if kind not in SURVIVED:
                process.wait(1200)
        process.wait(1200)
        study.finish()
        expected, found = undisturbed(**options), numbers(study)
        return hits, count(study, saved) + Count(sum(found.get(key) != expected[key] for key in expected), 0, 0, 0)


def two_first_launches(crashes: int, folder: Path, seed: int) -> tuple[int, Count]:
    """Two spaces, one storage, from nothing and at the same time; both must end well by themselves. One such pair a call."""
    studies = [Study(folder, name, models=("VAE",), epochs=12, own_data=True) for name in ("one", "other")]
    for study, process in [(study, study.start()) for study in studies]:
        study.wait_for_the_end(process)
    return 1, count(studies[0], []) + count(studies[1], [])


def row(kind, **options):
    return functools.partial(crash_again_and_again, kind, **options)


ROWS = {
    "kill -9 of the driver": row(kill_driver),
    "kill -9 of a worker": row(kill_worker),
    "kill -9 of everything at once": row(kill_everything),
    "kill -9 of the driver as it commits": row(kill_at_a_commit),
    "SIGTERM": row(terminate),
    "Ctrl-C": row(interrupt),
    "kill -9 of Ray's raylet": row(kill_ray),
    "kill -9 of one node of three": row(kill_node),
    "kill -9, MLflow being made": row(kill_driver, moment=mlflow_being_made, models=("VAE",), epochs=12),
    "kill -9, its checkpoints damaged": row(damage_checkpoints, damaged=True, models=("VAE", "GAN"), epochs=200),
    "kill -9, features being made": row(kill_driver, moment=features_being_made, models=("VAE",), epochs=12, own_data=True),
    "two first launches at once": two_first_launches,
    "kill -9, report being written": row(kill_driver, moment=report_being_written, models=("VAE",), epochs=12),
}


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", nargs="+", default=[""], help="only the kinds whose name holds one of these words")
    parser.add_argument("--markdown", type=Path, help="also write the table there")
    options = parser.parse_args(arguments)
    lines = ["| crash | rounds | studies | lost | doubled | stuck | epochs trained twice |", "|---|---|---|---|---|---|---|"]
    bad = False
    for name, one in ROWS.items():
        if not any(word in name for word in options.only):
            continue
        rounds, studies, total = 0, 0, NOTHING
        while rounds < options.rounds:
            with tempfile.TemporaryDirectory() as folder:
                hits, cost = one(min(PER_STUDY, options.rounds - rounds), Path(folder), studies)
            rounds, studies, total = rounds + hits, studies + 1, total + cost
        bad |= bool(total)
        lines.append(f"| {name} | {rounds} | {studies} | " + " | ".join(map(str, astuple(total))) + " |")
        print(lines[-1], flush=True)
    if options.markdown:
        said = f"`python benchmarks/crash.py --rounds {options.rounds}` on {os.cpu_count()} cores:"
        options.markdown.write_text("\n".join(["# Crashes", "", said, "", *lines]) + "\n")
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
