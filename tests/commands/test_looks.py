"""A launch until claims are decided: which looks it makes, when it ends, and what is known of that later. Trainings are made up."""

import json
import re
import sys
import uuid

import numpy as np
import pytest
from launching import launch as typed_launch
from tiny import outcome

from study import launch, looks
from study.analysis.report_data import findings
from study.analysis.verdicts import judge
from study.cli import DONE, INTERRUPTED, USAGE, run_command
from study.ledger.folder import LAUNCHES, Ledger
from study.mlflow_view import background
from study.reporting.page import page
from study.space import importing
from study.sweep import preparation, step_timing

SPACE = '''"""A question."""
from models.nets import fc
from models.vae import VAE
from study.analysis.claims import Claim, Part
from study.analysis.comparisons import Levels
from study.analysis.rules import falls
from study.data import digits
from study.space import Budget, Search, Space, grid

LARGER = Claim("X1", "a larger latent lowers fd_rel", "us", (), (Part("fidelity", "quality/fd_rel", falls, Levels("latent_dim")),))
SPACE = Space(cells=grid([VAE], [fc], [1, 2], [2, 8], [digits], width=[16]),
              propose=lambda trial, cell: {"lr": trial.suggest_float("lr", 1e-4, 1e-2, log=True)},
              budget=lambda cell: Budget(2, 64), search=Search(rounds=(2,), rungs=()), replicates=4, claims=[LARGER])
'''
LOOKS = (4, 7, 10, 13, 16)


def lower(cell, noise) -> float:
    """A larger latent is better, by five deviations over seeds."""
    return 1 - 0.5 * (cell.latent_dim == 8) + 0.1 * noise


def slightly_lower(cell, noise) -> float:
    """It is, by one and a half: not what four replicates show."""
    return 1 - 0.15 * (cell.latent_dim == 8) + 0.1 * noise


def opposed(cell, noise) -> float:
    """It is with one layer, and is worse with two."""
    return 1 + 0.5 * (cell.latent_dim == 8) * (2 * cell.depth - 3) + 0.1 * noise


def fill(plan, world) -> None:
    """Do what is left of a plan: world(cell, noise) -> fd_rel, the same for a trial whenever it is made up."""
    for index, cell in enumerate(plan.space.cells):
        while packs := plan.advance(cell)[1]:
            for trial in (trial for pack in packs for trial in pack.trials):
                noise = np.random.default_rng([index, trial.replicate, trial.proposal]).normal()
                result = outcome(trial, world(cell, noise), params=plan.written_spec(trial).params)
                plan.ledger.put_result(trial.key, result)
                plan.record(trial, result)


@pytest.fixture
def study(tmp_path, data_dir, monkeypatch, capsys):
    """study(world, *arguments) -> (exit code, what was said, ledger) of a launch of a space with one claim of its own."""
    file = tmp_path / f"q{uuid.uuid4().hex[:8]}.py"
    file.write_text(SPACE)
    monkeypatch.setattr(importing, "TRUST", importing.Trust())
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(preparation, "prepare", lambda *_: None)
    monkeypatch.setattr(step_timing, "HASHES", 1)  # what else this machine does decides nothing here
    monkeypatch.setattr(background.BackgroundTracker, "start", lambda self: None)
    monkeypatch.setattr(background.BackgroundTracker, "close", lambda self, wait_s: True)
    monkeypatch.setattr(launch, "ended", lambda *_: DONE)

    def study(world, *arguments):
        monkeypatch.setattr(launch, "sweep", lambda plan, *_: fill(plan, world) or True)
        here = ["--space", file, "--storage", tmp_path / "studies", "--data-dir", data_dir]
        code = run_command(lambda: launch.main([str(word) for word in (*here, *arguments)]))
        said = capsys.readouterr()
        return code, said.out + said.err, Ledger(tmp_path / "studies" / file.stem)

    return study


def replicates(ledger) -> int:
    return 1 + max(ledger.spec(key).seeds[0] for key in ledger.keys())


def word(ledger) -> tuple:
    (verdict,) = (verdict for verdict in findings(ledger).verdicts if verdict.claim.id == "X1")
    return verdict.word, verdict.at


def test_a_launch_goes_on_until_its_claims_are_decided_and_no_further(study):
    code, said, ledger = study(lower, "--until-decided")
    assert (
        code == DONE
        and "X1 undecided: going on to 7 replicates" in said
        and "no further look: all is decided: X1 supported" in said
    )
    assert ledger.looks() == LOOKS and replicates(ledger) == 7 and word(ledger) == ("supported", 7)
    assert len((ledger.root / LAUNCHES).read_text().splitlines()) == 1


def test_a_claim_whose_cells_are_seen_to_differ_gets_no_more_replicates(study):
    code, said, ledger = study(opposed, "--until-decided", "x1")
    assert code == DONE and "no further look: more replicates would not help: X1 undecided" in said and replicates(ledger) == 7


def test_a_claim_that_lacks_its_cells_gets_no_replicates(study, tmp_path):
    (file,) = tmp_path.glob("q*.py")
    file.write_text(SPACE.replace('Levels("latent_dim")', 'Levels("latent_dim", (20, 100))'))
    _, said, ledger = study(lower, "--until-decided")
    assert "more replicates would not help: X1 unanswerable" in said and replicates(ledger) == 4


def test_a_claim_that_the_study_does_not_judge_cannot_be_decided_by_it(study):
    code, said, ledger = study(lower, "--until-decided", "C9")
    assert code == USAGE and "has no claim 'C9'; it has: X1" in said and not ledger.root.exists()


def test_a_space_that_is_about_no_claim_has_none_to_decide_and_is_told_what_says_more(study, tmp_path):
    (file,) = tmp_path.glob("q*.py")
    file.write_text(SPACE.replace(", claims=[LARGER]", ""))
    for claims in ([], ["C9"]):
        code, said, ledger = study(lower, "--until-decided", *claims)
        assert code == USAGE and "is about no claim" in said and "in the report" in said and not ledger.root.exists()
    code, said, _ = study(lower, "--dry-run")
    assert code == DONE and "can be supported" not in said and "C1," not in said


@pytest.mark.parametrize(("hours", "made"), [(5, 4), (15, 7)])
def test_a_look_that_would_end_beyond_the_budget_is_not_begun(study, monkeypatch, hours, made):
    monkeypatch.setattr(looks, "seconds_left", lambda plan, rate, slots: (10 * 3600 * (plan.space.replicates > 4), 1))
    _, said, ledger = study(lower, "--until-decided", "--budget", hours)
    assert replicates(ledger) == made
    assert ("no further look: the budget is too short for the next, about 10.0 h: X1 undecided" in said) == (made == 4)


def test_the_plan_says_what_every_look_costs_and_a_dry_run_begins_none(study):
    code, said, ledger = study(lower, "--until-decided", "--dry-run")
    assert code == DONE and not ledger.root.exists() and "at most 5 looks to decide X1" in said
    for number in LOOKS:  # four cells, of each replicate two proposals and one confirmed winner
        assert f"{number} replicates: {12 * number} trials, {12 * number} left" in said
    _, again, _ = study(lower, "--until-decided")
    assert f"16 replicates: {12 * 16} trials, {12 * 16} left" in again


def test_a_launch_after_a_crash_keeps_the_looks_and_ends_as_it_would_have(study):
    lasts = iter(range(60))  # trainings; the first look takes 48

    def killed(cell, noise):
        if next(lasts, None) is None:
            raise KeyboardInterrupt
        return lower(cell, noise)

    code, said, ledger = study(killed, "--until-decided")
    assert (
        code == INTERRUPTED and ledger.looks() == LOOKS and [look.made for look in findings(ledger).looks] == [True] + 4 * [False]
    )
    assert word(ledger)[0] == "undecided"
    code, said, ledger = study(lower, "--until-decided", "--replicates", 2)
    assert code == DONE and ledger.looks() == LOOKS and word(ledger) == ("supported", 7) and replicates(ledger) == 7
    assert "X1 undecided: going on to 7 replicates" in said and "going on to 10" not in said
    code, said, _ = study(lower, "--until-decided")
    assert "nothing is left to do" in said and "all is decided" in said


def test_a_study_that_ran_further_is_judged_at_its_looks_and_one_without_looks_at_once(study):
    *_, ledger = study(slightly_lower, "--replicates", 16)
    found = findings(ledger)
    assert found.looks == [] and {verdict.at for verdict in found.verdicts} == {None}
    (own,) = (verdict.claim for verdict in found.verdicts)  # of a space that has a claim of its own, and that no other names
    assert [verdict.word for verdict in found.verdicts] == [verdict.word for verdict in judge([own], found.rows)]
    (ledger.root / "planned.jsonl").unlink()
    ledger.put_looks((4, 20))
    found = findings(ledger)
    (verdict,) = (verdict for verdict in found.verdicts if verdict.claim.id == "X1")
    assert [look.made for look in found.looks] == [True, False] and len(verdict.findings[0].points) == 4


def test_a_report_shows_which_claim_got_its_word_at_which_look(study):
    *_, ledger = study(lower, "--until-decided")
    html = page(findings(ledger), {}, {"digits": (None, "no real images")}, 0)
    words = " ".join(re.sub(r"<[^>]*>", " ", html).split())
    for row in ("4 0.00312 none", "7 0.00761 X1 supported on digits", "10 0.0141 not made"):
        assert row in words
    assert words.rindex("Looks at this study") < words.rindex("What every factor changes")


def test_looks_that_are_none_are_quarantined_and_planned_anew(study, capsys):
    *_, ledger = study(lower, "--until-decided")
    for content in ({"looks": [4, 3]}, {"looks": []}, {"looks": [True]}, [], {"looks": [4], "sha256": "0"}):
        (ledger.root / "looks.json").write_text(json.dumps(content))
        assert ledger.looks() == () and "quarantined" in capsys.readouterr().out
    *_, ledger = study(lower, "--until-decided")
    assert ledger.looks() == LOOKS and word(ledger) == ("supported", 7)


@pytest.mark.long
@pytest.mark.ray
def test_a_real_study_grows_by_further_sweeps_in_the_same_launch(tmp_path, data_dir):
    file = tmp_path / "growing.py"
    claim = SPACE.replace("falls", "rises").replace("quality/fd_rel", "cost/parameters")  # which no noise touches
    file.write_text(claim.replace("replicates=4", "replicates=2"))
    said = typed_launch(tmp_path, data_dir, "--until-decided", "X1", "--budget", 1, space=file)
    ledger = Ledger(tmp_path / "growing")
    assert "X1 undecided: going on to 4 replicates" in said and "no further look: all is decided: X1 supported" in said
    assert ledger.looks() == (2, 4, 5, 6, 8) and replicates(ledger) == 4 and all(map(ledger.result, ledger.keys()))
    assert "X1 supported on digits" in (ledger.root / "report" / "report.html").read_text()
    assert "nothing is left to do" in typed_launch(tmp_path, data_dir, "--until-decided", "X1", space=file)
