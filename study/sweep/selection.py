"""What of a space a launch runs: the models, systems and datasets that its command line names."""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from study.data.datasets import named
from study.data.folders import Own
from study.errors import UserError, nearest
from study.ledger.next_steps import command
from study.space.cells import Budget
from study.space.loading import load_space
from study.space.space import Space
from study.sweep.launch_options import LaunchOptions


def chosen_space(options: LaunchOptions, space: Space | None = None) -> Space:
    """The space, by default that of its name, with what the command line changes in it."""
    space = space or load_space(options.space)
    space = space.only(models=chosen(options.models, {cell.family for cell in space.cells}, "model", space))
    space = space.only(systems=chosen(options.systems, {cell.system for cell in space.cells} - {""}, "system", space))
    space = space.only(nets=chosen(options.nets, {cell.net.name for cell in space.cells}, "net", space))
    space = space.only(
        depths=chosen(options.depths, {cell.depth for cell in space.cells}, "depth", space),
        latents=chosen(options.latents, {cell.latent_dim for cell in space.cells}, "latent size", space),
    )
    for condition in options.where or []:
        space = with_setting(space, condition)
    search = space.search.of(options.proposals or space.search.proposals)
    space = replace(space, search=search, replicates=options.replicates or space.replicates, pack=options.pack or space.pack)
    if epochs := options.epochs:
        budget, on = space.budget, space.keep_states
        space = replace(space, budget=lambda cell: spent(budget(cell), epochs, on))
    return space


def spent(budget: Budget, epochs: int, trains_on: bool) -> Budget:
    """A cell's budget with so many epochs; where trainings go on from what shorter ones kept, those of its tuning stay."""
    return replace(budget, on_to=epochs) if trains_on and epochs > budget.epochs else replace(budget, epochs=epochs)


def chosen(names: Iterable | None, known: Iterable, kind: str, space: Space) -> list | None:
    """The known names that were asked for in whatever case, or the known numbers; None where none were."""
    spelled = {str(name).lower(): name for name in sorted(known)}
    for name in names or []:
        if str(name).lower() not in spelled:
            raise UserError(
                f"space '{space.name}' has no {kind} '{name}'{nearest(str(name).lower(), spelled)};"
                f" it has: {', '.join(map(str, spelled.values())) or 'none'}"
            )
    return [spelled[str(name).lower()] for name in names] if names else None


def with_setting(space: Space, condition: str) -> Space:
    """The cells that have a setting of that value, as `name=value` says it."""
    name, equals, text = condition.partition("=")
    values = {json.dumps(cell.settings[name]): cell.settings[name] for cell in space.cells if name in cell.settings}
    if not equals or not values:
        known = sorted({name for cell in space.cells for name in cell.settings})
        raise UserError(
            f"--where takes NAME=VALUE of a cell's settings, not {condition!r}{nearest(name, known)};"
            f" those of space '{space.name}' are: {', '.join(known) or 'none'}"
        )
    wanted = next((value for written, value in values.items() if text in (written, value)), None)
    if wanted is None:
        raise UserError(f"no cell of space '{space.name}' has {condition}; {name} is {', '.join(sorted(values))}")
    return space.only(settings={name: wanted})


def with_datasets(space: Space, options: LaunchOptions, data_dir: Path, log: Callable[[str], None]) -> Space:
    """The cells whose data is here. Named datasets must be; of the space's own the others are left out, and how to get them is
    said. Where none is here, a dry run shows what they would take, and a launch is a UserError."""
    own = space.datasets
    wanted = [own.get(name) or named(name) for name in dict.fromkeys(options.datasets or own)]
    missing = [dataset for dataset in wanted if not dataset.is_available(data_dir)]
    if options.download and not options.dry_run:
        for dataset in missing:
            log(f"downloading {dataset.name} to {data_dir}")
            dataset.download(data_dir)
        missing = []
    typed = [word for word in options.typed if word != "--dry-run"]
    fetch = command("launch", *typed, *([] if options.datasets else ["--datasets", *(d.name for d in missing)]), "--download")
    for dataset in missing:
        if isinstance(getattr(dataset, "source", None), Own):
            dataset.prepare(data_dir)  # which says what there is not
    none = missing == wanted
    if missing and (options.datasets or (none and not options.dry_run)):
        raise UserError(
            f"not in {data_dir}: {', '.join(d.name for d in missing)}; --data-dir says where to look, --download fetches: {fetch}"
        )
    if missing:
        log(f"not on disk{'' if none else ', so left out'}: {', '.join(d.name for d in missing)}. To fetch them: {fetch}")
    parts = [space.with_dataset(dataset) for dataset in wanted if none or dataset not in missing]
    return replace(space, cells=[cell for part in parts for cell in part.cells])
