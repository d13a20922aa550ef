"""The commands as functions, for notebooks and scripts.

    from study.api import Study, run

    study = run("smoke", replicates=3)     # python study/launch.py --space smoke --replicates 3; it goes on like that, too
    study.frame()                          # pandas: a row per cell
    study.best().value("quality/fd_rel")
    study.sample(16)                       # images (16, C, H, W) in [0, 1]

What is wrong in what was asked raises study.errors.UserError, one line with the cure.
"""

import contextlib
import io
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from study.cli import INTERRUPTED
from study.errors import UserError, nearest
from study.ledger.folder import Ledger
from study.ledger.opening import STORAGE, open_study
from study.space.importing import allow

if TYPE_CHECKING:
    from pandas import DataFrame
    from torch import Tensor, nn

    from study.analysis.cell_table import TableCell
    from study.analysis.report_data import ReportData
    from study.space.space import Space


class Study:
    """A study as its ledger holds it whenever it is asked, finished or not.

    space: its name or its space file in `storage`, a folder or an object store; or the path or address of the study itself.
    trust_study: whether code may be run that the study names and that is neither this project's nor that file's (docs/security.md).
    """

    def __init__(self, space: str | Path, storage: Path | str = STORAGE, trust_study: bool = False):
        text = str(space)
        if "://" in text:
            storage, _, text = text.rstrip("/").rpartition("/")
        elif text.endswith(".py"):
            text = str(Path(text).resolve())
        elif not text.isidentifier():
            storage, text = Path(text).resolve().parent, Path(text).resolve().name
        self.space, self.storage, self.trust_study = text, storage if "://" in str(storage) else Path(storage), trust_study

    def __repr__(self):
        return f"Study({self.space!r}, {str(self.storage)!r})"

    @property
    def ledger(self) -> Ledger:
        """As it is now; what may be imported for it is settled anew, since another study may be trusted otherwise."""
        allow(self.space, self.trust_study)
        ledger = open_study(self.storage, self.space)
        if not ledger.keys():
            raise UserError(f"there is no study '{ledger.root.name}' in {self.storage} yet; run({self.space!r}) makes one")
        return ledger

    def cells(self) -> "list[TableCell]":
        """What was compared, with the values of each measure over replicates: study/analysis/cell_table.py."""
        from study.analysis.cell_table import cells

        return cells(self.ledger)

    def best(self, dataset: str | None = None, model: str | None = None) -> "TableCell":
        """The cell nearest to the real images, of all or of one model, as in "vae". dataset: which, where there are several, whose
        scores do not compare."""
        from study.analysis.cell_table import champions

        cells = [cell for cell in self.cells() if model in (None, cell.model)]
        found = {cell.dataset: cell for cell in champions(cells)}
        if dataset is None and len(found) == 1:
            return next(iter(found.values()))
        if dataset not in found:
            raise UserError(f"of which dataset? best(...) has: {', '.join(found) or 'none, as no trial of it has ended well'}")
        return found[dataset]

    def findings(self) -> "ReportData":
        """What the report says: its answer, verdicts, effects, and a row per training (study/analysis/report_data.py)."""
        from study.analysis.report_data import findings

        return findings(self.ledger)

    def frame(self, of: str = "cells") -> "DataFrame":
        """The table of "cells" as cells.csv has it, or of "trainings": one per row, with what was tuned, settings and measures."""
        import pandas

        from study.analysis.cell_table import as_row
        from study.analysis.trainings import read

        if of == "cells":
            return pandas.DataFrame(map(as_row, self.cells()))
        if of != "trainings":
            raise UserError(f'frame() is of "cells" or of "trainings", not of {of!r}')
        tuned, rows = {trial.key: trial.spec.params for trial in read(self.ledger)}, self.findings().rows
        return pandas.DataFrame(
            {**tuned[row["trial"]], **{name: value for name, value in row.items() if not name.startswith("curve/")}} for row in rows
        )

    def model(self, trial: str = "best") -> "nn.Module":
        """The model of a trial by its key, in eval mode."""
        from study.sample import chosen
        from study.training.weights import rebuilt

        key, ledger = self.best().trial if trial == "best" else trial, self.ledger
        return rebuilt(ledger, chosen(ledger, key))

    def sample(self, n: int = 64, trial: str = "best", seed: int = 0) -> "Tensor":
        """Images (n, C, H, W) in [0, 1] that a trial's model draws: those of study/sample.py."""
        from study.training.image_grids import decode, prior_sample

        model = self.model(trial)
        return decode(model, prior_sample(model, n, seed))


def run(space: "str | Path | Space", storage: Path | str = STORAGE, **options) -> Study:
    """Run what is left of a study, as study/launch.py does with the same options, and show it.

    space: a name, a file, which is read anew, or a Space with a name, whose models, nets, measures and sources stand in modules.
    options: those of `study/launch.py --help`, with underscores: replicates=3, datasets=["mnist"], download=True, budget="2h".
    """
    from study.launch import launched
    from study.space.loading import accepted, forget
    from study.space.space import Space

    made = named(space) if isinstance(space, Space) else None
    name = made.name if made else str(space)
    parsed = typed(["--space", name, "--storage", str(storage), *as_typed(options)])
    if name.endswith(".py"):
        forget(Path(name))
    if launched(parsed, made and accepted(made)) == INTERRUPTED:
        raise KeyboardInterrupt
    return Study(name, storage, parsed.trust_study)


def named(space: "Space") -> "Space":
    """A Space that is run by itself, or UserError for one that only a file can hold."""
    from study.ledger.opening import is_space_name

    if not is_space_name(space.name):
        raise UserError("a Space that is run by itself needs a name of letters, digits and underscores: Space(..., name='dropout')")
    if space.claims:
        raise UserError("a report reads claims from the file of their space: put this one into a file, and run that")
    return space


def typed(arguments: list[str]):
    """What a launch makes of its command line; UserError for what it refuses."""
    from study.launch import parse

    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            return parse(arguments)
        except SystemExit:
            raise UserError(said.getvalue().strip().splitlines()[-1].partition("error: ")[2]) from None


def as_typed(options: dict) -> list[str]:
    """Keyword arguments as a command line has them; TypeError for one that a launch does not know."""
    from study.sweep.launch_options import LaunchOptions

    known = {each.name for each in fields(LaunchOptions)} - {"space", "storage", "typed"}
    words = []
    for name, value in options.items():
        if name not in known:
            raise TypeError(f"run() has no option {name!r}{nearest(name, known)}")
        if value is None or value is False:
            continue
        values = value if isinstance(value, list | tuple) else [] if value is True else [value]
        words += [f"--{name.replace('_', '-')}", *map(str, values)]
    return words
