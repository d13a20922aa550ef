"""What a space file is written with. Imports no ray, mlflow, optuna or torch."""

from study.space.cells import Budget, Cell, grid
from study.space.space import Search, Space
from study.space.systems import match_parameters, moved_to, shortened

__all__ = ["Budget", "Cell", "Search", "Space", "grid", "match_parameters", "moved_to", "shortened"]
