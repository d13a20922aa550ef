"""A page on which grids of a study are rated without knowing whose they are, and then held against the measures.

python study/rate.py --space latent_sweep [--storage mlruns/studies] [--out FOLDER] [--open]
"""

import argparse
import sys
import webbrowser
from pathlib import Path

if __name__ == "__main__":  # this clone's code, whatever is installed, and not study/ itself, where Python looks first
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from study.cli import DONE, add_study, run_command, trust
from study.ledger.opening import open_study


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_study(parser)
    parser.add_argument("--out", type=Path, help="where the page goes (default: report/ in the study's folder)")
    parser.add_argument("--open", action="store_true", help="show it in a browser")
    options = parser.parse_args(arguments)
    trust(options)
    from study.data.datasets import data_folder
    from study.reporting.rating import write_rating

    ledger = open_study(options.storage, options.space)
    path = write_rating(ledger, data_folder(options.data_dir), options.out).resolve()
    print(f"rating: {path.as_uri()}")
    if options.open:
        webbrowser.open(path.as_uri())
    return DONE


if __name__ == "__main__":
    sys.exit(run_command(main))
