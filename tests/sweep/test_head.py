"""A Ray head on this machine: a token at the door, and a submitted job."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from launching import RAY, ROOT
from servers import free_port, wait_for

from benchmarks.crash import NOTHING, Study, count

pytestmark = [pytest.mark.ray, pytest.mark.long, pytest.mark.alone]


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    """A Ray head with its dashboard on loopback, which lets nobody in without the token: (address, dashboard, environment)."""
    port, dashboard, home = free_port(), free_port(), tmp_path_factory.mktemp("home")
    environment = {**os.environ, "HOME": str(home), "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a" * 64}
    environment.pop("PYTHONPATH", None)  # else what is submitted could be run from here
    log = open(home / "ray.log", "w")
    process = subprocess.Popen(
        [
            RAY,
            "start",
            "--head",
            f"--port={port}",
            "--block",
            "--num-cpus=2",
            "--include-dashboard=true",
            "--dashboard-host=127.0.0.1",
            f"--dashboard-port={dashboard}",
            "--disable-usage-stats",
        ],
        env=environment,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        url = f"http://127.0.0.1:{dashboard}"
        wait_for(lambda: answers(f"{url}/api/version", "a" * 64, process), 60)
        yield f"127.0.0.1:{port}", url, environment
    finally:
        process.terminate()  # `ray stop` would end every Ray on this machine
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        noted = Path("/tmp/ray/ray_current_cluster")  # which whoever calls ray.init() without an address would join
        if noted.exists() and str(port) in noted.read_text():
            noted.unlink()


def answers(url: str, token: str, process) -> bool:
    assert process.poll() is None, "it never came up"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    try:
        return urllib.request.urlopen(request, timeout=2).status == 200
    except urllib.error.HTTPError:
        raise
    except OSError:
        return False


def test_who_has_the_token_comes_in_and_who_has_not_is_told_so(tmp_path, head):
    address, _, environment = head
    nobody = {name: value for name, value in environment.items() if name != "RAY_AUTH_TOKEN"}
    wrong = {"other": {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "b" * 64}, "none": {"RAY_AUTH_MODE": "disabled"}}
    studies = {name: Study(tmp_path, name, models=("VAE",), epochs=6) for name in wrong}
    strangers = [studies[name].start("--address", address, env=nobody | each) for name, each in wrong.items()]
    assert [each.wait(120) for each in strangers] == [2, 2]
    for refused in studies.values():
        assert f"no Ray cluster at --address {address} that lets us in" in refused.log().splitlines()[-1]
    study = studies["none"]
    process = study.start("--address", address, env=environment)
    assert process.wait(200) == 0, study.log()
    assert count(study, []) == NOTHING


def test_a_job_submitted_to_a_head_carries_its_code_with_it(tmp_path, head):
    """Without data and results, which the exclusions leave at home; the driver then runs on the head."""
    _, dashboard, environment = head
    code = tmp_path / "code"
    for name in ("study", "models", "search_spaces"):
        shutil.copytree(ROOT / name, code / name, ignore=shutil.ignore_patterns("*.pyc"))
    submit = [
        RAY,
        "job",
        "submit",
        "--address",
        dashboard,
        "--working-dir",
        code,
        "--",
        sys.executable,
        "study/launch.py",
        "--space",
        "smoke",
        *("--models", "VAE", "--nets", "fc"),
        "--epochs",
        "1",
        "--replicates",
        "1",
        "--proposals",
        "1",
        "--storage",
        tmp_path / "studies",
        "--data-dir",
        tmp_path / "data",
        "--address",
        "auto",
    ]
    stranger = {name: value for name, value in environment.items() if name not in ("RAY_AUTH_TOKEN", "RAY_AUTH_MODE")}
    refused = subprocess.run(submit, env=stranger, capture_output=True, text=True, timeout=120)
    assert refused.returncode != 0 and not (tmp_path / "studies").exists()
    done = subprocess.run(submit, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "succeeded" in done.stdout and "best vae on digits" in done.stdout
