"""Real clusters on this machine: two hosts of which one goes away or has the data, nodes that come when asked for, SLURM's."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hosts import OUTSIDE, hosts, line
from launching import RAY, ROOT
from PIL import Image
from s3 import s3_server
from servers import free_port
from sklearn.datasets import load_digits

from benchmarks.crash import NOTHING, Study, count

pytestmark = [pytest.mark.ray, pytest.mark.long]


UNTIL_HEAD = "until (exec 3<>/dev/tcp/10.77.0.1/6390) 2>/dev/null; do sleep 0.3; done"  # the first host's Ray takes connections


def test_of_two_hosts_one_is_killed_comes_back_and_loses_its_network(tmp_path, namespaces):
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "d" * 64, "PYTHONPATH": str(ROOT)}
    start, address = [RAY, "start", "--block", "--num-cpus=1", "--disable-usage-stats"], "10.77.0.1:6390"
    join = ["bash", "-c", f"{UNTIL_HEAD}; exec {line([*start, f'--address={address}', '--node-ip-address=10.77.0.2'])}"]
    study = Study(tmp_path, models=("VAE",), epochs=400)
    first_host = tmp_path / "first_host.sh"  # the driver sees the head's sockets only from within its host
    first_host.write_text(f"""
{line([*start, "--head", "--port=6390", "--node-ip-address=10.77.0.1", "--include-dashboard=false"])} >/dev/null 2>&1 &
{UNTIL_HEAD}; sleep 3
{line(study.command())} --address {address}
""")
    with hosts(2) as (on, wire), open(tmp_path / "log.txt", "a") as log:
        driver = on(1, ["bash", first_host], stdout=log, stderr=log, env=environment)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment}
        second = on(2, join, **quiet)
        study.wait_until_at_work(driver, trials=4)
        os.killpg(second.pid, signal.SIGKILL)
        time.sleep(5)
        on(2, join, **quiet)
        study.wait_until_at_work(driver, trials=2)
        wire(2, "down")
        time.sleep(60)
        wire(2, "up")
        assert driver.wait(400) == 0, study.log()
    assert count(study, []) == NOTHING


def test_of_two_hosts_one_has_the_data_the_other_trains_and_an_object_store_is_all_they_share(
    tmp_path, tmp_path_factory, namespaces
):
    """The first host has no processor to train on; the second sees neither the images nor anything that the first writes."""
    second_home, images = tmp_path_factory.mktemp("second"), tmp_path / "images"
    for number, (pixels, label) in enumerate(zip(*load_digits(return_X_y=True))):
        (images / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels.reshape(8, 8) * 15).astype("uint8")).save(images / str(label) / f"{number}.png")
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    start = [RAY, "start", "--block", "--disable-usage-stats"]
    launch = [
        sys.executable,
        ROOT / "study/launch.py",
        "--space",
        "smoke",
        *("--models", "VAE", "--nets", "fc"),
        "--datasets",
        f"folder:{images}",
        "--epochs",
        "2",
        "--proposals",
        "2",
        "--replicates",
        "2",
        "--storage",
        "s3://studies/hosts",
        "--data-dir",
        tmp_path / "data",
        "--tracking-uri",
        f"sqlite:///{tmp_path / 'mlflow.db'}",
        "--address",
        "10.77.0.1:6390",
    ]
    first_host = tmp_path / "first_host.sh"
    first_host.write_text(f"""
{line([*start, "--head", "--num-cpus=0", "--port=6390", "--node-ip-address=10.77.0.1", "--include-dashboard=false"])} >/dev/null 2>&1 &
{UNTIL_HEAD}; sleep 12
{line(launch)}
""")
    with (
        hosts(2) as (on, _),
        s3_server(tmp_path / "s3.txt", OUTSIDE, free_port()) as (_, credentials),
        open(tmp_path / "log.txt", "w") as log,
    ):
        environment |= credentials
        driver = on(1, ["bash", first_host], stdout=log, stderr=log, env=environment)
        join = [*start, "--num-cpus=1", "--address=10.77.0.1:6390", "--node-ip-address=10.77.0.2"]
        on(
            2,
            ["bash", "-c", f"{UNTIL_HEAD}; exec {line(join)}"],
            hidden=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**environment, "HOME": str(second_home), "XDG_CACHE_HOME": str(second_home)},
        )
        assert driver.wait(300) == 0, (tmp_path / "log.txt").read_text()
    said = (tmp_path / "log.txt").read_text()
    assert "0 failed" in said and "best vae on folder:" in said and "Traceback" not in said
    assert {path.name for path in second_home.glob("latent-sweep/studies/*-worker/smoke/*")} >= {"data", "features", "trials"}


FIRST = "f" * 51 + "00000"  # what Ray's stand-in for a cloud calls the head
GROWING = {  # as cluster/kuberay-rayjob.yaml: Ray's own autoscaler, whose nodes are processes here
    "cluster_name": "growing",
    "provider": {
        "type": "external",  # the wheel of Ray lacks the defaults of "fake_multinode", which this is
        "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
        "launch_multiple": True,
        "disable_node_updaters": True,
        "head_node_id": FIRST,
        "gcs_address": "10.77.0.1:6390",
    },
    **dict.fromkeys(("auth", "docker", "file_mounts"), {}),
    **dict.fromkeys((f"{when}_commands" for when in ("initialization", "setup", "head_setup", "worker_setup")), []),
    **dict.fromkeys(("head_start_ray_commands", "worker_start_ray_commands", "cluster_synced_files"), []),
    "idle_timeout_minutes": 5,
    "upscaling_speed": 1.0,
    "max_workers": 2,
    "head_node_type": "ray.head.default",
    "available_node_types": {
        "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
        "cpu": {"resources": {"CPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": 2},
    },
}
NODES = """
import ray, sys
ray.init(sys.argv[1], log_to_driver=False)
print("nodes with a processor:", sum(node["Alive"] and node["Resources"].get("CPU") == 1 for node in ray.nodes()))
"""


def test_a_cluster_without_processors_is_said_and_grows_for_a_launch_that_asks_for_them(tmp_path, namespaces):
    config, host = tmp_path / "growing.yaml", "10.77.0.1:6390"
    config.write_text(json.dumps(GROWING))
    start = [RAY, "start", "--head", "--num-cpus=0", "--port=6390", "--node-ip-address=10.77.0.1", "--include-dashboard=false"]
    of_head = ["env", f"RAY_CLOUD_INSTANCE_ID={FIRST}", f"RAY_OVERRIDE_NODE_ID_FOR_TESTING={FIRST}"]
    smoke = ["--space", "smoke", "--models", "VAE", "--nets", "fc", "--epochs", "1", "--proposals", "2", "--replicates", "1"]
    launch = [sys.executable, ROOT / "study/launch.py", *smoke, "--storage", tmp_path / "studies", "--data-dir", tmp_path / "data"]
    script = tmp_path / "head.sh"
    script.write_text(f"""
{line([*of_head, *start, "--disable-usage-stats", f"--autoscaling-config={config}"])} >/dev/null 2>&1
{line([*launch, "--address", host])}; echo "ended with $?"
{line([*launch, "--address", host, "--max-concurrent", "2"])}; echo "ended with $?"
{line([sys.executable, "-c", NODES, host])}
""")
    fake = {"RAY_FAKE_CLUSTER": "1", "RAY_enable_autoscaler_v2": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
    with hosts(1) as (on, _), open(tmp_path / "log.txt", "w") as log:
        assert on(1, ["bash", script], stdout=log, stderr=log, env={**os.environ, **fake}).wait(300) == 0
    said = (tmp_path / "log.txt").read_text()
    assert "Ray has 0 processors" in said and said.index("ended with 2") < said.index("ended with 0"), said
    assert "best vae on digits" in said and "nodes with a processor: 2" in said, said


SLURM_JOB = """
cd {root}
job=$(sbatch --parsable --nodes=2 --cpus-per-task=1 --time=20 --output={log} cluster/slurm.sbatch {arguments})
at_work() {{ [ "$(cat {trials}/*/metrics.jsonl 2>/dev/null | wc -l)" -gt 20 ]; }}
until at_work || ! squeue --noheader --job "$job" | grep -q .; do sleep 0.5; done
scontrol requeue "$job"
while squeue --noheader --job "$job" 2>/dev/null | grep -q .; do sleep 1; done
scontrol show job "$job"
"""


def test_the_slurm_script_uses_what_it_was_allocated_of_two_nodes_and_goes_on_after_a_requeue(tmp_path, namespaces):
    assert shutil.which("slurmctld"), "this test needs SLURM: apt-get install slurm-wlm"
    study, log = Study(tmp_path, models=("VAE",), epochs=200), tmp_path / "log.txt"
    space, *options = study.command()[3:]
    script = tmp_path / "job.sh"
    script.write_text(SLURM_JOB.format(root=ROOT, log=log, arguments=line([space, *options]), trials=study.ledger.root / "trials"))
    done = subprocess.run(
        [
            "unshare",
            "--net",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            ROOT / "tests/slurm_nodes.sh",
            tmp_path / "slurm",
            "bash",
            script,
        ],
        env={**without_token(), "RAY_AUTH_TOKEN_PATH": str(token_file(tmp_path))},
        capture_output=True,
        text=True,
        timeout=500,
    )
    said = log.read_text() if log.exists() else ""
    assert "JobState=COMPLETED" in done.stdout and "Restarts=1" in done.stdout, done.stdout + done.stderr + said
    assert said.count("2 nodes with 2 processors and 0 accelerators") == 2, (
        said
    )  # one of the two that each node has, before and after
    assert count(study, []) == NOTHING, said


def without_token() -> dict:
    """The environment without the token of the tests, which Ray would prefer to any file."""
    return {name: value for name, value in os.environ.items() if name != "RAY_AUTH_TOKEN"}


def token_file(folder: Path) -> Path:
    path = folder / "token"
    path.write_text("e" * 64)
    path.chmod(0o600)
    return path
