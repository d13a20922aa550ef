"""What of a space a launch runs: the models, systems and datasets that its command line names."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from study.data.datasets import named
from study.errors import UserError, nearest
from study.ledger.next_steps import command
from study.space.loading import load_space
from study.space.space import Space
from study.sweep.launch_options import LaunchOptions


def chosen_space(options: LaunchOptions) -> Space:
    """The space with what the command line changes in it."""
    space = load_space(options.space)
    space = space.only(models=chosen(options.models, {cell.family for cell in space.cells}, "model", space))
    space = space.only(systems=chosen(options.systems, {cell.system for cell in space.cells} - {""}, "system", space))
    search = space.search.of(options.proposals or space.search.proposals)
    space = replace(space, search=search, replicates=options.replicates or space.replicates)
    if epochs := options.epochs:
        budget = space.budget
        space = replace(space, budget=lambda cell: replace(budget(cell), epochs=epochs))
    return space


def chosen(names: Iterable[str] | None, known: Iterable[str], kind: str, space: Space) -> list[str] | None:
    """The known names that were asked for in whatever case, None where none were."""
    spelled = {name.lower(): name for name in sorted(known)}
    for name in names or []:
        if name.lower() not in spelled:
            raise UserError(
                f"space '{space.name}' has no {kind} '{name}'{nearest(name.lower(), spelled)};"
                f" it has: {', '.join(spelled.values()) or 'none'}"
            )
    return [spelled[name.lower()] for name in names] if names else None


def with_datasets(space: Space, options: LaunchOptions, data_dir: Path, log: Callable[[str], None]) -> Space:
    """The cells whose data is here. Named datasets must be; the space's own are left out, and how to get them is said."""
    own = space.datasets
    wanted = [own.get(name) or named(name) for name in dict.fromkeys(options.datasets or own)]
    missing = [dataset for dataset in wanted if not dataset.is_available(data_dir)]
    if options.download and not options.dry_run:
        for dataset in missing:
            log(f"downloading {dataset.name} to {data_dir}")
            dataset.download(data_dir)
        missing = []
    fetch = command(
        "launch", *options.typed, *([] if options.datasets else ["--datasets", *(d.name for d in missing)]), "--download"
    )
    for dataset in missing:
        if dataset.name.startswith("folder:"):
            raise UserError(f"there is no folder {dataset.name.removeprefix('folder:')}")
    if missing and options.datasets:
        raise UserError(
            f"not in {data_dir}: {', '.join(d.name for d in missing)}; --data-dir says where to look, --download fetches: {fetch}"
        )
    if missing:
        log(f"not on disk, so left out: {', '.join(d.name for d in missing)}. To fetch them: {fetch}")
    parts = [space.with_dataset(dataset) for dataset in wanted if dataset not in missing]
    return replace(space, cells=[cell for part in parts for cell in part.cells])
