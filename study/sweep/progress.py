"""What the terminal shows: the plan before the start, bars while running (a line per 30 s elsewhere), the end."""

import sys
import threading
import time
from collections import defaultdict
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from study.ledger.files import read_json
from study.ledger.folder import DEVICES, Ledger
from study.ledger.records import FINISHED, Result, SelfCheck
from study.space.space import Space
from study.space.systems import parameters
from study.sweep.estimate import Group, group, seconds_left
from study.sweep.plan import Plan, Trial, counts

LINE_S = 30.0  # between lines where there is no terminal


def console() -> Console:
    return Console(highlight=False, width=None if sys.stdout.isatty() else 120)


def duration(seconds: float) -> str:
    """For people: 45 s, 12 min, 3.5 h, 2.1 days."""
    for size, unit, digits in ((86400, "days", 1), (3600, "h", 1), (60, "min", 0)):
        if seconds >= size * (1.5 if unit == "min" else 1):
            return f"{seconds / size:.{digits}f} {unit}"
    return f"{seconds:.0f} s"


def time_left(plan: Plan, expected: dict, slots: int) -> str:
    """How long what is left takes, so many packs at a time, at the `rates` of study/sweep/estimate.py."""
    if (left := seconds_left(plan, expected, slots)) is None:
        return "how long is not known yet"
    seconds, busy = left
    return f"about {duration(seconds)}, {busy} pack{'s' * (busy > 1)} of trainings at a time"


def plan_table(plan: Plan) -> Table:
    """Cells and trials per model and dataset, and how much of them is left."""
    table = Table(title=f"{plan.space.name}: {plan.space.question.splitlines()[0] if plan.space.question else ''}")
    for name in ("model", "dataset", "cells", "replicates", "search", "confirm", "epochs", "done", "left"):
        table.add_column(name, justify="left" if name in ("model", "dataset") else "right")
    for (family, dataset), row in counts(plan).items():
        cells = [cell for cell in plan.space.cells if (cell.family, cell.dataset.name) == (family, dataset)]
        search = sum(len(plan.search[cell.name]) for cell in cells)
        budgets = [plan.space.budget(cell) for cell in cells]
        epochs = {each.epochs for budget in budgets for each in (budget, budget.confirm)}
        finished = sum(row[status] for status in FINISHED)
        table.add_row(
            family,
            dataset,
            *map(str, (len(cells), plan.space.replicates, search, row["planned"] - search)),
            f"{min(epochs)}" if len(epochs) == 1 else f"{min(epochs)}-{max(epochs)}",
            str(finished),
            str(row["planned"] - finished),
        )
    return table


def states_kept(plan: Plan) -> list[str]:
    """How much the final states take that the plan's trainings keep: weights, and twice as much of what an optimiser remembers."""
    if not plan.space.keep_states:
        return []
    models = [
        cell.build(plan.identity[cell.dataset.name]["shape"], plan.space.default_proposal(cell)[0]) for cell in plan.space.cells
    ]
    floats = 3 * plan.space.replicates * sum(tensor.numel() for model in models for tensor in model.parameters())
    return [f"trainings on held-out data keep where they end: about {4 * floats / 1e6:,.3g} MB in all"]


def found_on_cards(ledger: Ledger) -> list[str]:
    """How trainings are made on the cards that there were, and what was wrong with other ways (study/training/self_check.py)."""
    places = sorted((ledger.root / DEVICES).glob("*.json"))
    found = [known for place in places if (known := read_json(place, check=SelfCheck.from_json))]
    lines = []
    for card in sorted({each.card for each in found}):
        own = [each for each in found if each.card == card]
        graphs, fused = sum(each.graphs for each in own), sum(each.fused for each in own)
        lines.append(f"on {card} {len(own)} kinds of packs were tried: {graphs} are trained as graphs, {fused} side by side")
        lines += [f"  {each.cell}: not {way['way']}, since {way['wrong']}" for each in own for way in each.tried if way["wrong"]]
    return lines


def systems_table(space: Space, data_dir) -> Table:
    """The systems of a report with their parameters; three and more cells that differ in depth or latent share a row."""
    table, groups = Table(title=f"Systems of {space.name}", box=SIMPLE_HEAD, pad_edge=False), defaultdict(list)
    for name in ("system", "model", "dataset", "depth", "latent", "epochs", "parameters: down + up"):
        table.add_column(name, no_wrap=name not in ("depth", "latent"), min_width=len(name))
    for cell in space.cells:
        groups[cell.system, cell.dataset].append(cell)
    for (system, dataset), cells in groups.items():
        for row in [cells] if len(cells) > 2 else [[cell] for cell in cells]:
            depths, latents = (dict.fromkeys(getattr(cell, word) for cell in row) for word in ("depth", "latent_dim"))
            budget = space.budget(row[0])
            table.add_row(
                system,
                f"{row[0].family} {row[0].net.name}",
                dataset.name + ("" if dataset.is_available(data_dir) else " *"),
                ", ".join(map(str, depths)),
                ", ".join(map(str, latents)),
                f"{budget.epochs} x {budget.batch_size}",
                sizes(row),
            )
    table.caption = "epochs x images of a step; down: encoder or discriminator; up: decoder or generator; *: not on disk"
    return table


def sizes(cells) -> str:
    """Parameters of both parts of one cell, or the least and the most of several; ? where images decide the layers."""
    if cells[0].dataset.shape is None:
        return "?"
    counts = [list(parameters(cell).values()) for cell in cells]
    if len(cells) == 1:
        return " + ".join(f"{count:,}" for count in counts[0]) + f" = {sum(counts[0]):,}"
    totals = list(map(sum, counts))
    return f"{min(totals):,} to {max(totals):,}"


class Display:
    """Counters of one sweep; `with display:` shows them until the end. `rates`: what study/sweep/estimate.py expects."""

    def __init__(self, plan: Plan, slots: int, where: str, rates: dict):
        self.plan, self.slots, self.where, self.rates = plan, slots, where, rates
        self.started, self.running = time.monotonic(), set()
        self.groups: dict[str, Group] = {}  # by key
        self.reached: dict[str, int] = {}  # key -> the epoch where a training is
        self.since: dict[str, float] = {}  # first key of a pack -> when it was there
        self.seconds, self.epochs = defaultdict(float), defaultdict(float)  # of each group, as observed
        self.best = {}
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
        """A pack has begun, or goes on from where it was."""
        self.running.update(keys)
        epoch = max((row.epoch for row in self.plan.ledger.rows(keys[0])), default=self.reached.get(keys[0], 0))
        self.reached |= dict.fromkeys(keys, epoch)
        self.since[keys[0]] = time.monotonic()

    def advanced(self, keys: Sequence[str], epoch: int) -> None:
        """A pack has come to an epoch: learn from it how long one takes in its group."""
        now, made = time.monotonic(), epoch - self.reached[keys[0]]
        if made > 0:
            self.seconds[self._group(keys[0])] += now - self.since[keys[0]]
            self.epochs[self._group(keys[0])] += made * len(keys)
            self.reached |= dict.fromkeys(keys, epoch)
            self.since[keys[0]] = now

    def _group(self, key: str) -> Group:
        if key not in self.groups:
            self.groups = {trial.key: group(trial.cell, trial.stage) for trial in self.plan.trials()}
        return self.groups[key]

    def finished(self, trial: Trial, result: Result) -> None:
        self.running.discard(trial.key)
        self._note_best(trial, result)
        if result.status == "failed":
            self.log(f"failed: {trial.key}: {result.error}")

    def _note_best(self, trial: Trial, result: Result) -> None:
        if result.status == "done" and trial.stage == "search":
            family = (trial.cell.family, trial.cell.dataset.name)
            self.best[family] = min(self.best.get(family, float("inf")), result.objective)

    def eta(self) -> float | None:
        """Seconds left; None where they can neither be seen nor guessed. What was not seen yet is expected to be off by the same
        factor as what was."""
        both = self.rates.keys() & self.epochs.keys()
        expected = sum(self.rates[name] * self.epochs[name] for name in both)
        factor = sum(self.seconds[name] for name in both) / expected if expected else 1.0
        rate = {name: factor * seconds for name, seconds in self.rates.items()}
        rate |= {name: self.seconds[name] / epochs for name, epochs in self.epochs.items()}
        left = seconds_left(self.plan, rate, self.slots, self.reached)
        return left and left[0]

    def totals(self) -> dict:
        rows = counts(self.plan, frozenset(self.running)).values()
        return {name: sum(row[name] for row in rows) for name in ("planned", "running", *FINISHED, "left")}

    def line(self) -> str:
        total, eta = self.totals(), self.eta()
        finished = sum(total[status] for status in FINISHED)
        best = ", ".join(f"{family} on {dataset} {value:.3f}" for (family, dataset), value in sorted(self.best.items()))
        return (
            f"[{duration(time.monotonic() - self.started)}] {finished}/{total['planned']} finished"
            f" ({total['diverged']} diverged, {total['failed']} failed), {total['running']} running, "
            + (f"about {duration(eta)} left" if eta is not None else "time left not known yet")
            + (f"; best fd_rel so far: {best}" if best else "")
        )

    def render(self) -> Table:
        table, eta = Table.grid(padding=(0, 2)), self.eta()
        for (family, dataset), row in counts(self.plan, frozenset(self.running)).items():
            finished = sum(row[status] for status in FINISHED)
            best = self.best.get((family, dataset))
            table.add_row(
                f"{family} on {dataset}",
                ProgressBar(row["planned"], finished, width=30),
                f"{finished}/{row['planned']}",
                f"{row['running']} running",
                f"{row['diverged']} diverged" if row["diverged"] else "",
                f"{row['failed']} failed" if row["failed"] else "",
                f"best fd_rel {best:.3f}" if best is not None else "",
            )
        table.add_row(
            f"about {duration(eta)} left" if eta is not None else "time left not known yet", "", "", "", "", "", self.where
        )
        return table

    def _lines(self):
        while True:
            self.log(self.line())
            if self.stop.wait(LINE_S):
                return self.log(self.line())


def measuring_share(plan: Plan) -> str:
    """How much of the trials' time went into measuring rather than training."""
    spent = [
        sum(result.measures.get(name) or 0.0 for result in plan.results.values()) for name in ("time/train_s", "time/measure_s")
    ]
    return f"measuring and drawing took {spent[1] / max(sum(spent), 1e-9):.0%} of the trials' time"
