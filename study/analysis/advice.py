"""What to use: on every dataset the cell for fidelity, for coverage and for cost, how sure that is, and what it costs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic

from study.analysis.cell_table import AnyCell, Leader, TableCell, confirmed
from study.analysis.effects import beats
from study.analysis.trainings import grouped
from study.ledger.records import RealBaseline
from study.metrics.catalogue import COVERAGE, FIDELITY, HIGHER, described, interval, number

SECONDS, PARAMETERS = "time/train_s", "cost/parameters"
HALF = 0.5  # the probability of being better at which two cells are alike


@dataclass(frozen=True)
class Odds:
    """The probability that a new training of one cell beats one of another's, with its 95 % interval."""

    rival: TableCell
    share: float
    interval: tuple[float, float]

    @property
    def proved(self) -> bool:
        return self.interval[0] > HALF


@dataclass(frozen=True)
class Choice:
    """A cell to use, and by which measure it was chosen."""

    cell: Any  # of the kind that a table holds
    measure: str
    odds: Odds | None  # against the next family's best cell, or the next cell of the only family; None where there is none


@dataclass(frozen=True)
class Advice(Generic[AnyCell]):
    """What to use on a dataset, in a few sentences each, and the cell whose samples are shown beside them."""

    dataset: str
    cell: AnyCell
    fidelity: str
    coverage: str  # "" where it was not measured
    cost: str  # "" where only one cell can be measured


def advice(table: Sequence[AnyCell], leaders: Sequence[Leader[AnyCell]], real: Mapping[str, RealBaseline]) -> list[Advice[AnyCell]]:
    """Of every dataset with cells that can be measured; that with most cells first, which the answer is about."""
    found = []
    cells_of = grouped(confirmed(table) or table, lambda cell: cell.dataset)
    for dataset in sorted(cells_of, key=lambda name: -len(cells_of[name])):
        alive = [cell for cell in cells_of[dataset] if cell.status == "done" and FIDELITY in cell.values]
        nearest = [leader.fidelity for leader in leaders if leader.dataset == dataset]
        widest = [leader.coverage for leader in leaders if leader.dataset == dataset and leader.coverage]
        if alive and nearest:
            baseline = real[dataset].measures.get(FIDELITY) if dataset in real else None
            near = choice(alive, nearest, FIDELITY)
            wide = for_coverage(choice(alive, widest, COVERAGE), near.cell) if widest else ""
            found.append(Advice(dataset, near.cell, for_fidelity(near, baseline), wide, for_cost(near.cell, alive)))
    return found


def choice(cells: Sequence[TableCell], leaders: Sequence[TableCell], measure: str) -> Choice:
    """The best of the families' best; its rival is the next family's, or in a study of one family the next cell."""
    sign = -1 if described(measure).better == HIGHER else 1
    first, *others = sorted(leaders, key=lambda cell: sign * cell.value(measure))
    others = others or sorted(
        (cell for cell in cells if cell is not first and measure in cell.values), key=lambda cell: sign * cell.value(measure)
    )
    return Choice(first, measure, odds(first, others[0], measure) if others else None)


def odds(cell: TableCell, rival: TableCell, measure: str) -> Odds | None:
    """None where either has fewer than two replicates."""
    if min(len(each.values[measure].points) for each in (cell, rival)) < 2:
        return None
    share, low, high = beats(cell, rival, measure)
    return Odds(rival, share, (low, high))


def for_fidelity(near: Choice, real: Sequence[float] | None) -> str:
    """Which cell comes nearest to real images. real: what those score against each other, mean and deviation."""
    where = "" if near.cell.stage == "confirm" else ", by validation images alone: nothing is confirmed on held-out images yet"
    held_against = f", where real images score {number(real[0])} against each other" if real is not None else ""
    said = f"Use {who(near.cell)}{where}. Its {reached(near)}{held_against}. It costs {costs(near.cell)}."
    return said + how_sure(near, "comes nearer to real images")


def for_coverage(wide: Choice, near: TableCell) -> str:
    """Which cell covers most of the real images."""
    same = wide.cell is near
    use = "Use the same." if same else f"Use {who(wide.cell)}."
    costing = "" if same else f" It costs {costs(wide.cell)}."
    return f"{use} Its {reached(wide)}.{costing}{how_sure(wide, 'covers more real images')}"


def for_cost(near: TableCell, cells: Sequence[TableCell]) -> str:
    """The fastest to train of the cells that are not shown to be farther from real images than the nearest one."""
    timed = sorted((cell for cell in cells if SECONDS in cell.values), key=lambda cell: cell.value(SECONDS))
    if near not in timed or len(timed) < 2:
        return ""
    faster = [cell for cell in timed if cell.value(SECONDS) < near.value(SECONDS)]
    alike = [cell for cell in faster if (found := odds(near, cell, FIDELITY)) and not found.proved]
    if not faster:
        return "The cell for fidelity is also the fastest to train."
    if alike:
        return f"Use {who(alike[0])}, which cannot be told from it in fidelity ({scored(alike[0])}) and costs {costs(alike[0])}."
    fastest = f"The fastest is {briefly(faster[0])}: {scored(faster[0])} at {costs(faster[0])}."
    return f"Nothing that trains faster is known to come as near. {fastest}"


def reached(chosen: Choice) -> str:
    """`fd_rel (lower is better) is 0.07 [0.06, 0.09] over 8 replicates`"""
    found, measure, count = chosen.cell.values[chosen.measure], described(chosen.measure), chosen.cell.replicates
    value = f"{number(found.value)} {interval(found.interval)}".strip()
    return f"{measure.name} ({measure.better} is better) is {value} over {count} replicate{'s' * (count != 1)}"


def scored(cell: TableCell) -> str:
    return f"{described(FIDELITY).name} {number(cell.value(FIDELITY))}"


def how_sure(chosen: Choice, does: str) -> str:
    """The probability of beating the rival, in percent, with its interval."""
    if chosen.odds is None:
        return ""
    share, low, high = (f"{100 * value:.0f}" for value in (chosen.odds.share, *chosen.odds.interval))
    rival = chosen.odds.rival
    next_best = "the best of the next family" if rival.model != chosen.cell.model else "the next cell"
    unsure = "" if chosen.odds.proved else "; so which of the two is better is not known yet"
    beaten = f"one of {next_best}, {briefly(rival)},"
    return f" A new training of it {does} than {beaten} with probability {share} % [{low}, {high}]{unsure}."


def costs(cell: TableCell) -> str:
    """`12 s a training and 20,000 parameters`"""
    told = ((SECONDS, lambda value: f"{lasting(value)} a training"), (PARAMETERS, lambda value: f"{number(value)} parameters"))
    known = [words(cell.value(measure)) for measure, words in told if measure in cell.values]
    return " and ".join(known) or "what was not measured"


def lasting(seconds: float) -> str:
    size, unit = next(((size, unit) for size, unit in ((3600, "h"), (60, "min")) if seconds >= 2 * size), (1, "s"))
    return f"{number(seconds / size)} {unit}"


def who(cell: TableCell) -> str:
    """`WGAN with net fc, depth 1, latent size 32, width 128`; of a published system its name stands for its settings."""
    settings = {} if cell.system else cell.settings
    told = [
        f"{name.replace('_', ' ')} {value if isinstance(value, str) else json.dumps(value)}" for name, value in settings.items()
    ]
    named = f"{cell.system}, a {cell.model.upper()}" if cell.system else f"a {cell.model.upper()}"
    return f"{named} with " + ", ".join([f"net {cell.net}", f"depth {cell.depth}", f"latent size {cell.latent_dim}", *told])


def briefly(cell: TableCell) -> str:
    return f"{cell.model.upper()} ({cell.place})"
