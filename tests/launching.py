"""The launch as a user types it."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RAY = Path(sys.executable).with_name("ray")


def launch(storage, data_dir, *arguments, space="smoke", code=0) -> str:
    done = subprocess.run(
        [sys.executable, "study/launch.py", "--space", space, "--storage", storage, "--data-dir", data_dir, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout
