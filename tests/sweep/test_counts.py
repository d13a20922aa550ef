"""What must not grow, told by counts, which are the same on every machine: waits for the device, files, SQL statements."""

import json
import sys
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace

import pytest
import sqlalchemy
import torch
from tiny import IDENTITY, finish, outcome, tiny_space
from torch.utils._python_dispatch import TorchDispatchMode
from trials import identity_of

from models.nets import fc
from models.vae import VAE
from models.wgan import WGAN
from study.data import digits
from study.ledger.files import append_line
from study.ledger.folder import Ledger
from study.mlflow_view.tracker import Tracker
from study.space import Search
from study.sweep.plan import Plan
from study.sweep.ray_searcher import LedgerSearch
from study.sweep.worker_messages import PackConfig
from study.training.replicas import Replicas
from study.training.run import run_trial

WAITS = ("aten::_local_scalar_dense", "aten::is_nonzero", "aten::equal", "aten::nonzero")


class Waits(TorchDispatchMode):
    """Counts what makes the host wait for the device: reading a number."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.count += operation.name().split(".")[0] in WAITS
        return operation(*args, **(kwargs or {}))


@pytest.mark.parametrize("model", [VAE, WGAN])
@pytest.mark.parametrize("seeds", [1, 3])
def test_no_step_waits_for_the_device(model, seeds):
    def waits(batches):
        replicas = Replicas([lambda: model((1, 8, 8), fc, 1, 4, width=16)] * seeds, range(seeds))
        images = torch.randint(0, 17, (16 * batches, 1, 8, 8), dtype=torch.uint8)
        replicas.train_epoch(images, 17, 16)  # the optimisers' first steps make their state
        with Waits() as counted:
            replicas.train_epoch(images, 17, 16)
        return counted.count

    assert waits(5) == waits(20) <= 4


opened = []
listening = []
sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if listening and event == "open" else None)


@contextmanager
def files_opened(below):
    """The files below a folder that are opened, from the inside; an audit hook can be told to be quiet, not removed."""
    opened.clear()
    listening.append(True)
    counted = Counter()
    try:
        yield counted
    finally:
        listening.clear()
        counted.update(path for path in opened if path.startswith(str(below)))


@pytest.mark.long
def test_a_trial_opens_no_more_files_for_more_epochs_but_its_rows(tmp_path, data_dir):
    images = digits.load(data_dir)
    identity = identity_of(images)

    def count(epochs):
        plan = Plan(tiny_space(), Ledger(tmp_path / f"{epochs}"), identity)
        trial = plan.left()[0]
        plan.ledger.put_spec(trial.key, replace(plan.spec(trial, {"lr": 1e-3}, "default"), epochs=epochs))
        with files_opened(plan.ledger.folder(trial.key)) as counted:
            run_trial(plan.ledger.folder(trial.key), data_dir, checkpoint_s=1e9)
        rows = sum(number for path, number in counted.items() if path.endswith("metrics.jsonl"))
        return sum(counted.values()) - rows, rows

    few, few_rows = count(6)
    many, many_rows = count(24)
    assert few == many <= 40 and many_rows - few_rows <= 2 * (24 - 6)


def test_a_cell_that_goes_on_reads_no_more_of_a_study_that_is_nearly_done(ledger):
    def opened_by_the_next_cell(done):
        own = Ledger(ledger.root / f"{done}")
        space = tiny_space(search=Search(rounds=(40,), rungs=()), replicates=1)
        plan = Plan(space, own, IDENTITY)
        search = LedgerSearch(plan, PackConfig(), lambda trial, result: own.put_result(trial.key, result))
        first, second = space.cells
        for trial in plan.search[first.name][:done]:
            finish(plan, trial)
        with files_opened(own.root) as counted:
            search._advance(second)
        assert len(search.queue) == 20
        return sum(counted.values())

    assert opened_by_the_next_cell(4) == opened_by_the_next_cell(40) <= 6 * 40


def test_a_trial_goes_into_mlflow_by_as_many_statements_whatever_its_length(ledger, plan, uri):
    tracker = Tracker(uri, ledger, "tiny")

    def statements(trial, epochs):
        ledger.put_spec(trial.key, plan.spec(trial, {"lr": 1e-3}, "random"))
        for epoch in range(epochs):
            append_line(
                ledger.folder(trial.key) / "metrics.jsonl",
                json.dumps({"epoch": epoch, "time": 1.7e9 + epoch, "values": {"loss/train": [float(epoch)]}}),
            )
        ledger.put_result(trial.key, outcome(trial))
        counted = []

        def count(connection, cursor, statement, *rest):
            counted.append(statement)

        sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", count)
        try:
            tracker.project(trial.key)
        finally:
            sqlalchemy.event.remove(sqlalchemy.Engine, "before_cursor_execute", count)
        return len(counted)

    first, second, third = plan.left()[:3]
    statements(first, 2)
    assert statements(second, 2) == statements(third, 200) <= 36
