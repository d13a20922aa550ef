"""Memory that a training frees: counted by the page faults of a process of its own, since the setting stays."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FAULTS = """
import resource
import numpy
from study.training.host_memory import keep_freed_memory

def step():
    for block in [numpy.empty(2**20) for _ in range(4)]:
        block.fill(1.0)

{first}
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(first):
    """Of a step that takes four blocks of 8 MB, after one that has freed them."""
    script = FAULTS.format(first=first)
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return int(run.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_a_step_takes_again_what_the_last_one_freed():
    assert faults("keep_freed_memory()") < 100 < faults("")
