"""What a model's own code raises, of whatever kind, is that trial's failure and says where; the storage's errors are not."""

import importlib
import json

import pytest

from study import launch
from study.errors import BusyMachine
from study.ledger import storage_check
from study.ledger.folder import Ledger
from study.space.loading import load_space
from study.sweep import ray_executor
from study.sweep.plan import Plan
from study.sweep.preparation import identities, prepare
from study.sweep.worker_messages import Final
from study.training import run

SPACE = '''"""Models that raise what a storage could raise as well, and one that is sound."""
import errno
import os
import sys

from models.nets import fc
from models.vae import VAE
from study.data import digits
from study.space import Budget, Search, Space, grid


class Missing(VAE):
    def loss(self, x, noise, epoch):
        open(os.fsdecode(b"/nowhere/\\xff.txt"))


class Full(VAE):
    def loss(self, x, noise, epoch):
        raise OSError(errno.ENOSPC, "No space\\nleft on device")


class Quits(VAE):
    def sample(self, z):
        sys.exit(3)


class Unbuilt(VAE):
    def __init__(self, *arguments, **settings):
        raise ConnectionError("no weights")


SPACE = Space(cells=grid([{models}], [fc], [1], [2], [digits], width=[16]), propose=lambda trial, cell: {{}},
              budget=lambda cell: Budget(2, 64), search=Search(rounds=(1,), rungs=()), replicates=1{more})
'''
RAISED = {
    "Missing": "FileNotFoundError: [Errno 2] No such file or directory: '/nowhere/\\udcff.txt' ({file}:14)",
    "Full": "OSError: [Errno 28] No space left on device ({file}:19)",
    "Quits": "SystemExit: 3 ({file}:24)",
    "Unbuilt": "ConnectionError: no weights ({file}:29)",
}


@pytest.fixture(autouse=True)
def another_worker():
    """A process opens one study once."""
    storage_check.ledger_here.cache_clear(), ray_executor.open_with_data.cache_clear()


def config(ledger, key, data_dir) -> dict:
    return {
        "ledger": ledger.address,
        "keys": (key,),
        "until": 2,
        "token": storage_check.write_token(ledger),
        "cwd": "/nowhere",
        "data_dir": str(data_dir),
        "cpus": 1,
        "gpus": 0,
        "checkpoint_s": 1,
        "reference": False,
        "trust": ("", False),
    }


def test_an_operating_systems_error_is_the_trials_own_where_a_models_code_raised_it(ledger, tmp_path, monkeypatch):
    (tmp_path / "reading.py").write_text("def loss(*_):\n    return open('/nowhere/x')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(run, "run_pack", importlib.import_module("reading").loss)
    told = []
    monkeypatch.setattr(ray_executor.tune, "report", told.append)
    ray_executor.train(config(ledger, "own", tmp_path))
    (ledger.folder("own") / "error.txt").unlink()
    (ledger.folder("own") / "error.txt").mkdir()
    with pytest.raises(IsADirectoryError):  # the storage's, as the error is written down
        ray_executor.train(config(ledger, "own", tmp_path))
    error = json.loads(*[row["outcome"] for row in told])["results"][0]["error"]
    assert error == f"FileNotFoundError: [Errno 2] No such file or directory: '/nowhere/x' ({tmp_path}/reading.py:2)"


@pytest.mark.long
@pytest.mark.ray
def test_an_error_of_a_models_code_is_its_trials_own_and_names_the_line(tmp_path, data_dir, monkeypatch):
    file, told = tmp_path / "raising.py", {}
    file.write_text(SPACE.format(models="Missing, Full, Quits, Unbuilt, VAE", more=""))
    monkeypatch.syspath_prepend(str(tmp_path))
    space = load_space(str(file))
    options = launch.parse(["--space", str(file)])
    ledger = Ledger(tmp_path / "studies" / space.name)
    prepare(space, options, data_dir, ledger, lambda text: None)
    for first in Plan(space, ledger, identities(space, data_dir, options)).left():
        ledger.put_spec(first.key, Plan(space, ledger, identities(space, data_dir, options)).spec(first, {}, "default"))
        monkeypatch.setattr(ray_executor.tune, "report", lambda row, key=first.key: told.update({key: row}))
        ray_executor.train(config(ledger, first.key, data_dir))
    ends = {ledger.spec(key).model.split(":")[1]: Final.from_tune(row).results[0] for key, row in told.items()}
    assert ends.pop("VAE").status == "done"
    assert {name: end.error for name, end in ends.items()} == {name: text.format(file=file) for name, text in RAISED.items()}
    key = next(key for key in told if key.startswith("missing"))
    assert "in loss" in (ledger.folder(key) / "error.txt").read_text()
    (ledger.folder(first.key) / "images").rename(tmp_path / "images")  # the sound one again, from a storage that does not work
    (ledger.folder(first.key) / "images").write_text("")
    (ledger.folder(first.key) / "metrics.jsonl").unlink()
    with pytest.raises(OSError):
        ray_executor.train(config(ledger, first.key, data_dir))


def test_a_ray_that_does_not_come_up_in_time_is_one_line_about_this_machine(monkeypatch):
    def never(**_):
        raise Exception("The current node timed out during startup. This could happen because the GCS has become overloaded.")

    monkeypatch.setattr(ray_executor.ray, "init", never)
    monkeypatch.setattr(ray_executor.os, "environ", dict(ray_executor.os.environ))
    with pytest.raises(BusyMachine, match=r"load \d+ on \d+ processors.*launch again") as raised:
        ray_executor.start(None)
    assert raised.value.exit_code == 1
