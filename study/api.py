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
    """A study as its ledger holds it, finished or not.

    space: its name, its space file, or the folder that it lies in; storage: where studies are kept; trust: whether code of the
    study's own may be run that is not in that file (docs/security.md).
    """

    def __init__(self, space: str | Path, storage: Path | str = STORAGE, trust: bool = False):
        where, text = Path(space), str(space)
        if where.is_dir() and len(where.resolve().parts) > 1 and not text.isidentifier():
            storage, text = where.resolve().parent, where.resolve().name
        allow(str(where.resolve()) if text.endswith(".py") else text, trust)
        self.ledger: Ledger = open_study(storage if "://" in str(storage) else Path(storage), text)
        if not self.ledger.keys():
            raise UserError(f"there is no study in {self.ledger.root} yet; run({text!r}) makes one")

    def cells(self) -> "list[TableCell]":
        """What was compared, with the values of each measure over replicates: study/analysis/cell_table.py."""
        from study.analysis.cell_table import cells

        return cells(self.ledger)

    def best(self, dataset: str | None = None) -> "TableCell":
        """The cell nearest to the real images; dataset: which, where there are several, whose scores do not compare."""
        from study.analysis.cell_table import champions

        found = {cell.dataset: cell for cell in champions(self.cells())}
        if dataset is None and len(found) == 1:
            return next(iter(found.values()))
        if dataset not in found:
            raise UserError(f"of which dataset? best(...) has: {', '.join(found) or 'none yet, as no trial has ended well'}")
        return found[dataset]

    def findings(self) -> "ReportData":
        """What the report says: its answer, verdicts, effects, and a row per training (study/analysis/report_data.py)."""
        from study.analysis.report_data import findings

        return findings(self.ledger)

    def frame(self, of: str = "cells") -> "DataFrame":
        """The table of "cells" as cells.csv has it, or of "trainings": one per row, with its settings and measures."""
        import pandas

        from study.analysis.cell_table import as_row

        if of == "cells":
            return pandas.DataFrame(map(as_row, self.cells()))
        if of != "trainings":
            raise UserError(f'frame() is of "cells" or of "trainings", not of {of!r}')
        rows = self.findings().rows
        return pandas.DataFrame({name: value for name, value in row.items() if not name.startswith("curve/")} for row in rows)

    def model(self, trial: str = "best") -> "nn.Module":
        """The model of a trial by its key, in eval mode."""
        from study.training.weights import rebuilt

        return rebuilt(self.ledger, self.best().trial if trial == "best" else trial)

    def sample(self, n: int = 64, trial: str = "best", seed: int = 0) -> "Tensor":
        """Images (n, C, H, W) in [0, 1] that a trial's model draws: those of study/sample.py."""
        from study.training.image_grids import decode, prior_sample

        model = self.model(trial)
        return decode(model, prior_sample(model, n, seed))


def run(space: "str | Path | Space", storage: Path | str = STORAGE, **options) -> Study:
    """Run what is left of a study, as study/launch.py does with the same options, and show it.

    space: a name, a file, or a Space with a name, whose models, nets and measures stand in modules. options: those of
    `study/launch.py --help`, with underscores: replicates=3, datasets=["mnist"], download=True, budget="2h".
    """
    from study.launch import launched, parse
    from study.ledger.opening import is_space_name
    from study.space.loading import accepted
    from study.space.space import Space

    made = space if isinstance(space, Space) else None
    if made and not is_space_name(made.name):
        raise UserError("a Space that is run by itself needs a name of letters, digits and underscores: Space(..., name='dropout')")
    name = made.name if made else str(space)
    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            parsed = parse(["--space", name, "--storage", str(storage), *as_typed(options)])
        except SystemExit:
            raise UserError(said.getvalue().strip().splitlines()[-1].partition("error: ")[2]) from None
    code = launched(parsed, made and accepted(made))
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    return Study(name, storage, parsed.trust_study)


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
