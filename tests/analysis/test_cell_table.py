"""One value for a cell and one choice of the best, wherever a number of the study is shown."""

import csv
import io
from dataclasses import replace

import pytest
from synthetic import sweep
from tiny import finish

from study.analysis.cell_table import as_text, cells, champions, in_words, nearest_of
from study.analysis.effects import tuning
from study.analysis.outcomes import as_measured
from study.analysis.report_data import findings
from study.analysis.trainings import by_training, over_packs, thinned
from study.ledger.records import Replica
from study.metrics.catalogue import MEASURES, described, over_seeds
from study.mlflow_view.summary_run import summary_files
from study.mlflow_view.tracker import Tracker
from study.reporting.tables import write_tables
from study.sample import chosen

LUCKY, FAIR = "gan-fc-d1-z8-digits", "gan-fc-d2-z8-digits"


@pytest.fixture(scope="module")
def made_up(tmp_path_factory):
    """Of the eight seeds of one cell seven diverged and one is the best of all; of another's three diverged."""
    trained = {"gan 1 8": 0, "gan 2 8": 0}

    def world(cell):
        name = "{model} {depth} {latent_dim}".format(**cell)
        trained[name] = trained.get(name, 0) + 1
        confirmed = trained[name] - 1  # after one search training
        if name == "gan 1 8":
            return {"status": "diverged"} if confirmed > 1 else {"quality/fd_rel": 0.001}
        return {"status": "diverged"} if name == "gan 2 8" and confirmed > 5 else {}

    return sweep(tmp_path_factory.mktemp("studies") / "made_up", models=("gan", "vae"), seeds=8, proposals=1, world=world)


def named(table, name):
    return next(cell for cell in table if cell.name == name)


def test_a_cell_of_which_seven_seeds_of_eight_diverged_is_nowhere_the_best(made_up):
    table, found = cells(made_up), findings(made_up)
    assert named(table, LUCKY).value("quality/fd_rel") == 1.0 and named(table, LUCKY).diverged[:2] == (7, 8)
    (gan,) = (cell for cell in nearest_of(table) if cell.model == "gan")
    assert gan.name == FAIR == next(leader.fidelity.name for leader in found.leaders if leader.model == "gan")
    assert chosen(made_up, "best") == champions(table)[0].trial == named(table, FAIR).trial


def test_launch_sample_mlflow_and_report_show_the_same_number(made_up, tmp_path):
    table, found = cells(made_up), findings(made_up)
    write_tables(found, tmp_path)
    shown = summary_files(made_up, table)["cells.csv"]
    assert shown == (tmp_path / "cells.csv").read_bytes()
    for row in csv.DictReader(io.StringIO(shown.decode())):
        cell = named(table, row["cell"])
        assert float(row["quality/fd_rel"]) == cell.value("quality/fd_rel")
        assert vars(cell).items() <= vars(named(found.cells, row["cell"])).items()
        assert as_text(cell) in in_words(cell) and "median of 8 seeds" in in_words(cell)
    assert "7 of them diverged" in in_words(named(table, LUCKY)) and "diverged" not in in_words(named(table, "vae-fc-d1-z2-digits"))


def test_a_run_in_mlflow_has_the_number_of_its_cell_or_none_where_the_median_training_diverged(made_up, uri):
    tracker = Tracker(uri, made_up, "made_up")
    for name in (LUCKY, FAIR):
        cell = named(cells(made_up), name)
        tracker.project(cell.trial)
        (run,) = tracker.client.search_runs([tracker.experiment], f"tags.trial_key = '{cell.trial}'")
        of_run = {name: value for name, value in run.data.metrics.items() if name.startswith("test/")}
        assert run.data.metrics["rate/diverged"] == cell.diverged.count / 8
        if name == LUCKY:
            assert of_run == {"test/memory/nn_ratio": cell.value("memory/nn_ratio")}
        else:
            values = {f"test/{key.removeprefix('quality/')}": found.value for key, found in cell.values.items()}
            assert of_run == pytest.approx(
                {key: value for key, value in values.items() if not key.startswith(("test/time/", "test/cost/"))}
            )


def test_a_cell_is_the_median_over_its_replicates_and_draws_from_one_that_is_done(plan):
    for trials in plan.search.values():
        for trial in trials:
            finish(plan, trial)
    trials = list(plan.confirm[plan.space.cells[0].name])
    for trial, (status, objective) in zip(trials, (("diverged", 1.0), ("done", 0.2), ("diverged", 1.0), ("done", 0.2))):
        finish(plan, trial, status=status, objective=objective)
    cell = named(cells(plan.ledger), plan.space.cells[0].name)
    assert cell.values["quality/fd_rel"].points == (1.0, 0.2, 1.0, 0.2) and cell.value("quality/fd_rel") == 0.6
    assert (cell.status, cell.replicates, cell.diverged[:2], cell.tuning) == ("done", 4, (2, 4), "each")
    assert cell.trial == trials[1].key == chosen(plan.ledger, "best") and cell.trials == tuple(each.key for each in trials)


def test_a_curve_is_of_all_packs_and_ends_where_the_middle_training_has_diverged():
    packs = [{"quality/fd_rel": [[0.9, 0.8], None, [0.5, None]]}, {"quality/fd_rel": [[0.7, 0.6], None, [0.1, 0.2], [None, None]]}]
    joined = over_packs(packs)
    assert joined == {"quality/fd_rel": [[0.9, 0.8, 0.7, 0.6], None, [0.5, None, 0.1, 0.2], [None, None]]}
    assert thinned("quality/fd_rel", joined["quality/fd_rel"], 40) == {
        "epochs": [0, 2],
        "low": [0.6, 0.1],
        "middle": [0.75, 0.35],
        "high": [0.9, 0.5],
    }
    assert thinned("quality/fd_rel", [[0.5, 0.4], [0.3, 0.2], [None, 0.1]], 40)["epochs"] == [0, 1]


def test_a_confirmed_cell_goes_before_one_that_was_only_searched(plan):
    for number, trials in enumerate(plan.search.values()):
        for trial in trials:
            finish(plan, trial, objective=0.1 if number else 0.5)
    for trial in plan.confirm[plan.space.cells[0].name]:
        finish(plan, trial, objective=0.3)
    assert nearest_of(cells(plan.ledger))[0].name == plan.space.cells[0].name


def test_the_effective_beta_of_an_earlier_versions_results_is_read_under_its_present_name(plan):
    trial = plan.trials()[0]
    finish(plan, trial)
    place = plan.ledger.folder(trial.key) / "result.json"
    result = plan.ledger.result(trial.key)
    place.unlink()
    measures = {"quality/fd_rel": 1.0, "beta_effective": 64.0}
    plan.ledger.put_result(trial.key, replace(result, replicas=[Replica(0, "done", measures)]))
    assert named(cells(plan.ledger), trial.cell.name).value("likelihood/beta_effective") == 64.0
    assert over_seeds(plan.ledger.result(trial.key).replicas)["likelihood/beta_effective"] == 64.0


ONE = {"dataset": "digits", "model": "vae", "seed": 0, "status": "done"}
LOST = {**ONE, "seed": 1, "status": "diverged"}


@pytest.mark.parametrize("key", [measure.key for measure in MEASURES])
def test_a_diverged_training_counts_as_no_better_than_any_other_or_not_at_all(key):
    measure = described(key)
    values = [row["value"] for row in as_measured([{**ONE, key: 0.4}, {**ONE, key: 0.6}, LOST], key)]
    if measure.group == "Cost" or not measure.better:
        assert values == [0.4, 0.6]
    else:
        worst = min if measure.better == "higher" else max
        assert len(values) == 3 and values[2] == worst(values)


def test_a_diverged_gan_gets_no_likelihood_and_a_measure_of_ones_own_knows_no_worst():
    gan, bound = {**LOST, "model": "gan"}, "likelihood/elbo"
    assert [row["model"] for row in as_measured([{**ONE, bound: -20.0}, gan, {**gan, "seed": 2}], bound)] == ["vae"]
    assert len(as_measured([{**ONE, bound: -20.0}, LOST], bound)) == 2
    assert len(as_measured([{**ONE, "quality/brightness": 2.0}, LOST], "quality/brightness")) == 1
    assert as_measured([gan], "quality/fd_rel")[0]["value"] == 1.0  # of samples, which every model has


def test_what_a_diverged_gan_has_is_not_in_the_table_either(tmp_path):
    def world(cell):
        return {"status": "diverged"} if cell["model"] == "gan" else {}

    table = cells(sweep(tmp_path / "study", models=("vae", "gan"), depths=(1,), draw=False, world=world))
    for cell in table:
        assert any(name.startswith("likelihood/") for name in cell.values) == (cell.model == "vae")


def test_what_the_defaults_score_is_averaged_over_cells_of_which_one_has_fewer_replicates_so_far():
    about = {"dataset": "digits", "model": "vae", "net": "fc", "depth": 1, "latent_dim": 2, "system": "", "trial": "one"}
    rows = [
        {
            **about,
            "stage": "search",
            "proposed_by": "default",
            "status": "done",
            "cell": cell,
            "seed": seed,
            "quality/fd_rel": value,
        }
        for cell, values in {"a": [1.0, 2.0, 3.0], "b": [6.0]}.items()
        for seed, value in enumerate(values)
    ]
    assert tuning(rows)[0].default == 4.0


def test_a_training_keeps_its_own_curve_where_another_has_ended_before_it():
    trials = [{"quality/fd_rel": [[0.9], None]}, {"quality/fd_rel": [[0.8, 0.7], None, [0.5, 0.4]]}, {"loss": [[1.0]]}]
    assert by_training(trials, "quality/fd_rel", [0, 2]) == [[0.9, None], [0.8, 0.5], [0.7, 0.4]]
