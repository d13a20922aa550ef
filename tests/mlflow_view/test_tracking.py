"""The MLflow view: complete, idempotent, made again from nothing, and never in the way of training."""

import getpass
import re
import shutil
import socket
import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mlflow.exceptions import MlflowException
from mlflow_runs import everything, train
from PIL import Image
from tiny import IDENTITY, finish, outcome, tiny_space

from models.nets import fc
from models.vae import VAE
from study.analysis.cell_table import cells
from study.data import digits
from study.errors import UserError
from study.ledger.files import write_atomic
from study.ledger.folder import Ledger
from study.ledger.records import Replica
from study.mlflow_view import image_cards
from study.mlflow_view.background import BackgroundTracker
from study.mlflow_view.sync import sync
from study.mlflow_view.tracker import VIEW, Tracker
from study.space import Budget, grid
from study.sweep.plan import Plan, write_planned
from study.training.git_commit import git_commit
from study.training.image_grids import png, tile


def test_a_trial_is_shown_with_params_curves_pictures_and_weights(ledger, plan, uri):
    trial = plan.left()[0]
    train(ledger, plan, trial)
    tracker = Tracker(uri, ledger, "tiny", "Does it work?")
    tracker.project(trial.key)
    ((status, params, tag, curves, images),) = everything(tracker.client, tracker.experiment).values()
    assert (status, tag) == ("FINISHED", "done")
    assert list(params)[:1] and params["model"] == "vae" and params["lr"] == "0.001" and params["latent_dim"] == "2"
    assert curves["loss/train"] == [(epoch, (1 / (epoch + 1) + 2) / 2, int(1.7e12) + 1000 * epoch) for epoch in range(3)]
    assert len(curves["spread/loss/train"]) == 3 and [value for _, value, _ in curves["validation/x"]] == [3.0] * 3
    assert len(images) == 6 and sum("+step+0+" in name for name in images) == 2
    (run,) = tracker.client.search_runs([tracker.experiment])
    assert run.info.start_time == int(1.7e12) <= run.info.end_time  # when it was trained, not when it is shown
    assert {"spec.json", "result.json", "weights.safetensors"} <= {f.path for f in tracker.client.list_artifacts(run.info.run_id)}


def test_a_run_is_named_by_what_tells_cells_apart_and_by_no_setting_that_all_share(ledger, uri):
    plan = Plan(tiny_space(cells=grid([VAE], [fc], [1], [2], [digits], width=[16], dropout=[0.0, 0.1])), ledger, IDENTITY)
    write_planned(plan)
    tracker = Tracker(uri, ledger, "tiny")
    for cell in plan.space.cells:
        trial = plan._confirm_trial(cell, 0, {"lr": 1e-3})
        finish(plan, trial)
        tracker.project(trial.key)
    tracker.summarise()
    names = {run.info.run_name for run in tracker.client.search_runs([tracker.experiment])}
    expected = {f"vae fc d1 z2 {told}dropout={dropout} digits" for told in ("", "r0 ") for dropout in (0.0, 0.1)}
    assert names == {"summary", *expected}


def test_a_validation_curve_and_a_held_out_value_have_names_of_their_own(ledger, plan, uri):
    search = plan.left()[0]
    train(ledger, plan, search)
    tracker, confirm = Tracker(uri, ledger, "tiny"), plan._confirm_trial(search.cell, 0, {"lr": 1e-3})
    train(ledger, plan, confirm, finish=False)
    measures = {"quality/fd_rel": 1.0, "modes/classes": 9, "time/train_s": 2.0}
    ledger.put_result(confirm.key, replace(outcome(confirm), replicas=[Replica(seed, "done", measures) for seed in (0, 1)]))
    for key in ledger.keys():
        tracker.project(key)
    names = {key: set(row[3]) for key, row in everything(tracker.client, tracker.experiment).items()}
    assert names[search.key] == {
        *("loss/train", "spread/loss/train", "validation/x", "validation/fd_rel", "rate/diverged"),
        *("depth", "latent_dim", "width"),
    }
    assert names[confirm.key] - names[search.key] == {
        "fd_rel",
        "loss",
        "test/fd_rel",
        "spread/test/fd_rel",
        "test/modes/classes",
        "spread/test/modes/classes",
        "time/train_s",
    }


def test_a_store_where_metrics_have_the_names_of_an_earlier_version_is_brought_up_to_date(ledger, plan, uri, monkeypatch):
    trial = plan.left()[0]
    train(ledger, plan, trial)
    with monkeypatch.context() as earlier:
        earlier.setattr("study.mlflow_view.tracker.VIEW", "earlier")
        earlier.setattr("study.mlflow_view.tracker.shown_as", lambda key, stage: key)
        Tracker(uri, ledger, "tiny").project(trial.key)
    tracker = Tracker(uri, ledger, "tiny", "Does it work?")
    tracker.project(trial.key)
    ((*_, curves, _),) = everything(tracker.client, tracker.experiment).values()
    assert len(curves["validation/x"]) == 3 and tracker.client.get_experiment(tracker.experiment).tags["view"] == VIEW


def test_what_is_looked_at_first_is_found_by_what_one_types(ledger, plan, uri):
    cell = plan.space.cells[1]
    trial = plan._confirm_trial(cell, 0, {"lr": 1e-3})
    train(ledger, plan, trial)
    tracker = Tracker(uri, ledger, "tiny")
    tracker.project(trial.key)
    for typed in ("metrics.fd_rel <= 1", "metrics.latent_dim > 2", "metrics.depth = 1", "metrics.loss < 2"):
        stages = sorted(run.data.tags["stage"] for run in tracker.client.search_runs([tracker.experiment], typed))
        assert stages == (["confirm"] if "loss" in typed else ["cell", "confirm"])


def test_a_run_says_who_wrote_it_from_which_commit_where_and_on_which_images(ledger, plan, uri):
    trial = plan._confirm_trial(plan.space.cells[0], 0, {"lr": 1e-3})
    train(ledger, plan, trial)
    tracker = Tracker(uri, ledger, "tiny")
    tracker.project(trial.key)
    tracker.summarise()
    for run in tracker.client.search_runs([tracker.experiment]):
        assert run.data.tags["host"] == socket.gethostname() and run.data.tags["mlflow.user"] == getpass.getuser()
        assert run.data.tags["mlflow.source.git.commit"] == git_commit()
        images = [(each.dataset.name, each.dataset.digest) for each in run.inputs.dataset_inputs]
        assert images == ([] if run.data.tags["stage"] == "summary" else [("digits", "f" * 8)])


def test_pictures_are_stored_once_and_nothing_done_to_an_artifact_reaches_the_results(ledger, plan, uri):
    trial = plan.left()[0]
    train(ledger, plan, trial)
    tracker = Tracker(uri, ledger, "tiny")
    tracker.project(trial.key)
    (run,) = tracker.client.search_runs([tracker.experiment])
    artifacts, folder = Path(run.info.artifact_uri.removeprefix("file://")), ledger.folder(trial.key)
    first = folder / "images" / "samples-00000.png"
    before, shown = first.read_bytes(), [path for path in (artifacts / "images").iterdir() if "step+0+" in path.name]
    assert len(shown) == 2  # the picture and its thumbnail
    for path in (*shown, artifacts / "weights.safetensors", artifacts / "result.json"):
        path.write_bytes(b"ruined")
    assert (folder / "weights.safetensors").read_bytes() == b"weights" and ledger.result(trial.key).status == "done"
    assert first.read_bytes() == before


def test_a_picture_stands_whole_in_the_upper_half_of_a_white_square_no_pixel_blurred(ledger, plan, uri):
    trial = plan.left()[0]
    train(ledger, plan, trial, epochs=0)
    write_atomic(ledger.folder(trial.key) / "images" / "samples-00000.png", png(tile(torch.rand(8, 3, 160, 160))))
    tracker = Tracker(uri, ledger, "tiny")
    tracker.project(trial.key)
    (run,) = tracker.client.search_runs([tracker.experiment])
    files = Path(run.info.artifact_uri.removeprefix("file://")) / "images"
    assert {path.suffix: Image.open(path).size for path in files.iterdir()} == {".png": (1200, 1200), ".webp": (400, 400)}
    drawn = torch.randint(0, 255, (131, 263, 3), dtype=torch.uint8).numpy()
    whole = np.asarray(image_cards.square(Image.fromarray(drawn)))
    assert (whole[:524, 74:1126] == drawn.repeat(4, 0).repeat(4, 1)).all()
    assert (whole[524:] == 255).all() and (whole[:, :74] == 255).all() and (whole[:, 1126:] == 255).all()
    tall = np.asarray(image_cards.square(Image.new("RGB", (263, 263))))
    assert (tall[600:] == 255).all() and (tall[:526, 337:863] == 0).all()  # the upper half is what a card has room for


def test_doing_it_again_changes_nothing_even_when_the_place_kept_was_lost(ledger, plan, uri):
    for trial in plan.left()[:2]:
        train(ledger, plan, trial)
    tracker = Tracker(uri, ledger, "tiny")
    for key in ledger.keys():
        tracker.project(key)
    before = everything(tracker.client, tracker.experiment)
    for key in ledger.keys():
        tracker.project(key)
        (ledger.folder(key) / "tracked.json").unlink()
        tracker.project(key)
    assert everything(tracker.client, tracker.experiment) == before and len(before) == 2


@pytest.mark.parametrize("call", ["create_run", "log_batch", "set_terminated"])
def test_a_run_whose_making_was_cut_off_is_not_made_twice(ledger, plan, uri, monkeypatch, call):
    """The call does its work, but its answer is lost, for a trial that began after MLflow was opened."""
    tracker, trial = Tracker(uri, ledger, "tiny"), plan.left()[0]
    train(ledger, plan, trial)
    answered = getattr(tracker.client, call)

    def lost(*arguments, **options):
        answered(*arguments, **options)
        monkeypatch.setattr(tracker.client, call, answered)
        raise ConnectionError("the answer was lost")

    monkeypatch.setattr(tracker.client, call, lost)
    with pytest.raises(ConnectionError):
        tracker.project(trial.key)
    tracker.project(trial.key)
    ((status, _, tag, curves, images),) = everything(tracker.client, tracker.experiment).values()
    assert (status, tag, len(images)) == ("FINISHED", "done", 6) and len(curves["loss/train"]) == 3


def test_a_running_trial_grows_and_ends(ledger, plan, uri):
    trial = plan.left()[0]
    train(ledger, plan, trial, finish=False)
    tracker = Tracker(uri, ledger, "tiny")
    tracker.project(trial.key)
    assert [row[0] for row in everything(tracker.client, tracker.experiment).values()] == ["RUNNING"]
    ledger.put_result(trial.key, outcome(trial, status="diverged"))
    tracker.project(trial.key)
    assert [(row[0], row[2]) for row in everything(tracker.client, tracker.experiment).values()] == [("FAILED", "diverged")]


def test_mlflow_is_made_again_from_the_ledger_alone(ledger, plan, uri, tmp_path, whole_store):
    for trial in plan.left()[:3]:
        train(ledger, plan, trial)
    assert sync(tmp_path, "tiny", uri) == 3
    tracker = Tracker(uri, ledger, "tiny")
    first = everything(tracker.client, tracker.experiment)
    (tmp_path / "mlflow.db").unlink()
    other = f"sqlite:///{shutil.copyfile(whole_store, tmp_path / 'other.db')}"
    assert sync(tmp_path, "tiny", other) == 3
    again = Tracker(other, ledger, "tiny")
    assert everything(again.client, again.experiment) == first


def test_every_confirmed_cell_is_a_run_with_the_median_of_its_replicates_and_their_deviation(ledger, plan, uri):
    cell = plan.space.cells[0]
    for trial in plan.search[cell.name]:
        finish(plan, trial)
    tracker = Tracker(uri, ledger, "tiny")

    def runs():
        return tracker.client.search_runs([tracker.experiment], "tags.stage = 'cell'")

    assert len(plan.confirm[cell.name]) == 4
    for number, trial in enumerate(plan.confirm[cell.name], 1):
        finish(plan, trial, objective=0.1 * number)
        tracker.project(trial.key)
        assert len(runs()) == 1  # while the study goes on
    tracker.summarise()
    (run,) = runs()
    tracker.summarise()
    assert [again.to_dictionary() for again in runs()] == [run.to_dictionary()]
    assert run.info.status == "FINISHED" and run.data.tags["replicates"] == "4" and run.data.tags["cell"] == cell.name
    assert run.data.params["latent_dim"] == str(cell.latent_dim) and run.data.metrics["rate/diverged"] == 0
    assert run.data.metrics["test/fd_rel"] == pytest.approx(0.25) == cells(ledger)[0].values["quality/fd_rel"].value
    assert run.data.metrics["spread/test/fd_rel"] == pytest.approx(0.129, abs=1e-3)


def test_a_cell_that_trains_on_has_a_run_for_each_of_its_budgets(ledger, plan, uri):
    tracker, cell = Tracker(uri, ledger, "tiny"), plan.space.cells[0]
    longer = Plan(tiny_space(budget=lambda cell: Budget(2, 64, on_to=4), keep_states=True), ledger, plan.identity)
    for each, objective in ((plan, 0.4), (longer, 0.2)):
        for trial in plan.search[cell.name] if each is plan else []:
            finish(plan, trial)
        longer.results |= plan.results
        each._plan_confirm(cell)
        for trial in each.confirm[cell.name]:
            finish(each, trial, objective=objective)
        write_planned(each)
        tracker.summarise()
    runs = tracker.client.search_runs([tracker.experiment], "tags.stage = 'cell'")
    assert {run.data.params["epochs"]: run.data.metrics["test/fd_rel"] for run in runs} == {"2": 0.4, "4": 0.2}


def test_the_summary_run_is_one_and_holds_a_sheet_and_the_table(ledger, plan, uri):
    for trial in plan.left():
        train(ledger, plan, trial)
    tracker = Tracker(uri, ledger, "tiny")
    tracker.summarise()
    tracker.summarise()
    (run,) = tracker.client.search_runs([tracker.experiment], "tags.stage = 'summary'")
    names = [file.path for file in tracker.client.list_artifacts(run.info.run_id)]
    assert "cells.csv" in names and "sheet-digits-vae-fc.png" in names


def test_training_never_waits_for_a_server_that_is_down(ledger, plan):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    trial, said = plan.left()[0], []
    train(ledger, plan, trial)
    sink = BackgroundTracker(f"http://127.0.0.1:{port}", ledger, "tiny", log=said.append)
    sink.start()
    start = time.perf_counter()
    for _ in range(1000):
        sink.notify(trial.key)
    assert time.perf_counter() - start < 1
    assert not sink.close(20) and "training goes on" in said[0]


def test_a_space_without_a_ledger_is_one_clear_line(tmp_path):
    with pytest.raises(UserError, match="no trials of 'nothing'"):
        sync(tmp_path, "nothing", None)


def test_news_settles_before_it_is_projected_and_then_goes_in_once(ledger, plan, uri, monkeypatch):
    monkeypatch.setattr("study.mlflow_view.background.SETTLE_S", 2.0)
    trial = plan.left()[0]
    train(ledger, plan, trial)
    projected = []
    project = Tracker.project
    monkeypatch.setattr(Tracker, "project", lambda self, key: (projected.append(key), project(self, key)))
    sink = BackgroundTracker(uri, ledger, "tiny")
    sink.tracker = Tracker(uri, ledger, "tiny")  # made here, since it takes longer than news waits
    sink.start()
    sink.notify(trial.key)
    time.sleep(0.3)
    assert not projected
    sink.notify(trial.key)
    assert sink.close(60) and projected == [trial.key]


@pytest.mark.long
def test_a_locked_database_is_waited_for_and_nobody_else_waits(ledger, plan, uri):
    trial = plan.left()[0]
    train(ledger, plan, trial)
    tracker = Tracker(uri, ledger, "tiny")
    lock = sqlite3.connect(uri.removeprefix("sqlite:///"), isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    sink = BackgroundTracker(uri, ledger, "tiny")
    sink.start()
    start = time.monotonic()
    sink.notify(trial.key)
    assert time.monotonic() - start < 0.5
    time.sleep(3)
    lock.execute("ROLLBACK")
    assert sink.close(60) and everything(tracker.client, tracker.experiment).keys() == {trial.key}


def test_an_experiment_deleted_before_or_during_a_study_is_restored_and_nothing_is_missing(ledger, plan, uri):
    said, trials = [], plan.left()[:3]
    train(ledger, plan, trials[0])
    first = Tracker(uri, ledger, "tiny")
    first.project(trials[0].key)
    first.client.delete_experiment(first.experiment)
    tracker = Tracker(uri, ledger, "tiny", log=said.append)
    for trial in trials[1:]:
        tracker.client.delete_experiment(tracker.experiment)
        train(ledger, plan, trial)
        tracker.project(trial.key)
    tracker.client.delete_experiment(tracker.experiment)
    tracker.summarise()
    found = everything(tracker.client, tracker.experiment)
    assert len(found) == 4 and {run[0] for run in found.values()} == {"FINISHED"}
    assert len(said) == 4 and all("tiny was deleted; it is restored" in line for line in said)


def test_when_an_experiment_is_gone_for_good_the_sink_brings_all_its_runs_back(ledger, plan, uri):
    """Deleted with `mlflow gc`, in the middle of a sweep."""
    trials = plan.left()[:2]
    for trial in trials:
        train(ledger, plan, trial, finish=trial is trials[0])
    sink = BackgroundTracker(uri, ledger, "tiny", log=lambda text: None)
    for trial in trials:
        sink._project(trial.key)
    client = sink.tracker.client
    for run in client.search_runs([sink.tracker.experiment]):
        client.delete_run(run.info.run_id)
        client._tracking_client.store._hard_delete_run(run.info.run_id)
    client.delete_experiment(sink.tracker.experiment)
    client._tracking_client.store._hard_delete_experiment(sink.tracker.experiment)
    ledger.put_result(trials[1].key, outcome(trials[1]))
    sink.start()
    sink.notify(trials[1].key)
    assert sink.close(60)
    found = everything(client, sink.tracker.experiment)
    assert found.keys() == {trial.key for trial in trials} and {run[0] for run in found.values()} == {"FINISHED"}


def test_the_deleted_run_of_an_unfinished_trial_comes_back_and_the_others_go_on(ledger, plan, uri, tmp_path, capsys):
    first, second = plan.left()[:2]
    train(ledger, plan, first, finish=False)
    tracker = Tracker(uri, ledger, "tiny")
    tracker.project(first.key)
    (run,) = tracker.client.search_runs([tracker.experiment])
    tracker.client.delete_run(run.info.run_id)
    ledger.put_result(first.key, outcome(first))
    train(ledger, plan, second)
    assert sync(tmp_path, "tiny", uri) == 2
    found = everything(tracker.client, tracker.experiment)
    assert {found[key][0] for key in (first.key, second.key)} == {"FINISHED"} and len(found) == 3
    assert f"run of {first.key} was deleted; it is restored" in capsys.readouterr().out


def refused_run(tracker, key):
    """A run that this trial would go on with, but that MLflow lets have no other learning rate."""
    run = tracker.client.create_run(tracker.experiment, tags={"trial_key": key})
    tracker.client.log_param(run.info.run_id, "lr", "7")
    return run.info.run_id


def test_a_trial_that_mlflow_refuses_is_named_and_stops_no_other(ledger, plan, uri, tmp_path, monkeypatch):
    monkeypatch.setattr("study.mlflow_view.background.RETRY_S", (0.05,))
    trials, said = plan.left()[:3], []
    tracker = Tracker(uri, ledger, "tiny")
    for trial in trials:
        train(ledger, plan, trial)
    bad = refused_run(tracker, min(trial.key for trial in trials))
    with pytest.raises(UserError, match=f"MLflow refuses {min(trial.key for trial in trials)}: .*The other 2 trials are in it"):
        sync(tmp_path, "tiny", uri)
    sink = BackgroundTracker(uri, ledger, "tiny", log=said.append)
    sink.start()
    for trial in trials:
        (ledger.folder(trial.key) / "tracked.json").unlink(missing_ok=True)
        sink.notify(trial.key)
    sink.summarise()
    assert not sink.close(60) and set(sink.pending) == {min(trial.key for trial in trials)}
    found = everything(tracker.client, tracker.experiment)
    assert len(found) == 4 and sum(run[0] == "FINISHED" for run in found.values()) == 3
    assert len(said) == 1 and f"does not take {min(trial.key for trial in trials)} (" in said[0]
    tracker.client.delete_run(bad)
    assert sync(tmp_path, "tiny", uri) == 3  # what it was refused for is away


def test_the_run_of_a_trial_that_starts_anew_is_ended(ledger, plan, uri):
    trial, said = plan.left()[0], []
    train(ledger, plan, trial, finish=False)
    Tracker(uri, ledger, "tiny").project(trial.key)
    ledger.start_anew(trial.key)
    train(ledger, plan, trial, epochs=1)
    tracker = Tracker(uri, ledger, "tiny", log=said.append)
    tracker.project(trial.key)
    runs = {run.info.status: run.data.tags for run in tracker.client.search_runs([tracker.experiment])}
    assert runs.keys() == {"KILLED", "FINISHED"} and runs["FINISHED"]["trial_key"] == trial.key
    assert runs["KILLED"]["stage"] == "quarantined" and runs["KILLED"]["trial_key"].startswith(f"{trial.key}-")
    assert len(said) == 1 and "is ended" in said[0]
    Tracker(uri, ledger, "tiny", log=said.append)
    assert len(said) == 1


def test_two_ledgers_with_one_space_name_have_an_experiment_each(ledger, plan, uri, tmp_path):
    other, said = Ledger(tmp_path / "elsewhere" / "tiny"), []
    for each in (ledger, other):
        train(each, plan, plan.left()[0])
    trackers = [Tracker(uri, each, "tiny", log=said.append) for each in (ledger, other, ledger, other)]
    for tracker in trackers:
        tracker.project(plan.left()[0].key)
    assert len({tracker.experiment for tracker in trackers}) == 2 and trackers[0].experiment == trackers[2].experiment
    assert trackers[0].name == "tiny" and re.fullmatch("tiny-.+-[0-9a-f]{6}", trackers[1].name)
    assert len(said) == 1 and f"that of {other.root} is called {trackers[1].name}" in said[0]
    assert all(len(everything(tracker.client, tracker.experiment)) == 1 for tracker in trackers)


def test_a_ledger_finds_its_experiment_again_under_another_name_and_after_it_was_moved(ledger, plan, uri, tmp_path):
    tracker = Tracker(uri, ledger, "tiny")
    tracker.client.rename_experiment(tracker.experiment, "What I tried in spring")
    (tmp_path / "moved").mkdir()
    moved = Ledger(shutil.move(ledger.root, tmp_path / "moved" / "tiny"))
    again = Tracker(uri, moved, "tiny")
    assert again.experiment == tracker.experiment and again.name == "tiny"


def test_a_copied_ledger_gets_an_experiment_of_its_own_where_its_original_has_one(ledger, plan, uri, tmp_path):
    tracker = Tracker(uri, ledger, "tiny")
    copy = Ledger(shutil.copytree(ledger.root, tmp_path / "copy" / "tiny"))
    assert Tracker(uri, copy, "tiny").experiment == Tracker(uri, copy, "tiny").experiment != tracker.experiment
    assert Tracker(uri, ledger, "tiny").experiment == tracker.experiment


def test_an_experiment_of_an_earlier_version_is_taken_over(ledger, uri):
    tracker = Tracker(uri, ledger, "tiny")
    tracker.client.delete_experiment_tag(tracker.experiment, "ledger")
    assert Tracker(uri, ledger, "tiny").experiment == tracker.experiment


@pytest.mark.parametrize("error", [ValueError(), ValueError("\n"), MlflowException("")])
def test_an_error_that_says_nothing_and_a_terminal_that_is_closed_do_not_end_the_sink(ledger, plan, uri, error, monkeypatch):
    trial, project, said = plan.left()[0], Tracker.project, []
    train(ledger, plan, trial)

    def fail_once(self, key):
        monkeypatch.setattr(Tracker, "project", project)
        raise error

    def log(text):
        said.append(text)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Tracker, "project", fail_once)
    sink = BackgroundTracker(uri, ledger, "tiny", log=log)
    sink.start()
    sink.notify(trial.key)
    assert sink.close(60) and len(said) == 2 and f"({type(error).__name__})" in said[0] and "answers again" in said[1]
    assert (ledger.folder(trial.key) / "tracked.json").exists()
