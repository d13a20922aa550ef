"""Bring MLflow up to date with a study's ledger, from nothing if need be.

python study/tracking.py sync --space latent_sweep
"""

import argparse
import sys
from pathlib import Path

if __name__ == "__main__":  # this clone's code, whatever is installed, and not study/ itself, where Python looks first
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from study.cli import DONE, add_study, run_command, trust


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["sync"])
    add_study(parser)
    parser.add_argument("--tracking-uri")
    options = parser.parse_args(arguments)
    trust(options)
    from study.mlflow_view.sync import sync

    print(f"{sync(options.storage, options.space, options.tracking_uri)} trials are in MLflow")
    return DONE


if __name__ == "__main__":
    sys.exit(run_command(main))
