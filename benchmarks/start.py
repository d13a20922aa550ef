"""Seconds until something is seen: `--help`, `--dry-run`, a status, the first trial of a study at work.

    python benchmarks/start.py [--json FILE]

The peer of every row is the limit that the project set itself.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from benchmarks.table import keep, parser_of, row

ROUNDS = 5
SMOKE = ["study/launch.py", "--space", "smoke"]


def main(arguments=None) -> int:
    options = parser_of(__doc__).parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        storage = ["--storage", folder + "/studies"]
        rows = [
            row("launch.py --help", least([*SMOKE[:1], "--help"]), 0.3, "s", "limit"),
            row("launch.py --space smoke --dry-run", least([*SMOKE, *storage, "--dry-run"]), 2.5, "s", "limit"),
            row("the first trial at work, from nothing", first_trial([*SMOKE, *storage], Path(folder)), 20.0, "s", "limit"),
        ]
    keep(rows, options)
    return 0


def least(command: list[str]) -> float:
    """Seconds of the quickest of some runs; the first, which reads the files from the disk, does not count."""
    times = []
    for _ in range(ROUNDS + 1):
        start = time.monotonic()
        subprocess.run([sys.executable, *command], cwd=ROOT, check=True, capture_output=True)
        times.append(time.monotonic() - start)
    return min(times[1:])


def first_trial(command: list[str], folder: Path) -> float:
    """Seconds from the command to the first epoch trained: images decoded, features trained, Ray started."""
    start = time.monotonic()
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not any(place.stat().st_size for place in folder.rglob("metrics.jsonl")):
        time.sleep(0.02)
    spent = time.monotonic() - start
    process.terminate()
    process.wait()
    return spent


if __name__ == "__main__":
    sys.exit(main())
