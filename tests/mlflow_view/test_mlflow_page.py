"""MLflow's own page over a study, in a real browser: the runs, their charts, and the samples card with its slider."""

import pytest
from servers import free_port, served
from tiny import tiny_space
from trials import identity_of

from models.nets import fc
from models.vae import VAE
from study.data import digits
from study.mlflow_view import saved_view
from study.mlflow_view.pages import mlflow_page
from study.mlflow_view.store import default_uri
from study.mlflow_view.tracker import Tracker
from study.space import grid
from study.sweep.plan import Plan, write_planned
from study.training import run

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def tracked(tmp_path_factory, data_dir):
    """A replicate, trained for real and projected into a store: (folder of the store, tracker)."""
    from study.ledger.folder import Ledger

    folder = tmp_path_factory.mktemp("mlruns")
    images = digits.load(data_dir)
    identity = identity_of(images)
    space = tiny_space(cells=grid([VAE], [fc], [1], [2], [digits], width=[16]), replicates=1)
    plan = Plan(space, Ledger(folder / "studies" / "tiny"), identity)
    write_planned(plan)
    tracker = Tracker(default_uri(folder / "studies"), plan.ledger, "tiny", "Does it work?")
    (cell,) = space.cells
    while packs := plan.advance(cell)[1]:
        for trial in [trial for pack in packs for trial in pack.trials]:
            result = run.run_trial(plan.ledger.folder(trial.key), data_dir)
            plan.ledger.put_result(trial.key, result)
            plan.record(trial, result)
            tracker.project(trial.key)
    tracker.summarise()
    return folder, tracker


@pytest.fixture(scope="module")
def address(tracked):
    """`make ui` over that store, on a free port."""
    port = free_port()
    with served(tracked[0], port):
        yield f"http://127.0.0.1:{port}"


def test_the_experiment_says_its_question_and_lists_its_runs(browser, tracked, address):
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    page.goto(f"{address}/#/experiments/{tracked[1].experiment}/runs")
    page.get_by_text("vae fc d1 z2 r0 p0 digits").first.wait_for(timeout=60_000)
    assert page.get_by_text("Does it work?").first.is_visible()
    assert page.get_by_text("summary", exact=True).first.is_visible()
    page.close()


def test_the_saved_view_shows_cells_by_their_measures(browser, tracked, address):
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    page.goto(address + saved_view.path(tracked[1].experiment))
    page.get_by_text(saved_view.NAME).first.wait_for(timeout=60_000)
    page.get_by_text("Sort: fd_rel").first.wait_for(timeout=60_000)
    assert page.get_by_text("Models", exact=True).first.is_visible()  # of "Model training", not of traces
    page.get_by_text("vae fc d1 z2 digits", exact=True).first.wait_for(timeout=60_000)
    page.get_by_text("vae fc d1 z2 r0 p0 digits").first.wait_for(state="detached", timeout=60_000)
    page.close()


def test_a_param_is_found_by_its_number_as_it_is_typed(browser, tracked, address):
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    page.goto(f"{address}/#/experiments/{tracked[1].experiment}/runs?{saved_view.TRAINING}")
    shown = page.get_by_text("vae fc d1 z2 r0 p0 digits").first
    shown.wait_for(timeout=60_000)
    box = page.get_by_placeholder("metrics.rmse < 1")
    for typed, state in (("params.depth = 2", "detached"), ("params.depth = 1", "visible")):
        box.fill(typed)
        box.press("Enter")
        shown.wait_for(state=state, timeout=60_000)
    page.close()


def test_a_run_shows_its_samples_card_first_and_its_slider_goes_over_epochs(browser, tracked, address):
    client, experiment = tracked[1].client, tracked[1].experiment
    run = client.search_runs([experiment], "tags.stage = 'confirm'")[0]
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    page.goto(f"{address}/#/experiments/{experiment}/runs/{run.info.run_id}/model-metrics")
    page.get_by_text("_samples/over training", exact=True).first.wait_for(timeout=60_000)
    first = [page.get_by_text(f"_samples/{name}", exact=True).first.bounding_box() for name in ("at the end", "over training")]
    assert (first[0]["y"], first[0]["x"]) < (first[1]["y"], first[1]["x"])  # final samples first
    assert page.get_by_text("_what else was drawn/classes", exact=True).first.is_visible()
    slider, shown = page.get_by_role("slider").nth(1), set()
    slider.wait_for(timeout=60_000)
    for epoch in "012":
        assert slider.get_attribute("aria-valuenow") == epoch
        picture = page.locator(f'img[src*="training%2Bstep%2B{epoch}%2B"], img[src*="training+step+{epoch}+"]').first
        picture.wait_for(timeout=60_000)
        shown.add(picture.get_attribute("src"))
        slider.press("ArrowRight")
    assert len(shown) == 3
    page.close()


def test_a_launch_names_the_server_that_shows_this_store_already(tracked, address, monkeypatch):
    _, experiment, word, *_ = tracked[1].store
    monkeypatch.setenv("PORT", address.rsplit(":", 1)[1])
    named = [mlflow_page(default_uri(tracked[0] / "studies"), "/#/page", experiment, mark) for mark in (word, "another store's")]
    assert named[0] == f"{address}/#/page" and "make" in named[1]
