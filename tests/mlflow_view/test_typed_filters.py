"""A filter as it is typed into MLflow's search box."""

import json
import urllib.error
import urllib.request

import pytest
from servers import free_port, served

from study.mlflow_view.store import make
from study.mlflow_view.typed_filters import quoted


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("params.depth = 3", "params.depth = '3'"),
        ("params.depth=3 and metrics.fd_rel < 0.1", "params.depth= '3' and metrics.fd_rel < 0.1"),
        ("param.lr != 1e-05 AND params.`loss scale` = -2.5", "param.lr != '1e-05' AND params.`loss scale` = '-2.5'"),
        ('PARAMS."depth" = 3', "PARAMS.\"depth\" = '3'"),
        ("params.depth = '3' and params.net = \"fc\"", "params.depth = '3' and params.net = \"fc\""),
        ("tags.note = 'params.depth = 3'", "tags.note = 'params.depth = 3'"),
        ("metrics.depth = 3 and attributes.start_time > 5", "metrics.depth = 3 and attributes.start_time > 5"),
        ("metrics.`params.depth = 3` > 1", "metrics.`params.depth = 3` > 1"),
        ("params.net = conv", "params.net = conv"),
        ("", ""),
    ],
)
def test_a_number_after_a_param_is_quoted_and_nothing_else(typed, meant):
    assert quoted(typed) == meant and quoted(meant) == meant


@pytest.mark.long
def test_the_server_takes_them_and_refuses_what_mlflow_refuses(tmp_path):
    import mlflow

    make(tmp_path / "mlflow.db")
    port = free_port()
    with served(tmp_path, port):
        client = mlflow.MlflowClient(f"http://127.0.0.1:{port}")
        experiment = client.create_experiment("typed")
        for depth in (3, 4):
            client.log_param(client.create_run(experiment, run_name=f"d{depth}").info.run_id, "depth", depth)
        for typed, names in {"params.depth = 3": ["d3"], "params.depth != 3": ["d4"], "": ["d4", "d3"]}.items():
            assert [run.info.run_name for run in client.search_runs([experiment], typed)] == names
        unfinished = json.dumps({"experiment_ids": [experiment], "filter": "params.depth ="}).encode()
        answers = [search(port, body) for body in (unfinished, b'{"filter": 3}', b"{", b"[]")]
    assert answers[0] == 400 and max(answers) < 500, answers


def search(port: int, body: bytes) -> int:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/api/2.0/mlflow/runs/search", body)
    request.add_header("Content-Type", "application/json")
    try:
        return urllib.request.urlopen(request, timeout=30).status
    except urllib.error.HTTPError as refused:
        return refused.code
