"""A terminal that goes away, with and without a hang-up, ends nothing that was started from it; nor does a report that fails."""

import contextlib
import fcntl
import os
import pty
import re
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from screen import shown
from tiny import finish

from benchmarks.crash import NOTHING, Study, count
from study.analysis.report_data import findings
from study.launch import reported

ROOT = Path(__file__).resolve().parents[2]
SPEAK = """
import contextlib, sys, time
from study.cli import outlive_the_terminal
outlive_the_terminal()
print("ready", file=sys.stderr)
with contextlib.suppress(OSError):
    sys.stdin.buffer.raw.read(1)  # returns at the end of what the test holds
for _ in range(3):
    print("nobody reads this")
    print("nor this", file=sys.stderr)
    time.sleep(0.05)
open(sys.argv[1], "w").write("lived")
"""


@contextlib.contextmanager
def terminal(hangs_up: bool = True):
    """A pseudo-terminal: what a command is started with, and a function that shows what it wrote and one that closes it."""
    ours, theirs = pty.openpty()

    def controlled():
        os.setsid()
        if hangs_up:  # only who is controlled by a terminal hears of its end
            fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    open_ends = [ours]
    try:
        yield (
            {"stdin": theirs, "stdout": theirs, "stderr": theirs, "preexec_fn": controlled, "close_fds": True},
            lambda: os.read(ours, 4096),
            lambda: os.close(open_ends.pop()),
        )
    finally:
        for end in [theirs, *open_ends]:
            os.close(end)


@pytest.mark.parametrize("hangs_up", [True, False])
def test_a_command_goes_on_without_its_terminal(tmp_path, hangs_up):
    with terminal(hangs_up) as (streams, read, close):
        process = subprocess.Popen([sys.executable, "-c", SPEAK, tmp_path / "end"], cwd=ROOT, **streams)
        assert b"ready" in read()
        close()
        assert process.wait(20) == 0
    assert (tmp_path / "end").read_text() == "lived"


def test_a_command_goes_on_when_nobody_reads_its_pipe(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", SPEAK, tmp_path / "end"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert b"ready" in process.stderr.readline()
    process.stdout.close()
    process.stderr.close()
    process.stdin.close()
    assert process.wait(20) == 0 and (tmp_path / "end").read_text() == "lived"


@pytest.mark.long
@pytest.mark.ray
def test_a_sweep_goes_on_to_its_end_when_its_terminal_is_closed(tmp_path):
    study = Study(tmp_path, models=("VAE",), epochs=60)
    with terminal() as (streams, read, close):
        process = subprocess.Popen(study.command(), **streams)
        try:
            study.wait_until_at_work(process)
            close()
            assert process.wait(300) == 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert count(study, []) == NOTHING
    attempts = [study.ledger.result(key).attempts for key in study.ledger.keys()]
    assert all(tries in ([], [0], [0, 30]) for tries in attempts)  # stopped, confirmed, gone on at the rung: not a worker was lost
    assert (study.ledger.root / "report" / "report.html").exists()


def test_a_report_that_fails_is_one_line_and_the_end_goes_on(plan, tmp_path, monkeypatch):
    finish(plan, plan.left()[0])
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # as where it is not installed
    said, answer = reported(plan.ledger, tmp_path, False, print)
    assert "On digits, the best cells come as near" in answer[0]
    assert said.startswith("not written: ModuleNotFoundError: ") and "report.py --space tiny" in said and "\n" not in said


@pytest.mark.long
@pytest.mark.ray
def test_a_launch_in_80_columns_shows_what_runs_and_ends_with_the_answer_before_what_to_type(tmp_path):
    study, seen = Study(tmp_path, models=("VAE",), epochs=6), []
    code, screen = shown(study.command(), 80, seen.append)
    assert code == 0, screen.text
    assert any(re.search(r"search epoch \d+ of 6.*x vae-", text) for text in seen), screen.text
    assert any(re.search(r"best +fd_rel [\d.]+ vae-", text) for text in seen) and any("elapsed, about" in text for text in seen)
    lines = screen.text.splitlines()
    begin, best, report = (
        next(number for number, line in enumerate(lines) if line.startswith(word))
        for word in ("On digits,", "best vae on ", "report: ")
    )
    assert begin < best < report
    assert " ".join(lines[begin:best]) == " ".join(findings(study.ledger).answer)  # whole words on every line
