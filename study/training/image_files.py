"""Pictures that trials drew, opened as nothing else: a study may come from somebody else, and a file may claim anything."""

import contextlib
from pathlib import Path

from PIL import Image

MOST_PIXELS = 2**24  # of a picture: the largest grids have a tenth of it
DAMAGED = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)  # what Pillow raises for a file that is


def size(path: Path) -> tuple[int, int] | None:
    """Width and height; None for what is no PNG of a picture's size. No other format is tried: some are handed to programs."""
    with contextlib.suppress(*DAMAGED), Image.open(path, formats=("PNG",)) as picture:
        return picture.size if fits(picture) else None
    return None


def fits(picture: Image.Image) -> bool:
    return picture.width * picture.height <= MOST_PIXELS


def opened(path: Path) -> Image.Image | None:
    """The picture in colour; None for what is none."""
    with contextlib.suppress(*DAMAGED), Image.open(path, formats=("PNG",)) as picture:
        return picture.convert("RGB") if fits(picture) else None
    return None
