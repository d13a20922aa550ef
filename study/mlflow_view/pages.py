"""Command lines that work as they are typed: from the folder where the user stands, in this environment, on this store."""

import json
import os
import shlex
import socket
from pathlib import Path

from study.ledger.next_steps import ROOT, seen_from_here
from study.mlflow_view.store import database_of

FIRST_PORT, PORTS = 5000, 20  # where `make ui` serves MLflow, and how many ports from there are looked at
ANSWER_S = 2.0  # within which a server on this machine answers


def mlflow_page(uri: str, page: str, experiment: str, word: str) -> str:
    """What shows a page of an MLflow store: the address of the server at `uri`, or of one on this machine that serves the
    SQLite store whose experiment has this `word` among its tags, or else `make ui` on the first port that is free."""
    store = database_of(uri)
    if store is None:
        return f"{uri.rstrip('/')}{page}"
    first = int(os.environ.get("PORT", FIRST_PORT))
    for port in range(first, first + PORTS):
        if not in_use(port):
            return f"{make_ui(store, port)}   # then http://127.0.0.1:{port}{page}"
        if serves(port, experiment, word):
            return f"http://127.0.0.1:{port}{page}"
    return make_ui(store, first)


def watching(uri: str) -> str:
    """Where runs can be watched while a sweep goes on."""
    store = database_of(uri)
    return f"MLflow: {uri}" + (f"; watch it with `{make_ui(store)}`" if store else "")


def make_ui(store: Path, port: int = FIRST_PORT) -> str:
    where = [] if Path.cwd() == ROOT else ["-C", seen_from_here(ROOT)]
    what = [] if store.resolve() == ROOT / "mlruns" / "mlflow.db" else [f"STORE={store}".replace("$", "$$")]
    return shlex.join(["make", *where, "ui", *what, *([] if port == FIRST_PORT else [f"PORT={port}"])])


def in_use(port: int) -> bool:
    """Whether a server could not listen there; asked by trying, since a connection may reach its own socket."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: an earlier one's last words are no hindrance
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def serves(port: int, experiment: str, word: str) -> bool:
    """Whether the MLflow server at this port shows the experiment of that number with this word among its tags."""
    from urllib.request import urlopen  # here: it takes as long to import as a --help may take

    try:
        asked = f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/get?experiment_id={experiment}"
        with urlopen(asked, timeout=ANSWER_S) as answer:
            return word in [tag["value"] for tag in json.load(answer)["experiment"].get("tags", [])]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
