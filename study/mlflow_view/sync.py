"""Brings MLflow up to date with the whole ledger of a study."""

from pathlib import Path

from mlflow.exceptions import MlflowException

from study.errors import UserError, first_line
from study.ledger.opening import open_study
from study.mlflow_view.store import default_uri
from study.mlflow_view.tracker import Tracker
from study.space.loading import load_space, space_names


class Refused(UserError):
    """MLflow does not take all that the ledger holds: nothing that was typed is wrong."""

    exit_code = 1


def sync(storage: Path | str, space: str, uri: str | None) -> int:
    """Project the whole ledger of a study; the number of trials looked at."""
    ledger = open_study(storage, space)
    if not ledger.keys():
        raise UserError(f"no trials of '{space}' under {storage}; is --storage right?")
    known = space.endswith(".py") or space in space_names()  # a file from outside may be gone
    tracker = Tracker(uri or default_uri(storage), ledger, ledger.root.name, load_space(space).question if known else "")
    refused = {}
    for key in ledger.keys():
        try:
            tracker.project(key)
        except MlflowException as error:
            if not tracker.answers():
                raise
            refused[key] = first_line(error)
    tracker.summarise()
    if refused:
        raise Refused(
            "MLflow refuses "
            + "; ".join(f"{key}: {reason}" for key, reason in refused.items())
            + f". The other {len(ledger.keys()) - len(refused)} trials are in it"
        )
    return len(ledger.keys())
