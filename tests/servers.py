"""Real MLflow servers on free ports."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SERVER = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}


def free_port() -> int:
    """A port that nobody listens at, outside 10002 to 19999, which Ray's workers use."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            if not 10002 <= (port := probe.getsockname()[1]) <= 19999:
                return port


@contextlib.contextmanager
def answering(command: list, port: int, **options):
    """The process of a server, which answers at that port; killed at the end."""
    process = subprocess.Popen(command, start_new_session=True, **options)
    try:
        wait_for(lambda: answers(port), 90)
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def server(folder: Path, port: int, store: str):
    """A real `mlflow server`, answering."""
    where = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command = [sys.executable, "-m", "mlflow", "server", *where, "--backend-store-uri", store]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    return answering(command, port, env=SERVER, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@contextlib.contextmanager
def served(folder: Path, port: int):
    """`study/ui.py` at work on the store in a folder; the file of what it says."""
    said = folder / "said.txt"
    command = [sys.executable, ROOT / "study/ui.py", "--store", folder / "mlflow.db", "--port", str(port)]
    with open(said, "w") as output, answering(command, port, stdout=output, stderr=subprocess.STDOUT):
        yield said


def answers(port: int) -> bool:
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).status == 200
    except OSError:
        return False


def wait_for(condition, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.1)
