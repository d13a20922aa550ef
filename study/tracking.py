"""Bring MLflow up to date with a study's ledger, from nothing if need be.

    python study/tracking.py sync --space latent_sweep
"""
import argparse
import sys
from pathlib import Path

if __name__ == "__main__":  # this clone's code, whatever is installed, and not study/ itself, where Python looks first
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from mlflow.exceptions import MlflowException

from study.cli import add_study, run_command, trust
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
        raise Refused("MLflow refuses " + "; ".join(f"{key}: {reason}" for key, reason in refused.items())
                        + f". The other {len(ledger.keys()) - len(refused)} trials are in it")
    return len(ledger.keys())


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["sync"])
    add_study(parser)
    parser.add_argument("--tracking-uri")
    options = parser.parse_args(arguments)
    trust(options)
    print(f"{sync(options.storage, options.space, options.tracking_uri)} trials are in MLflow")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
