"""A launch that is given a time, and trainings that are: what comes first, what is said, and that nothing is lost."""

import argparse
import json
import math
import time

import pytest
from launching import launch
from tiny import finish
from trials import planned

from study.budget import in_turn
from study.ledger.counts import counted
from study.ledger.files import as_written, put_once
from study.ledger.folder import Ledger, read_planned
from study.sweep.launch_options import span
from study.sweep.plan import write_planned
from study.training.run import run_trial

SPACE = '''"""A question."""
import time
from models.nets import fc
from models.vae import VAE
from study.data import digits
from study.space import Budget, Search, Space, grid


class Slow(VAE):
    """Takes a tenth of a second for an epoch."""
    def train(self, mode=True):
        if mode:
            time.sleep(0.1)
        return super().train(mode)


SPACE = Space(cells=grid([Slow], [fc], [1, 2], [2], [digits], width=[16]),
              propose=lambda trial, cell: {"lr": trial.suggest_float("lr", 1e-4, 1e-2, log=True)},
              budget=lambda cell: Budget(4, 64), search=Search(rounds=(2,), rungs=()), replicates=200)
'''


@pytest.mark.parametrize(("text", "seconds"), [("6h", 21600), ("30m", 1800), ("90s", 90), ("1.5", 5400), ("2d", 172800)])
def test_times_are_typed_with_their_unit_and_hours_without(text, seconds):
    assert span(text) == seconds


@pytest.mark.parametrize("text", ["0h", "-1", "h", "6x", "6hh", "6mh", "nan"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises((argparse.ArgumentTypeError, ValueError)):
        span(text)


def test_every_cell_gets_its_first_replicate_before_any_gets_its_second(plan):
    write_planned(plan)
    said, order = [], []
    for part in in_turn(plan, said.append):
        for cell in part.space.cells:
            while packs := part.advance(cell)[1]:
                for trial in (trial for pack in packs for trial in pack.trials):
                    order.append(trial.replicate)
                    finish(part, trial)
        planned = {line.cell: line.planned for line in read_planned(part.ledger.root)}
        assert set(planned.values()) == {16}  # of the whole study, whatever part of it is under way
    assert order == sorted(order) and len(order) == plan.planned() == 32
    assert said == [f"replicate {number} of 4 of every cell" for number in (1, 2, 3)]


def test_a_part_that_is_done_is_passed_over(plan):
    first = next(in_turn(plan, lambda line: None))
    for cell in first.space.cells:
        while packs := first.advance(cell)[1]:
            for trial in (trial for pack in packs for trial in pack.trials):
                finish(first, trial)
    said = []
    assert next(in_turn(plan, said.append)).space.replicates == 2 and said == ["replicate 2 of 4 of every cell"]


def test_a_training_beyond_its_limit_fails_with_its_state_kept_and_ends_as_if_it_had_had_none(ledger, data_dir, tmp_path):
    folder, whole = planned(ledger, data_dir), planned(Ledger(tmp_path / "whole" / "tiny"), data_dir)
    cut = run_trial(folder, data_dir, limit_s=1e-9)
    assert cut.status == "failed" and cut.epochs == 1 and "for 1 of 6 epochs (--trial-limit)" in cut.error
    put_once(folder / "result.json", as_written(cut))
    ledger.reopen(folder.name)
    again, undisturbed = run_trial(folder, data_dir, limit_s=math.inf), run_trial(whole, data_dir)
    measured = [
        {name: value for name, value in result.measures.items() if not name.startswith(("time/", "cost/peak"))}
        for result in (again, undisturbed)
    ]
    assert measured[0] == measured[1] and again.attempts == [0, 1]


@pytest.mark.alone
@pytest.mark.long
@pytest.mark.ray
def test_a_launch_ends_on_time_with_a_report_that_says_what_is_missing_and_goes_on(tmp_path, data_dir):
    file, start = tmp_path / "slow.py", time.monotonic()
    file.write_text(SPACE)
    said = launch(tmp_path / "studies", data_dir, "--budget", "45s", space=file)
    assert time.monotonic() - start < 80  # with Ray's end, MLflow's and the report's
    assert "the time is over; the same command goes on from here" in said
    ledger = Ledger(tmp_path / "studies" / "slow")
    done = {key: result for key in ledger.keys() if (result := ledger.result(key))}
    confirmed = [int(key.split("-r")[1].split("-")[0]) for key in sorted(done, key=lambda key: done[key].time) if "confirm" in key]
    assert confirmed and confirmed == sorted(confirmed)
    counts = counted(ledger)
    assert (counts["planned"], counts["left"]) == (1200, 1200 - len(done))
    assert (ledger.root / "report" / "report.html").exists()
    launch(tmp_path / "studies", data_dir, "--replicates", "1", space=file)
    assert all(ledger.result(key).time == result.time for key, result in done.items())
    assert json.loads((ledger.root / "launches.jsonl").read_text().splitlines()[0])["options"]["budget"] == 45
