"""What grows with a study: 100, 1,000 and 10,000 trials whose training does nothing.

    python benchmarks/scale.py [--trials 100 1000 10000] [--json FILE]

Without Ray, whose share benchmarks/overhead.py measures: the plan, the searcher, the ledger, MLflow, status and report
are called as a sweep calls them. `suggestion` is the mean of the last fifth, when most of the study is to be remembered;
the peer of every row is the limit that the project set itself.
"""

import mmap
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from benchmarks.overhead import empty_outcome, plan_of
from benchmarks.table import keep, parser_of, row
from study.ledger.folder import Ledger
from study.mlflow_view.store import default_uri
from study.mlflow_view.tracker import Tracker
from study.sweep.plan import write_planned
from study.sweep.ray_searcher import LedgerSearch
from study.sweep.worker_messages import Final, PackConfig


def main(arguments=None) -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1000, 10_000])
    options = parser.parse_args(arguments)
    rows = [line for trials in options.trials for line in measure(trials)]
    keep(rows, options)
    return 0


def measure(trials: int) -> list[dict]:
    with tempfile.TemporaryDirectory() as folder:
        storage = Path(folder) / "studies"
        tracker = Tracker(default_uri(storage), Ledger(storage / "overhead"), "overhead")  # before the trials, as in a sweep
        memory = psutil.Process().memory_info().rss
        plan, start = plan_of(trials, storage), time.monotonic()
        write_planned(plan)
        planned_s = time.monotonic() - start
        suggestions, reports = drive(plan)
        grown = max(psutil.Process().memory_info().rss - memory, mmap.PAGESIZE)  # what it had left may have been enough
        count, last = len(suggestions), max(1, len(suggestions) // 5)
        rows = [
            row(f"{count} trials: a suggestion", 1000 * sum(suggestions[-last:]) / last, 20, "ms", "limit"),
            row(f"{count} trials: a result taken in", 1000 * sum(reports[-last:]) / last, 50, "ms", "limit"),
            row(f"{count} trials: the driver's memory per trial", grown / 1000 / count, 100, "KB", "limit"),
            row(f"{count} trials: the plan written", planned_s, 2, "s", "limit"),
            row(f"{count} trials: the plan read again", seconds(lambda: plan_of(trials, storage)), 20, "s", "limit"),
        ]
        keys = plan.ledger.keys()[:500]
        rows += [
            row(
                f"{count} trials: a trial into MLflow",
                seconds(lambda: [tracker.project(key) for key in keys]) * 1000 / len(keys),
                100,
                "ms",
                "limit",
            ),
            row(f"{count} trials: status.py", command("status.py", storage), 2, "s", "limit"),
            row(f"{count} trials: report.py", command("report.py", storage), 60, "s", "limit"),
        ]
        return rows


def drive(plan) -> tuple[list[float], list[float]]:
    """Seconds of every suggestion and of every result, two trials at a time, until nothing is left."""
    suggestions, reports, live, count = [], [], [], 0
    search = LedgerSearch(plan, PackConfig(), lambda trial, outcome: plan.ledger.put_result(trial.key, outcome))
    while True:
        start = time.monotonic()
        config = search.suggest(str(count))
        if config == search.FINISHED:
            return suggestions, reports
        if config is not None:
            suggestions.append(time.monotonic() - start)
            live.append((str(count), [plan.ledger.spec(key) for key in config["keys"]]))
            count += 1
        if len(live) == 2 or config is None:
            trial_id, specs = live.pop(0)
            outcome = Final(tuple(map(empty_outcome, specs))).to_tune()
            start = time.monotonic()
            search.on_trial_complete(trial_id, outcome)
            reports.append(time.monotonic() - start)


def seconds(call) -> float:
    start = time.monotonic()
    call()
    return time.monotonic() - start


def command(script: str, storage: Path) -> float:
    return seconds(
        lambda: subprocess.run(
            [sys.executable, ROOT / "study" / script, "--space", "overhead", "--storage", storage],
            check=True,
            capture_output=True,
            cwd=storage,
            env={**os.environ},
        )
    )


if __name__ == "__main__":
    sys.exit(main())
