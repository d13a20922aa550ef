"""The answer that a study gives: one page for a browser, figures and tables, from the ledger alone.

    python study/report.py --space latent_sweep [--storage mlruns/studies] [--out FOLDER] [--open]
"""
import argparse
import errno
import sys
import webbrowser
from pathlib import Path

if __name__ == "__main__":  # this clone's code, whatever is installed, and not study/ itself, where Python looks first
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from study.command import DONE, add_study, run_command, trust
from study.errors import UserError
from study.ledger.files import write_atomic
from study.ledger.folder import Ledger
from study.ledger.opening import open_study

FOLDER = "report"       # inside the study's folder
LARGEST = 14_000_000    # bytes of the page, which mail and browsers still take


def write_report(ledger: Ledger, data_dir: Path, out: Path | None = None) -> Path:
    """Write report.html, the figures and the tables; the page's path. UserError where no trial is finished.

    data_dir: where real images are taken from if they are there; the ledger is enough for everything else.
    """
    from study.analysis.report_data import findings
    from study.report_figures import write_figures
    from study.report_page import page
    from study.report_pictures import base64_webp, embedded, real_images
    from study.report_tables import write_tables
    out = out or ledger.root / FOLDER
    found = findings(ledger)
    real = {row["dataset"]: real_images(row, [cell for cell in found["cells"] if cell["dataset"] == row["dataset"]],
                                        ledger.root, data_dir) for row in found["datasets"]}
    small = {dataset: (image and base64_webp(image), words) for dataset, (image, words) in real.items()}
    room = LARGEST - len(page(found, {}, small, 0).encode())
    pictures, left_out = embedded(found["cells"], ledger.root, room)
    write_atomic(out / "report.html", page(found, pictures, small, left_out).encode())
    write_tables(found, out)
    write_figures(found, ledger.root, real, out)
    return out / "report.html"


def main(arguments=None) -> int:
    from study.data.datasets import data_folder
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_study(parser)
    parser.add_argument("--out", type=Path, help="where the report goes (default: report/ in the study's folder)")
    parser.add_argument("--open", action="store_true", help="show it in a browser")
    options = parser.parse_args(arguments)
    trust(options)
    ledger = open_study(options.storage, options.space)
    try:
        path = write_report(ledger, data_folder(options.data_dir), options.out).resolve()
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        raise UserError(f"{error.filename} cannot be written ({error.strerror}); --out FOLDER has the report elsewhere") from None
    print(f"report: {path.as_uri()}")
    if options.open:
        webbrowser.open(path.as_uri())
    return DONE


if __name__ == "__main__":
    sys.exit(run_command(main))
