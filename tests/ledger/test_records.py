"""What is well-formed JSON and yet no record is recognised, quarantined with one line, and its work is done again."""

import json
from dataclasses import replace

import pytest
from fuzzing import QUIET, VALUES
from hypothesis import given
from hypothesis import strategies as st
from synthetic import sweep
from tiny import IDENTITY, finish, outcome, result_of, spec_of

from study.analysis.report_data import findings
from study.ledger import records
from study.ledger.counts import study_counts
from study.ledger.files import read_rows
from study.ledger.folder import Ledger, finished, read_planned
from study.ledger.records import (
    CellLine,
    EpochRow,
    Looks,
    Record,
    Result,
    Spec,
    Tracked,
    columns,
    real_baselines,
    trial_result,
    trial_spec,
)
from study.sweep import repair
from study.sweep.plan import Plan

REPLICA = {"seed": 0, "status": "done", "measures": {"quality/fd_rel": 1.0}}
UNSOUND = [
    {"status": "done"},
    {},
    result_of(status="finished"),
    result_of(key="other"),
    result_of(objective="0.1"),
    result_of(objective=True),
    result_of(objective=10**400),
    result_of(status="done"),
    result_of(time=None),
    result_of(replicas=[{"seed": 0, "status": "done"}]),
    result_of(replicas=[{**REPLICA, "measures": {"quality/fd_rel": "1"}}]),
    result_of(replicas=[3]),
    result_of(measures=[]),
    result_of(params=None),
    result_of(spec={}),
    result_of(spec=spec_of("other")),
]


@pytest.mark.parametrize("content", UNSOUND, ids=range(len(UNSOUND)))
def test_a_result_that_is_none_is_quarantined_with_one_line(ledger, content, capsys):
    path = ledger.folder("one") / "result.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))
    assert ledger.result("one") is None and not path.exists() and len(list(path.parent.glob("result.json.bad-*"))) == 1
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and "quarantined" in said


@pytest.mark.parametrize(
    "changes",
    [
        {"key": "../../x"},
        {"key": "other"},
        {"stage": "sear"},
        {"seeds": []},
        {"seeds": [True]},
        {"epochs": 0},
        {"depth": 1.5},
        {"model": "models.vae"},
        {"model": "a:b:c"},
        {"params": []},
        {"settings": None},
        {"measures": {"x": 3}},
        {"precision": "float16"},
        {"shape": [8]},
        {"origin": 3},
    ],
    ids=str,
)
def test_a_spec_that_is_none_is_quarantined_and_what_it_says_is_not_dispatched(ledger, changes, capsys):
    path = ledger.folder("one") / "spec.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(spec_of(**changes)))
    assert ledger.spec("one") is None and not path.exists() and next(iter(changes)) in capsys.readouterr().out


@pytest.mark.parametrize("how", ["edited", "edited without its checksum", "sealed anew"])
def test_the_spec_of_a_finished_trial_that_was_edited_is_noticed_and_made_again(ledger, plan, how, capsys):
    first = plan.left()[0]
    spec = ledger.put_spec(first.key, plan.spec(first, {"lr": 1e-3}, "default", {"lr": 1e-3}))
    ledger.put_result(first.key, replace(outcome(first), spec=spec))
    path = ledger.folder(first.key) / "spec.json"
    written = {**json.loads(path.read_text()), "latent_dim": 32}
    if how != "edited":
        del written["sha256"]
    path.write_text(json.dumps(records.sealed(written) if how == "sealed anew" else written))
    assert finished(ledger) == [] and "quarantined" in capsys.readouterr().out
    again = Plan(plan.space, ledger, IDENTITY)
    assert first.key in again.results
    repair.repair_specs(again, print)
    assert ledger.spec(first.key) == spec and len(finished(ledger)) == 1


def test_the_spec_of_an_unfinished_trial_that_was_edited_is_noticed(ledger, plan):
    first = plan.left()[0]
    ledger.put_spec(first.key, plan.spec(first, {"lr": 1e-3}, "default"))
    path = ledger.folder(first.key) / "spec.json"
    path.write_text(path.read_text().replace("0.001", "0.01"))
    assert ledger.spec(first.key) is None


def test_a_result_says_what_it_was_made_from(ledger, data_dir):
    from trials import planned

    from study.training.run import run_trial

    folder = planned(ledger, data_dir, epochs=1)
    ledger.put_result(folder.name, run_trial(folder, data_dir))
    assert ledger.result(folder.name).spec == ledger.spec(folder.name)


def test_a_ledger_of_an_earlier_version_is_read_as_it_is(tmp_path, capsys):
    """Its specs and results have no checksums, and not every field."""
    ledger = sweep(tmp_path / "old", models=("vae",), depths=(1,), latents=(2,), draw=False)
    assert len(findings(ledger).rows) == 9 and "quarantined" not in "".join(capsys.readouterr())
    spec = ledger.spec(ledger.keys()[0])
    assert spec.features_kind == "classifier" and spec.precision == "float32" and spec.suggested == {}


@pytest.mark.parametrize(
    "row",
    [
        3,
        {},
        {"epoch": 0, "time": 1},
        {"epoch": "0", "time": 1, "values": {}},
        {"epoch": 10**12, "time": 1, "values": {}},
        {"epoch": -1, "time": 1, "values": {}},
        {"epoch": 1, "time": None, "values": {}},
        {"epoch": 1, "time": 1, "values": {"loss/x": 1.0}},
        {"epoch": 1, "time": 1, "values": {"loss/x": ["1"]}},
    ],
    ids=str,
)
def test_a_line_that_is_no_row_of_curves_is_passed_over(tmp_path, row):
    path = tmp_path / "metrics.jsonl"
    good = {"epoch": 0, "time": 1.0, "values": {"loss/x": [1.0, None]}}
    path.write_text(f"{json.dumps(good)}\n{json.dumps(row)}\n")
    assert read_rows(path) == [EpochRow(**good)]


def test_a_plan_on_disk_with_keys_that_lead_elsewhere_is_damaged(ledger, plan, capsys):
    finish(plan, plan.left()[0])
    good = {"cell": "c", "model": "vae", "dataset": "digits", "planned": 1, "trials": ["one"]}
    lines = [good, {**good, "trials": ["../../x"]}, {**good, "trials": [[]]}, {**good, "planned": "1"}, {**good, "cell": []}]
    (ledger.root / "planned.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert read_planned(ledger.root) == [CellLine(**good)] and "4 of its lines" in capsys.readouterr().err
    assert study_counts(ledger.root.parent, "tiny")["planned"] == 1


def test_notes_and_floors_that_are_none_are_quarantined(ledger, capsys):
    place = ledger.folder("one") / "tracked.json"
    place.parent.mkdir(parents=True)
    for content in ({"run_id": "1"}, {"store": 3, "run_id": "1", "rows": 0, "images": [], "ended": None}):
        place.write_text(json.dumps(content))
        assert ledger.tracked("one") is None and not place.exists()
    for content in ({"digits": 3}, {"digits": {"measures": {"quality/fd_rel": ["low", 1]}}}):
        (ledger.root / "floors.json").write_text(json.dumps(content))
        assert ledger.floors() == {} and not (ledger.root / "floors.json").exists()
    assert capsys.readouterr().out.count("quarantined") == 4


READERS = [
    (lambda value: trial_spec(value, "one"), spec_of()),
    (lambda value: trial_result(value, "one"), result_of()),
    (EpochRow.from_json, {"epoch": 0, "time": 1.0, "values": {}}),
    (CellLine.from_json, {"cell": "c", "model": "vae", "dataset": "digits", "planned": 1, "trials": []}),
    (Tracked.from_json, {"store": ["a", "b", "c"], "run_id": "1", "rows": 0, "images": [], "ended": None}),
    (real_baselines, {"digits": {}}),
    (Looks.from_json, {"looks": [8, 14]}),
]


@QUIET
@given(
    st.sampled_from(READERS),
    VALUES,
    st.dictionaries(
        st.sampled_from(sorted(column.on_disk for kind in (Spec, Result) for column in columns(kind))), VALUES, max_size=3
    ),
)
def test_whatever_json_a_file_holds_is_a_record_or_a_reason(reader, value, changes):
    read, least = reader
    for content in (value, {**least, **changes}):
        try:
            found = read(content)
        except ValueError as error:
            assert str(error)
        else:
            assert all(isinstance(each, Record) for each in (found.values() if isinstance(found, dict) else [found]))


@pytest.mark.parametrize("status", ["done", "failed"])
def test_what_is_written_of_a_record_is_read_as_the_same(plan, status):
    first = plan.left()[0]
    spec = plan.spec(first, {"lr": 1e-3}, "random", {"lr": 1e-3})
    result = replace(outcome(first, status=status), spec=spec, attempts=[0, 2], torch="2.0", fused=True)
    assert Result.from_json(json.loads(json.dumps(result.to_json()))) == result
    assert result.to_json()["drawn"] == {"lr": 1e-3} and "threads" not in result.to_json()


def test_an_unsound_file_in_a_study_that_can_only_be_read_is_passed_over(tmp_path, monkeypatch, capsys):
    ledger = Ledger(tmp_path / "tiny")
    path = ledger.folder("one") / "result.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"status": "done"}')

    def read_only(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("study.ledger.folder.os.replace", read_only)
    assert ledger.result("one") is None and path.exists() and "passed over" in capsys.readouterr().out
