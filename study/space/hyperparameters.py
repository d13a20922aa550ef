"""What of a cell may be tuned: the names, the ranges, the published defaults."""

import functools
import inspect
import json
from collections.abc import Mapping, Sequence

from study.errors import UserError, nearest
from study.space.cells import Cell

GIVEN = ("shape", "net", "depth", "latent_dim", "outputs")  # what a model or a net is given by the study itself


@functools.lru_cache(maxsize=64)  # asked for with every proposal, and slow to find
def parameters_of(thing) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(thing).parameters


def defaults_of(cell: Cell) -> dict:
    """The defaults in the signatures of the cell's net and model; the model's word counts where both have one."""
    parameters = {**parameters_of(cell.net.encoder), **parameters_of(cell.model)}
    return {name: parameter.default for name, parameter in parameters.items() if parameter.default is not inspect.Parameter.empty}


def hyperparameters(cell: Cell) -> set[str]:
    """The keyword arguments that the cell's model takes, those included that it passes on to its net."""
    parameters = {**parameters_of(cell.model), **parameters_of(cell.net.encoder)}
    return {
        name
        for name, parameter in parameters.items()
        if name not in GIVEN and parameter.kind not in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    }


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


def program(cell: Cell, params: Mapping) -> dict:
    """What of the params decides which operations a training consists of, as a JSON value: equal for two params of one cell if and
    only if their trainings may share a pack. Of what the model's class calls `stackable` (study/space/contracts.py) only the kind
    of value counts, and a default where the params say nothing."""
    stackable = getattr(cell.model, "stackable", ())
    values = {**{name: value for name, value in defaults_of(cell).items() if name in stackable}, **params}
    return {name: kind_of(value) if name in stackable else value for name, value in sorted(values.items())}


def splitting(cell: Cell, ranges: Mapping) -> dict[str, Sequence | None]:
    """What is searched and must be equal in a pack: its values, or None for a continuum."""
    apart = {name: limits for name, limits in ranges.items() if name not in getattr(cell.model, "stackable", ())}
    return {name: values_of(limits) for name, limits in apart.items()}


def values_of(limits: Mapping) -> Sequence | None:
    """Those of a range (DefaultTrial.ranges), None for a continuum."""
    if "choices" in limits:
        return limits["choices"]
    return range(limits["low"], limits["high"] + 1, limits["step"] or 1) if limits["type"] == "int" else None


def kind_of(value):
    """Of a number only whether it is 0, which may switch something off; of a list the kinds of its items; all else as it is."""
    if isinstance(value, list | tuple):
        return [kind_of(item) for item in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return "number" if value else 0


def storable(value) -> bool:
    """Whether JSON gives the value back: numbers that are finite, texts, lists, dicts."""
    try:
        return bool(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        return False


class DefaultTrial:
    """Stands where propose() expects an optuna.Trial: answers with the default of each name and records the range."""

    def __init__(self, defaults: Mapping):
        self.values, self.ranges, self.suggested, self.returned = defaults, {}, {}, {}

    def suggest_float(self, name, low, high, *, log=False, step=None):
        return self._answer(name, float, {"low": low, "high": high, "log": log, "step": step})

    def suggest_int(self, name, low, high, *, log=False, step=1):
        return self._answer(name, int, {"low": low, "high": high, "log": log, "step": step})

    def suggest_categorical(self, name, choices):
        value = self._default(name)
        if not isinstance(choices, list | tuple) or not storable(choices):
            raise UserError(f"the choices of '{name}' must be a list of numbers or texts, not {choices!r}")
        value = list(value) if isinstance(value, tuple) else value  # as JSON gives it back
        if value not in choices:
            raise UserError(f"the default {value!r} of '{name}' is not among the choices {list(choices)}")
        if len(choices) < 2:
            raise UserError(f"there is one choice of '{name}': put it among the settings of the cells")
        self.ranges[name], self.suggested[name] = {"choices": list(choices)}, value
        return value

    def _answer(self, name, kind, limits):
        value = self._default(name)
        if any(
            isinstance(end, bool) or not isinstance(end, int | float) or not storable(end)
            for end in (limits["low"], limits["high"])
        ):
            raise UserError(f"the range of '{name}' must be two finite numbers, not {limits['low']!r} to {limits['high']!r}")
        if limits["low"] == limits["high"]:
            raise UserError(f"the range of '{name}' has one value, {limits['low']!r}: put it among the settings of the cells")
        if isinstance(value, bool) or not isinstance(value, int | float) or not limits["low"] <= value <= limits["high"]:
            raise UserError(f"the default {value!r} of '{name}' is outside its range {limits['low']} to {limits['high']}")
        self.ranges[name], self.suggested[name] = {"type": kind.__name__, **limits}, kind(value)
        return kind(value)

    def _default(self, name):
        if name not in self.values:
            raise UserError(f"the model has no hyperparameter '{name}'{nearest(str(name), self.values)}")
        return self.values[name]
