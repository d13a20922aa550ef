"""The command line: plans, mistakes and their exit codes. Nothing here starts Ray."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from study import launch, status
from study.cli import run_command
from study.training.training import evaluation_epochs

ROOT = Path(__file__).resolve().parents[2]


def run(capsys, *arguments, main=launch.main) -> tuple[int, str]:
    code = run_command(lambda: main([str(argument) for argument in arguments]))
    captured = capsys.readouterr()
    return code, captured.out + captured.err


@pytest.fixture
def here(tmp_path, data_dir, monkeypatch):
    """Options that keep everything in temporary folders."""
    monkeypatch.chdir(tmp_path)
    return ["--storage", tmp_path / "studies", "--data-dir", data_dir]


def test_a_dry_run_shows_the_plan_and_starts_nothing(capsys, here, tmp_path):
    code, text = run(capsys, "--space", "latent_sweep", "--dry-run", *here)
    assert code == 0 and "672 trials in 12 cells, 672 left" in text
    assert not (tmp_path / "studies").exists()


def test_datasets_not_on_disk_are_left_out_with_the_command_that_fetches_them(capsys, here):
    code, text = run(capsys, "--space", "latent_sweep", "--dry-run", *here)
    line = next(line for line in text.splitlines() if "so left out: mnist" in line)
    assert code == 0 and "--download" in line and "--dry-run" not in line  # which downloads nothing


def test_a_space_of_which_no_dataset_is_on_disk_can_be_planned_but_not_launched(capsys, here, tmp_path):
    code, text = run(capsys, "--space", "mnist_fc", *here)
    assert code == 2 and "error: not in" in text and ": mnist;" in text and "--datasets mnist --download" in text
    code, text = run(capsys, "--space", "mnist_fc", "--dry-run", *here)
    assert code == 0 and "not on disk: mnist. To fetch" in text and "2464 trials in 44 cells, 2464 left" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--space", "latent_swep"], "did you mean 'latent_sweep'"),
        (["--space", "../etc"], "no space named"),
        (["--space", "smoke", "--datasets", "mnst"], "mnist"),
        (["--space", "smoke", "--datasets", "mnist"], "--download"),
        (["--space", "smoke", "--datasets", "folder:/nowhere"], "/nowhere"),
        (["--space", "smoke", "--models", "VEA"], "did you mean 'vae'"),
    ],
)
def test_a_mistake_is_one_clear_line_and_exit_code_2(capsys, here, arguments, message):
    code, text = run(capsys, *arguments, "--dry-run", *here)
    assert code == 2 and message in text and "Traceback" not in text
    assert len([line for line in text.splitlines() if line.startswith("error:")]) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["--space", "smoke", "--proposals", "0"],
        ["--space", "smoke", "--replicates", "-1"],
        ["--space", "smoke", "--epochs", "x"],
        ["--space", "smoke", "--cpus-per-trial", "nan"],
        ["--spac"],
        [],
    ],
)
def test_numbers_that_make_no_sense_are_refused_with_exit_code_2(capsys, here, arguments):
    with pytest.raises(SystemExit) as caught:
        launch.main([*arguments, *map(str, here)])
    assert caught.value.code == 2


def test_a_folder_of_fewer_images_than_a_batch_is_refused(capsys, here, tmp_path):
    from PIL import Image

    (tmp_path / "few").mkdir()
    for number in range(20):
        Image.new("RGB", (16, 16), (number, 0, 0)).save(tmp_path / "few" / f"{number}.png")
    code, text = run(capsys, "--space", "smoke", "--datasets", f"folder:{tmp_path / 'few'}", *here)
    assert code == 2 and "batch" in text


def test_a_storage_folder_that_cannot_be_written_is_refused(capsys, tmp_path, data_dir):
    (tmp_path / "file").write_text("")
    code, text = run(capsys, "--space", "smoke", "--storage", tmp_path / "file", "--data-dir", data_dir)
    assert code == 2 and "cannot be written" in text


def test_a_status_of_a_study_never_launched_is_one_clear_line(capsys, tmp_path):
    code, text = run(capsys, "--space", "smoke", "--storage", tmp_path, main=status.main)
    assert code == 2 and "launch it first" in text


def test_a_trial_is_looked_at_untrained_and_then_about_six_times():
    assert evaluation_epochs(60) == [0, 10, 20, 30, 40, 50, 60]
    assert evaluation_epochs(2) == [0, 1, 2] and evaluation_epochs(1) == [0, 1]


@pytest.mark.parametrize("script", sorted(path.stem for path in (ROOT / "study").glob("*.py") if "__main__" in path.read_text()))
def test_the_help_of_a_command_loads_no_large_library(script):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", f"study/{script}.py", "--help"], cwd=ROOT, capture_output=True, text=True
    )
    loaded = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert done.returncode == 0 and "study.cli" in loaded
    assert not loaded & {"torch", "numpy", "scipy", "pandas", "mlflow", "ray", "optuna", "matplotlib"}


@pytest.mark.alone
@pytest.mark.long
def test_a_dry_run_costs_little_more_than_importing_torch():
    """Processor seconds, each the least of three: how fast the machine is and what else it does takes both alike."""

    def seconds(*arguments):
        before = os.times()
        environment = {**os.environ, "STUDY_DATA": "/nonexistent"}
        subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True, env=environment)
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    pairs = [(seconds("study/launch.py", "--space", "smoke", "--dry-run"), seconds("-c", "import torch")) for _ in range(3)]
    looking, importing = map(min, zip(*pairs, strict=True))
    print(f"{looking:.2f} s, torch {importing:.2f} s")
    assert looking < 2 * importing
