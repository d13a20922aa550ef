"""Who can enter the Ray that a launch starts: nobody from another machine, and nobody here without its token."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from benchmarks.crash import ROOT, Study, children

pytestmark = [pytest.mark.ray, pytest.mark.long]
ENTER = """
import sys
import ray
ray.init(sys.argv[1], log_to_driver=False)
print(ray.get(ray.remote(num_cpus=0)(lambda: "inside").remote()))
"""


BEFORE_A_CLUSTER = """
import subprocess
import sys
from ray.cluster_utils import Cluster
from study.sweep import ray_executor
ray_executor.start(None)
ray_executor.stop(print)
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
try:
    subprocess.run([sys.executable, "-c", sys.argv[1], cluster.address], check=True, timeout=120)
finally:
    cluster.shutdown()
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A user's home folder in which another Ray has left its token."""
    folder = tmp_path_factory.mktemp("home")
    (folder / ".ray").mkdir()
    (folder / ".ray" / "auth_token").write_text("f" * 64)
    return folder


@pytest.fixture(scope="module")
def launched(tmp_path_factory, home):
    """A study at work, whose user has other things set for other Rays: (study, its processes)."""
    study = Study(tmp_path_factory.mktemp("study"), models=("VAE",), epochs=5000)
    process = study.start(env={**outside(), "HOME": str(home), "RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN": "e" * 64})
    try:
        study.wait_until_at_work(process, epochs=1)
        yield study, [psutil.Process(process.pid), *children(process)]
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def outside() -> dict:
    """The environment without what a test has set for Ray."""
    return {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}


def raylet(processes) -> psutil.Process:
    return next(each for each in processes if "raylet/raylet" in " ".join(each.cmdline()))


def token_of(processes) -> str:
    return raylet(processes).environ()["RAY_AUTH_TOKEN"]


def test_everything_listens_on_loopback(launched):
    listening = [
        (connection.laddr.ip, each.name())
        for each in launched[1]
        if each.is_running()
        for connection in each.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) > 5
    assert {place for place, _ in listening} <= {"127.0.0.1", "::ffff:127.0.0.1"}, listening


def test_a_client_comes_in_only_with_the_token(launched, home):
    address = next(word.split("=")[1] for word in raylet(launched[1]).cmdline() if word.startswith("--gcs-address="))
    environment = {**outside(), "HOME": str(home.parent), "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # so it does call 127.0.0.1
    said = {}
    for name, keys in {
        "none": {"RAY_AUTH_MODE": "disabled"},
        "none to send": {"RAY_AUTH_MODE": "token"},
        "another": {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a" * 64},
        "the token": {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token_of(launched[1])},
    }.items():
        said[name] = subprocess.Popen(
            [sys.executable, "-c", ENTER, address],
            env={**environment, **keys},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    said = {name: process.communicate(timeout=120) for name, process in said.items()}
    assert said.pop("the token")[0].strip() == "inside"
    for output, errors in said.values():
        assert not output and "Error" in errors, errors


def test_the_token_stands_where_nobody_else_can_read_it(launched, home):
    study, processes = launched
    token = token_of(processes)
    assert len(token) == 64 and token not in ("e" * 64, "f" * 64)
    for each in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess):  # which has just ended
            assert token not in " ".join(each.cmdline())
    session = Path(re.search(r"/tmp/ray/session_[^/]+", " ".join(raylet(processes).cmdline())).group())
    for place in [*session.rglob("*"), *study.folder.rglob("*"), *home.rglob("*")]:
        with contextlib.suppress(FileNotFoundError):
            assert not place.is_file() or token.encode() not in place.read_bytes(), place
    assert "oken" not in study.log()
    assert [place.name for place in home.glob(".ray/*")] == ["auth_token"] and (home / ".ray/auth_token").read_text() == "f" * 64


def test_a_process_that_had_a_ray_of_its_own_can_start_a_cluster_that_others_enter():
    """Loopback was for its own alone: a cluster there would be sought at this machine's address."""
    process = subprocess.run(
        [sys.executable, "-c", BEFORE_A_CLUSTER, ENTER], cwd=ROOT, env=outside(), text=True, capture_output=True, timeout=300
    )
    assert process.returncode == 0 and "inside" in process.stdout, process.stderr[-2000:]
