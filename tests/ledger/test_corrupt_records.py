"""Files that are not what was written: each is noticed, quarantined with its name, said, and its work done again."""

import json
import shutil
import sqlite3
from dataclasses import replace

import pytest
import torch
from mlflow_runs import everything, train
from tiny import IDENTITY, finish, outcome
from trials import killed_after, planned

from study.data import digits
from study.ledger.files import read_rows
from study.ledger.folder import Ledger, read_planned
from study.ledger.records import RealBaseline
from study.metrics.catalogue import CATALOGUE
from study.mlflow_view.store import make_ready
from study.mlflow_view.sync import sync
from study.mlflow_view.tracker import Tracker
from study.sweep import preparation, repair
from study.sweep.gpu_share import share_after_failures
from study.sweep.plan import PROTOCOL, Plan, write_planned
from study.training import run

DAMAGE = {
    "empty": lambda content: b"",
    "cut short": lambda content: content[: len(content) // 2],
    "garbage": lambda content: b"\x00\xff" * 500,
    "another kind": lambda content: b"[1, 2]",
}


@pytest.fixture(params=DAMAGE, ids=str)
def damage(request):
    """Damages one file."""

    def do(path):
        path.write_bytes(DAMAGE[request.param](path.read_bytes()))

    return do


def aside(folder, name) -> bool:
    return len(list(folder.glob(f"{name}.bad-*"))) == 1


def test_a_result_that_lies_is_trained_again(ledger, plan, damage, capsys):
    first = plan.left()[0]
    finish(plan, first)
    damage(ledger.folder(first.key) / "result.json")
    assert first.key in [each.key for each in Plan(plan.space, ledger, IDENTITY).left()]
    assert aside(ledger.folder(first.key), "result.json") and "quarantined" in capsys.readouterr().out


def test_a_number_changed_in_a_result_is_noticed(ledger, plan):
    first = plan.left()[0]
    finish(plan, first, objective=1.25)
    path = ledger.folder(first.key) / "result.json"
    path.write_text(path.read_text().replace("1.25", "0.25"))
    assert ledger.result(first.key) is None and aside(path.parent, "result.json")


def test_a_spec_that_lies_is_made_again_from_the_result(ledger, plan, damage):
    first = plan.left()[0]
    finish(plan, first, params={"lr": 0.005})
    damage(ledger.folder(first.key) / "spec.json")
    repair.repair_specs(plan, print)
    assert ledger.spec(first.key).params == {"lr": 0.005} and aside(ledger.folder(first.key), "spec.json")


def test_an_unfinished_trial_whose_spec_lies_starts_anew(ledger, plan, damage):
    """Other params may be proposed now: neither its checkpoint nor its curves may be mixed with theirs."""
    first, said = plan.left()[0], []
    train(ledger, plan, first, finish=False)
    damage(ledger.folder(first.key) / "spec.json")
    repair.repair_specs(plan, said.append)
    assert first.key not in ledger.keys() and list((ledger.root / "quarantine").glob(f"{first.key}-*/metrics.jsonl"))
    assert len(said) == 1 and "starts anew" in said[0]


@pytest.mark.parametrize(
    "content", [pytest.param(b"", marks=pytest.mark.long), pytest.param(b"\x00\xff" * 500 + b"\n", marks=pytest.mark.long), None]
)
def test_curves_that_lie_are_trained_again_with_the_same_numbers(tmp_path, data_dir, content, capsys):
    whole, broken = (planned(Ledger(tmp_path / name), data_dir, epochs=3) for name in ("whole", "broken"))
    run.run_trial(whole, data_dir)
    killed_after(broken, data_dir, 2)
    path = broken / "metrics.jsonl"
    path.write_bytes(content if content is not None else path.read_bytes().replace(b'"epoch": 1', b'"epoch": x'))
    assert run.run_trial(broken, data_dir).attempts == [0]
    rows = [[(row.epoch, row.values) for row in read_rows(folder / "metrics.jsonl")] for folder in (whole, broken)]
    assert rows[0] == rows[1] and aside(broken.parent.parent / "packs", "*.pt") and "quarantined" in capsys.readouterr().out


def test_a_note_of_what_is_in_mlflow_that_lies_is_made_again(ledger, plan, uri, damage):
    first = plan.left()[0]
    train(ledger, plan, first)
    tracker = Tracker(uri, ledger, "tiny")
    tracker.project(first.key)
    before = everything(tracker.client, tracker.experiment)
    damage(ledger.folder(first.key) / "tracked.json")
    tracker.project(first.key)
    assert everything(tracker.client, tracker.experiment) == before and aside(ledger.folder(first.key), "tracked.json")


def test_a_plan_on_disk_that_lies_is_said_and_written_anew(ledger, plan, damage, capsys):
    finish(plan, plan.left()[0])
    write_planned(plan)
    damage(ledger.root / "planned.jsonl")
    (ledger.root / "planned.jsonl").open("ab").write(b"\n")
    read_planned(ledger.root)
    assert "damaged" in capsys.readouterr().err
    write_planned(plan)
    assert len(read_planned(ledger.root)) == 2 and not capsys.readouterr().err


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"digits": 3}',
        b'{"digits": {"features": "H"}}',
        b'{"digits": {"features": "H", "protocol": 0, "quality/fd_rel": 0.1}}',
        b'{"digits": {"features": "H", "quality/fd_rel": 0.1}}',
    ],
)
def test_real_baselines_that_lie_are_measured_again(tmp_path, monkeypatch, content):
    measured = RealBaseline("H", {"quality/fd_rel": [0.5, 0.1]})
    monkeypatch.setattr(preparation, "real_baseline", lambda *_: measured)
    place, shelf = tmp_path / "floors.json", tmp_path / "features" / f"real-H-{PROTOCOL}-{CATALOGUE}.json"
    shelf.parent.mkdir()
    place.write_bytes(content), shelf.write_bytes(content)
    extractor, images = type("Extractor", (), {"hash": "H"}), type("Images", (), {"fingerprint": "F"})
    monkeypatch.setattr(preparation.features, "prepare", lambda *_: extractor)
    _, found = preparation.features_of(digits, images, tmp_path, tmp_path / "data", "classifier", None, print)
    preparation.note_real_baseline(place, digits, found)
    assert found.measures == measured.measures and Ledger(tmp_path).real_baselines("H") == {"digits": found}
    assert json.loads(place.read_text())["digits"] == {**measured.to_json(), "protocol": PROTOCOL}


@pytest.mark.parametrize("how", ["garbage", *(pytest.param(how, marks=pytest.mark.long) for how in ("cut short", "gone"))])
def test_an_mlflow_store_that_lies_is_quarantined_and_made_again_from_the_ledger(ledger, plan, tmp_path, how, whole_store, capsys):
    uri, place = f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "mlflow.db"
    for name in ("mlflow.db", "other.db"):
        shutil.copyfile(whole_store, tmp_path / name)
    for each in plan.left()[:2]:
        train(ledger, plan, each)
    sync(tmp_path, "tiny", f"sqlite:///{tmp_path / 'other.db'}")
    other = Tracker(f"sqlite:///{tmp_path / 'other.db'}", ledger, "tiny")
    expected = everything(other.client, other.experiment)
    place.unlink() if how == "gone" else place.write_bytes(DAMAGE[how](place.read_bytes()))
    (tmp_path / "mlflow.db-wal").write_bytes(b"of the old one")
    make_ready(uri, print)
    text = capsys.readouterr().out
    assert how == "gone" or "quarantined" in text and "from the ledger" in text and not list(tmp_path.glob("mlflow.db-wal"))
    fresh = f"sqlite:///{tmp_path / '.' / 'fresh.db'}"  # one process opens an address once: a launch is another process
    sync(tmp_path, "tiny", fresh)
    again = Tracker(fresh, ledger, "tiny")
    assert everything(again.client, again.experiment) == expected


@pytest.mark.long
def test_a_store_made_again_at_the_same_address_is_filled_again(ledger, plan, tmp_path):
    """The new store counts its experiments from 1 again: only the word in it tells it from the old one."""
    train(ledger, plan, plan.left()[0])
    one, other = (Tracker(f"sqlite:///{tmp_path / name}.db", ledger, "tiny") for name in ("one", "other"))
    assert one.store[1] == other.store[1]
    one.project(plan.left()[0].key)
    other.uri, other.store[0] = one.uri, one.store[0]
    other.project(plan.left()[0].key)
    assert len(everything(other.client, other.experiment)) == 1


@pytest.mark.long
def test_a_store_that_is_only_locked_stays(ledger, tmp_path):
    place = tmp_path / "mlflow.db"
    with sqlite3.connect(place) as database:
        database.execute("create table t (x)")
    holder = sqlite3.connect(place, isolation_level=None)
    holder.execute("begin exclusive")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        make_ready(f"sqlite:///{place}", print)
    assert place.exists()
    holder.close()


def test_a_trial_run_again_ends_in_mlflow_as_it_ended_at_last(ledger, plan, uri):
    first = plan.left()[0]
    train(ledger, plan, first, finish=False)
    ledger.put_result(first.key, replace(outcome(first, status="failed"), error="no luck"))
    tracker = Tracker(uri, ledger, "tiny")
    tracker.project(first.key)
    ledger.reopen(first.key)
    ledger.put_result(first.key, replace(outcome(first), time=1.8e9))
    tracker.project(first.key)
    ((status, _, tag, curves, _),) = everything(tracker.client, tracker.experiment).values()
    assert (status, tag) == ("FINISHED", "done") and "validation/fd_rel" in curves
    (run,) = tracker.client.search_runs([tracker.experiment])
    assert not run.data.tags["error"]


@pytest.mark.long
def test_a_clock_that_jumps_back_changes_nothing_but_the_times(tmp_path, data_dir, monkeypatch):
    whole, odd = (planned(Ledger(tmp_path / name), data_dir, epochs=3) for name in ("whole", "odd"))
    expected = run.run_trial(whole, data_dir)
    moments = iter(range(10**9, 0, -86400))
    monkeypatch.setattr(run.time, "time", lambda: float(next(moments)))
    found = run.run_trial(odd, data_dir)
    assert found.objective == expected.objective
    assert [row.epoch for row in read_rows(odd / "metrics.jsonl")] == [0, 1, 2, 3]


def test_a_trial_that_ran_out_of_memory_gets_twice_the_share_at_the_next_launch(ledger, plan):
    first, second = plan.left()[:2]
    said = []
    for share in (0.25, 0.5, 1.0):
        assert share_after_failures(ledger, first.key, 0.25) == share
        ledger.put_result(first.key, replace(outcome(first, status="failed"), out_of_memory=True, gpus=share))
        assert share_after_failures(ledger, second.key, 0.25) == 0.25
        again = repair.retry_failed(Plan(plan.space, ledger, IDENTITY), False, said.append)
        assert (first.key in [each.key for each in again.left()]) == (share < 1)
    assert len(said) == 2 and "twice as much" in said[0]
    assert share_after_failures(ledger, first.key, 0.0) == 0.0  # no accelerator here


def test_a_worker_records_that_memory_ran_out(ledger, data_dir, monkeypatch):
    from study.ledger import storage_check
    from study.sweep import ray_executor

    folder, told = planned(ledger, data_dir), []

    def short(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(run, "run_pack", short)
    monkeypatch.setattr(ray_executor.tune, "report", told.append)
    config = {
        "ledger": ledger.address,
        "keys": (folder.name,),
        "until": 1,
        "token": storage_check.write_token(ledger),
        "cwd": "/nowhere",
        "data_dir": "",
        "cpus": 1,
        "gpus": 0.25,
        "checkpoint_s": 1,
        "reference": False,
        "trust": ("", False),
    }
    ray_executor.train(config)
    (recorded,) = json.loads(told[0]["outcome"])["results"]
    assert recorded["status"] == "failed" and recorded["out_of_memory"] and recorded["gpus"] == 0.25
    assert ray_executor.needs(config).required_resources == {"CPU": 1, "GPU": 0.25}


def test_a_worker_that_does_not_see_the_storage_does_nothing_and_ends_the_sweep(ledger, plan, tmp_path, monkeypatch):
    from study.ledger import storage_check
    from study.sweep import ray_executor
    from study.sweep.ray_searcher import LedgerSearch
    from study.sweep.worker_messages import PackConfig

    told, word = [], storage_check.write_token(ledger)
    monkeypatch.setattr(ray_executor.tune, "report", told.append)
    ray_executor.train({"ledger": str(tmp_path / "elsewhere"), "token": word})
    ray_executor.train({"ledger": ledger.address, "token": "other"})
    assert all("does not see the storage folder" in row["stop"] for row in told) and len(told) == 2
    search = LedgerSearch(plan, PackConfig(), commit=None)
    assert search.suggest("1")
    search.on_trial_complete("1", told[0])
    assert search.suggest("2") == LedgerSearch.FINISHED and search.stopped == told[0]["stop"]
    assert not ledger.result(plan.left()[0].key)


def test_workers_that_die_since_ray_is_gone_fail_no_trial(plan):
    from study.sweep.ray_searcher import LedgerSearch
    from study.sweep.worker_messages import PackConfig

    search = LedgerSearch(plan, PackConfig(), commit=None, alive=lambda: False)
    key = search.suggest("1")["keys"][0]
    search.on_trial_complete("1", error=True)
    assert "Ray has died" in search.stopped and search.suggest("2") == LedgerSearch.FINISHED
    assert plan.ledger.result(key) is None and not plan.results


def test_a_disk_that_is_full_as_a_result_is_written_ends_the_sweep_and_fails_no_trial(plan):
    import errno

    from study.sweep.ray_searcher import LedgerSearch
    from study.sweep.worker_messages import Final, PackConfig

    def commit(trial, result):
        raise OSError(errno.ENOSPC, "No space left on device")

    search = LedgerSearch(plan, PackConfig(), commit)
    search.suggest("1")
    search.on_trial_complete("1", Final((outcome(plan.left()[0]),)).to_tune())
    assert "No space left on device" in search.stopped and search.suggest("2") == LedgerSearch.FINISHED
    assert not plan.results
