"""The code from outside the project that a result comes from, as a digest: a part of the keys of trials.

From the definition of a model, a net, a dataset or a measure every name is followed to its own definition, through all files
that are neither the project's nor installed. Comments, docstrings and layout do not count, nor does the rest of a file, such
as a space's propose or budget. What an installed package defines counts by the package's version.
"""

import ast
import hashlib
import importlib.util
import json
import socket
import sysconfig
from functools import cache
from importlib import metadata
from pathlib import Path

from study.errors import UnfitMachine, UserError
from study.space.cells import import_path
from study.space.importing import PROJECT, imported

INSTALLED = {"site-packages", "dist-packages"}
STANDARD = Path(sysconfig.get_paths()["stdlib"])
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def codes(things) -> dict[str, str]:
    """Import path -> digest of the code of those things that come from outside the project."""
    return {import_path(thing): digest(thing) for thing in things if top(import_path(thing)) not in PROJECT}


@cache  # of the object, which keeps the code that it was loaded with even where the file is edited
def digest(thing) -> str:
    """Twelve hexadecimal digits of the code behind a model, net, source or measure; UserError where it cannot be read."""
    path = import_path(thing)
    reader = Reader()
    reader.follow(*path.split(":"))
    found = sorted((*place, text) for place, text in reader.found.items()) or versions(path)
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()[:12]


def versions(path: str) -> list[str]:
    """The version of the package that an import path leads into."""
    packages = metadata.packages_distributions().get(top(path))
    if not packages:
        raise UserError(f"the code of {path} cannot be read, so nobody would notice when it changes: define it in a .py file")
    return sorted(f"{package} {metadata.version(package)}" for package in packages)


def check_code(spec) -> None:
    """UnfitMachine where a trial was planned with other code than what would run here."""
    for path, planned in spec.code.items():
        if digest(imported(path, spec.origin)) != planned:
            raise UnfitMachine(
                f"the code of {path} on {socket.gethostname()} is not what trial {spec.key} was planned with: it has"
                " changed since, or is another version here; a new launch plans with what it finds"
            )


class Reader:
    """Collects the definitions that a name depends on: (module, name) -> source text without comments."""

    def __init__(self):
        self.found, self.trees = {}, {}

    def file(self, module: str) -> Path | None:
        """The source of a module that is neither the project's nor installed."""
        try:
            spec = importlib.util.find_spec(module)
        except (ImportError, ValueError):  # no such module, or one made at run time
            return None
        if spec is None or not spec.has_location or not (spec.origin or "").endswith(".py"):
            return None
        place = Path(str(spec.origin))
        known = top(module) in PROJECT or place.is_relative_to(STANDARD) or not INSTALLED.isdisjoint(place.parts)
        return None if known else place

    def follow(self, module: str, name: str = "") -> None:
        """Note what the module defines under that name (all of it for ""), and follow what is used there."""
        if (module, name) in self.found or (file := self.file(module)) is None:
            return
        if module not in self.trees:
            self.trees[module] = undocumented(ast.parse(file.read_bytes())).body
        statements = [each for each in self.trees[module] if name in bound(each)] if name else self.trees[module]
        if not statements and is_package(module) and self.file(f"{module}.{name}"):
            return self.follow(f"{module}.{name}")
        statements = statements or self.trees[module]  # made by a call or a star: any of the file may do it
        self.found[module, name] = "\n".join(map(ast.unparse, statements))
        known = set().union(*map(bound, self.trees[module]))
        for node in (node for each in statements for node in ast.walk(each)):
            if isinstance(node, ast.Name) and node.id in known:
                self.follow(module, node.id)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    self.follow(alias.name)
            elif isinstance(node, ast.ImportFrom):
                self.follow_from(module, node)

    def follow_from(self, module: str, node: ast.ImportFrom) -> None:
        package = module if is_package(module) else module.rpartition(".")[0]
        source = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
        for alias in node.names:
            self.follow(source, "" if alias.name == "*" else alias.name)


def is_package(module: str) -> bool:
    spec = importlib.util.find_spec(module)
    return bool(spec and spec.submodule_search_locations)


def top(path: str) -> str:
    """The top package of a module or an import path."""
    return path.split(":")[0].split(".")[0]


def bound(node) -> set[str]:
    """The names that a statement of a module defines or changes."""
    if isinstance(node, DEFINITIONS):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name.split(".")[0] for alias in node.names}
    if isinstance(getattr(node, "ctx", None), ast.Store):
        return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    return set().union(*map(bound, ast.iter_child_nodes(node)))


def undocumented(tree):
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, *DEFINITIONS)) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree
