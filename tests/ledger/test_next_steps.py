"""What a command prints to type next works as it stands there: from any folder, for any storage, port and space file."""

import os
import random
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from study import launch
from study.ledger.folder import LAUNCHES
from study.ledger.next_steps import ROOT, command, from_the_project, of_ledger, study_arguments
from study.mlflow_view.pages import make_ui, mlflow_page
from study.sweep.launch_options import note_launch

SPACE = '''"""Does it end with commands that work?"""
from models.nets import fc
from models.vae import VAE
from study.data import digits
from study.space import Budget, Search, Space, grid

SPACE = Space(cells=grid([VAE], [fc], [1], [2], [digits], width=[16]), budget=lambda cell: Budget(epochs=1, batch_size=64),
              propose=lambda trial, cell: {"lr": trial.suggest_float("lr", 1e-4, 1e-2, log=True)}, search=Search(rounds=(1,), rungs=()), replicates=1)
'''


def a_server() -> socket.socket:
    """Listens at a port that connections of others are not made from, nor at the next ones."""
    while True:
        try:
            return socket.create_server(("127.0.0.1", random.randint(20_000, 30_000)))
        except OSError:
            pass


def test_a_launch_is_called_as_the_last_one_was_so_that_it_plans_the_same_trials(ledger):
    assert "--epochs" not in of_ledger("launch", ledger)
    for numbers in (["--epochs", "5"], ["--epochs", "2", "--proposals", "3", "--models", "vae"]):
        with ledger.lock():
            note_launch(ledger, launch.parse(["--space", "smoke", *numbers]))
    for said in (of_ledger("launch", ledger), from_the_project("launch", ledger, "", "--nets", "fc")):
        assert "--proposals 3 --epochs 2" in said and "vae" not in said
    assert "--epochs" not in of_ledger("status", ledger)
    with open(ledger.root / LAUNCHES, "a") as file:  # of somebody who would have another command typed
        file.write('{"options": {"epochs": "1; rm x", "proposals": true}}\n[1]\n{"options": 3}\n{"opt')
    assert of_ledger("launch", ledger) == command("launch", *study_arguments(ledger.root.name, ledger.root.parent))


@pytest.mark.parametrize("place", ["/", str(ROOT), str(ROOT / "study")])
def test_a_command_works_from_whichever_folder(monkeypatch, place):
    monkeypatch.chdir(place)
    done = subprocess.run(command("status", "--help"), shell=True, capture_output=True, text=True)
    assert done.returncode == 0 and "usage: status.py" in done.stdout


def test_the_default_storage_needs_no_word_and_another_is_named_as_a_shell_takes_it(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert study_arguments("smoke", tmp_path / "mlruns" / "studies") == ["--space", "smoke"]
    odd = Path("it's mine/studies")
    assert shlex.split(command("status", *study_arguments("smoke", odd)))[-2:] == ["--storage", str(odd)]
    assert study_arguments("smoke", "s3://bucket/prefix")[-1] == "s3://bucket/prefix"
    assert study_arguments("smoke", ROOT / "mlruns" / "results", ROOT)[-1] == "mlruns/results"  # typed in the project's folder


def test_a_port_that_something_else_listens_at_is_passed_over(monkeypatch):
    with a_server() as other:
        port = other.getsockname()[1]
        monkeypatch.setenv("PORT", str(port))
        line = mlflow_page(f"sqlite:///{ROOT / 'mlruns' / 'mlflow.db'}", "/#/page", "1", "word")
    ports = {int(number) for number in re.findall(r"(?:PORT=|127\.0\.0\.1:)(\d+)", line)}
    assert len(ports) == 1 and ports.pop() > port


def test_a_server_is_named_by_its_own_address():
    assert mlflow_page("http://lab:5000/", "/#/page", "1", "word") == "http://lab:5000/#/page"


def test_the_ui_of_another_store_is_told_which(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    assert make_ui(ROOT / "mlruns" / "mlflow.db") == "make ui"
    assert make_ui(tmp_path / "mlflow.db", 5001) == f"make ui STORE={tmp_path / 'mlflow.db'} PORT=5001"


@pytest.mark.ray
@pytest.mark.long
def test_everything_a_launch_prints_at_its_end_works_as_typed(tmp_path, data_dir, monkeypatch):
    """A space file and a storage with blanks in their names, from a folder that is neither's, beside a port in use."""
    (tmp_path / "my spaces").mkdir()
    (tmp_path / "my spaces" / "ends_well.py").write_text(SPACE)
    with a_server() as other:
        environment = {**os.environ, "PORT": str(other.getsockname()[1])}
        done = subprocess.run(
            [
                sys.executable,
                ROOT / "study" / "launch.py",
                "--space",
                "my spaces/ends_well.py",
                "--storage",
                "its runs/studies",
                "--data-dir",
                data_dir,
            ],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert done.returncode == 0, done.stderr
    status, ui = (re.search(rf"^  (.*{word}.*)$", done.stdout, re.M)[1] for word in ("status.py", " ui "))
    counted = subprocess.run(status, shell=True, cwd=tmp_path, capture_output=True, text=True)
    assert counted.returncode == 0 and "done" in counted.stdout, counted.stderr
    typed, page = ui.split("   # then ")
    assert shows_the_store(typed, page, tmp_path)


def shows_the_store(typed: str, page: str, folder: Path) -> bool:
    """Whether the experiment is served where the launch said that `make ui` would show it."""
    experiment = re.search(r"experiments/(\d+)", page)[1]
    asked = f"{page.split('/#')[0]}/api/2.0/mlflow/experiments/get?experiment_id={experiment}"
    server = subprocess.Popen(
        typed, shell=True, cwd=folder, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(120):
            try:
                return "ends_well" in urllib.request.urlopen(asked, timeout=5).read().decode()
            except OSError:
                time.sleep(0.5)
        return False
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)
