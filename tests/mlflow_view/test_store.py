"""MLflow's SQLite store: made whole or not at all, by one at a time, known when it is not whole, and at home wherever it lies."""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from mlflow_runs import everything, train
from servers import free_port, served

from study.errors import UserError
from study.ledger.folder import Ledger
from study.mlflow_view import store as store_module
from study.mlflow_view.store import default_uri, fault_of, make_ready, revisions
from study.mlflow_view.sync import sync
from study.mlflow_view.tracker import Tracker

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
MAKER = """
import sys
import mlflow.store.db.utils, mlflow.store.tracking.dbmodels.models
from study.mlflow_view.store import make_ready
print("ready", flush=True)
make_ready(sys.argv[1], print)
"""
OPENER = """
import sys
from pathlib import Path
from study.ledger.folder import Ledger
from study.mlflow_view.store import default_uri
from study.mlflow_view.tracker import Tracker
print("ready", flush=True)
for line in sys.stdin:
    folder = Path(line.strip())
    tracker = Tracker(default_uri(folder), Ledger(folder / sys.argv[1]), sys.argv[1])
    tracker.client.log_metric(tracker.client.create_run(tracker.experiment).info.run_id, "x", 1.0)
    print("made", flush=True)
"""


@pytest.fixture
def store(whole_store, tmp_path) -> Path:
    """A new store that nobody has opened."""
    return Path(shutil.copyfile(whole_store, tmp_path / "mlflow.db"))


def changed(place, *statements) -> None:
    with sqlite3.connect(place) as database:
        for statement in statements:
            database.execute(statement)
    database.close()


def is_whole(place) -> bool:
    with sqlite3.connect(place) as database:
        found = database.execute("SELECT version_num FROM alembic_version").fetchall()
    database.close()
    return found == [(revisions()[1],)] and not fault_of(place)


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE _alembic_tmp_runs (x)"],
        ["UPDATE alembic_version SET version_num = '0584bdc529eb'", "DROP TABLE logged_models"],
        ["DROP TABLE alembic_version"],
        None,
    ],
    ids=["a temporary table", "an early revision", "no revision yet", "an empty file"],
)
def test_a_store_whose_making_was_cut_off_is_known_although_sqlite_finds_nothing_wrong_with_it(store, statements, monkeypatch):
    monkeypatch.setattr(store_module, "REST_S", 0.1)
    changed(store, *statements) if statements else store.write_bytes(b"")
    assert store_module.sound_database(store) and fault_of(store) == "an MLflow store whose making was cut off"


def test_a_store_that_was_cut_off_is_quarantined_and_made_again(store, monkeypatch):
    monkeypatch.setattr(store_module, "REST_S", 0.1)
    said = []
    changed(store, "CREATE TABLE _alembic_tmp_runs (x)")
    store.with_name("mlflow.db.making").write_bytes(b"what a killed process left")
    make_ready(f"sqlite:///{store}", said.append)
    assert is_whole(store) and len(list(store.parent.glob("mlflow.db.bad-*"))) == 1 and "whose making was cut off" in said[0]
    assert {path.name.split(".bad")[0] for path in store.parent.iterdir()} == {"mlflow.db", ".mlflow.db.lock"}


def test_a_store_of_an_older_mlflow_is_left_to_mlflow_and_one_of_a_newer_is_refused_in_one_line(store):
    changed(store, "INSERT INTO experiments (experiment_id, name, workspace) VALUES (0, 'Default', 'default')")
    changed(store, "UPDATE alembic_version SET version_num = '0584bdc529eb'")
    assert fault_of(store) == ""
    changed(store, "UPDATE alembic_version SET version_num = 'ffffffffffff'")
    with pytest.raises(UserError, match="newer MLflow"):
        make_ready(f"sqlite:///{store}", print)
    assert store.exists()


def test_a_store_that_a_server_is_just_making_is_waited_for(store, monkeypatch):
    monkeypatch.setattr(store_module, "REST_S", 0.5)
    changed(store, "UPDATE alembic_version SET version_num = '0584bdc529eb'")

    def go_on():
        for number in range(10):
            time.sleep(0.1)
            changed(store, f"CREATE TABLE made_{number} (x)")
        changed(store, f"UPDATE alembic_version SET version_num = '{revisions()[1]}'")

    making = threading.Thread(target=go_on)
    making.start()
    assert fault_of(store) == "" and is_whole(store)
    making.join()


@pytest.mark.long
def test_a_kill_at_any_moment_of_the_making_leaves_no_store_or_a_whole_one(tmp_path):
    place, uri = tmp_path / "mlflow.db", f"sqlite:///{tmp_path / 'mlflow.db'}"
    random.seed(6)
    for _ in range(6):
        maker = subprocess.Popen([sys.executable, "-c", MAKER, uri], stdout=subprocess.PIPE, env=ENVIRONMENT)
        maker.stdout.readline()
        time.sleep(random.random() * 2)
        maker.send_signal(signal.SIGKILL)
        maker.wait()
        assert not place.exists() or is_whole(place)
        place.unlink(missing_ok=True)
    make_ready(uri, print)
    assert is_whole(place) and not list(tmp_path.glob("*.bad-*")) and not list(tmp_path.glob("*.making*"))


@pytest.mark.long
def test_two_spaces_that_are_launched_at_once_from_nothing_both_get_their_experiment(tmp_path):
    """Ten times, in two processes that begin together."""
    openers = [
        subprocess.Popen(
            [sys.executable, "-c", OPENER, space], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
        )
        for space in ("one", "other")
    ]
    try:
        assert [opener.stdout.readline() for opener in openers] == ["ready\n"] * 2
        for number in range(10):
            for opener in openers:
                print(tmp_path / str(number) / "studies", file=opener.stdin, flush=True)
            assert [opener.stdout.readline() for opener in openers] == ["made\n"] * 2, number
            assert is_whole(tmp_path / str(number) / "mlflow.db") and not list((tmp_path / str(number)).glob("*.bad-*"))
    finally:
        for opener in openers:
            opener.kill()


@pytest.fixture
def project(ledger, plan, whole_store, tmp_path) -> Path:
    """A project with two trials in MLflow, and a run that somebody made by hand in the same store."""
    folder = tmp_path / "original"
    ledger = Ledger(folder / "studies" / "tiny")
    for each in plan.left()[:2]:
        train(ledger, plan, each)
    shutil.copyfile(whole_store, folder / "mlflow.db")
    sync(folder / "studies", "tiny", None)
    client = Tracker(default_uri(folder / "studies"), ledger, "tiny").client
    for name, place in (("by hand", folder / "by_hand"), ("elsewhere", tmp_path / "elsewhere")):
        run = client.create_run(client.create_experiment(name, place.as_uri()))
        client.log_text(run.info.run_id, "kept", "note.txt")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def addresses(folder: Path) -> list[str]:
    with sqlite3.connect(folder / "mlflow.db") as database:
        return [
            address
            for table, columns in store_module.ADDRESSES.items()
            for column in columns
            for (address,) in database.execute(
                f"SELECT {column} FROM {table} WHERE {column} LIKE '%/original%' OR {column} LIKE '%/copy/%'"
            )
        ]


def test_a_copied_project_writes_into_its_own_artifacts_and_not_into_those_of_the_original(project, tmp_path, plan, capsys):
    before, copy = contents(project), tmp_path / "copy"
    shutil.copytree(project, copy)
    ledger = Ledger(copy / "studies" / "tiny")
    train(ledger, plan, plan.left()[2])
    assert sync(copy / "studies", "tiny", None) == 3
    assert contents(project) == before and f"was made in {project}" in capsys.readouterr().out
    assert addresses(copy) and not [address for address in addresses(copy) if "/original/" in address]
    tracker = Tracker(default_uri(copy / "studies"), ledger, "tiny")
    runs = everything(tracker.client, tracker.experiment)
    assert len(runs) == 4 and {run[0] for run in runs.values()} == {"FINISHED"}  # three trials and the summary, none twice
    assert "was made in" not in capsys.readouterr().out  # it is at home now


def test_what_was_not_copied_stays_where_it_is_and_a_study_s_files_are_written_again(project, tmp_path):
    before, copy = contents(project), tmp_path / "copy"
    shutil.copytree(project, copy, ignore=shutil.ignore_patterns("artifacts", "by_hand"))
    sync(copy / "studies", "tiny", None)
    tracker = Tracker(default_uri(copy / "studies"), Ledger(copy / "studies" / "tiny"), "tiny")
    for run in tracker.client.search_runs([tracker.experiment], "tags.stage = 'search'"):
        assert (copy / "artifacts" / "tiny" / run.info.run_id / "artifacts" / "weights.safetensors").exists()
    (by_hand,) = tracker.client.search_runs([tracker.client.get_experiment_by_name("by hand").experiment_id])
    assert by_hand.info.artifact_uri.startswith((project / "by_hand").as_uri()) and contents(project) == before


@pytest.mark.long
def test_the_page_of_a_copied_project_shows_the_copy_s_artifacts(project, tmp_path):
    import json
    import urllib.request

    before, copy, port = contents(project), tmp_path / "copy", free_port()
    shutil.copytree(project, copy)
    with served(copy, port) as said:
        assert "was made in" in said.read_text()
    run = Tracker(default_uri(copy / "studies"), Ledger(copy / "studies" / "tiny"), "tiny").client.search_runs(["1"])[0].info
    (copy / "artifacts" / "tiny" / run.run_id / "artifacts" / "note.txt").write_text("of the copy")
    shutil.move(project, tmp_path / "away")
    with served(copy, port):
        base = f"http://127.0.0.1:{port}"
        listed = json.load(urllib.request.urlopen(f"{base}/api/2.0/mlflow/artifacts/list?run_id={run.run_id}"))
        assert listed["root_uri"].startswith(copy.as_uri()) and "note.txt" in {file["path"] for file in listed["files"]}
        assert urllib.request.urlopen(f"{base}/get-artifact?path=note.txt&run_id={run.run_id}").read() == b"of the copy"
    assert contents(tmp_path / "away") == before
