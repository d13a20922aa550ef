"""The record on disk: written once, atomically, and never trusted blindly."""

import fcntl
import json
import multiprocessing
import os
import queue
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from no_links import refuse_links
from tiny import IDENTITY, finish, result_of, tiny_space

from study.errors import UserError
from study.ledger.counts import study_counts
from study.ledger.files import append_line, finite_or_null, put_once, read_json, read_rows, read_sealed, write_atomic, write_sealed
from study.ledger.folder import Ledger
from study.ledger.opening import open_study
from study.ledger.records import Result
from study.sweep.plan import Plan, write_planned


def race(path, number, start, wins, before=lambda: None):
    before()
    start.wait()
    if put_once(path, {"writer": number}):
        wins.put(number)


@pytest.mark.parametrize("before", [lambda: None, refuse_links])
def test_of_many_processes_that_finish_a_trial_exactly_one_wins(tmp_path, before):
    context = multiprocessing.get_context("fork")
    for round_number in range(10):
        path, start, wins = tmp_path / f"{round_number}.json", context.Event(), context.Queue()
        writers = [context.Process(target=race, args=(path, number, start, wins, before)) for number in range(4)]
        for writer in writers:
            writer.start()
        start.set()
        for writer in writers:
            writer.join()
        assert read_json(path)["writer"] == wins.get(timeout=5) and wins.empty()
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


def hold(folder, held):
    refuse_links()
    fcntl.flock(os.open(folder, os.O_RDONLY), fcntl.LOCK_EX)
    held.set()
    time.sleep(60)


def put_without_links(path, ended):
    refuse_links()
    ended.put(put_once(path, {"writer": 2}))


def test_a_writer_killed_in_its_turn_without_hard_links_keeps_nobody_waiting(tmp_path):
    context = multiprocessing.get_context("fork")
    held, ended = context.Event(), context.Queue()
    dead = context.Process(target=hold, args=(tmp_path, held))
    waiting = context.Process(target=put_without_links, args=(tmp_path / "result.json", ended))
    dead.start()
    held.wait()
    waiting.start()
    with pytest.raises(queue.Empty):
        ended.get(timeout=0.2)
    dead.kill()
    assert ended.get(timeout=5) and read_json(tmp_path / "result.json") == {"writer": 2}


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    try:
        with pytest.raises(OSError, match=f"No space left on device: '{place}/last.pt'"):
            write_atomic(place / "last.pt", bytes(100_000))
        assert not os.listdir(place)
    finally:
        subprocess.run(["umount", place], check=True)


def test_a_reader_never_sees_a_part_of_a_file(tmp_path):
    path = tmp_path / "last.pt"
    write_atomic(path, b"one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two" and os.listdir(tmp_path) == ["last.pt"]


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\x00\xff\x00", b'{"a": 1'])
def test_a_file_that_lies_is_quarantined_and_said(tmp_path, content):
    path, said = tmp_path / "result.json", []
    path.write_bytes(content)
    assert read_json(path, said.append) is None
    assert not path.exists() and "quarantined" in said[0] and len(os.listdir(tmp_path)) == 1


def test_a_line_cut_off_by_a_crash_is_no_row_and_does_not_spoil_the_next(tmp_path):
    path = tmp_path / "metrics.jsonl"
    append_line(path, json.dumps({"epoch": 1, "time": 0, "values": {}}))
    with open(path, "a") as file:
        file.write('{"epoch": 2, "val')
    assert [row.epoch for row in read_rows(path)] == [1]
    append_line(path, json.dumps({"epoch": 2, "time": 0, "values": {}}))
    assert [row.epoch for row in read_rows(path)] == [1, 2]


def test_a_checkpoint_that_was_changed_on_disk_is_noticed(tmp_path):
    path = tmp_path / "last.pt"
    write_sealed(path, b"weights")
    assert read_sealed(path) == b"weights"
    for damaged in (b"", path.read_bytes()[:-1], path.read_bytes().replace(b"w", b"W")):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="checksum"):
            read_sealed(path)


def test_numbers_that_json_does_not_know_become_null():
    assert finite_or_null({"a": float("nan"), "b": [float("inf"), 1.0]}) == {"a": None, "b": [None, 1.0]}


def test_a_second_driver_of_the_same_study_is_refused(ledger):
    with ledger.lock():
        assert ledger.held()
        with pytest.raises(UserError, match="another driver"):
            ledger.lock()
    assert not ledger.held()


def ask(root, asked):
    while True:
        Ledger(root).held()
        asked.value += 1


def test_those_who_ask_whether_a_study_is_driven_keep_no_driver_out_and_get_no_wrong_answer(ledger):
    context = multiprocessing.get_context("fork")
    counts = [context.Value("i") for _ in range(3)]
    askers = [context.Process(target=ask, args=(ledger.root, count), daemon=True) for count in counts]
    ledger.lock().close()
    for asker in askers:
        asker.start()
    while min(count.value for count in counts) < 1000:
        with ledger.lock():
            assert ledger.held()
        assert not ledger.held()
    for asker in askers:
        asker.kill()


@pytest.fixture
def readable():
    """A study that all may read: a function that calls another as a user who may do no more than that."""
    if os.getuid():
        pytest.skip("only root can become another user")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        ledger = Ledger(Path(folder) / "tiny")

        def as_nobody(call):
            context = multiprocessing.get_context("fork")
            answer = context.SimpleQueue()

            def child():
                os.setuid(65534)
                answer.put(call())

            process = context.Process(target=child)
            process.start()
            process.join()
            assert process.exitcode == 0
            return answer.get()

        yield ledger, as_nobody


def test_who_may_only_read_a_study_sees_whether_it_is_driven_and_how_far_it_is(readable):
    ledger, as_nobody = readable
    plan = Plan(tiny_space(), ledger, IDENTITY)
    finish(plan, plan.left()[0])
    write_planned(plan)
    with ledger.lock():
        assert as_nobody(ledger.held)
    assert not as_nobody(ledger.held)
    before = sorted(ledger.root.rglob("*"))
    counted = as_nobody(lambda: study_counts(ledger.root.parent, "tiny"))
    assert counted["done"] == 1 and counted["left"] == counted["planned"] - 1
    assert sorted(ledger.root.rglob("*")) == before


@pytest.mark.parametrize("key", ["../up", "/etc", "a/b", "", ".", "..", "a\x00b", "a\n", "A", "-a", ".a", 3, None, "a" * 300])
def test_a_key_cannot_lead_out_of_the_study(ledger, key):
    with pytest.raises(UserError, match="no trial's key") as caught:
        ledger.folder(key)
    assert "\n" not in str(caught.value)


def test_what_does_not_lie_in_a_study_itself_is_not_read(ledger, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "images").mkdir(parents=True)
    (elsewhere / "images" / "samples-00000.png").write_bytes(b"private")
    (elsewhere / "result.json").write_text('{"private": 1}')
    own = ledger.folder("own")
    own.mkdir(parents=True)
    for place in (ledger.root / "trials" / "linked", own / "result.json", own / "images"):
        place.symlink_to(elsewhere / (place.name if place.parent == own else ""))
    os.mkfifo(own / "spec.json")
    (ledger.root / "trials" / "Not a key").mkdir()
    assert ledger.keys() == ["own"] and ledger.result("own") is None and ledger.spec("own") is None
    assert ledger.files("own", "images/*.png") == []
    with pytest.raises(UserError, match="is a link"):
        ledger.folder("linked")
    assert (elsewhere / "result.json").exists()


def test_a_storage_folder_that_cannot_be_made_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written.*--storage"):
        Ledger(tmp_path / "file" / "study").lock()


@pytest.mark.parametrize("name", ["../up", "/etc", "a/b", "", "a'b", "ａ／ｂ"])
def test_a_space_name_cannot_lead_out_of_the_storage_folder(tmp_path, name):
    with pytest.raises(UserError):
        open_study(tmp_path, name)


def test_reopening_a_failed_trial_keeps_its_old_result(ledger):
    ledger.put_result("k", Result.from_json(result_of("k")))
    ledger.reopen("k")
    assert ledger.result("k") is None and list(ledger.folder("k").glob("result.failed-*.json"))
