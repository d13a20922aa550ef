"""The answer that a study gives: one page for a browser, figures and tables, from the ledger alone.

python study/report.py --space latent_sweep [--storage mlruns/studies] [--out FOLDER] [--open]
python study/report.py --space latent_sweep --features inception     (after study/measure.py)
python study/report.py --space latent_sweep three_sizes [--storage mlruns/studies /mnt/other/studies]     (several as one)
python study/report.py --results mnist_fc     (of what the repository keeps in results/)
"""

import argparse
import errno
import sys
import webbrowser
from pathlib import Path

if __name__ == "__main__":  # this clone's code, whatever is installed, and not study/ itself, where Python looks first
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from study.cli import DONE, add_features, add_study, run_command, trust
from study.errors import UserError
from study.ledger.archive import restore, results_of
from study.ledger.joined import open_joined
from study.ledger.opening import STORAGE

KEPT = STORAGE.parent / "results"  # a storage folder of its own for studies from results/


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_study(parser, several=True, required=False)
    parser.add_argument("--results", metavar="NAME", help="in place of --space: a finished part of a study that results/ keeps")
    add_features(parser, "those that the study was tuned by")
    parser.add_argument("--out", type=Path, help="where the report goes (default: a folder in that of the study, or of the first)")
    parser.add_argument("--open", action="store_true", help="show it in a browser")
    options = parser.parse_args(arguments)
    if bool(options.space) == bool(options.results):
        parser.error("which study is meant? --space NAME says it, or --results NAME for one that results/ keeps")
    if options.results:
        options.space, options.storage = [kept(options.results).name], [KEPT]
    trust(options)
    from study.analysis.trainings import Features
    from study.data.datasets import data_folder
    from study.reporting.build import write_report

    ledger = open_joined(options.storage, options.space)
    try:
        chosen = Features(options.features, options.features_seed, options.samples, options.against)
        path = write_report(ledger, data_folder(options.data_dir), options.out, chosen).resolve()
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        raise UserError(f"{error.filename} cannot be written ({error.strerror}); --out FOLDER has the report elsewhere") from None
    print(f"report: {path.as_uri()}")
    if options.open:
        webbrowser.open(path.as_uri())
    return DONE


def kept(name: str) -> Path:
    """The folder of a study that results/ keeps, as it is there now."""
    folder = results_of(name)
    restore(folder, KEPT / folder.name, replace=True)
    return KEPT / folder.name


if __name__ == "__main__":
    sys.exit(run_command(main))
