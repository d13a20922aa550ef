"""MLflow servers that hang, die, come back, and one on a real PostgreSQL: training never waits, and nothing is missing."""

import contextlib
import glob
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest
from mlflow_runs import everything, train
from servers import free_port, server, wait_for
from tiny import outcome

from study.ledger.folder import Ledger
from study.mlflow_view.background import BackgroundTracker
from study.mlflow_view.sync import sync
from study.mlflow_view.tracker import Tracker

LONGEST_S = (
    0.5  # that the Tune loop may be held up: far less than any wait for MLflow, more than a busy machine takes from a thread
)


def longest_touch(sink, key, seconds: float) -> float:
    """The longest that a call of the Tune loop was held up, calling every 5 ms."""
    longest, end = 0.0, time.monotonic() + seconds
    while time.monotonic() < end:
        start = time.perf_counter()
        sink.notify(key)
        longest = max(longest, time.perf_counter() - start)
        time.sleep(0.005)
    return longest


def test_training_never_waits_for_a_server_that_hangs(ledger, plan):
    trial, said = plan.left()[0], []
    train(ledger, plan, trial)
    with socket.socket() as deaf:  # takes connections and never answers
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        sink = BackgroundTracker(f"http://127.0.0.1:{deaf.getsockname()[1]}", ledger, "tiny", log=said.append)
        sink.start()
        assert longest_touch(sink, trial.key, 2) < LONGEST_S
        start = time.monotonic()
        assert not sink.close(0.5) and time.monotonic() - start < 2


@pytest.mark.long
def test_the_sink_catches_up_by_itself_with_a_server_that_was_late_hung_and_died(ledger, plan, tmp_path):
    port, said, store = free_port(), [], f"sqlite:///{tmp_path / 'server.db'}"
    trials = plan.left()[:4]
    sink = BackgroundTracker(f"http://127.0.0.1:{port}", ledger, "tiny", log=said.append)
    sink.start()
    longest = []

    def one_more():
        trial = trials.pop()
        train(ledger, plan, trial)
        longest.append(longest_touch(sink, trial.key, 3))

    one_more()  # not up yet
    with server(tmp_path, port, store) as process:
        wait_for(lambda: not sink.pending and not sink.failures and sink.tracker, 60)
        os.killpg(process.pid, signal.SIGSTOP)  # hangs
        one_more()
        time.sleep(8)
        os.killpg(process.pid, signal.SIGCONT)
        wait_for(lambda: not sink.pending and not sink.failures, 60)
        one_more()
    one_more()  # killed
    with server(tmp_path, port, store):
        assert sink.close(60)
        tracker = Tracker(f"http://127.0.0.1:{port}", ledger, "tiny")
        found = everything(tracker.client, tracker.experiment)
    assert max(longest) < LONGEST_S
    assert len(found) == 4 and {row[0] for row in found.values()} == {"FINISHED"}
    assert all(len(row[3]["loss/train"]) == 3 and len(row[4]) == 6 for row in found.values())
    assert any("training goes on" in line for line in said) and any("answers again" in line for line in said)


@pytest.fixture
def postgresql():
    """The address of an empty database in a PostgreSQL of our own, as a user that is not root."""
    programs = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    if not programs:
        pytest.fail("this test needs PostgreSQL: apt-get install -y postgresql")
    programs, folder, port = Path(programs[-1]).parent, Path(tempfile.mkdtemp(prefix="postgresql-")), free_port()
    other = []
    if os.geteuid() == 0:
        other = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        shutil.chown(folder, "nobody", "nogroup")
    data = folder / "data"
    subprocess.run([*other, programs / "initdb", "-A", "trust", "-U", "mlflow", data], check=True, capture_output=True, cwd=folder)
    control = [*other, programs / "pg_ctl", "-w", "-D", data]
    subprocess.run(
        [*control, "-l", folder / "log", "-o", f"-p {port} -k {folder} -c listen_addresses=127.0.0.1", "start"],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd=folder,
    )
    yield (
        f"postgresql+psycopg://mlflow@127.0.0.1:{port}/postgres",
        lambda action: subprocess.run(
            [*control, "-m", "fast", *(["-l", folder / "log"] if action == "restart" else []), action],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=folder,
        ),
    )
    subprocess.run([*control, "-m", "immediate", "stop"], check=False, stdout=subprocess.DEVNULL, cwd=folder)
    shutil.rmtree(folder)


@pytest.mark.long
def test_a_team_s_server_on_postgresql_holds_the_same_and_outlives_a_restart_of_its_database(ledger, plan, tmp_path, postgresql):
    address, database = postgresql
    for trial in plan.left()[:2]:
        train(ledger, plan, trial)
    port = free_port()
    with server(tmp_path, port, address):
        assert sync(tmp_path, "tiny", f"http://127.0.0.1:{port}") == 2
        late = plan.left()[2]
        train(ledger, plan, late)
        database("restart")
        sink = BackgroundTracker(f"http://127.0.0.1:{port}", ledger, "tiny", log=lambda line: None)
        sink.start()
        sink.notify(late.key)
        wait_for(lambda: (ledger.folder(late.key) / "tracked.json").exists(), 60)
        assert sink.close(30)
        on_server = Tracker(f"http://127.0.0.1:{port}", ledger, "tiny")
        found = everything(on_server.client, on_server.experiment)
    plain = f"sqlite:///{tmp_path / 'plain.db'}"
    sync(tmp_path, "tiny", plain)
    on_disk = Tracker(plain, ledger, "tiny")
    assert found == everything(on_disk.client, on_disk.experiment)
    assert sum(key != "summary" for key in found) == 3


@pytest.mark.long
def test_on_a_server_what_was_deleted_comes_back_and_two_ledgers_with_one_space_name_keep_apart(ledger, plan, tmp_path):
    port, other, said = free_port(), Ledger(tmp_path / "elsewhere" / "tiny"), []
    first, second = plan.left()[:2]
    uri = f"http://127.0.0.1:{port}"
    train(ledger, plan, first, finish=False)
    train(other, plan, first)
    with server(tmp_path, port, f"sqlite:///{tmp_path / 'server.db'}"):
        trackers = [Tracker(uri, each, "tiny", log=said.append) for each in (ledger, other)]
        for tracker in trackers:
            tracker.project(first.key)
        one = trackers[0]
        (run,) = one.client.search_runs([one.experiment])
        one.client.delete_run(run.info.run_id)
        train(ledger, plan, second)
        ledger.put_result(first.key, outcome(first))
        one.project(first.key)
        one.client.delete_experiment(one.experiment)
        sink = BackgroundTracker(uri, ledger, "tiny", log=said.append)
        sink.start()
        for key in ledger.keys():
            sink.notify(key)
        sink.summarise()
        assert sink.close(60)
        found, others = (everything(tracker.client, tracker.experiment) for tracker in trackers)
    assert found.keys() == {first.key, second.key, "summary"} and {run[0] for run in found.values()} == {"FINISHED"}
    assert others.keys() == {first.key} and trackers[1].experiment != one.experiment == sink.tracker.experiment
    assert [("another ledger" in line, "it is restored" in line) for line in said] == [(True, False), (False, True), (False, True)]


def test_names_cannot_leave_the_filter_string_or_the_folder(ledger):
    """What goes into an MLflow filter is a trial's key: letters, digits, dots and dashes, whatever the names were."""
    import re

    from tiny import IDENTITY, tiny_space

    from models.nets import fc
    from models.vae import VAE
    from study.data import folder
    from study.space import Cell
    from study.sweep.plan import Plan

    for name in ("a' OR '1'='1", "../../etc", "ｆｏｏ／ｂａｒ", "", "'", "名前", "x\ny", "-- DROP"):
        odd = folder(f"/tmp/{name}")
        for system in ("", name):
            space = tiny_space(cells=[Cell(VAE, fc, 1, 2, odd, {"likelihood": "bernoulli"}, system)])
            plan = Plan(space, ledger, {odd.name: IDENTITY["digits"]})
            for trial in plan.trials():
                assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*", trial.key) and ".." not in trial.key
                assert ledger.folder(trial.key).resolve().parent == (ledger.root / "trials").resolve()


@pytest.mark.long
def test_a_slow_server_gets_everything_and_holds_up_nothing(ledger, plan, tmp_path):
    """Every answer comes a second late, through a relay."""
    port, slow = free_port(), free_port()
    for trial in plan.left()[:2]:
        train(ledger, plan, trial)
    with server(tmp_path, port, f"sqlite:///{tmp_path / 'server.db'}"), relay(slow, port, delay=1.0):
        sink = BackgroundTracker(f"http://127.0.0.1:{slow}", ledger, "tiny", log=lambda line: None)
        sink.start()
        assert max(longest_touch(sink, trial.key, 2) for trial in plan.left()[:2]) < LONGEST_S
        assert sink.close(120)
        tracker = Tracker(f"http://127.0.0.1:{port}", ledger, "tiny")
        assert {row[0] for row in everything(tracker.client, tracker.experiment).values()} == {"FINISHED"}


@pytest.mark.long
def test_a_server_whose_disk_was_full_has_everything_once_there_is_room(ledger, plan, tmp_path):
    """It answers with errors until then; half of what it was sent before may have gone in."""
    disk, port, said = tmp_path / "disk", free_port(), []
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    try:
        with server(disk, port, f"sqlite:///{disk / 'server.db'}"):
            sink = BackgroundTracker(f"http://127.0.0.1:{port}", ledger, "tiny", log=said.append)
            sink.start()
            trials = plan.left()[:2]
            train(ledger, plan, trials[0])
            sink.notify(trials[0].key)
            wait_for(lambda: not sink.pending and not sink.failures and sink.tracker, 60)
            with open(disk / "ballast", "wb", buffering=0) as ballast, contextlib.suppress(OSError):
                while True:
                    ballast.write(bytes(4096))
            train(ledger, plan, trials[1])
            assert longest_touch(sink, trials[1].key, 6) < LONGEST_S
            assert sink.failures
            (disk / "ballast").unlink()
            assert sink.close(60)
            tracker = Tracker(f"http://127.0.0.1:{port}", ledger, "tiny")
            found = everything(tracker.client, tracker.experiment)
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
    assert len(found) == 2 and {row[0] for row in found.values()} == {"FINISHED"}
    assert all(len(row[3]["loss/train"]) == 3 and len(row[4]) == 6 for row in found.values())
    assert any("training goes on" in line for line in said) and any("answers again" in line for line in said)


@contextlib.contextmanager
def relay(listen: int, target: int, delay: float):
    """Passes bytes on between two ports; those that come back are late."""

    def pump(source, sink, wait):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                time.sleep(wait)
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                client, _ = door.accept()
                there = socket.create_connection(("127.0.0.1", target))
                for pair in ((client, there, 0.0), (there, client, delay)):
                    threading.Thread(target=pump, args=pair, daemon=True).start()

    with socket.create_server(("127.0.0.1", listen)) as door:
        threading.Thread(target=accept, daemon=True).start()
        yield
