"""A page on which a person marks grids of samples, one of real images among them, without knowing whose they are. It then says
how the marks agree with the measures. It is one file that needs no network; its order is another each time it is opened."""

import base64
import hashlib
import random
import time
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup
from PIL import Image

from study.analysis.report_data import DatasetBasis, ReportCell, ReportData, findings
from study.errors import UserError
from study.ledger.files import write_atomic
from study.ledger.folder import Ledger
from study.metrics.catalogue import COVERAGE, FIDELITY, described
from study.reporting.build import FOLDER
from study.reporting.embedded_images import base64_webp, real_images, tiles_of
from study.reporting.page import environment

RATED = (FIDELITY, "quality/precision", COVERAGE)
MOST = 60  # grids of samples: what a person can still look at
REAL = "real images"


class Grid(NamedTuple):
    what: str  # the cell whose training drew it, or REAL
    dataset: str
    picture: Image.Image
    measures: dict[str, float | None]  # of that training, not of its cell; of real images what they score against each other


def write_rating(ledger: Ledger, data_dir: Path, out: Path | None = None) -> Path:
    """Write rate.html; its path. UserError where nothing has been drawn."""
    path = (out or ledger.root / FOLDER) / "rate.html"
    found = findings(ledger)
    write_atomic(path, rating_page(found.title, grids(found, ledger.root, data_dir)).encode())
    return path


def grids(found: ReportData, root: Path, data_dir: Path) -> list[Grid]:
    """Those of each dataset, all of one height: what differed in shape could be told without a look at the images."""
    cells = [cell for cell in found.cells if cell.pictures.get("samples")]
    if not cells:
        raise UserError("this study has drawn nothing yet: pictures are of its first trainings on held-out images")
    if len(cells) > MOST:
        cells = random.Random(0).sample(cells, MOST)
    rows = {row["trial"]: row for row in reversed(found.rows)}  # of several trainings in one trial the first is drawn
    return [
        grid
        for dataset in found.datasets
        for grid in equally_high([*samples_of(dataset, cells, rows, root), *real_of(dataset, cells, found, root, data_dir)])
    ]


def samples_of(dataset: DatasetBasis, cells: list[ReportCell], rows: dict, root: Path) -> list[Grid]:
    """The last samples of each cell's drawn training."""
    return [
        Grid(cell.name, dataset.name, picture, {name: rows[cell.trial].get(name) for name in RATED})
        for cell in cells
        if cell.dataset == dataset.name and (picture := tiles_of(cell, root)) is not None
    ]


def real_of(dataset: DatasetBasis, cells: list[ReportCell], found: ReportData, root: Path, data_dir: Path) -> list[Grid]:
    """A grid of real images, where there are any."""
    own = [cell for cell in cells if cell.dataset == dataset.name]
    picture, _ = real_images(dataset, own, root, data_dir)
    baseline = found.real_baselines.get(dataset.name)
    scores = {name: baseline.measures.get(name, [None])[0] if baseline else None for name in RATED}
    return [] if picture is None or not own else [Grid(REAL, dataset.name, picture, scores)]


def equally_high(grids: list[Grid]) -> list[Grid]:
    """Cut to the height of the lowest, which has whole rows of tiles."""
    height = min((grid.picture.height for grid in grids), default=0)
    return [grid._replace(picture=grid.picture.crop((0, 0, grid.picture.width, height))) for grid in grids]


def rating_page(space: str, grids: list[Grid]) -> str:
    assets = files("study.reporting") / "assets"
    script = (assets / "rate.js").read_text()
    data = {
        "real": REAL,
        "measures": [{"key": name, "name": described(name).name, "better": described(name).better} for name in RATED],
        "grids": [grid._asdict() | {"picture": base64_webp(grid.picture)} for grid in grids],
    }
    return (
        environment()
        .get_template("rate.html")
        .render(
            space=space,
            data=data,
            count=len(grids),
            when=time.strftime("%d %B %Y, %H:%M UTC", time.gmtime()),
            style=Markup((assets / "page.css").read_text()),
            script=Markup(script),
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )
