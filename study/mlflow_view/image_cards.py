"""MLflow's image cards: pictures of a run side by side with a slider over steps, as files that its page looks for.

The names are those that MLflow's own log_image writes, but with the same identifier each time, so that doing it twice
changes nothing. A / in a card's name is ~ in that of its files; sections, and cards in a section, stand in alphabetical order. A
card shows a square as wide as itself around a picture's middle, and of that, between params and slider, the upper half: so each is
a square with the picture in its upper half.
"""

import io
import uuid
from pathlib import Path

from PIL import Image

from study.ledger.files import write_atomic
from study.training.image_files import opened

SAMPLES = {"sheet": "_samples~at the end", "samples": "_samples~over training"}  # before all others
OTHERS = "_what else was drawn"
SIDE, THUMBNAIL = 1200, 400  # pixels of a square, and of what a card shows before it is opened


def card(picture: str) -> str:
    """The name of a trial's card of that picture, in its section."""
    return SAMPLES.get(picture, f"{OTHERS}~{picture}")


def add(path: Path, folder: Path, name: str, step: int) -> None:
    """The two files of one picture of an MLflow image card, if it is one: the picture as a square, and its thumbnail."""
    if picture := opened(path):
        stem = f"{name}+step+{step}+timestamp+0+{uuid.uuid5(uuid.NAMESPACE_OID, f'{name}/{step}')}"
        whole = square(picture)
        write_atomic(folder / f"{stem}.png", encoded(whole, "PNG", compress_level=1))
        write_atomic(folder / f"{stem}+compressed.webp", encoded(whole.resize((THUMBNAIL, THUMBNAIL)), "WEBP", method=0))


def square(picture: Image.Image) -> Image.Image:
    """The whole picture in the upper half of a white square: enlarged by a whole factor, so that no pixel is blurred, or shrunk to
    fit."""
    wide, high = SIDE, SIDE // 2
    if factor := min(wide // picture.width, high // picture.height):
        picture = picture.resize((factor * picture.width, factor * picture.height), Image.Resampling.NEAREST)
    else:
        picture.thumbnail((wide, high))
    whole = Image.new("RGB", (SIDE, SIDE), "white")
    whole.paste(picture, ((SIDE - picture.width) // 2, 0))
    return whole


def encoded(picture: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()
