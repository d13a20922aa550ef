"""What was proposed and what became of it, for optuna-dashboard.

python study/proposals.py export --space latent_sweep --out proposals.db     for optuna-dashboard sqlite:///proposals.db
"""

import argparse
import shlex
import sys
from pathlib import Path

if __name__ == "__main__":  # this clone's code, whatever is installed, and not study/ itself, where Python looks first
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from study.cli import DONE, add_study, run_command
from study.errors import UserError
from study.ledger.opening import open_study


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["export"])
    add_study(parser)
    parser.add_argument("--out", type=Path, default=Path("proposals.db"))
    options = parser.parse_args(arguments)
    ledger = open_study(options.storage, options.space)
    if not ledger.keys():
        raise UserError(f"no trials of '{options.space}' under {options.storage}; is --storage right?")
    from study.mlflow_view.store import uri_of
    from study.sweep.optuna_sampler import export

    count = export(ledger, ledger.root.name, uri_of(options.out.resolve()))
    print(f"{count} proposals are in {options.out}: {shlex.join(['optuna-dashboard', uri_of(options.out)])}")
    return DONE


if __name__ == "__main__":
    sys.exit(run_command(main))
