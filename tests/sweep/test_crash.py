"""Real studies, killed for real: nothing is lost, nothing is done twice, and the end is always one line."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from benchmarks import crash
from benchmarks.crash import NOTHING, Study, checkpoints, count
from study.ledger.folder import Ledger

pytestmark = pytest.mark.ray


def small(folder, **options) -> Study:
    """Twelve trainings of half a second, at most two side by side."""
    return Study(folder, models=("VAE",), **{"epochs": 12, **options})


def ended_quietly(study) -> bool:
    return "Traceback" not in study.log() and "STUDY_TRACEBACK" not in study.log()


@pytest.fixture(autouse=True)
def no_driver_left_behind(monkeypatch):
    """A test that fails half way must not leave its study running."""
    started, start = [], Study.start
    monkeypatch.setattr(Study, "start", lambda *arguments: started.append(start(*arguments)) or started[-1])
    yield
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


SIZE = {"models": ("VAE",), "epochs": 200}  # long enough to be ended in every way
ASKED = crash.terminate, crash.interrupt
KILLED = crash.kill_worker, crash.kill_driver, crash.kill_at_a_commit, crash.kill_ray, crash.kill_everything


@pytest.mark.long
def test_a_study_ended_in_every_way_loses_nothing_and_gives_the_numbers_of_one_left_alone(tmp_path):
    """To the bit, whatever the number of trials at a time; who is asked to end does it within ten seconds, with one line."""
    study, process, saved = Study(tmp_path, **SIZE), None, []
    for number, way in enumerate([*KILLED, *ASKED]):
        if process is None or process.poll() is not None:
            process = study.start("--max-concurrent", str(2 - number % 2))
        study.wait_until_at_work(process, trials=4 if way is crash.kill_worker else 1)  # whichever is hit, it has a checkpoint
        assert process.poll() is None, "it ended too early to be ended in all ways"
        if way is crash.terminate:
            refuses_a_second_driver(process)
        way(study, process)
        if way in ASKED:
            assert process.wait(10) == 130 and study.log().splitlines()[-1].startswith("interrupted:")
        saved += checkpoints(study)
        if way not in crash.SURVIVED:
            process.wait(60)
    study.finish()
    assert count(study, saved) == NOTHING
    assert "its last checkpoint" in study.log() and ended_quietly(study)
    assert any(len(study.ledger.result(key).attempts) > 1 for key in study.ledger.keys())
    assert crash.numbers(study) == crash.undisturbed(**SIZE)


def refuses_a_second_driver(process) -> None:
    second = subprocess.run([*process.args], capture_output=True, text=True, timeout=60)
    assert second.returncode == 2 and second.stderr.startswith("error: another driver") and second.stderr.count("\n") == 1


@pytest.mark.long
def test_two_first_launches_at_once_both_end_well(tmp_path):
    assert crash.two_first_launches(1, tmp_path, seed=1) == (1, NOTHING)


def catches_sigterm(pid: int) -> bool:
    """Whether the process has a handler of its own, as the kernel tells it."""
    caught = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.alone
@pytest.mark.long
def test_a_signal_at_any_moment_of_the_start_ends_in_one_line(tmp_path):
    """While libraries are imported, images decoded, features trained, MLflow opened, Ray started."""

    def ended(delay: float, asked: signal.Signals) -> None:
        (tmp_path / str(delay)).mkdir()
        study = small(tmp_path / str(delay), own_data=True)
        process = study.start()
        time.sleep(delay)
        crash.wait_until(lambda: catches_sigterm(process.pid), process)  # on a busy machine Python itself may still be starting
        process.send_signal(asked)
        assert process.wait(10) == 130, (delay, study.log())
        assert "interrupted" in study.log().splitlines()[-1] and ended_quietly(study), (delay, study.log())

    with ThreadPoolExecutor(2) as pool:  # two at a time
        list(pool.map(ended, (0.4, 1.0, 2.5, 5.0, 8.0, 11.0), (signal.SIGTERM, signal.SIGINT) * 3))


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 24 MB in memory, as root can make one."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", place], capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.long
def test_a_full_disk_ends_the_sweep_with_one_line_and_costs_nothing(small_disk):
    study = small(small_disk, epochs=40)
    (small_disk / "killed.txt").symlink_to(small_disk.parent / "killed.txt")  # what is said is not to be lost with the rest
    process = study.start()
    study.wait_until_at_work(process)
    ballast = small_disk / "ballast"
    with open(ballast, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    assert process.wait(120) == 1
    ballast.unlink()
    study.finish()
    assert count(study, []) == NOTHING and "No space left on device" in study.log() and ended_quietly(study)


@pytest.mark.long
def test_storage_that_is_read_only_is_refused_in_one_line(small_disk):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    done = subprocess.run(
        [sys.executable, crash.ROOT / "study/launch.py", "--space", "smoke", "--storage", small_disk / "studies"],
        capture_output=True,
        text=True,
        cwd=os.path.dirname(small_disk),
        timeout=60,
    )
    assert done.returncode == 2 and "cannot be written" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.long
def test_a_cluster_whose_nodes_do_not_see_the_storage_is_refused(tmp_path):
    """Nodes on one machine do see it, so the word that the driver left is changed under them."""
    import ray

    from study.ledger.storage_check import TOKEN, Stopped, write_token
    from study.sweep.ray_executor import check_nodes

    with crash.nodes(3) as cluster:
        ray.init(cluster.address, log_to_driver=False, runtime_env={"env_vars": {"PYTHONPATH": str(crash.ROOT)}})
        try:
            word = write_token(Ledger(tmp_path))
            check_nodes(str(tmp_path), word)
            (tmp_path / TOKEN).unlink()
            with pytest.raises(Stopped, match=f"does not see the storage folder {tmp_path}"):
                check_nodes(str(tmp_path), word)
        finally:
            ray.shutdown()


SLOW_START = """
import os, sys, time
if "SLOW" in os.environ and os.path.exists(os.environ["SLOW"]) and any("default_worker" in word for word in sys.orig_argv):
    time.sleep(60)
"""
ALIVE = """
import os, sys
import psutil
from study.sweep import ray_executor
ray_executor.start(None)
open(os.environ["SLOW"], "w").close()
for child in psutil.Process().children(recursive=True):
    if child.cmdline()[:1] == ["ray::IDLE"]:
        child.kill()  # who comes in its place is slow
before = ray_executor.alive()
raylet = next(child for child in psutil.Process().children() if child.name() == "raylet")
raylet.kill()
raylet.wait()
open(sys.argv[1], "w").write(f"{before} {ray_executor.alive()}")
"""


@pytest.mark.alone
@pytest.mark.long
def test_a_ray_whose_workers_are_slow_to_start_is_alive_until_it_is_killed(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(SLOW_START)
    said = tmp_path / "said.txt"  # no pipe: the workers, who sleep on, would hold it open
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "SLOW": str(tmp_path / "slow")}
    process = subprocess.Popen(
        [sys.executable, "-c", ALIVE, said],
        cwd=crash.ROOT,
        env=environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert process.wait(120) == 0 and said.read_text().split() == ["True", "False"]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


RUNAWAY = '''"""One model that takes all the memory there is, beside one that does not."""
import torch
from models.nets import fc
from models.vae import VAE
from study.data import digits
from study.space import Budget, Search, Space, grid

KEPT = []


class Hungry(VAE):
    def loss(self, x, noise, epoch):
        KEPT.append(torch.ones(2 ** 26))  # 256 MB, at every step
        return super().loss(x, noise, epoch)


SPACE = Space(cells=grid([Hungry, VAE], [fc], [1], [2], [digits], width=[32]), propose=lambda trial, cell: {},
              budget=lambda cell: Budget(epochs=40, batch_size=64), search=Search(rounds=(1,), rungs=()), replicates=1)
'''


@pytest.mark.alone
@pytest.mark.long
def test_a_trial_that_takes_all_memory_fails_alone(tmp_path):
    """Ray ends its worker before the machine runs out; here it is told that 4 GB more than now are all there is."""
    (tmp_path / "runaway.py").write_text(RUNAWAY)
    memory = psutil.virtual_memory()
    environment = {
        **os.environ,
        "RAY_memory_usage_threshold": str((memory.used + 4e9) / memory.total),
        "RAY_memory_monitor_refresh_ms": "100",
    }
    done = subprocess.run(
        [
            sys.executable,
            crash.ROOT / "study/launch.py",
            "--space",
            tmp_path / "runaway.py",
            "--storage",
            tmp_path / "studies",
            "--data-dir",
            tmp_path / "data",
        ],
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 3, done.stdout + done.stderr
    ledger = Ledger(tmp_path / "studies" / "runaway")
    ends = {key: ledger.result(key).status for key in ledger.keys()}
    assert {status for key, status in ends.items() if key.startswith("vae")} == {"done"}, ends
    assert {status for key, status in ends.items() if key.startswith("hungry")} == {"failed"}, ends
    assert "failed: hungry" in done.stdout and "Traceback" not in done.stdout + done.stderr
