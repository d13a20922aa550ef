"""A clone runs its own code: a copied folder, a second clone in the same environment, `git worktree`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def copied(tmp_path) -> Path:
    """The project in another folder, whose commands say so, while this one is what the environment has installed."""
    place = tmp_path / "copied"
    for part in ("study", "models", "search_spaces"):
        shutil.copytree(ROOT / part, place / part, ignore=shutil.ignore_patterns("__pycache__"))
    command = place / "study" / "cli.py"
    command.write_text(command.read_text() + "\nprint('code of', __file__, file=sys.stderr)\n")
    return place


COMMANDS = ("launch", "status", "report", "rate", "sample", "tracking", "proposals", "trial", "ui")


def run(place: Path, script: str, *arguments) -> subprocess.CompletedProcess:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, place / "study" / f"{script}.py", *arguments],
        cwd=place.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize("script", COMMANDS)
def test_a_command_of_a_copied_project_starts_as_a_script_and_runs_the_copys_code(copied, script):
    done = run(copied, script, "--help")
    assert done.returncode == 0 and "usage:" in done.stdout and f"code of {copied / 'study' / 'cli.py'}" in done.stderr


def test_no_module_of_the_study_hides_one_of_pythons_own():
    """Workers and debuggers put folders of scripts on the path, too."""
    assert not {path.stem for path in (ROOT / "study").iterdir()} & sys.stdlib_module_names
