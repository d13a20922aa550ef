"""The rooms of study/: each imports only from those to its left, so that a change has one place and no circle."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = (
    "models",
    "errors",
    "space",
    "ledger",
    "data",
    "metrics",
    "training",
    "sweep",
    "analysis",
    "mlflow_view",
    "reporting",
    "commands",
)
LIBRARIES = {
    "ray": {"sweep/ray_executor.py", "sweep/ray_measuring.py", "sweep/ray_searcher.py", "launch.py"},
    "optuna": {"sweep/optuna_sampler.py"},
    "mlflow": {
        "mlflow_view/tracker.py",
        "mlflow_view/cell_runs.py",
        "mlflow_view/provenance.py",
        "mlflow_view/registry.py",
        "mlflow_view/store.py",
        "mlflow_view/sync.py",
        "mlflow_view/typed_filters.py",
    },
}
FILES = sorted([*(ROOT / "study").rglob("*.py"), *(ROOT / "models").glob("*.py")])


def imported(path: Path) -> set[str]:
    """The modules that a file imports, wherever in it."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    return {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names} | {
        f"{node.module}.{alias.name}" for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names
    }


def room_of(module: str) -> str:
    top, *rest = module.split(".")
    return top if top == "models" else rest[0] if rest and rest[0] in ROOMS else "commands"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_imports_only_from_rooms_to_its_left(path):
    own = room_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
    rooms = {room_of(module) for module in imported(path) if module.split(".")[0] in ("study", "models")}
    assert not {room for room in rooms if ROOMS.index(room) > ROOMS.index(own)}


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_large_library_has_its_few_places(library):
    users = {
        str(path.relative_to(ROOT / "study")) for path in FILES for module in imported(path) if module.split(".")[0] == library
    }
    assert users <= LIBRARIES[library]
