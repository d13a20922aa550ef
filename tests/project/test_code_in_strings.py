"""Code that a test or a benchmark keeps as text, for a process of its own, imports only what exists: no tool reads it."""

import ast
import importlib
import importlib.util
import re
from pathlib import Path

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


def exists(module: str, name: str) -> bool:
    return hasattr(importlib.import_module(module), name) or importlib.util.find_spec(f"{module}.{name}") is not None


def test_what_it_imports_exists():
    found = imports()
    assert len(found) > 40 and [pair for pair in sorted(found) if not exists(*pair)] == []
