"""The files in cluster/: as valid as can be told without a cluster, and every one says how Ray is to be entered."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from study.sweep import ray_executor

CLUSTER = Path(ray_executor.ROOT) / "cluster"


def test_the_file_for_ray_up_is_what_ray_wants():
    from ray.autoscaler._private.util import prepare_config, validate_config  # a private interface: in this one place

    config = yaml.safe_load((CLUSTER / "ray-cluster.yaml").read_text())
    validate_config(prepare_config(config))
    starts = [line for line in config["head_start_ray_commands"] + config["worker_start_ray_commands"] if "ray start" in line]
    assert len(starts) == 2 and all("RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=" in line for line in starts)


@pytest.fixture
def job() -> dict:
    return yaml.safe_load((CLUSTER / "kuberay-rayjob.yaml").read_text())


@pytest.fixture(scope="module")
def kuberay():
    """What the API server of a cluster with KubeRay would refuse, unknown fields included, as a validator."""
    if not (place := os.environ.get("KUBERAY_CRD")):
        pytest.skip("set KUBERAY_CRD to the operator's ray.io_rayjobs.yaml, from helm-chart/kuberay-operator/crds/ of KubeRay")
    versions = yaml.load(Path(place).read_text(), yaml.CSafeLoader)["spec"]["versions"]
    (schema,) = (each["schema"]["openAPIV3Schema"] for each in versions if each["name"] == "v1")
    schema["properties"]["metadata"] = {}  # whose schema is Kubernetes' own
    return Draft202012Validator(strict(schema))


def strict(schema):
    """As Kubernetes reads it: what has no `properties` entry is unknown, and an int-or-string has no other type."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    read = {name: strict(value) for name, value in schema.items()}
    if isinstance(read.get("properties"), dict) and not read.get("x-kubernetes-preserve-unknown-fields"):
        read.setdefault("additionalProperties", False)
    if read.get("x-kubernetes-int-or-string"):
        read.pop("type", None)
    return read


def test_the_operator_would_take_the_kubernetes_job_and_no_misspelt_one(kuberay, job):
    assert not [f"{error.json_path}: {error.message}" for error in kuberay.iter_errors(job)]
    options = job["spec"]["rayClusterSpec"]["autoscalerOptions"]
    options |= {"version": "v3", "idleTimeoutSecond": options.pop("idleTimeoutSeconds")}
    assert len(list(kuberay.iter_errors(job))) == 2


def test_the_kubernetes_cluster_grows_by_itself_asks_for_the_token_and_trains_on_its_workers_alone(job):
    import ray

    spec = job["spec"]["rayClusterSpec"]
    assert spec["rayVersion"] == ray.__version__ and spec["authOptions"] == {"mode": "token"}
    assert spec["enableInTreeAutoscaling"] and spec["autoscalerOptions"]["version"] == "v2"
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    cpu, gpu = spec["workerGroupSpecs"]
    for group in (cpu, gpu):
        assert group["minReplicas"] <= group["replicas"] < group["maxReplicas"]
    cards = [group["template"]["spec"]["containers"][0]["resources"]["limits"].get("nvidia.com/gpu") for group in (cpu, gpu)]
    assert cards == [None, "1"]
    processors = int(cpu["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"])
    assert (
        f"--max-concurrent {processors * cpu['maxReplicas']} " in job["spec"]["entrypoint"]
    )  # else it never asks for more than it has


def test_every_pod_of_the_kubernetes_job_has_the_storage_and_the_user_of_the_image(job):
    spec = job["spec"]["rayClusterSpec"]
    image = (CLUSTER / "Dockerfile").read_text()
    for pod in [spec["headGroupSpec"]["template"], *(group["template"] for group in spec["workerGroupSpecs"])]:
        assert pod["spec"]["volumes"][0]["persistentVolumeClaim"]
        assert pod["spec"]["containers"][0]["volumeMounts"][0]["mountPath"] == "/storage"
        assert f"--uid {pod['spec']['securityContext']['runAsUser']} " in image


def test_the_entry_points_in_the_files_are_commands_that_the_launch_takes(job):
    from study.launch import parse

    _, script, *typed = job["spec"]["entrypoint"].split()
    assert script == "/study/study/launch.py" and "WORKDIR /study\n" in (CLUSTER / "Dockerfile").read_text()
    assert parse(typed).max_concurrent == 64


def test_the_image_holds_what_the_requirements_say_and_of_the_project_its_code_alone():
    recipe = (CLUSTER / "Dockerfile").read_text()
    for pinned in re.findall(r"(?:s3fs|boto3)==\S+", recipe):
        assert pinned in (CLUSTER.parent / "requirements-test.txt").read_text()
    assert "FROM python:3.11-" in recipe and "USER sweep" in recipe.splitlines()[-1]
    everything, *kept = (CLUSTER / "Dockerfile.dockerignore").read_text().split()
    assert everything == "*" and {"!study", "!models", "!search_spaces"} < set(kept)
    assert all((CLUSTER.parent / name[1:]).exists() for name in kept if name.startswith("!"))


def test_the_slurm_script_is_bash_and_comes_back_after_a_requeue():
    script = CLUSTER / "slurm.sbatch"
    subprocess.run(["bash", "-n", script], check=True)
    text = script.read_text()
    for line in (
        "#SBATCH --requeue",
        "RAY_AUTH_MODE=token",
        "export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK",
        '--num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="${SLURM_GPUS_ON_NODE:-0}"',
        "scontrol requeue",
        'wait "$driver"',
    ):
        assert line in text


@pytest.mark.parametrize("name", ["ray-cluster.yaml", "slurm.sbatch"])
def test_whoever_enters_ray_has_the_token(name):
    """A command that enters Ray stands behind an export of the token, or has it in its own line; a job has its cluster's."""
    exported = False
    for line in (CLUSTER / name).read_text().splitlines():
        exported |= "export RAY_AUTH_MODE=token" in line
        if any(word in line for word in ("ray start", "ray job submit", "study/launch.py --space")):
            assert exported or "RAY_AUTH_MODE=token" in line, line


@pytest.mark.parametrize("name", ["data/MNIST/raw/x", "mlruns/mlflow.db", ".git/config", ".venv/bin/python", "docs/report.png"])
def test_the_code_that_goes_to_the_workers_leaves_data_and_results_at_home(name):
    from ray._private.runtime_env.packaging import _get_excludes

    left_out = _get_excludes(ray_executor.ROOT, ray_executor.CODE["excludes"])
    assert any(left_out(ray_executor.ROOT / part) for part in [Path(name), *Path(name).parents][:-1])
    assert not left_out(ray_executor.ROOT / "study" / "data.py") and not left_out(ray_executor.ROOT / "models")
