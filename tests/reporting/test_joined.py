"""One page and one table of claims from several ledgers: what it takes from each, and what it leaves out."""

import json
import re
import shutil

import pytest
from synthetic import sweep

from study import report
from study.analysis.claims import CLAIMS
from study.analysis.report_data import findings
from study.cli import DONE, USAGE, run_command
from study.ledger.counts import counted
from study.ledger.joined import open_joined


@pytest.fixture
def two(tmp_path):
    """Studies of digits and of another dataset, in a storage each."""
    sweep(tmp_path / "one" / "first", datasets=("digits",), draw=True)
    sweep(tmp_path / "other" / "second", datasets=("mnist",), draw=False)
    return tmp_path


def joined(folder, *names):
    return open_joined([folder / name.split("/")[0] for name in names], [name.split("/")[1] for name in names])


def test_a_joined_report_has_every_cell_and_training_of_both_studies(two):
    found = findings(joined(two, "one/first", "other/second"))
    alone = [findings(joined(two, name)) for name in ("one/first", "other/second")]
    assert sorted(cell.name for cell in found.cells) == sorted(cell.name for each in alone for cell in each.cells)
    assert len(found.rows) == sum(len(each.rows) for each in alone)
    assert found.counts["done"] == found.counts["planned"] == sum(each.counts["done"] for each in alone)
    assert {dataset.name for dataset in found.datasets} == {"digits", "mnist"} and found.spaces == ["first", "second"]


def test_one_table_of_claims_is_judged_on_the_data_of_both(two):
    found = findings(joined(two, "one/first", "other/second"), CLAIMS)
    told = {name for verdict in found.verdicts for finding in verdict.findings for name in finding.datasets}
    assert told == {"digits", "mnist"} and len({verdict.claim.id for verdict in found.verdicts}) == len(found.verdicts)


@pytest.mark.long
def test_a_joined_report_is_written_by_one_command_and_names_each_cells_own_study(two, capsys):
    code = run_command(
        lambda: report.main(
            ["--space", "first", "second", "--storage", str(two / "one"), str(two / "other"), "--data-dir", "/nowhere"]
        )
    )
    page = two / "one" / "first" / "report-second" / "report.html"
    assert code == DONE and page.as_uri() in capsys.readouterr().out
    html = page.read_text()
    assert "<h1>first and second</h1>" in html and "Report of the studies" in html
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)[1])
    commands = {cell["dataset"]: cell["sample"] for cell in data["cells"]}
    assert f"--space first --storage {two / 'one'}" in commands["digits"]
    assert f"--space second --storage {two / 'other'}" in commands["mnist"]
    assert "UklGR" in html  # how WebP begins as base64: the first study's pictures, found in its own folder


def test_a_training_that_both_studies_hold_counts_once(two):
    shutil.copytree(two / "one" / "first", two / "other" / "third")
    both = joined(two, "one/first", "other/third")
    assert both.keys() == joined(two, "one/first").keys() and not both.notes
    assert len(findings(both).rows) == len(findings(joined(two, "one/first")).rows)
    assert counted(both)["planned"] == counted(joined(two, "one/first"))["planned"]


def test_a_cell_that_is_tuned_in_two_ways_is_that_of_the_study_named_first(two):
    ledger = sweep(two / "one" / "again", latents=(8, 32), rng=1, draw=False, claims="")
    found = findings(joined(two, "one/first", "one/again"))
    own = {key for key in ledger.keys() if "-z32-" in key}
    assert {row["trial"] for row in found.rows} & set(ledger.keys()) == own
    (note,) = [note for note in found.notes if "tuned in another way in again" in note]
    assert note.startswith("6 cells") and "vae-fc-d1-z8-digits" in note
    assert found.counts["left"] == 0


def test_trainings_of_another_budget_are_shown_and_not_compared(two):
    sweep(two / "one" / "longer", latents=(32,), epochs=12, draw=False)
    found, alone = findings(joined(two, "one/first", "one/longer"), CLAIMS), findings(joined(two, "one/first"), CLAIMS)
    assert {cell.latent_dim for cell in found.cells} == {2, 8, 32} and {row["latent_dim"] for row in found.rows} == {2, 8}
    assert [verdict.word for verdict in found.verdicts] == [verdict.word for verdict in alone.verdicts]
    (note,) = [note for note in found.notes if "other epochs or batches" in note]
    assert note.startswith(f"{len(found.cells) // 3 * 4} trainings")
    assert not [note for note in alone.notes if "other epochs" in note]


def test_studies_that_are_not_there_and_storages_that_do_not_match_are_one_line(two, capsys):
    for storages, spaces, said in (
        (["one"], ["first", "nothing"], "there is no study 'nothing'"),
        (["one", "other"], ["first", "second", "third"], "3 spaces and 2 storages"),
    ):
        words = ["--space", *spaces, "--storage", *[str(two / storage) for storage in storages]]
        assert run_command(lambda words=words: report.main(words)) == USAGE
        error = capsys.readouterr().err
        assert error.startswith("error: ") and said in error and error.count("\n") == 1
