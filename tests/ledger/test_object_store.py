"""Studies in an object store, on a real server that speaks S3; every machine is a process with a cache of its own."""

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from s3 import s3_server
from servers import free_port
from tiny import IDENTITY as TINY
from tiny import finish, result_of, spec_of, tiny_space
from trials import planned

from study.api import Study
from study.errors import UserError
from study.ledger import lease, object_store
from study.ledger.files import read_spec
from study.ledger.identity import IDENTITY, words
from study.ledger.names import cell_of
from study.ledger.opening import ledger_at, open_study
from study.ledger.records import Result, Spec
from study.sweep.gpu_share import share_after_failures
from study.sweep.plan import Plan

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with s3_server(tmp_path_factory.mktemp("s3") / "log", "127.0.0.1", free_port()) as serving:
        yield serving


@pytest.fixture
def machine(server, tmp_path, monkeypatch):
    """A function that makes this process a machine of that name: credentials, and a cache that no other machine sees."""
    for name, value in server[1].items():
        monkeypatch.setenv(name, value)

    def at(name: str) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))

    at("first")
    return at


@pytest.fixture
def address(request) -> str:
    return f"s3://studies/{request.node.name.replace('[', '-').strip(']')}/tiny"


def objects(ledger) -> set[str]:
    return {path.removeprefix(f"{ledger.place}/") for path in ledger.store.find(ledger.place)}


def test_of_many_who_put_a_result_one_is_first_and_all_read_the_same(machine, address):
    ledgers = []
    for number in range(6):
        machine(f"machine{number}")
        ledgers.append(ledger_at(address))
    with ThreadPoolExecutor(6) as pool:
        first = list(
            pool.map(lambda number: ledgers[number].put_result("key", Result.from_json(result_of("key", epochs=number))), range(6))
        )
    assert sum(first) == 1
    assert {ledger.result("key").epochs for ledger in ledgers} == {first.index(True)}


def test_a_study_is_told_from_python_by_its_address_as_it_is_there_now(machine, address):
    driver, told = ledger_at(address), Study(address)
    plan = Plan(tiny_space(), driver, TINY)
    machine("reader")
    for objective, cell in zip((0.4, 0.2), plan.space.cells):
        finish(plan, plan._confirm_trial(cell, 0, {"lr": 1e-3}), objective=objective)
        assert told.best().name == cell.name and told.best().value("quality/fd_rel") == objective
    assert str(told) == f"Study('tiny', {address.removesuffix('/tiny')!r})"


def test_all_machines_know_a_ledger_by_one_word_and_its_copy_by_another(machine, address):
    ledgers = []
    for number in range(4):
        machine(f"machine{number}")
        ledgers.append(ledger_at(address))
    with ThreadPoolExecutor(4) as pool:
        ((one,),) = set(map(tuple, pool.map(words, ledgers)))
    machine("later")
    assert words(ledger_at(address)) == [one]
    copy = ledger_at(f"{address}-copied")
    copy.create(IDENTITY, ledgers[0].read(IDENTITY))
    new, original = words(copy)
    assert original == one and new[0] != one[0] and words(ledger_at(f"{address}-copied")) == [new, original]


@pytest.mark.long
def test_a_trial_goes_on_on_another_machine_and_ends_in_the_same_numbers(machine, address, tmp_path, data_dir):
    from study.ledger.folder import Ledger
    from study.training.run import run_pack, run_trial

    whole = planned(Ledger(tmp_path / "whole"), data_dir, epochs=4)
    expected = run_trial(whole, data_dir)
    driver = ledger_at(address)
    spec = read_spec(whole)
    driver.put_spec(whole.name, spec)

    machine("lost")
    worker = ledger_at(address, worker=True)
    worker.fetch(f"trials/{whole.name}")

    class PulledOut(BaseException):
        pass

    def keep():
        worker.publish(f"trials/{whole.name}")
        worker.publish("packs")
        raise PulledOut

    with pytest.raises(PulledOut):  # at the one checkpoint, of its second epoch
        run_pack([worker.folder(whole.name)], 2, data_dir, checkpoint_s=math.inf, on_checkpoint=keep)

    machine("other")
    worker = ledger_at(address, worker=True)
    worker.fetch_trial(whole.name)
    assert len(worker.rows(whole.name)) == 3
    result = run_trial(worker.folder(whole.name), data_dir)
    worker.leave(whole.name)
    worker.publish("packs")
    assert result.attempts == [0, 2] and not worker.folder(whole.name).exists()
    assert result.measures["quality/fd_rel"] == expected.measures["quality/fd_rel"]

    driver.fetch(f"trials/{whole.name}")
    assert [row.values for row in driver.rows(whole.name)] == [row.values for row in Ledger(tmp_path / "whole").rows(whole.name)]
    assert (driver.folder(whole.name) / "weights.safetensors").read_bytes() == (whole / "weights.safetensors").read_bytes()
    assert {path.name for path in driver.folder(whole.name).glob("images/*")} == {path.name for path in whole.glob("images/*")}
    (pack,) = [name for name in objects(driver) if name.startswith("packs/")]
    assert pack.startswith(f"packs/{cell_of(whole.name)}.") and not (driver.root / pack).exists()
    driver.drop_checkpoints(cell_of(whole.name))
    assert pack not in objects(driver)


def test_nothing_is_fetched_twice_and_what_is_gone_from_the_store_is_gone_here(machine, address, monkeypatch):
    ledger = ledger_at(address)
    ledger.put_spec("one", Spec.from_json(spec_of()))
    machine("second")
    storage, space = address.rsplit("/", 1)
    reader = open_study(storage, space)
    assert reader.keys() == ["one"] and reader.spec("one").seeds == [0]
    reader = open_study(storage, space)
    monkeypatch.setattr(reader.store, "cat", lambda *_: pytest.fail("fetched again"))
    reader.fetch()
    ledger.store.rm(ledger.remote("trials/one"), recursive=True)
    assert open_study(storage, space).spec("one") is None


def test_what_is_in_flight_is_bounded_and_a_checkpoint_follows_its_rows():
    files = [(f"trials/key/{number}", object_store.LARGEST // 2) for number in range(5)] + [
        ("trials/key/metrics.jsonl", 10),
        ("packs/cell.pt", 10),
    ]
    sizes = [len(batch) for batch in object_store.batches(files)]
    assert sizes == [2, 2, 2, 1] and not list(object_store.batches([]))
    assert len(list(object_store.batches([("small", 1)] * 200))) == 4


def test_an_object_that_lies_is_quarantined_in_the_store_as_well(machine, address, capsys):
    ledger = ledger_at(address)
    ledger.store.pipe_file(ledger.remote("trials/one/result.json"), b"{")
    ledger.refresh()
    assert ledger.result("one") is None and "quarantined" in capsys.readouterr().out
    names = objects(ledger)
    assert "trials/one/result.json" not in names and any(name.startswith("trials/one/result.json.bad-") for name in names)
    assert ledger.put_result("one", Result.from_json(result_of())) and ledger.result("one").status == "failed"


ODD_NAMES = [
    "../../../escaped",
    "trials/../../escaped",
    "trials/../escaped/spec.json",
    "trials/a/../../../escaped",
    "trials/Not a key/spec.json",
    "features/a\nb",
    "features/a\x00b",
    "/escaped",
    "features//escaped",
    "./escaped",
]


@pytest.mark.parametrize("where", ["s3", "memory"])
def test_names_that_lead_out_of_the_study_are_neither_read_nor_written(machine, address, where, tmp_path, capsys):
    ledger = ledger_at(address if where == "s3" else "memory://odd/tiny")
    ledger.put_spec("one", Spec.from_json(spec_of()))
    for name in ODD_NAMES if where == "s3" else [name for name in ODD_NAMES if ".." not in name]:  # there they lead out at once
        with contextlib.suppress(Exception):  # what the store itself refuses
            ledger.store.pipe_file(f"{ledger.place}/{name}", b"odd")
    names = objects(ledger) - {"trials/one/spec.json"}
    assert names >= {"trials/Not a key/spec.json", "features/a\nb"} and any(".." in name for name in names) == (where == "s3"), (
        names
    )
    machine("second")
    reader = ledger_at(ledger.address)
    reader.refresh()
    assert reader.keys() == ["one"] and "are not read" in capsys.readouterr().err
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.read_bytes() == b"odd"]
    for name in ODD_NAMES:
        for reach in (reader.read, reader.fetch, lambda name: reader.create(name, b""), lambda name: reader.replace(name, b"")):
            with pytest.raises(UserError, match="no file of a study"):
                reach(name)


def test_a_link_in_a_trial_is_not_followed_into_the_store(machine, address, tmp_path):
    (tmp_path / "private").write_text("private")
    ledger = ledger_at(address, worker=True)
    ledger.folder("one").mkdir(parents=True)
    (ledger.folder("one") / "weights.safetensors").symlink_to(tmp_path / "private")
    (ledger.folder("one") / "metrics.jsonl").write_text("")
    ledger.leave("one")
    assert objects(ledger) == {"trials/one/metrics.jsonl"}


def test_a_failed_trial_is_reopened_for_every_machine(machine, address):
    ledger = ledger_at(address)
    ledger.put_result("one", Result.from_json(result_of(out_of_memory=True, gpus=0.25)))
    ledger.reopen("one")
    machine("second")
    other = open_study(*address.rsplit("/", 1))
    assert other.result("one") is None and share_after_failures(other, "one", 0.25) == 0.5


DRIVER = """
import sys, time
from study.ledger.opening import ledger_at
with ledger_at(sys.argv[1]).lock():
    print("driving", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def driver(server, address, tmp_path):
    """A driver on a machine of its own."""
    environment = {**os.environ, **server[1], "XDG_CACHE_HOME": str(tmp_path / "elsewhere")}
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, address], env=environment, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout.readline() == "driving\n"
    yield process
    process.kill()
    process.wait()


@pytest.mark.long
def test_one_driver_at_a_time_and_a_dead_one_is_followed(machine, address, driver, monkeypatch, capfd):
    monkeypatch.setattr(lease, "LEASE_S", 5.0)
    ledger = ledger_at(address)
    assert ledger.held()
    with pytest.raises(UserError, match="another driver is running this study at s3://"):
        ledger.lock()
    driver.kill()
    driver.wait()
    with ledger.lock() as held:
        assert held.number == 2 and ledger.held()
        assert capfd.readouterr().err.count("waiting 5 s") == 2
    assert not ledger.held()
    with ledger.lock() as held:  # this one had said that it ended
        assert held.number == 3


def test_a_lease_that_cannot_be_read_is_waited_for_like_any_other(machine, address, monkeypatch):
    ledger = ledger_at(address)
    ledger.replace(lease.lease(7), b"garbage")
    assert ledger.held()
    monkeypatch.setattr(lease, "LEASE_S", 1.0)
    with ledger.lock() as held:
        assert held.number == 8


@pytest.mark.long
def test_a_driver_that_was_silent_for_too_long_and_comes_back_ends(machine, address, driver, monkeypatch):
    monkeypatch.setattr(lease, "LEASE_S", 5.0)
    driver.send_signal(signal.SIGSTOP)
    with ledger_at(address).lock():
        driver.send_signal(signal.SIGCONT)
        assert driver.wait(60) == -signal.SIGTERM  # which a launch turns into one line


@pytest.mark.parametrize("storage, reason", [("s3://no-such-bucket/x", "no-such-bucket"), ("nonsense://a/b", "nonsense")])
def test_storage_that_cannot_be_reached_is_one_line(machine, storage, reason):
    done = subprocess.run(
        [sys.executable, ROOT / "study/status.py", "--space", "smoke", "--storage", storage],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2 and done.stderr.startswith("error: ") and reason in done.stderr and done.stderr.count("\n") == 1


def launch(server, storage: str, folder: Path, machine: str, *more) -> subprocess.Popen:
    """A small study as a user launches it, on the machine of that name."""
    environment = {**os.environ, **server[1], "XDG_CACHE_HOME": str(folder / machine)}
    return subprocess.Popen(
        [
            sys.executable,
            ROOT / "study/launch.py",
            "--space",
            "smoke",
            *("--models", "VAE", "--nets", "fc"),
            "--proposals",
            "2",
            "--replicates",
            "2",
            "--storage",
            storage,
            "--data-dir",
            folder / machine / "data",
            "--tracking-uri",
            f"sqlite:///{folder / machine / 'mlflow.db'}",
            "--checkpoint-seconds",
            "0.001",
            *more,
        ],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.mark.alone
@pytest.mark.long
@pytest.mark.ray
def test_a_study_whose_machine_is_lost_goes_on_on_another_and_waits_for_the_store(machine, server, tmp_path):
    """The first machine is pulled out; on the second the store is away for a while. Only the store holds what was done."""
    storage = "s3://studies/whole"
    first = launch(server, storage, tmp_path, "one", "--epochs", "40")
    ledger = ledger_at(f"{storage}/smoke")
    deadline = time.monotonic() + 90
    while not any(name.startswith("packs/") for name in objects(ledger)):
        assert first.poll() is None and time.monotonic() < deadline, first.stdout.read()
        time.sleep(0.2)
    os.killpg(first.pid, signal.SIGKILL)
    second = launch(server, storage, tmp_path, "two", "--epochs", "40")
    while not any(name.endswith("result.json") for name in objects(ledger)):
        assert second.poll() is None and time.monotonic() < deadline + 60, second.stdout.read()
        time.sleep(0.2)
    server[0].send_signal(signal.SIGSTOP)
    time.sleep(15)
    server[0].send_signal(signal.SIGCONT)
    said, _ = second.communicate(timeout=200)
    assert second.returncode == 0, said
    assert "best vae on digits" in said and "Traceback" not in said
    status = subprocess.run(
        [sys.executable, ROOT / "study/status.py", "--space", "smoke", "--storage", storage, "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    counted = json.loads(status.stdout)
    assert counted["done"] == counted["planned"] > 2 and not counted["left"] and not counted["running"]
    machine("three")
    third = open_study(storage, "smoke")
    results = [third.result(key) for key in third.keys()]
    assert any(len(result.attempts) > 1 and result.attempts[-1] > 0 for result in results)
    assert all([row.epoch for row in third.rows(key)] == list(range(41)) for key in third.keys())
    assert {"report/report.html", "planned.jsonl", "floors.json"} <= objects(third)
    synced = subprocess.run(
        [
            sys.executable,
            ROOT / "study/tracking.py",
            "sync",
            "--space",
            "smoke",
            "--storage",
            storage,
            "--tracking-uri",
            f"sqlite:///{tmp_path / 'again.db'}",
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert synced.stdout.startswith(f"{len(results)} trials are in MLflow"), synced.stderr
