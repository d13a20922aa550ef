"""The vocabulary of a study: Space, Cell, Budget, grid(). Imports no ray, mlflow, optuna or torch."""
import difflib
import importlib
import inspect
import itertools
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from study.errors import UserError
from study.importing import allow_modules, imported
from study.systems import moved_to

PARTS = {"model": ("__name__", "__mro__", "sample"), "net": ("name", "encoder", "decoder"),
         "dataset": ("name", "slug", "at_hand", "prepare"), "source": ("__mro__", "name", "roots", "read")}  # what each must have
GIVEN = ("shape", "net", "depth", "latent_dim", "outputs")  # what a model or a net is given by the study itself
FOLDER = Path(__file__).resolve().parent.parent / "search_spaces"


def import_path(thing) -> str:
    """`module:name` of a model or a net, by which another process finds it again."""
    if hasattr(thing, "__qualname__"):
        return f"{thing.__module__}:{thing.__qualname__}"
    return f"{thing.encoder.__module__}:{thing.name}"


def model_of(spec: Mapping, shape: Sequence[int] = ()):
    """A new model as a spec describes it, for images of that shape (C, H, W), or of the spec's own."""
    cell = Cell(part(spec, "model"), part(spec, "net"), spec["depth"], spec["latent_dim"], spec["dataset"], spec["settings"])
    return cell.build(shape or spec["shape"], spec.get("params", {}))


def outside_source(dataset) -> str:
    """The import path of where a dataset comes from if that is not the project, else ''."""
    kind = type(getattr(dataset, "source", dataset))
    return "" if kind.__module__.startswith("study.") else import_path(kind)


def is_made_like(thing, word: str) -> bool:
    return all(hasattr(thing, part) for part in PARTS[word])


def part(spec: Mapping, word: str):
    """The model's class, the net or the dataset's source that a trial's spec names; UserError where that is none."""
    thing = imported(spec[word], spec.get("origin", ""))
    if not is_made_like(thing, word):
        raise UserError(f"the study names {spec[word]!r} as a {word}, which it is not")
    return thing


def modules_of(space: "Space") -> set[str]:
    """Where what a space is made of comes from: its file, and the modules of its models, nets, measures and datasets."""
    paths = {import_path(thing) for cell in space.cells for thing in (cell.model, cell.net)}
    paths |= {outside_source(cell.dataset) for cell in space.cells} | set(map(import_path, space.measures.values()))
    return {space.module, *(path.split(":")[0] for path in paths if path)}


def found_again(thing) -> bool:
    try:
        module, name = import_path(thing).split(":")
        return getattr(importlib.import_module(module), name) is thing
    except (ImportError, AttributeError, ValueError, TypeError):
        return False


def slug(text) -> str:
    """Letters, digits, dots and dashes only: safe in a file name, in a filter string and on a command line."""
    return re.sub(r"[^a-z0-9.]+", "-", str(text).lower()).strip("-.")


@dataclass(frozen=True)
class Budget:
    """What every trial of a cell may spend: passes over the training images, and the images of one step."""
    epochs: int
    batch_size: int = 64


@dataclass(frozen=True)
class Cell:
    """One choice of every factor compared. `settings` are further keyword arguments of the model, the same for all of
    the cell's trials; `system` names a preset, such as a row of a published table."""
    model: type
    net: object
    depth: int
    latent_dim: int
    dataset: object
    settings: Mapping = field(default_factory=dict)
    system: str = ""

    @property
    def family(self) -> str:
        """The model's name in lower case: vae, gan, wgan."""
        return self.model.__name__.lower()

    @property
    def name(self) -> str:
        parts = [self.system or f"{self.family}-{self.net.name}", f"d{self.depth}", f"z{self.latent_dim}"]
        if not self.system:  # whose settings are told by its name
            parts += [f"{key}-{value}" for key, value in self.settings.items() if isinstance(value, str | int | float)]
        return "-".join(filter(None, map(slug, [*parts, self.dataset.slug])))  # a system may be named in another script

    def build(self, shape: Sequence[int], params: Mapping = {}):
        """The cell's model for images of that shape (C, H, W): new, its weights drawn from torch's global random state."""
        return self.model(tuple(shape), self.net, self.depth, self.latent_dim, **self.settings, **params)

    def definition(self) -> dict:
        """Everything about the cell that defines a result, as JSON-able values."""
        return {"model": import_path(self.model), "net": import_path(self.net), "depth": self.depth,
                "latent_dim": self.latent_dim, "dataset": self.dataset.name, "source": outside_source(self.dataset),
                "settings": dict(self.settings), "system": self.system}


def grid(model: Sequence, net: Sequence, depth: Sequence[int], latent_dim: Sequence[int], dataset: Sequence,
         **settings: Sequence) -> list[Cell]:
    """Every combination of the factors given, each a list. Further keywords vary keyword arguments of the model."""
    core = [model, net, depth, latent_dim, dataset]
    return [Cell(*values[:5], settings=dict(zip(settings, values[5:])))
            for values in itertools.product(*core, *settings.values())]


@dataclass(frozen=True)
class Space:
    """A question: which cells are compared, what is tuned inside each, and at which equal budgets.

    propose(trial, cell) -> dict of the model's keyword arguments, drawn with the `suggest_*` of an optuna.Trial;
    budget(cell) -> Budget; proposals: trainings per cell in search; seeds: fresh trainings per cell in confirm;
    pack: how many seeds at most train side by side in one trial;
    measures: further ones, name -> function(samples, real) -> number, of images (n, C, H, W) in [0, 1];
    claims: further ones for the report, see study/claims.py. name, question, module and origin come from its file.
    """
    cells: Sequence[Cell]
    propose: Callable
    budget: Callable[[Cell], Budget]
    proposals: int = 4
    seeds: int = 8
    pack: int = 8
    measures: Mapping[str, Callable] = field(default_factory=dict)
    claims: Sequence = ()
    name: str = ""
    question: str = ""
    module: str = ""
    origin: str = ""

    def only(self, datasets=None, models=None, systems=None) -> "Space":
        """The same question about the datasets, models (lower case) and systems named, all of them where None."""
        cells = [cell for cell in self.cells if (datasets is None or cell.dataset in datasets)
                 and (models is None or cell.family in models) and (systems is None or cell.system in systems)]
        return replace(self, cells=cells)

    def with_dataset(self, dataset) -> "Space":
        """The cells of `dataset`; for one that the space does not name, every combination it compares elsewhere."""
        if any(cell.dataset == dataset for cell in self.cells):
            return self.only([dataset])
        return replace(self, cells=moved_to(self.cells, dataset))

    def ranges(self, cell: Cell) -> dict:
        """What `propose` draws for a cell: name -> the JSON-able range of that suggestion."""
        return self._asked(cell).ranges

    def default_proposal(self, cell: Cell) -> tuple[dict, dict]:
        """Proposal 0, the published defaults as they stand in the model's signature: (params, values drawn)."""
        trial = self._asked(cell)
        return trial.returned, trial.drawn

    def _asked(self, cell: Cell) -> "DefaultTrial":
        trial = DefaultTrial({**defaults_of(cell), **cell.settings})
        where = f"space '{self.name}', cell {cell.name}"
        try:
            trial.returned = self.propose(trial, cell)
        except UserError as error:
            raise UserError(f"{where}: {error}") from None
        except (Exception, SystemExit) as error:
            raise UserError(f"{where}: propose() raised {type(error).__name__}: {error}") from error
        check_params(trial.returned, cell, where)
        return trial


def defaults_of(cell: Cell) -> dict:
    """The defaults in the signatures of the cell's net and model; the model's word counts where both have one."""
    parameters = {**inspect.signature(cell.net.encoder).parameters, **inspect.signature(cell.model).parameters}
    return {name: parameter.default for name, parameter in parameters.items()
            if parameter.default is not inspect.Parameter.empty}


def hyperparameters(cell: Cell) -> set[str]:
    """The keyword arguments that the cell's model takes, those included that it passes on to its net."""
    parameters = {**inspect.signature(cell.model).parameters, **inspect.signature(cell.net.encoder).parameters}
    return {name for name, parameter in parameters.items() if name not in GIVEN and parameter.kind not in
            (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)}


def check_params(params, cell: Cell, where: str) -> None:
    """Refuse what a model cannot take, or what the cell holds fixed, before anything is trained."""
    if not isinstance(params, dict):
        raise UserError(f"{where}: propose() must return a dict of params, not {type(params).__name__}")
    check_names(params, cell, where)
    for name, value in params.items():
        if name in cell.settings:
            raise UserError(f"{where}: '{name}' is fixed by the cell and proposed as well; leave out one of the two")
        if not storable(value):
            raise UserError(f"{where}: propose() returned {value!r} for '{name}', which is neither a finite number nor a text")


def check_names(settings: Mapping, cell: Cell, where: str) -> None:
    known = hyperparameters(cell)
    for name in settings:
        if name not in known:
            raise UserError(f"{where}: {cell.model.__name__} has no hyperparameter '{name}'{nearest(str(name), known)}")


def storable(value) -> bool:
    """Whether JSON gives the value back: numbers that are finite, texts, lists, dicts."""
    try:
        return bool(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        return False


class DefaultTrial:
    """Stands where propose() expects an optuna.Trial: answers with the default of each name and records the range."""

    def __init__(self, defaults: Mapping):
        self.values, self.ranges, self.drawn, self.returned = defaults, {}, {}, {}

    def suggest_float(self, name, low, high, *, log=False, step=None):
        return self._answer(name, float, {"low": low, "high": high, "log": log, "step": step})

    def suggest_int(self, name, low, high, *, log=False, step=1):
        return self._answer(name, int, {"low": low, "high": high, "log": log, "step": step})

    def suggest_categorical(self, name, choices):
        value = self._default(name)
        if not isinstance(choices, list | tuple) or not storable(choices):
            raise UserError(f"the choices of '{name}' must be a list of numbers or texts, not {choices!r}")
        if value not in choices:
            raise UserError(f"the default {value!r} of '{name}' is not among the choices {list(choices)}")
        self.ranges[name], self.drawn[name] = {"choices": list(choices)}, value
        return value

    def _answer(self, name, kind, limits):
        value = self._default(name)
        if any(isinstance(end, bool) or not isinstance(end, int | float) or not storable(end) for end in (limits["low"], limits["high"])):
            raise UserError(f"the range of '{name}' must be two finite numbers, not {limits['low']!r} to {limits['high']!r}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not limits["low"] <= value <= limits["high"]:
            raise UserError(f"the default {value!r} of '{name}' is outside its range {limits['low']} to {limits['high']}")
        self.ranges[name], self.drawn[name] = {"type": kind.__name__, **limits}, kind(value)
        return kind(value)

    def _default(self, name):
        if name not in self.values:
            raise UserError(f"the model has no hyperparameter '{name}'{nearest(str(name), self.values)}")
        return self.values[name]


def nearest(name: str, known) -> str:
    """` (did you mean 'x'?)`, or nothing where no name is near."""
    match = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean '{match[0]}'?)" if match else ""


def space_names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))


def load_space(name: str) -> Space:
    """The SPACE of search_spaces/<name>.py, or of a file of your own given by its path, checked."""
    if name.endswith(".py"):
        return load_file(Path(name).resolve())
    if name not in space_names():
        raise UserError(f"no space named '{name}' in {FOLDER}{nearest(name, space_names())};"
                        f" there are: {', '.join(space_names())}")
    return space_of(f"search_spaces.{name}", FOLDER / f"{name}.py")


def load_file(path: Path) -> Space:
    """A space from outside the project; what it defines is imported by the file's name, here and in the workers."""
    if not path.is_file():
        raise UserError(f"there is no space file {path}")
    sys.path.append(str(path.parent))
    space = space_of(path.stem, path)
    if Path(sys.modules[path.stem].__file__).resolve() != path:
        raise UserError(f"{path.name} has the name of a module that is installed; give the space file another name")
    return replace(space, origin=str(path.parent))


def space_of(module_name: str, path: Path) -> Space:
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise UserError(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error
    space = getattr(module, "SPACE", None)
    if not isinstance(space, Space):
        raise UserError(f"{path} must define SPACE = Space(...)")
    space = checked(replace(space, name=path.stem, module=module_name, question=(module.__doc__ or "").strip()))
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
    for word in ("proposals", "seeds", "pack"):
        whole(getattr(space, word), word, where)
    return space


def check_cell(cell: Cell, space: Space, where: str) -> None:
    for word in ("model", "net", "dataset"):
        if not is_made_like(getattr(cell, word), word):
            raise UserError(f"{where}: {word} must be one of the project's, or made like them, not {getattr(cell, word)!r}")
    if not isinstance(cell.settings, Mapping) or not isinstance(cell.system, str):
        raise UserError(f"{where}: settings must be a dict and system a text, not {cell.settings!r} and {cell.system!r}")
    for thing in (cell.model, cell.net):
        if not found_again(thing):
            raise UserError(f"{where}: {thing!r} must stand at the top of its module under its own name, so that workers"
                            " can import it")
    for word in ("depth", "latent_dim"):
        whole(getattr(cell, word), word, where)
    check_names(cell.settings, cell, where)
    if odd := next((name for name, value in cell.settings.items() if not storable(value)), None):
        raise UserError(f"{where}: {cell.settings[odd]!r} for '{odd}' is neither a finite number nor a text nor a list of them")
    try:
        budget = space.budget(cell)
    except (Exception, SystemExit) as error:
        raise UserError(f"{where}: budget() raised {type(error).__name__}: {error}") from error
    for word in ("epochs", "batch_size"):
        whole(getattr(budget, word, None), word, where)


def whole(value, word: str, where: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UserError(f"{where}: {word} must be a whole number from 1, not {value!r}")
