"""Image files turned into one array of equal squares, by several threads (Pillow decodes outside Python's lock)."""

import contextlib
import math
import os
import stat
import statistics
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from study.errors import UserError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")  # no more of Pillow's 43, one of which runs Ghostscript
THREADS = min(8, os.cpu_count() or 1)
BLOCK = 512  # files decoded before they are written, so that memory stays bounded
MOST_PIXELS = 2**27  # of one image, and of all that are decoded at a time: about 2 GB; a medium format camera has 102 million
Image.core.set_block_size(2**26)  # bytes: malloc gives such blocks back; of smaller ones every thread would keep a hoard
Image.MAX_IMAGE_PIXELS = MOST_PIXELS // 2  # Pillow refuses twice as many as this, and would only warn of fewer
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def measure(paths):
    """Read only the headers: ({(width, height): count}, whether all are greyscale) over the files that have one."""
    with ThreadPoolExecutor(THREADS) as pool:
        headers = [header for header in pool.map(_header, paths) if header]
    sizes = {}
    for size, _ in headers:
        sizes[size] = sizes.get(size, 0) + 1
    return sizes, all(grey for _, grey in headers)


def _header(path):
    try:
        with opened(path) as image:
            return image.size, image.mode in ("1", "L", "LA")
    except Exception:  # Pillow raises nearly anything for a damaged file; decode() names it
        return None


def opened(path):
    """The image in a file of one of FORMATS, whatever its name ends in, with no more than its header read; or what an item of a
    library opens (study/data/libraries.py).

    ValueError says what it is instead. A pipe or a device is not even opened: that might never return."""
    if hasattr(path, "open") and not isinstance(path, os.PathLike):
        return path.open()
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError("no regular file but a folder, pipe, socket or device")
    try:
        return Image.open(path, formats=FORMATS)
    except UnidentifiedImageError:
        raise ValueError(f"not an image in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}") from None
    except Image.DecompressionBombError:
        raise ValueError(f"more than {MOST_PIXELS:,} pixels: make it smaller") from None


class Room:
    """Pixels that may be in memory at a time; an image that finds too few waits until others are done."""

    def __init__(self, pixels):
        self.free, self.changed = pixels, threading.Condition()

    @contextlib.contextmanager
    def taken(self, pixels):
        self._add(-pixels)
        try:
            yield
        finally:
            self._add(pixels)

    def _add(self, pixels):
        with self.changed:
            self.changed.wait_for(lambda: self.free + pixels >= 0)
            self.free += pixels
            self.changed.notify_all()


room = Room(MOST_PIXELS)


def common_side(sizes, largest=160):
    """The side of the squares that images of these sizes become, and whether any has to be resized or cropped."""
    if len(sizes) == 1:
        width, height = next(iter(sizes))
        if width == height <= largest:
            return width, False
    short = [min(size) for size, count in sizes.items() for _ in range(count)]
    return min(largest, int(statistics.median(short))), True


def decode(paths, side, grey, scratch, padded=False):
    """Decode into the file `scratch`: ((N, C, side, side) uint8 array of the readable, bool mask, [(path, reason)])."""
    readable, unreadable = [], []
    with ThreadPoolExecutor(THREADS) as pool, open(scratch, "wb") as file:
        for start in range(0, len(paths), BLOCK):
            block = paths[start : start + BLOCK]
            for path, result in zip(block, pool.map(lambda path: _square(path, side, grey, padded), block)):
                readable.append(isinstance(result, np.ndarray))
                if readable[-1]:
                    file.write(result)
                else:
                    unreadable.append((path, result))
    shape = (sum(readable), 1 if grey else 3, side, side)
    images = np.memmap(scratch, np.uint8, "r", shape=shape) if shape[0] else np.zeros(shape, np.uint8)
    return images, np.array(readable, dtype=bool), unreadable


def _square(path, side, grey, padded):
    """One image as a (C, side, side) array: short side resized, centre cropped; or `padded`, long side resized, black around it.
    If it cannot be read: why, as text."""
    try:
        image = opened(path)
        with room.taken(math.prod(image.size)), contextlib.closing(image):  # its memory goes before its room does
            if image.mode[0] in "IF":
                raise ValueError("more than 8 bits per channel")  # Pillow would clip it to white without a word
            # Lets a large JPEG be decoded at a fraction of its size, at least twice the size wanted.
            image.draft(None, (2 * side, 2 * side))
            return _fitted(image, side, "L" if grey else "RGB", ImageOps.pad if padded else ImageOps.fit)
    except Exception as error:  # Pillow raises nearly anything for a damaged file
        return str(error).split("\n")[0].replace(f" {str(path)!r}", "")


def _fitted(image, side, mode, fit):
    """With no more copies of the whole image than its mode and its camera's orientation ask for."""
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode != mode:
        image = image.convert(mode)
    if image.size != (side, side):
        image = fit(image, (side, side), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(image).reshape(side, side, -1).transpose(2, 0, 1))


def refuse_or_skip(unreadable, skip_corrupt, log, named=3):
    """Raise UserError naming the first few unreadable files, or say that they are left out."""
    if not unreadable:
        return
    first = "; ".join(f"{path} ({reason})" for path, reason in unreadable[:named])
    rest = f" and {len(unreadable) - named:,} more" if len(unreadable) > named else ""
    count = f"{len(unreadable):,} image{'s' * (len(unreadable) > 1)} cannot be read: {first}{rest}"
    if not skip_corrupt:
        raise UserError(f"{count}; mend or remove them, or leave them out with --skip-corrupt")
    log(f"{count}; left out")
