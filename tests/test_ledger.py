"""The record on disk: written once, atomically, and never trusted blindly."""
import json
import multiprocessing
import os

import pytest

from study.errors import UserError
from study.ledger import (Ledger, finite, open_study, put_once, read_json, read_rows, read_sealed, write_atomic,
                          write_sealed)
from study.trial import append_line


def race(path, number, start, wins):
    start.wait()
    if put_once(path, {"writer": number}):
        wins.put(number)


def test_of_many_processes_that_finish_a_trial_exactly_one_wins(tmp_path):
    context = multiprocessing.get_context("fork")
    for round_number in range(10):
        path, start, wins = tmp_path / f"{round_number}.json", context.Event(), context.Queue()
        writers = [context.Process(target=race, args=(path, number, start, wins)) for number in range(4)]
        for writer in writers:
            writer.start()
        start.set()
        for writer in writers:
            writer.join()
        assert read_json(path)["writer"] == wins.get(timeout=5) and wins.empty()
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


def test_a_reader_never_sees_a_part_of_a_file(tmp_path):
    path = tmp_path / "last.pt"
    write_atomic(path, b"one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two" and os.listdir(tmp_path) == ["last.pt"]


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\x00\xff\x00", b'{"a": 1'])
def test_a_file_that_lies_is_set_aside_and_said(tmp_path, content):
    path, said = tmp_path / "result.json", []
    path.write_bytes(content)
    assert read_json(path, said.append) is None
    assert not path.exists() and "set aside" in said[0] and len(os.listdir(tmp_path)) == 1


def test_a_line_cut_off_by_a_crash_is_no_row_and_does_not_spoil_the_next(tmp_path):
    path = tmp_path / "metrics.jsonl"
    append_line(path, json.dumps({"epoch": 1, "time": 0, "values": {}}))
    with open(path, "a") as file:
        file.write('{"epoch": 2, "val')
    assert [row["epoch"] for row in read_rows(path)] == [1]
    append_line(path, json.dumps({"epoch": 2, "time": 0, "values": {}}))
    assert [row["epoch"] for row in read_rows(path)] == [1, 2]


def test_a_checkpoint_that_was_changed_on_disk_is_noticed(tmp_path):
    path = tmp_path / "last.pt"
    write_sealed(path, b"weights")
    assert read_sealed(path) == b"weights"
    for damaged in (b"", path.read_bytes()[:-1], path.read_bytes().replace(b"w", b"W")):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="checksum"):
            read_sealed(path)


def test_numbers_that_json_does_not_know_become_null():
    assert finite({"a": float("nan"), "b": [float("inf"), 1.0]}) == {"a": None, "b": [None, 1.0]}


def test_a_second_driver_of_the_same_study_is_refused(ledger):
    with ledger.lock():
        assert ledger.held()
        with pytest.raises(UserError, match="another driver"):
            ledger.lock()
    assert not ledger.held()


def test_a_storage_folder_that_cannot_be_made_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written.*--storage"):
        Ledger(tmp_path / "file" / "study").lock()


@pytest.mark.parametrize("name", ["../up", "/etc", "a/b", "", "a'b", "ａ／ｂ"])
def test_a_space_name_cannot_lead_out_of_the_storage_folder(tmp_path, name):
    with pytest.raises(UserError):
        open_study(tmp_path, name)


def test_reopening_a_failed_trial_keeps_its_old_result(ledger):
    ledger.put_result("k", {"status": "failed"})
    ledger.reopen("k")
    assert ledger.result("k") is None and list(ledger.folder("k").glob("result.failed-*.json"))
