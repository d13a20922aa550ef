"""What a terminal of 80 columns shows of a sweep, and what is written where there is none."""

import subprocess
import sys
from pathlib import Path

import pytest
from screen import shown

ROOT = Path(__file__).resolve().parents[2]
SWEEP = """
import sys, time
from pathlib import Path
sys.path[:0] = ["tests"]
from tiny import IDENTITY, finish, tiny_space
from models.nets import fc
from models.vae import VAE
from study.data import digits
from study.ledger.folder import Ledger
from study.space import Search, grid
from study.sweep.estimate import Rate, group
from study.sweep.plan import Plan, write_planned
from study.sweep import progress

progress.LINE_S = 0.2
cells = grid([VAE], [fc], [1, 2, 3], [2, 8], [digits], width=[16], output_bias=["of a name that is long"])
space = tiny_space(cells=cells, search=Search(rounds=(3,), rungs=(0.5,)))
ledger = Ledger(Path(sys.argv[1]) / "tiny")
plan = Plan(space, ledger, IDENTITY)
rates = {group(cell, stage): Rate(60.0, 0.0) for cell in cells for stage in ("search", "confirm")}
display = progress.Display(plan, 2, "MLflow: sqlite:////a/folder/that/is/deep/enough/for/two/lines/of/a/terminal/mlflow.db", rates)
with display:
    trial = plan.search[cells[0].name][0]
    finish(plan, trial, objective=0.4567)
    display.finished(trial, plan.results[trial.key])
    display.began([trial.key for trial in plan.search[cells[1].name][:2]])
    keys = [trial.key for trial in plan.search[cells[2].name][:2]]
    display.began(keys)
    display.advanced(keys, 0)
    display.log("a line of a log")
    time.sleep(1.2)
"""


def test_a_terminal_of_80_columns_shows_what_runs_the_best_and_the_time(tmp_path):
    code, screen = shown([sys.executable, "-c", SWEEP, tmp_path], 80, cwd=ROOT)
    lines = screen.text.splitlines()
    assert code == 0 and lines[0] == "a line of a log", screen.text
    assert "Traceback" not in screen.text and all(len(line) <= 80 for line in lines)
    assert [line.split()[0] for line in lines[1:5]] == ["vae", "now", "search", "best"], screen.text
    assert lines[1].startswith("vae on digits") and lines[1].endswith("1/96")
    assert "search starts, 2 x vae-fc-d1-z8" in lines[2] and lines[2].endswith("…")
    assert "search epoch 0 of 2, rung at 1, 2 x vae-fc-d2-z2" in lines[3]
    assert "fd_rel 0.457 vae-fc-d1-z2" in lines[4]
    assert "elapsed, about" in lines[5] and " left, until " in lines[5]
    assert "".join(line[4:].strip() for line in lines[6:]).endswith("/for/two/lines/of/a/terminal/mlflow.db")  # nothing is cut


@pytest.mark.long
def test_without_a_terminal_lines_follow_one_another(tmp_path):
    done = subprocess.run([sys.executable, "-c", SWEEP, tmp_path], cwd=ROOT, capture_output=True, text=True, timeout=60)
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and "\x1b" not in done.stdout, done.stderr
    assert len(lines) >= 4 and lines[-1].startswith("1/96 finished (0 diverged, 0 failed), 4 running; "), done.stdout
    assert "; best so far: fd_rel 0.457 vae-fc-d1-z2" in lines[-1]
