"""What results/ keeps of a study: small, the same bytes from the same trials, and enough to report and to go on from."""

import io
import tarfile

import pytest
from synthetic import sweep
from tiny import IDENTITY, finish, tiny_space

from study import report, results
from study.analysis.cell_table import cells
from study.errors import UserError
from study.ledger.archive import restore, save
from study.ledger.folder import Ledger
from study.sweep.plan import Plan


@pytest.fixture
def results_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("study.ledger.archive.RESULTS", tmp_path / "results")
    return tmp_path / "results"


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_study_that_was_saved_and_restored_says_the_same_of_its_cells_and_keeps_no_weights(tmp_path):
    ledger = sweep(tmp_path / "runs" / "made_up", models=("vae",), latents=(2,))
    (ledger.folder(ledger.keys()[0]) / "weights.safetensors").write_bytes(b"large")
    assert save(ledger, tmp_path / "kept") == len(ledger.keys())
    assert restore(tmp_path / "kept", tmp_path / "elsewhere" / "made_up") == len(ledger.keys())
    there = Ledger(tmp_path / "elsewhere" / "made_up")
    assert [(cell.name, cell.values) for cell in cells(there)] == [(cell.name, cell.values) for cell in cells(ledger)]
    assert not [name for name in content(there.root) if "weights" in name]
    pictures = [path.name for key in there.keys() for path in there.files(key, "images/*.png")]
    assert pictures and len(pictures) < sum(len(ledger.files(key, "images/*.png")) for key in ledger.keys())  # the last ones


def test_a_repository_grows_by_the_cells_that_are_new_only(tmp_path):
    plan = Plan(tiny_space(), Ledger(tmp_path / "tiny"), IDENTITY)
    first, other = plan.space.cells
    finish(plan, plan.search[first.name][0])
    save(plan.ledger, tmp_path / "kept")
    before = content(tmp_path / "kept")
    finish(plan, plan.search[other.name][0])
    save(plan.ledger, tmp_path / "kept")
    after = content(tmp_path / "kept")
    assert {name: after[name] for name in before} == before and len(after) == len(before) + 1


def test_another_machine_goes_on_from_what_was_saved_and_keeps_what_it_has(tmp_path):
    plan = Plan(tiny_space(), Ledger(tmp_path / "tiny"), IDENTITY)
    trials = plan.search[plan.space.cells[0].name]
    for trial in trials[:3]:
        finish(plan, trial, objective=0.5)
    plan.ledger.put_spec(trials[3].key, plan.new_spec(trials[3]))  # begun, and not kept
    save(plan.ledger, tmp_path / "kept")
    elsewhere = Plan(tiny_space(), Ledger(tmp_path / "elsewhere"), IDENTITY)
    finish(elsewhere, trials[0], objective=0.25)
    assert restore(tmp_path / "kept", elsewhere.ledger.root) == 2
    again = Plan(tiny_space(), elsewhere.ledger, IDENTITY)
    assert [again.results[trial.key].objective for trial in trials[:3]] == [0.25, 0.5, 0.5] and again.finished() == 3


def test_what_is_said_of_all_trials_stays_in_a_study_and_is_replaced_where_only_results_are_shown(tmp_path):
    plan = Plan(tiny_space(), Ledger(tmp_path / "tiny"), IDENTITY)
    finish(plan, plan.search[plan.space.cells[0].name][0])
    (plan.ledger.root / "planned.jsonl").write_text("new\n")
    save(plan.ledger, tmp_path / "kept")
    (tmp_path / "there" / "planned.jsonl").parent.mkdir()
    (tmp_path / "there" / "planned.jsonl").write_text("old\n")
    for replace, expected in ((False, "old\n"), (True, "new\n")):
        restore(tmp_path / "kept", tmp_path / "there", replace)
        assert (tmp_path / "there" / "planned.jsonl").read_text() == expected


@pytest.mark.parametrize("name", ["../outside.json", "key/../../outside.json", "key/weights.safetensors", "/tmp/result.json"])
def test_a_file_that_names_what_is_no_trials_is_refused_and_writes_nothing(tmp_path, name):
    (tmp_path / "kept" / "cells").mkdir(parents=True)
    with tarfile.open(tmp_path / "kept" / "cells" / "cell.tar.xz", "w:xz") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = 2
        archive.addfile(entry, io.BytesIO(b"{}"))
    with pytest.raises(UserError, match="no file of a trial"):
        restore(tmp_path / "kept", tmp_path / "root")
    assert content(tmp_path).keys() == {"kept/cells/cell.tar.xz"}


def test_a_damaged_file_is_one_line(tmp_path):
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "cell.tar.xz").write_bytes(b"not a tar file")
    with pytest.raises(UserError, match="cell.tar.xz is damaged"):
        restore(tmp_path, tmp_path / "root")


@pytest.mark.long
def test_the_commands_save_restore_and_report(tmp_path, results_folder, monkeypatch, capsys):
    sweep(tmp_path / "runs" / "made_up", models=("vae",), latents=(2,))
    study = ["--space", "made_up", "--storage", str(tmp_path / "runs")]
    monkeypatch.setattr(report, "KEPT", tmp_path / "kept")
    assert results.main(["save", *study]) == 0 and "trials in" in capsys.readouterr().out
    page = (results_folder / "made_up" / "report.html").read_text()
    assert "made_up" in page and str(tmp_path / "runs") not in page
    assert results.main(["restore", "--space", "made_up", "--storage", str(tmp_path / "other")]) == 0
    assert report.main(["--results", "made_up", "--out", str(tmp_path / "page")]) == 0
    assert "made_up" in (tmp_path / "page" / "report.html").read_text()
    with pytest.raises(UserError, match="holds no results.*made_up"):
        report.main(["--results", "something_else"])
    with pytest.raises(UserError, match="nothing to save"):
        results.main(["save", "--space", "made_up", "--storage", str(tmp_path / "nowhere")])
    with pytest.raises(SystemExit) as ended:
        report.main([])
    assert ended.value.code == 2
