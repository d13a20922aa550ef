"""How far a study is: planned, running, done, diverged, failed, left. Reads the ledger only and starts nothing.

python study/status.py --space latent_sweep [--storage mlruns/studies] [--json]
"""

import argparse
import json
import sys
from pathlib import Path

if __name__ == "__main__":  # this clone's code, whatever is installed, and not study/ itself, where Python looks first
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from study.cli import DONE, add_study, run_command
from study.ledger.counts import WORDS, study_counts


def as_text(table: dict) -> str:
    rows = [["model", "dataset", *WORDS]]
    rows += [[str(row[name]) for name in rows[0]] for row in table["groups"]]
    rows += [["all", ""] + [str(table[word]) for word in WORDS]]
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join(
        "  ".join(text.ljust(width) if index < 2 else text.rjust(width) for index, (text, width) in enumerate(zip(row, widths)))
        for row in rows
    )


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_study(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args(arguments)
    table = study_counts(options.storage, options.space)
    print(json.dumps(table, indent=1) if options.json else as_text(table))
    return DONE


if __name__ == "__main__":
    sys.exit(run_command(main))
