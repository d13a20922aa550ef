"""What the terminal shows while a sweep runs: what runs, how long, the best so far; a line per 30 s where there is no terminal."""

import sys
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from rich.console import Console
from rich.console import Group as Rows
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from study.ledger.records import FINISHED, Result
from study.metrics.catalogue import number
from study.sweep.estimate import Group, Rate
from study.sweep.pace import Pace, Running
from study.sweep.plan import Plan, Trial, counts

LINE_S = 30.0  # between lines where there is no terminal
MANY = 4  # packs, and bests, that are shown at most


def console() -> Console:
    """Where a launch prints; in a notebook, whose output is neither a terminal nor a page, plain lines."""
    notebook = "ipykernel" in sys.modules
    plain = {"force_jupyter": False, "force_terminal": False} if notebook else {}
    return Console(highlight=False, width=None if sys.stdout.isatty() and not notebook else 120, **plain)


def duration(seconds: float) -> str:
    """For people: 45 s, 12 min, 3.5 h, 2.1 days."""
    for size, unit, digits in ((86400, "days", 1), (3600, "h", 1), (60, "min", 0)):
        if seconds >= size * (1.5 if unit == "min" else 1):
            return f"{seconds / size:.{digits}f} {unit}"
    return f"{seconds:.0f} s"


class Display:
    """One sweep; `with display:` shows it until its end. `rates`: what study/sweep/estimate.py expects."""

    def __init__(self, plan: Plan, slots: int, where: str, rates: Mapping[Group, Rate]):
        self.plan, self.where, self.pace = plan, where, Pace(plan, slots, rates)
        self.started = time.monotonic()
        self.best: dict[tuple[str, str], tuple[float, str]] = {}  # (model, dataset) -> objective and cell
        for trial in plan.trials():
            if result := plan.results.get(trial.key):
                self._note_best(trial, result)
        self.console, self.stop = console(), threading.Event()
        self.live = (
            Live(get_renderable=self.render, console=self.console, refresh_per_second=2) if self.console.is_terminal else None
        )
        self.thread = threading.Thread(target=self._lines, daemon=True)

    def __enter__(self):
        self.live.start() if self.live else self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.live.stop() if self.live else self.thread.join()

    def log(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)

    def began(self, keys: Sequence[str]) -> None:
        self.pace.began(keys)

    def advanced(self, keys: Sequence[str], epoch: int, over: bool = False) -> None:
        self.pace.advanced(keys, epoch, over)

    def finished(self, trial: Trial, result: Result) -> None:
        self._note_best(trial, result)
        if result.status == "failed":
            self.log(f"failed: {trial.key}: {result.error}")

    def _note_best(self, trial: Trial, result: Result) -> None:
        if result.status == "done" and trial.stage == "search" and result.objective is not None:
            family, found = (trial.cell.family, trial.cell.dataset.name), (result.objective, trial.cell.name)
            self.best[family] = min(self.best.get(family, found), found)

    @property
    def counts(self) -> dict[tuple[str, str], dict]:
        return counts(self.plan, frozenset(key for pack in self.pace.running() for key in pack.keys))

    def bests(self) -> list[str]:
        """The best of each model and dataset so far, on validation images, the lowest first."""
        return [f"fd_rel {number(value)} {cell}" for value, cell in sorted(self.best.values())]

    def times(self, ends: bool = False) -> str:
        spent, left = f"{duration(time.monotonic() - self.started)} elapsed, ", self.pace.left()
        if left is None:
            return spent + "time left not known yet"
        end = datetime.now() + timedelta(seconds=left)
        return spent + f"about {duration(left)} left" + (f", until {end:%H:%M}" if ends else "")

    def line(self) -> str:
        rows = self.counts.values()
        total = {name: sum(row[name] for row in rows) for name in ("planned", "running", *FINISHED)}
        return (
            f"{sum(total[status] for status in FINISHED)}/{total['planned']} finished"
            f" ({total['diverged']} diverged, {total['failed']} failed), {total['running']} running; {self.times()}"
            + "".join(f"; best so far: {', '.join(self.bests())}" if self.best else "")
        )

    def render(self) -> Rows:
        """As wide as the terminal: what does not fit is cut, but for addresses, which are wrapped."""
        done, said = Table.grid(padding=(0, 2), expand=True), Table.grid(padding=(0, 2), expand=True)
        done.add_column(no_wrap=True, overflow="ellipsis", max_width=self.console.width // 3)
        done.add_column(ratio=1)
        done.add_column(no_wrap=True, justify="right")
        for (family, dataset), row in self.counts.items():
            finished = sum(row[status] for status in FINISHED)
            bad = [f"{row[status]} {status}" for status in ("diverged", "failed") if row[status]]
            done.add_row(
                f"{family} on {dataset}", ProgressBar(row["planned"], finished), ", ".join([*bad, f"{finished}/{row['planned']}"])
            )
        said.add_column(style="bold")
        said.add_column(ratio=1)
        for word, lines in (("now", shortened(list(map(under_way, self.pace.running())))), ("best", shortened(self.bests()))):
            for index, line in enumerate(lines):
                said.add_row(word if index == 0 else "", Text(line, no_wrap=True, overflow="ellipsis"))
        said.add_row("time", self.times(ends=True))
        said.add_row("see", Text(self.where, overflow="fold"))
        return Rows(done, said)

    def _lines(self):
        while True:
            self.log(self.line())
            if self.stop.wait(LINE_S):
                return self.log(self.line())


def under_way(pack: Running) -> str:
    """What a pack does, the most telling first: a narrow terminal cuts its end."""
    if pack.heard is None:
        doing = "starts"
    elif pack.epoch == pack.until:
        doing = "is measured"
    else:
        end = pack.trial.budget.epochs
        doing = f"epoch {pack.epoch} of {end}" + (f", rung at {pack.until}" if pack.until < end else "")
    return f"{pack.trial.stage} {doing}, {len(pack.keys)} x {pack.trial.cell.name}"


def shortened(lines: Sequence[str]) -> list[str]:
    """The first of many lines, and how many more there are."""
    return [*lines[:MANY], *([f"and {len(lines) - MANY} more"] if len(lines) > MANY else [])]
