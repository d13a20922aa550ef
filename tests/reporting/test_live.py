"""The page while a study runs: from its first minute on, with what is under way, at a low price."""

import json
import time
import webbrowser

import pytest
from tiny import finish

from study.errors import UserError
from study.ledger.files import append_line
from study.ledger.folder import ROWS
from study.ledger.records import EpochRow
from study.reporting import live
from study.reporting.build import write_report
from study.sweep.plan import write_planned


def begun(plan, place: int, epoch: int = 1):
    """A trial that has trained so far."""
    trial = plan.left()[place]
    plan.ledger.put_spec(trial.key, plan.new_spec(trial))
    append_line(plan.ledger.folder(trial.key) / ROWS, json.dumps(EpochRow(epoch, 1.7e9, {"loss/vae/loss": [2.0]}).to_json()))
    return trial


def test_before_anything_has_ended_the_page_says_what_runs(plan, tmp_path):
    write_planned(plan)
    trial = begun(plan, 0)
    with pytest.raises(UserError, match="nothing to report"):
        write_report(plan.ledger, tmp_path)  # nobody is at work
    with plan.ledger.lock():
        page = write_report(plan.ledger, tmp_path).read_text()
    assert f"No training of {plan.planned()} has ended yet; 1 are under way" in page and 'http-equiv="refresh"' in page
    assert trial.cell.name in page and "1 of 2" in page


def test_while_a_driver_is_at_work_the_page_loads_itself_again_and_says_what_is_under_way(plan, tmp_path):
    write_planned(plan)
    finish(plan, plan.left()[0])
    trial = begun(plan, 1)
    with plan.ledger.lock():
        at_work = write_report(plan.ledger, tmp_path).read_text()
    assert "<body data-live>" in at_work and "1 trainings under way" in at_work and trial.cell.name in at_work
    afterwards = write_report(plan.ledger, tmp_path).read_text()
    assert "<body>" in afterwards and "trainings under way" not in afterwards


@pytest.mark.long
def test_a_process_of_its_own_writes_it_and_ends_with_the_launch(plan, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(webbrowser, "open", lambda address: bool(shown.append(address) or True))
    write_planned(plan)
    begun(plan, 0)
    page = plan.ledger.root / "report" / "report.html"
    study = ["--space", plan.ledger.root.name, "--storage", str(plan.ledger.root.parent), "--data-dir", str(tmp_path)]
    with plan.ledger.lock(), live.LivePage(study, page.as_uri) as writing:
        deadline = time.monotonic() + 240
        while not writing.opened and time.monotonic() < deadline:
            time.sleep(0.05)
    assert shown == [page.as_uri()] and "has ended yet" in page.read_text() and not writing.thread.is_alive()
