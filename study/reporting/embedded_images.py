"""The pictures of a report, small enough to lie inside one page: WebP as base64, the most telling first."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from study.analysis.report_data import DatasetBasis, ReportCell
from study.training.image_files import opened

LARGE, WIDTH = 16_000, 640  # beyond so many bytes a picture is a photograph: lossy, and at most so many pixels wide
OVERHEAD = 60  # characters around a picture
LAST = (
    "samples",
    "reconstructions",
    "nearest",
    "interpolation",
    "interpolation-real",
    "traversal",
    "plane",
    "beside",
    "classes",
    "latents",
)
LEFT_OUT = ("sheet", "curves")  # the page shows samples already, and draws its curves itself


def embedded(cells: Sequence[ReportCell], root: Path, room: int) -> tuple[dict, int]:
    """({cell: {kind: {epoch: base64}}}, number of pictures left out), as many as go into so many characters of a page.

    First every cell's last samples, then its other last pictures, then what it drew while it was trained.
    """
    wanted = sorted(
        (rank(kind, index, len(series)), cell.name, kind, epoch, path)
        for cell in cells
        for kind, series in cell.pictures.items()
        if kind not in LEFT_OUT
        for index, (epoch, path) in enumerate(series)
    )
    found = {}
    for place, (_, cell, kind, epoch, path) in enumerate(wanted):
        content = encoded(root / path)
        room -= len(content) + OVERHEAD
        if room < 0:
            return found, len(wanted) - place
        if content:
            found.setdefault(cell, {}).setdefault(kind, {})[epoch] = content
    return found, 0


def rank(kind: str, index: int, count: int) -> int:
    """What comes first: the last of each kind in the order of LAST, then earlier ones."""
    place = LAST.index(kind) if kind in LAST else len(LAST)
    return place if index == count - 1 else len(LAST) + 1 + place


def encoded(path: Path) -> str:
    """The picture as base64; nothing for a file that is no picture."""
    picture = opened(path)
    return "" if picture is None else base64_webp(picture)


def base64_webp(picture: Image.Image) -> str:
    """WebP as base64, without loss where that is small."""
    content = saved(picture, lossless=True)
    if len(content) > LARGE:
        picture = picture.copy()
        picture.thumbnail((WIDTH, WIDTH))
        content = saved(picture, quality=75)
    return base64.b64encode(content).decode()


def saved(picture: Image.Image, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", method=2, **options)
    return buffer.getvalue()


def real_images(dataset: DatasetBasis, cells: Sequence[ReportCell], root: Path, data_dir: Path) -> tuple[Image.Image | None, str]:
    """A grid of real images and where they are from: the data itself where it is at hand, else what the ledger drew."""
    if (pixels := from_data(dataset, data_dir)) is not None:
        return Image.fromarray(pixels).convert("RGB"), "training images"
    for cell in cells:
        for _, path in reversed([*cell.pictures.get("reconstructions", ()), *cell.pictures.get("beside", ())]):
            if (pairs := opened(root / path)) is not None:
                return above(pairs), "validation images that were drawn beside the models' own"
    return None, "no real images are shown: the dataset is not at hand, and none were drawn beside the models' own"


def from_data(dataset: DatasetBasis, data_dir: Path) -> np.ndarray | None:
    """Tiled training images, if those that the trials were trained on are in data_dir already prepared."""
    from study.data.datasets import named  # imports torch: seconds that a report on the ledger alone does not need
    from study.errors import UserError
    from study.training.image_grids import COLUMNS, ROWS, tile

    try:
        source = named(dataset.name)
        if source.fingerprint(data_dir) != dataset.fingerprint:
            return None
        images = source.load(data_dir)
    except (UserError, OSError):
        return None
    return tile(images.scaled(images.train.images[: COLUMNS * ROWS]))


def above(pairs: Image.Image, rows: int = 4) -> Image.Image:
    """The upper row of each pair of rows of a grid (see `paired` in study/training/image_grids.py), put together."""
    pixels = np.asarray(pairs)
    pitch = (len(pixels) + 1) // rows
    parts = [pixels[row * pitch : (row + 1) * pitch] for row in range(0, rows, 2)]
    return Image.fromarray(np.concatenate(parts)[: rows // 2 * pitch - 1])


def tiles_of(cell: ReportCell, root: Path) -> Image.Image | None:
    """The last samples of a cell."""
    series = cell.pictures.get("samples")
    return opened(root / series[-1][1]) if series else None
