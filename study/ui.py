"""Browse the studies in MLflow, on this machine alone.

make ui        the same as:  python study/ui.py [--port 5000] [--store mlruns/mlflow.db]
"""

import argparse
import os
import sys
from importlib.metadata import entry_points
from pathlib import Path

if __name__ == "__main__":  # this clone's code, whatever is installed, and not study/ itself, where Python looks first
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from study.cli import run_command
from study.errors import UserError
from study.ledger.next_steps import ROOT
from study.mlflow_view.pages import FIRST_PORT

SETTINGS = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # its job runner would start seven processes
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def main(arguments=None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=FIRST_PORT, help="where the pages are served (default: %(default)s)")
    parser.add_argument(
        "--store", type=Path, default=ROOT / "mlruns" / "mlflow.db", help="an SQLite store (default: this project's)"
    )
    options = parser.parse_args(arguments)
    from study.mlflow_view import saved_view
    from study.mlflow_view.store import make_ready, uri_of

    if not entry_points(group="mlflow.app", name="study"):
        raise UserError(
            f"{sys.executable} knows an earlier version of the project: `{sys.executable} -m pip install -e {ROOT}` first"
        )
    store = options.store.resolve()
    make_ready(uri_of(store), print)  # as a launch makes it, and not the server: two that make it at once would spoil it
    print(f"open http://127.0.0.1:{options.port}/#/experiments?{saved_view.TRAINING}")
    sys.stdout.flush()
    where = ["--app-name", "study", "--host", "127.0.0.1", "--port", str(options.port), "--workers", "1"]
    what = ["--backend-store-uri", uri_of(store), "--artifacts-destination", str(store.parent / "artifacts")]
    own = {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}  # this clone's code here too
    os.execve(sys.executable, [sys.executable, "-m", "mlflow", "server", *where, *what], os.environ | SETTINGS | own)


if __name__ == "__main__":
    sys.exit(run_command(main))
