"""The stack of cluster/compose.yaml, its services run as processes where there is no Docker: see tests/compose_services.py."""

import glob
import json
from pathlib import Path

import pytest
import s3fs
import yaml
from compose_services import Stack, interpolated
from hosts import OUTSIDE, hosts
from s3 import s3_server
from servers import free_port

FILE = Path(__file__).resolve().parents[2] / "cluster" / "compose.yaml"
SECRETS = {"POSTGRES_PASSWORD": "p@ss/word:%", "RAY_AUTH_TOKEN": "a" * 64}
RUNS = """
import json, mlflow
client = mlflow.MlflowClient("http://127.0.0.1:5000")
runs = client.search_runs([each.experiment_id for each in client.search_experiments()], "tags.trial_key LIKE '%'")
print(json.dumps([[run.info.status, run.info.artifact_uri, [each.path for each in client.list_artifacts(run.info.run_id)]] for run in runs]))
"""


@pytest.mark.ray
@pytest.mark.long
def test_one_command_starts_the_stack_whose_worker_trains_and_whose_server_shows_it(tmp_path, namespaces):
    assert glob.glob("/usr/lib/postgresql/*/bin/initdb"), "this test needs PostgreSQL: apt-get install -y postgresql"
    options = "--space smoke --models VAE --nets fc --epochs 1 --replicates 1 --proposals 2".split()
    with hosts(5) as (on, _), s3_server(tmp_path / "s3.txt", OUTSIDE, port := free_port()) as (_, store):
        services = Stack(FILE, SECRETS | store | {"ARTIFACTS": "s3://studies/artifacts"}, tmp_path, on)
        launched = services.run("launch", *options)
        assert launched.wait(240) == 0, (tmp_path / "launch.txt").read_text()
        said = services.inside("mlflow", ["python", "-c", RUNS])
        assert not said.returncode, said.stderr
        stranger = services.inside("head", ["ray", "health-check", "--address=head:6379"], RAY_AUTH_TOKEN="b" * 64)
        wrong = services.inside("database", ["psql", "--host=database", "--username=mlflow", "-c", ""], PGPASSWORD="guessed")
        bucket = s3fs.S3FileSystem(key="test", secret="test", endpoint_url=f"http://{OUTSIDE}:{port}", skip_instance_cache=True)
        stored = bucket.find("studies/artifacts")
    runs = json.loads(said.stdout)
    assert len(runs) == 6 and {status for status, *_ in runs} == {"FINISHED"}
    assert all(place.startswith("mlflow-artifacts:") and files for _, place, files in runs) and len(stored) >= 6
    assert "best vae on digits" in (tmp_path / "launch.txt").read_text()
    assert (tmp_path / "volumes/studies/studies/smoke/report/report.html").exists()
    assert stranger.returncode and "uthentication" in stranger.stderr + stranger.stdout
    assert wrong.returncode and "authentication failed" in wrong.stderr


def test_no_door_of_the_stack_is_open_by_default():
    """Nothing is published but on loopback, nothing starts without passwords of one's own, and no service uses the host's network."""
    text = FILE.read_text()
    for missing in SECRETS:
        with pytest.raises(KeyError, match="cluster/.env"):
            interpolated(text, {name: value for name, value in SECRETS.items() if name != missing})
    services = yaml.safe_load(interpolated(text, SECRETS))["services"]
    assert [port for each in services.values() for port in each.get("ports", ())] == ["127.0.0.1:5000:5000"]
    assert not any({"privileged", "network_mode", "cap_add", "pid", "env_file"} & each.keys() for each in services.values())
    assert not any(volume.startswith(("/", ".", "~")) for each in services.values() for volume in each["volumes"])
    for name, each in services.items():
        if "ray" in str(each.get("command", each.get("entrypoint"))):
            assert each["environment"]["RAY_AUTH_MODE"] == "token" and each["environment"]["RAY_AUTH_TOKEN"] == "a" * 64, name
