"""What is said of a plan before anything runs, and of how it was trained once all has: tables and lines."""

from collections import defaultdict

from rich.box import SIMPLE_HEAD
from rich.table import Table

from study.ledger.files import read_json
from study.ledger.folder import DEVICES, Ledger
from study.ledger.records import FINISHED, SelfCheck
from study.space.space import Space
from study.space.systems import parameters
from study.sweep.estimate import seconds_left
from study.sweep.plan import Plan, counts
from study.sweep.progress import duration


def time_left(plan: Plan, expected: dict, slots: int) -> str:
    """How long what is left takes, so many packs at a time, at the `rates` of study/sweep/estimate.py."""
    if (left := seconds_left(plan, expected, slots)) is None:
        return "how long is not known yet"
    seconds, busy = left
    return f"about {duration(seconds)}, {busy} pack{'s' * (busy > 1)} of trainings at a time"


def plan_table(plan: Plan) -> Table:
    """Cells and trials per model and dataset, and how much of them is left."""
    title = f"{plan.space.name}: {plan.space.question.splitlines()[0] if plan.space.question else ''}"
    table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False)  # narrow enough for 80 columns
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


def measuring_share(plan: Plan) -> str:
    """How much of the trials' time went into measuring rather than training."""
    spent = [
        sum(result.measures.get(name) or 0.0 for result in plan.results.values()) for name in ("time/train_s", "time/measure_s")
    ]
    return f"measuring and drawing took {spent[1] / max(sum(spent), 1e-9):.0%} of the trials' time"
