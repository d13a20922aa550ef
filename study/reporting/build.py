"""Writes a report: the page, its figures and its tables."""

from pathlib import Path

from study.analysis.report_data import ReportData, findings
from study.analysis.trainings import OWN, Features
from study.ledger.files import write_atomic
from study.ledger.folder import Ledger
from study.reporting.embedded_images import base64_webp, embedded, real_images
from study.reporting.figures import write_figures
from study.reporting.page import page, waiting_page
from study.reporting.tables import write_tables

FOLDER = "report"  # inside the study's folder
LARGEST = 14_000_000  # bytes of the page, which mail and browsers still take


def folder_name(ledger: Ledger, chosen: Features) -> str:
    """Of a report, in the folder of the first study that it is about."""
    features = [] if chosen == OWN else [chosen.kind or "classifier", str(chosen.seed)]
    images = [str(chosen.samples)] * bool(chosen.samples) + [chosen.against] * (chosen.against != OWN.against)
    return "-".join([FOLDER, *features, *images, *[study.root.name for study in ledger.studies[1:]]])


def write_report(
    ledger: Ledger, data_dir: Path, out: Path | None = None, chosen: Features = OWN, found: ReportData | None = None
) -> Path:
    """Write report.html, the figures and the tables; the page's path. Where no trial is finished yet the page says what runs;
    UserError where nothing does.

    data_dir: where real images are taken from if they are there; the ledger is enough for everything else. chosen: the features
    by which, where not by those of the study: then the report lies in a folder of its own. found: what the study says, where that
    is known already.
    """
    out = out or ledger.studies[0].root / folder_name(ledger, chosen)
    if ledger.held() and not any(ledger.result(key) for key in ledger.keys()):
        write_atomic(out / "report.html", waiting_page(ledger).encode())
        return out / "report.html"
    found = found or findings(ledger, chosen=chosen)
    real = {
        dataset.name: real_images(dataset, [cell for cell in found.cells if cell.dataset == dataset.name], ledger.root, data_dir)
        for dataset in found.datasets
    }
    small = {dataset: (image and base64_webp(image), words) for dataset, (image, words) in real.items()}
    room = LARGEST - len(page(found, {}, small, 0).encode())
    pictures, left_out = embedded(found.cells, ledger.root, room)
    write_atomic(out / "report.html", page(found, pictures, small, left_out).encode())
    write_tables(found, out)
    write_figures(found, ledger.root, real, out)
    return out / "report.html"
