"""Fixtures: an empty ledger, a tiny plan, and where the real data is."""

import gc
import os
import secrets
import shutil
import subprocess
from pathlib import Path

os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))  # of every Ray of a test; Ray reads it when imported
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the study has it, before NumPy is imported

import pytest
import torch
from hosts import NEW
from tiny import IDENTITY, tiny_space

from study.ledger.folder import Ledger
from study.sweep.plan import Plan

torch.set_num_threads(1)
CHROMIUM_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
]


def pytest_collection_finish(session):
    """What was imported stays: to look through it for garbage again and again is a twentieth of all the time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory) -> Path:
    """An empty data folder: digits alone is always at hand."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with real MNIST and photographs, where the machine has one."""
    if not os.environ.get("STUDY_DATA"):
        pytest.skip("set STUDY_DATA to a folder with MNIST, Imagenette and images of your own")
    return Path(os.environ["STUDY_DATA"])


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return Ledger(tmp_path / "tiny")


@pytest.fixture
def plan(ledger) -> Plan:
    return Plan(tiny_space(), ledger, IDENTITY)


@pytest.fixture(scope="session")
def whole_store(tmp_path_factory) -> Path:
    """A new MLflow store, to be copied: making one takes seconds."""
    from study.mlflow_view.store import make

    place = tmp_path_factory.mktemp("store") / "mlflow.db"
    make(place)
    return place


@pytest.fixture
def uri(ledger, whole_store) -> str:
    """Of an MLflow store beside the study, as a launch makes it."""
    from study.mlflow_view.store import default_uri

    shutil.copyfile(whole_store, ledger.root.parent / "mlflow.db")
    return default_uri(ledger.root)


@pytest.fixture(scope="session")
def namespaces():
    """Whether this process may make hosts of its own."""
    tried = subprocess.run([*NEW, "--net", "ip", "link", "add", "type", "bridge"], capture_output=True)
    if tried.returncode:
        pytest.skip("needs root, and namespaces with bridges")


@pytest.fixture(scope="session")
def browser():
    """A real headless Chromium; a machine without one is told what to install."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.fail("these tests drive a browser: pip install -r requirements-test.txt")
    place = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if place is None:
        pytest.fail("these tests need a browser: apt-get install chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=place, args=CHROMIUM_FLAGS)
        yield started
        started.close()
