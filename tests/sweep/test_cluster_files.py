"""The files in cluster/: as valid as can be told without a cluster, and every one says how Ray is to be entered."""

import subprocess
from pathlib import Path

import pytest
import yaml

from study.sweep import ray_executor

CLUSTER = Path(ray_executor.ROOT) / "cluster"


def test_the_file_for_ray_up_is_what_ray_wants():
    from ray.autoscaler._private.util import prepare_config, validate_config  # a private interface: in this one place

    config = yaml.safe_load((CLUSTER / "ray-cluster.yaml").read_text())
    validate_config(prepare_config(config))
    starts = [line for line in config["head_start_ray_commands"] + config["worker_start_ray_commands"] if "ray start" in line]
    assert len(starts) == 2 and all("RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=" in line for line in starts)


def test_every_pod_of_the_kubernetes_job_has_the_token_and_the_storage():
    job = yaml.safe_load((CLUSTER / "kuberay-rayjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec = job["spec"]["rayClusterSpec"]
    pods = [spec["headGroupSpec"]["template"], *(group["template"] for group in spec["workerGroupSpecs"])]
    for pod in [*pods, job["spec"]["submitterPodTemplate"]]:
        (container,) = pod["spec"]["containers"]
        names = {entry["name"]: entry for entry in container["env"]}
        assert names["RAY_AUTH_MODE"]["value"] == "token" and "secretKeyRef" in names["RAY_AUTH_TOKEN"]["valueFrom"]
    for pod in pods:
        assert pod["spec"]["volumes"][0]["persistentVolumeClaim"]
        assert pod["spec"]["containers"][0]["volumeMounts"][0]["mountPath"] == "/storage"
    import ray

    assert spec["rayVersion"] == ray.__version__


def test_the_slurm_script_is_bash_and_comes_back_after_a_requeue():
    script = CLUSTER / "slurm.sbatch"
    subprocess.run(["bash", "-n", script], check=True)
    text = script.read_text()
    for line in (
        "#SBATCH --requeue",
        "RAY_AUTH_MODE=token",
        "ray symmetric-run",
        "--min-nodes",
        "scontrol requeue",
        'wait "$step"',
    ):
        assert line in text


@pytest.mark.parametrize("name", ["ray-cluster.yaml", "slurm.sbatch"])
def test_whoever_enters_ray_has_the_token(name):
    """A command that enters Ray stands behind an export of the token, or has it in its own line; a job has its cluster's."""
    exported = False
    for line in (CLUSTER / name).read_text().splitlines():
        exported |= "export RAY_AUTH_MODE=token" in line
        if any(word in line for word in ("ray start", "ray symmetric-run", "ray job submit", "study/launch.py --space")):
            assert exported or "RAY_AUTH_MODE=token" in line, line


@pytest.mark.parametrize("name", ["data/MNIST/raw/x", "mlruns/mlflow.db", ".git/config", ".venv/bin/python", "docs/report.png"])
def test_the_code_that_goes_to_the_workers_leaves_data_and_results_at_home(name):
    from ray._private.runtime_env.packaging import _get_excludes

    left_out = _get_excludes(ray_executor.ROOT, ray_executor.CODE["excludes"])
    assert any(left_out(ray_executor.ROOT / part) for part in [Path(name), *Path(name).parents][:-1])
    assert not left_out(ray_executor.ROOT / "study" / "data.py") and not left_out(ray_executor.ROOT / "models")
