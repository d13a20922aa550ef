"""What a worker leaves in the ledger, and all that MLflow shows of it."""

import json

import torch
from tiny import outcome

from study.ledger.files import append_line, write_atomic
from study.training.image_grids import png, tile


def train(ledger, plan, trial, epochs=2, finish=True):
    """Leave in the ledger what a worker and the driver leave there."""
    params = trial.params or {"lr": 1e-3}
    ledger.put_spec(trial.key, plan.spec(trial, params, "random", params))
    folder = ledger.folder(trial.key)
    for epoch in range(epochs + 1):
        row = {"epoch": epoch, "time": 1.7e9 + epoch, "values": {"loss/train": [1.0 / (epoch + 1), 2.0], "quality/x": [None, 3.0]}}
        append_line(folder / "metrics.jsonl", json.dumps(row))
        write_atomic(folder / "images" / f"samples-{epoch:05d}.png", png(tile(torch.rand(4, 1, 8, 8))))
    if finish:
        write_atomic(folder / "weights.safetensors", b"weights")
        ledger.put_result(trial.key, outcome(trial, params=params))


def everything(client, experiment):
    """All that MLflow holds, in a form that can be compared."""
    runs = client.search_runs([experiment], max_results=1000)
    return {
        run.data.tags.get("trial_key", run.data.tags.get("cell", "summary")): (
            run.info.status,
            run.data.params,
            run.data.tags.get("status"),
            {
                name: [(m.step, m.value, m.timestamp) for m in client.get_metric_history(run.info.run_id, name)]
                for name in run.data.metrics
            },
            sorted(file.path for file in client.list_artifacts(run.info.run_id, "images")),
        )
        for run in runs
    }
