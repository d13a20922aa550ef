"""Code that a test or a benchmark keeps as text, for a process of its own, imports only what exists: no tool reads it."""

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
IMPORT = re.compile(r"\bfrom ((?:study|models|search_spaces)(?:\.\w+)*) import (\w+(?:, \w+)*)")


def imports() -> set[tuple[str, str]]:
    texts = [
        node.value
        for folder in ("tests", "benchmarks", "study")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    return {(module, name) for text in texts for module, names in IMPORT.findall(text) for name in names.split(", ")}


@pytest.mark.parametrize(("module", "name"), sorted(imports()))
def test_what_it_imports_exists(module, name):
    if not hasattr(importlib.import_module(module), name):
        importlib.import_module(f"{module}.{name}")
