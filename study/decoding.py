"""Image files turned into one array of equal squares, by several threads (Pillow decodes outside Python's lock)."""
import os
import statistics
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image, ImageOps

from study.errors import UserError

THREADS = min(8, os.cpu_count() or 1)
BLOCK = 512  # files decoded before they are written, so that memory stays bounded


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
        with Image.open(path) as image:
            return image.size, image.mode in ("1", "L", "LA")
    except Exception:  # Pillow raises nearly anything for a damaged file; decode() names it
        return None


def common_side(sizes, largest=160):
    """The side of the squares that images of these sizes become, and whether any has to be resized or cropped."""
    if len(sizes) == 1:
        width, height = next(iter(sizes))
        if width == height <= largest:
            return width, False
    short = [min(size) for size, count in sizes.items() for _ in range(count)]
    return min(largest, int(statistics.median(short))), True


def decode(paths, side, grey, scratch):
    """Decode into the file `scratch`: ((N, C, side, side) uint8 array of the readable, bool mask, [(path, reason)])."""
    readable, unreadable = [], []
    with ThreadPoolExecutor(THREADS) as pool, open(scratch, "wb") as file:
        for start in range(0, len(paths), BLOCK):
            block = paths[start:start + BLOCK]
            for path, result in zip(block, pool.map(lambda path: _square(path, side, grey), block)):
                readable.append(isinstance(result, np.ndarray))
                if readable[-1]:
                    file.write(result)
                else:
                    unreadable.append((path, result))
    shape = (sum(readable), 1 if grey else 3, side, side)
    images = np.memmap(scratch, np.uint8, "r", shape=shape) if shape[0] else np.zeros(shape, np.uint8)
    return images, np.array(readable, dtype=bool), unreadable


def _square(path, side, grey):
    """One image as a (C, side, side) array: short side resized, centre cropped. If it cannot be read: why, as text."""
    try:
        with Image.open(path) as image:
            if image.mode[0] in "IF":
                raise ValueError("more than 8 bits per channel")  # Pillow would clip it to white without a word
            # Lets a large JPEG be decoded at a fraction of its size, at least twice the size wanted.
            image.draft(None, (2 * side, 2 * side))
            image = ImageOps.exif_transpose(image).convert("L" if grey else "RGB")
        if image.size != (side, side):
            image = ImageOps.fit(image, (side, side), Image.Resampling.BICUBIC)
        return np.ascontiguousarray(np.asarray(image).reshape(side, side, -1).transpose(2, 0, 1))
    except Exception as error:  # Pillow raises nearly anything for a damaged file
        return str(error).split("\n")[0].replace(f" {str(path)!r}", "")


def refuse_or_skip(unreadable, skip_corrupt, say, named=3):
    """Raise UserError naming the first few unreadable files, or say that they are left out."""
    if not unreadable:
        return
    first = "; ".join(f"{path} ({reason})" for path, reason in unreadable[:named])
    rest = f" and {len(unreadable) - named:,} more" if len(unreadable) > named else ""
    count = f"{len(unreadable):,} image{'s' * (len(unreadable) > 1)} cannot be read: {first}{rest}"
    if not skip_corrupt:
        raise UserError(f"{count}; mend or remove them, or leave them out with --skip-corrupt")
    say(f"{count}; left out")
