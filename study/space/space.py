"""A question that a study answers: its cells, what is tuned in them, and the budgets."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from study.errors import UserError
from study.space.cells import Budget, Cell
from study.space.contracts import Dataset
from study.space.hyperparameters import DefaultTrial, check_params, defaults_of
from study.space.systems import moved_to

SAMPLERS = ("quasi-random", "tpe", "gp")
PRECISIONS = ("float32", "tf32", "bf16")  # of products in training: study/training/numerics.py


@dataclass(frozen=True)
class Search:
    """How each replicate of each cell is tuned: the same rule for all of them, so that budgets are equal.

    rounds: how many proposals are trained side by side, round after round. The first round is the published default and a
    quasi-random sequence of the replicate's own; later ones come from `sampler`, which learns from the replicate's own earlier
    rounds: "quasi-random" (the sequence goes on), "tpe" or "gp".
    rungs: shares of the epochs after which the worse half of a round is stopped (successive halving, Jamieson and Talwalkar 2016).
    """

    rounds: Sequence[int] = (8,)
    sampler: str = "quasi-random"
    rungs: Sequence[float] = (1 / 3,)

    @property
    def proposals(self) -> int:
        return sum(self.rounds)

    def of(self, proposals: int) -> "Search":
        """The same search with so many proposals: its rounds, of which the last repeats, cut where there are enough."""
        rounds, left = [], proposals
        while left:
            size = self.rounds[min(len(rounds), len(self.rounds) - 1)]
            rounds.append(min(size, left))
            left -= rounds[-1]
        return replace(self, rounds=tuple(rounds))


@dataclass(frozen=True)
class Space:
    """A question: which cells are compared, what is tuned inside each, and at which equal budgets.

    propose(trial, cell) -> dict of the model's keyword arguments, drawn with the `suggest_*` of an optuna.Trial;
    budget(cell) -> Budget; search: how a replicate is tuned; replicates: tunings per cell, each with a training of its own on
    held-out data; pack: how many trainings at most run side by side in one process (Plan.pack_size: where that pays);
    measures: further ones, name -> function(samples, real) -> number, of images (n, C, H, W) in [0, 1];
    claims: further ones for the report, see study/analysis/claims.py. name, question, module and origin come from its file.
    precision: of products in training (study/training/numerics.py): "float32", or less exact, faster and part of every key.
    keep_states: trainings on held-out data keep where they ended; --epochs beyond those of the budget then trains on from there,
    with what was tuned at the budget's.
    """

    cells: Sequence[Cell]
    propose: Callable
    budget: Callable[[Cell], Budget]
    search: Search = Search()
    replicates: int = 8
    pack: int = 32
    measures: Mapping[str, Callable] = field(default_factory=dict)
    claims: Sequence = ()
    precision: str = "float32"
    keep_states: bool = False
    name: str = ""
    question: str = ""
    module: str = ""
    origin: str = ""

    @property
    def datasets(self) -> dict[str, Dataset]:
        """The datasets of its cells by their names."""
        return {cell.dataset.name: cell.dataset for cell in self.cells}

    def only(
        self, datasets=None, models=None, systems=None, nets=None, depths=None, latents=None, settings: Mapping = {}
    ) -> "Space":
        """The same question about the datasets, models (lower case), systems, nets, depths and latent sizes named, all of them
        where None, and cells with these settings."""
        cells = [
            cell
            for cell in self.cells
            if (datasets is None or cell.dataset in datasets)
            and (models is None or cell.family in models)
            and (systems is None or cell.system in systems)
            and (nets is None or cell.net.name in nets)
            and (depths is None or cell.depth in depths)
            and (latents is None or cell.latent_dim in latents)
            and all(name in cell.settings and cell.settings[name] == value for name, value in settings.items())
        ]
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
        """Proposal 0, the published defaults as they stand in the model's signature: (params, values suggested)."""
        trial = self._asked(cell)
        return trial.returned, trial.suggested

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
