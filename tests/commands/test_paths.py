"""Folders and terminals as users have them: odd names, long ones, links, file systems that lack something. It works, or one line
says what does not."""

import io
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy
from mlflow import MlflowClient
from PIL import Image

from study import launch
from study.cli import run_command
from study.errors import UserError
from study.ledger.folder import Ledger
from study.mlflow_view.store import database_of, default_uri, uri_of
from study.sweep.scratch import check_scratch

ROOT = Path(__file__).resolve().parents[2]
# no colon: it ends a folder in PYTHONPATH; no ': MLflow writes the current folder into SQL as text
ODD = 'a?b#c %20 $x$ {y} é&;=+"`!*'
SPACE = '''"""Is a path only a path?"""
from models.nets import fc
from models.vae import VAE
from study.data import digits
from study.space import Budget, Search, Space, grid

SPACE = Space(cells=grid([VAE], [fc], [1], [2], [digits], width=[16]), propose=lambda trial, cell: {"lr": trial.suggest_float("lr", 1e-4, 1e-2, log=True)},
              budget=lambda cell: Budget(1, 16), search=Search(rounds=(1,), rungs=()), replicates=1)
'''


def pictures(place: Path) -> None:
    """Forty images in two classes, one of them in a folder whose name is not UTF-8."""
    generator = np.random.default_rng(0)
    for name in ("plain", os.fsdecode(b"\xff")):
        (place / name).mkdir(parents=True)
        for number in range(40):
            Image.fromarray(generator.integers(0, 255, (8, 8), dtype=np.uint8)).save(place / name / f"{number}.png")


@pytest.mark.long
@pytest.mark.ray
def test_a_study_runs_wherever_its_folders_lie(tmp_path):
    """Odd names of the project (a copy, whose own code its workers run), the storage, the space file, the images and the data; a
    storage that is a link, a path of over 300 characters, a temporary folder that is not there yet, a terminal that knows ASCII
    alone."""
    odd = tmp_path / ODD
    for part in ("study", "models", "search_spaces"):
        shutil.copytree(ROOT / part, odd / "project" / part, ignore=shutil.ignore_patterns("__pycache__"))
    training = odd / "project" / "study" / "training" / "training.py"
    training.write_text(training.read_text().replace('"device": device', '"device": __file__'))  # so that results say whose it is
    real = odd / ("n" * 255) / "mlruns:" / "studies"
    real.mkdir(parents=True)
    (odd / "linked").symlink_to(real)
    (odd / "odd_question.py").write_text(SPACE)
    pictures(odd / "images: $1^{")
    environment = {
        **os.environ,
        "PYTHONIOENCODING": "ascii",
        "LC_ALL": "C",
        "TERM": "dumb",
        "TMPDIR": tempfile.mkdtemp() + "/no $where",
        "XDG_CACHE_HOME": str(odd / "cache"),
    }
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [
            sys.executable,
            odd / "project" / "study" / "launch.py",
            "--space",
            odd / "odd_question.py",
            "--datasets",
            f"folder:{odd}/images: $1^{{",
            "--storage",
            odd / "linked",
            "--data-dir",
            odd / "data:",
        ],
        cwd=odd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    ledger = Ledger(real / "odd_question")
    results = [ledger.result(key) for key in ledger.keys()]
    assert [result.status for result in results] == ["done", "done"]
    assert {result.device for result in results} == {str(training)}, "workers ran another project's code"
    assert (ledger.root / "report" / "report.html").exists(), done.stdout
    client = MlflowClient(default_uri(odd / "linked"))
    runs = client.search_runs([client.get_experiment_by_name("odd_question").experiment_id])
    assert (real.parent / "mlflow.db").exists() and sorted(run.data.tags["stage"] for run in runs) == [
        "cell",
        "confirm",
        "search",
        "summary",
    ]


def test_the_address_of_mlflows_store_leads_back_to_its_file(tmp_path):
    place = tmp_path / ODD / "mlflow.db"
    place.parent.mkdir()
    assert database_of(uri_of(place)) == place and uri_of(Path("/a b/mlflow.db")) == "sqlite:////a b/mlflow.db"
    sqlalchemy.create_engine(uri_of(place)).connect().close()
    assert place.exists() and len(list(tmp_path.rglob("*"))) == 2


def test_a_plan_is_shown_on_a_terminal_that_lacks_its_letters(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pictures(tmp_path / "étage")
    screen = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(screen, "ascii", write_through=True))
    code = run_command(lambda: launch.main(["--space", "smoke", "--datasets", "folder:étage", "--dry-run"]))
    assert code == 0 and rb"folder:\xe9tage" in screen.getvalue() and b"trials in 9 cells" in screen.getvalue()


@pytest.mark.parametrize("where", ["argument", "folder", "link", "STUDY_DATA"])
def test_a_name_that_is_not_utf8_is_refused_in_one_line(tmp_path, monkeypatch, capsys, where):
    place = tmp_path / os.fsdecode(b"\xff")
    place.mkdir()
    (tmp_path / "link").symlink_to(place)
    monkeypatch.chdir(place if where == "folder" else tmp_path)
    monkeypatch.setattr(sys, "argv", ["launch.py", {"argument": str(place), "link": "link"}.get(where, "x")])
    if where == "STUDY_DATA":
        monkeypatch.setenv(where, str(place))
    assert run_command(lambda: 1 / 0) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: the name of ") and r"\udcff" in error and error.count("\n") == 1


@pytest.fixture
def small_disk():
    """A file system of 256 kB in memory, as root can make one, at a short path."""
    place = tempfile.mkdtemp(dir="/tmp")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", place], capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    yield Path(place)
    subprocess.run(["umount", place], check=True)


def test_a_temporary_folder_that_is_full_too_long_or_cannot_be_made_is_refused_by_its_name(small_disk, tmp_path, monkeypatch):
    for place, reason in (
        (small_disk, "No space left on device"),
        (tmp_path / ("n" * 40), "bytes"),
        (Path("/proc/none"), "No such file"),
    ):
        monkeypatch.setenv("RAY_TMPDIR", str(place))
        with pytest.raises(UserError, match=f"Ray cannot start in {place} .*{reason}.*RAY_TMPDIR"):
            check_scratch()


def test_a_temporary_folder_that_is_missing_is_made(monkeypatch, small_disk):
    subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
    monkeypatch.setenv("RAY_TMPDIR", str(small_disk / "new"))
    check_scratch()
    assert (small_disk / "new").is_dir() and not list((small_disk / "new").iterdir())


def test_a_project_whose_name_would_end_in_the_middle_on_pythons_path_is_refused(monkeypatch):
    from study.sweep import ray_executor

    monkeypatch.setattr(ray_executor, "ROOT", Path("/home/me/a:b"))
    with pytest.raises(UserError, match="/home/me/a:b.*rename it"):
        ray_executor.start(None)
