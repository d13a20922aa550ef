"""Where a run comes from, under the names that MLflow's pages show: who wrote it, from which code, where, on which images."""

import getpass
import json
import socket
from functools import cache

from mlflow.entities import Dataset, DatasetInput, InputTag

from study.training.git_commit import git_commit

DIGEST = 16  # characters of a fingerprint that are shown


@cache
def written_by() -> dict[str, str]:
    """Tags of this process: user, source, commit (where it runs from a clone) and host."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # of a container's user that has no name
        user = ""
    found = {
        "mlflow.user": user,
        "mlflow.source.name": "study/launch.py",
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": git_commit(),
        "host": socket.gethostname(),
    }
    return {name: value for name, value in found.items() if value}


def images_of(dataset: str, fingerprint: str, use: str) -> DatasetInput:
    """The images of a run as one of MLflow's dataset inputs; use: "training" or "testing"."""
    source = json.dumps({"dataset": dataset, "fingerprint": fingerprint})
    told = Dataset(name=dataset, digest=fingerprint[:DIGEST], source_type="study", source=source)
    return DatasetInput(told, [InputTag("mlflow.data.context", use)])
