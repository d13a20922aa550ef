"""Keep what is finished of a study in the repository, small and without weights, and go on from there on another machine.

python study/results.py save --space mnist_fc        (into results/mnist_fc, the page with it)
python study/results.py restore --space mnist_fc     (into --storage, where what is there stays; then launch as ever)
python study/report.py --results mnist_fc
"""

import argparse
import sys
import tempfile
from pathlib import Path

if __name__ == "__main__":  # this clone's code, whatever is installed, and not study/ itself, where Python looks first
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from study.cli import DONE, add_study, run_command
from study.errors import UserError
from study.ledger.archive import restore, results_of, save
from study.ledger.files import write_atomic
from study.ledger.folder import Ledger
from study.ledger.next_steps import of_ledger
from study.ledger.opening import open_study
from study.report import kept

LARGEST_PAGE = 5_000_000  # bytes of a page that the repository keeps


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("save", "restore"), help="the study into results/, or results/ into the study")
    add_study(parser)
    options = parser.parse_args(arguments)
    ledger = open_study(options.storage, options.space)
    folder = results_of(ledger.root.name)
    if options.action == "save":
        from study.data.datasets import data_folder
        from study.reporting.build import write_report

        if not (count := save(ledger, folder)):
            raise UserError(f"no trial of '{ledger.root.name}' in {ledger.root.parent} is finished: there is nothing to save")
        with tempfile.TemporaryDirectory() as out:
            page = write_report(Ledger(kept(ledger.root.name)), data_folder(options.data_dir), Path(out)).read_bytes()
        if len(page) < LARGEST_PAGE:
            write_atomic(folder / "report.html", page)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        print(f"{count} trials in {folder}, {size / 1e6:.1f} MB")
        return DONE
    with ledger.lock():
        print(f"{restore(folder, ledger.root)} trials of {folder} are new in {ledger.root}; {of_ledger('launch', ledger)} goes on")
    return DONE


if __name__ == "__main__":
    sys.exit(run_command(main))
