"""MLflow's image cards: pictures of a run side by side with a slider over steps, as files that its page looks for.

The names are those that MLflow's own log_image writes, but with the same identifier each time, so that doing it twice
changes nothing. A / in a card's name is ~ in that of its files; sections stand in alphabetical order.
"""

import os
import shutil
import uuid
from pathlib import Path

from study.training.image_files import opened, size
from study.training.image_grids import IN_TRAINING

SECTION, AT_THE_END = "_pictures", "_pictures at the end"  # of a trial's cards: before all others, those over epochs first
THUMBNAIL = 400  # pixels at most on a side: a grid of tiles of 32 keeps every pixel


def card(picture: str) -> str:
    """The name of a trial's card of that picture, in its section."""
    return f"{SECTION if picture in IN_TRAINING else AT_THE_END}~{picture}"


def add(path: Path, folder: Path, name: str, step: int) -> None:
    """The two files of one picture of an MLflow image card, if it is one: the picture and its thumbnail.

    A picture that is no larger is its own thumbnail, under a name that ends in webp: browsers go by an image's first
    bytes (WHATWG, MIME Sniffing, section 8). Both are links where the file system has them, which costs a tenth of a copy.
    """
    stem = f"{name}+step+{step}+timestamp+0+{uuid.uuid5(uuid.NAMESPACE_OID, f'{name}/{step}')}"
    small = folder / f"{stem}+compressed.webp"
    sides = size(path)
    if sides is None:
        return
    link(path, folder / f"{stem}.png")
    if max(sides) <= THUMBNAIL:
        link(path, small)
    elif picture := opened(path):
        picture.thumbnail((THUMBNAIL, THUMBNAIL))
        picture.save(small, method=0)


def link(path: Path, place: Path) -> None:
    """The same file under another name, or a copy of it."""
    place.unlink(missing_ok=True)
    try:
        os.link(path, place)
    except OSError:
        shutil.copyfile(path, place)
