"""Spaces by name or from a file, checked before anything is planned."""

import importlib
import inspect
import json
import sys
from collections.abc import Mapping
from dataclasses import is_dataclass, replace
from pathlib import Path

from study.errors import UserError, nearest
from study.space.cells import Budget, Cell, import_path, made_again, outside_source, source_arguments
from study.space.contracts import lacking
from study.space.hyperparameters import check_names, storable
from study.space.importing import PROJECT, allow_modules
from study.space.space import PRECISIONS, SAMPLERS, Search, Space

FOLDER = Path(__file__).resolve().parents[2] / "search_spaces"


def modules_of(space: "Space") -> set[str]:
    """Where what a space is made of comes from: its file, and the modules of its models, nets, measures and datasets."""
    paths = {import_path(thing) for cell in space.cells for thing in (cell.model, cell.net)}
    paths |= {outside_source(cell.dataset) for cell in space.cells} | set(map(import_path, space.measures.values()))
    return {space.module, *(path.split(":")[0] for path in paths if path)}


def folders_of(space: "Space") -> dict[str, str]:
    """Module -> the folder that it is imported from, of those outside the project that a space is made of."""
    own = [sys.modules[name] for name in sorted(modules_of(space)) if name and name.split(".")[0] not in PROJECT]
    return {each.__name__: str(import_folder(each)) for each in own}


def import_folder(module) -> Path:
    """`/a` of `/a/package/module.py`, where that is package.module."""
    file = Path(module.__file__).resolve()
    return file.parents[module.__name__.count(".") + (file.name == "__init__.py")]


def found_again(thing) -> bool:
    """Whether another process finds it by its import path, as it would not what a notebook or a script itself defines."""
    try:
        module, name = import_path(thing).split(":")
        return module != "__main__" and getattr(importlib.import_module(module), name) is thing
    except (ImportError, AttributeError, ValueError, TypeError):
        return False


def space_names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))


def load_space(name: str) -> Space:
    """The SPACE of search_spaces/<name>.py, or of a file of your own given by its path, checked."""
    if name.endswith(".py"):
        return load_file(Path(name).resolve())
    if name not in space_names():
        raise UserError(f"no space named '{name}' in {FOLDER}{nearest(name, space_names())}; there are: {', '.join(space_names())}")
    return space_of(f"search_spaces.{name}", FOLDER / f"{name}.py")


def load_file(path: Path) -> Space:
    """A space from outside the project; what it defines is imported by the file's name, here and in the workers."""
    if not path.is_file():
        raise UserError(f"there is no space file {path}")
    sys.path.append(str(path.parent))
    space = space_of(path.stem, path)
    if Path(str(sys.modules[path.stem].__file__)).resolve() != path:
        raise UserError(f"{path.name} has the name of a module that is installed; give the space file another name")
    return replace(space, origin=str(path.parent))


def forget(path: Path) -> None:
    """Have a space file read anew when it is loaded next: it may have been edited since."""
    known = sys.modules.get(path.stem)
    if known and Path(str(getattr(known, "__file__", None))).resolve() == path.resolve():
        del sys.modules[path.stem]
    importlib.invalidate_caches()


def space_of(module_name: str, path: Path) -> Space:
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise UserError(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error
    space = getattr(module, "SPACE", None)
    if not isinstance(space, Space):
        raise UserError(f"{path} must define SPACE = Space(...)")
    return accepted(replace(space, name=path.stem, module=module_name, question=(module.__doc__ or "").strip()))


def accepted(space: Space) -> Space:
    """A space that was made here, checked; what it is made of has been run and may be imported again."""
    space = checked(space)
    allow_modules(modules_of(space))
    return space


def checked(space: Space) -> Space:
    """The space itself, or a UserError that says what in it cannot be run."""
    where = f"search_spaces/{space.name}.py"
    if not isinstance(space.cells, list | tuple) or not callable(space.propose) or not callable(space.budget):
        raise UserError(f"{where}: SPACE needs a list of cells (see grid()), and functions as propose and budget")
    if not space.cells:
        raise UserError(f"{where}: SPACE has no cells; give every factor of grid() at least one value")
    names = set()
    for cell in space.cells:
        if not isinstance(cell, Cell):
            raise UserError(f"{where}: cells must be Cell objects (see grid()), not {type(cell).__name__}")
        check_cell(cell, space, where)
        if cell.name in names:
            raise UserError(f"{where}: cell {cell.name} is listed twice")
        names.add(cell.name)
    if odd := next((name for name, measure in space.measures.items() if not found_again(measure)), None):
        raise UserError(f"{where}: measure '{odd}' must be a function at the top of a module, so that workers can import it")
    for word in ("replicates", "pack"):
        whole(getattr(space, word), word, where)
    if space.precision not in PRECISIONS:
        raise UserError(f"{where}: precision must be one of {', '.join(PRECISIONS)}, not {space.precision!r}")
    check_search(space.search, where)
    return space


def check_search(search: Search, where: str) -> None:
    if not isinstance(search, Search) or not isinstance(search.rounds, list | tuple) or not search.rounds:
        raise UserError(f"{where}: search must be like Search(rounds=(8,)), not {search!r}")
    for size in search.rounds:
        whole(size, "a round of proposals", where)
    if search.sampler not in SAMPLERS:
        raise UserError(f"{where}: sampler must be one of {', '.join(SAMPLERS)}, not {search.sampler!r}")
    rungs = search.rungs
    if not isinstance(rungs, list | tuple) or sorted(set(rungs)) != list(rungs) or not all(0 < rung < 1 for rung in rungs):
        raise UserError(f"{where}: rungs must be shares of the epochs in rising order, like (1/3, 2/3), not {rungs!r}")


def check_cell(cell: Cell, space: Space, where: str) -> None:
    for word in ("model", "net", "dataset"):
        if missing := lacking(getattr(cell, word), word):
            raise UserError(
                f"{where}: {word} must be one of the project's, or made like them, not {getattr(cell, word)!r}, which lacks"
                f" {', '.join(missing)} (study/space/contracts.py says what is asked)"
            )
    if not isinstance(cell.settings, Mapping) or not isinstance(cell.system, str):
        raise UserError(f"{where}: settings must be a dict and system a text, not {cell.settings!r} and {cell.system!r}")
    for thing in (cell.model, cell.net):
        if not found_again(thing):
            raise UserError(
                f"{where}: {thing!r} must stand at the top of its module under its own name, so that workers can import it"
            )
    check_source(cell.dataset, where)
    for word in ("depth", "latent_dim"):
        whole(getattr(cell, word), word, where)
    check_names(cell.settings, cell, where)
    if odd := next((name for name, value in cell.settings.items() if not storable(value)), None):
        raise UserError(f"{where}: {cell.settings[odd]!r} for '{odd}' is neither a finite number nor a text nor a list of them")
    try:
        budget = space.budget(cell)
    except (Exception, SystemExit) as error:
        raise UserError(f"{where}: budget() raised {type(error).__name__}: {error}") from error
    if not isinstance(budget, Budget):
        raise UserError(f"{where}: budget() must give a Budget(epochs, batch_size), not {budget!r}")
    for word in ("epochs", "batch_size", "measured_every"):
        if word != "measured_every" or budget.measured_every is not None:
            whole(getattr(budget, word), word, where)
    if budget.whole_training_set and space.ranges(cell):
        raise UserError(
            f"{where}: cell {cell.name} is tuned, for which validation images are needed that are not trained on: leave its"
            " whole_training_set out"
        )


def check_source(dataset, where: str) -> None:
    """UserError for a source from outside the project that a worker could not make again."""
    source = getattr(dataset, "source", dataset)
    if outside_source(dataset) and not (stays_the_same(source) if is_dataclass(source) else bare(source)):
        raise UserError(
            f"{where}: {type(source).__name__} must be a frozen dataclass of numbers, texts or tuples of them at the top of a"
            " module, so that workers can make it again"
        )


def stays_the_same(source) -> bool:
    """Whether a spec gives back a source that is a dataclass: by its fields, as JSON holds them."""
    try:
        again = made_again(type(source), json.loads(json.dumps(source_arguments(source), allow_nan=False)))
        return again == source and hash(again) == hash(source) and found_again(type(source))
    except (TypeError, ValueError):  # what JSON cannot hold, or a class that does not take it or has no hash
        return False


def bare(source) -> bool:
    """Whether there is nothing that a source could be made with."""
    return not inspect.signature(type(source)).parameters and found_again(type(source))


def whole(value, word: str, where: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UserError(f"{where}: {word} must be a whole number from 1, not {value!r}")
