"""What the records of a study may import: this project's code, and what the space named on the command line is made of.

Importing a module runs it, and a study may come from somebody else: what it names otherwise is said, and run only if the
command line trusts the study.
"""

import importlib
import sys
from collections.abc import Iterable, Mapping

from study.errors import UserError

PROJECT = ("study", "models", "search_spaces")


class Untrusted(UserError):
    """A record names code from elsewhere, which was not run."""


class Trust:
    """What the command line of this process settles."""

    def __init__(self):
        self.spaces, self.modules, self.everything = [], set(), False

    def covers(self, module: str) -> bool:
        if self.everything or module.split(".")[0] in PROJECT or module in self.modules:
            return True
        if self.spaces:  # loaded when they are first asked for: few commands need them
            from study.space.loading import load_space, space_names

            named, self.spaces = self.spaces, []
            for name in named:
                if name.endswith(".py") or name in space_names():  # else it is the name of a study whose file is elsewhere
                    load_space(name)
        return module in self.modules


TRUST = Trust()


def allow(space: str, everything: bool = False, others: Iterable[str] = (), made_of: Mapping[str, str] = {}) -> None:
    """Records may import what `space` and `others` are made of, names or files as --space takes them; or, with --trust-study,
    everything. made_of: the modules of a space that has no file, each with the folder that it is imported from."""
    TRUST.spaces, TRUST.everything = [space, *others], everything
    allow_modules(made_of)
    sys.path += [folder for folder in dict.fromkeys(made_of.values()) if folder not in sys.path]


def allow_modules(modules: Iterable[str]) -> None:
    """Records may import these modules: those of a space that was loaded, and so has been run."""
    TRUST.modules.update(modules)


def imported(path: str, origin: str = ""):
    """What a record calls `module:name`; `origin` is the folder of the space file that it was written by.

    Untrusted for what the command line does not cover, UserError for what there is not.
    """
    module, _, name = path.partition(":")
    if not TRUST.covers(module):
        where = f" of {origin!r}" if origin else ""
        raise Untrusted(
            f"the study names code{where} that is neither this project's nor its space's: {path!r}; it was not run:"
            " --space FILE.py says that a space file is yours, --trust-study runs whatever the study names"
        )
    if origin and TRUST.everything and origin not in sys.path:
        sys.path.append(origin)
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise UserError(f"the study names {path!r}, which cannot be imported: {type(error).__name__}: {error}") from error
