"""A user's own images: PATH/train/<class>/* and, if there is one, PATH/test/<class>/*; or no classes at all.

JPEG, PNG, WebP, BMP, GIF, TIFF, PPM and PGM of up to 134 million pixels, 8 bits per channel; of an animation the first
picture. Everything lies inside PATH: a link may lead to another file there, and nowhere else. As folder:PATH they become squares
of at most 160 pixels, cropped at the centre; as folder-256:PATH of 256 pixels, and as folder-256-padded:PATH with nothing cut off.
"""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from study.data import decoding
from study.data.sources import Raw, decode_parts
from study.errors import UserError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")


@dataclass(frozen=True)
class Own:
    """A user's own images, by the path that a command line gives; `kind` is what stands before it."""

    path: str
    kind: ClassVar[str] = ""
    size: ClassVar[None] = None  # the images' own
    validation: ClassVar[int] = 5

    @property
    def name(self):
        # The slash keeps a folder called "faces-binarised" apart from the binarised images of the folder "faces".
        return f"{self.kind}:{self.path}{'/' * self.path.endswith('-binarised')}"

    @property
    def slug(self):
        readable = re.sub("[^a-z0-9]+", "-", Path(self.path).name.lower())[:32].strip("-")
        digest = hashlib.sha256(self.path.encode(errors="surrogateescape")).hexdigest()[:8]
        return "-".join(part for part in (self.kind, readable, digest) if part)

    def roots(self, data_dir):
        return [Path(self.path)]

    def download(self, data_dir):
        raise UserError(f"{self.path} is your own: there is nothing to download")


@dataclass(frozen=True)
class Folder(Own):
    """Images in `path`, in `path`/train and `path`/test, or in one folder per class inside any of these; brought to squares of
    `side` pixels (None: at most 160, as most of them have), cropped at the centre or `padded` with black."""

    side: int | None = None
    padded: bool = False

    @property
    def kind(self):  # type: ignore[override]
        return "-".join(["folder", *[str(self.side)] * bool(self.side), *["padded"] * self.padded])

    def read(self, data_dir, scratch, skip_corrupt, log):
        listings = self._listings(log)
        classes = sorted(listings[0]) if None not in listings[0] else []
        numbers = {name: number for number, name in enumerate(classes)} or {None: None}
        self._check_classes(listings, numbers)
        parts = [[(path, numbers[name]) for name in sorted(listing, key=str) for path in listing[name]] for listing in listings]
        side, grey = square_form(self.path, [path for part in parts for path, _ in part], log, self.side, self.padded)
        train, *test = decode_parts(parts, side, grey, scratch, skip_corrupt, log, self.padded)
        return Raw(train, test[0] if test else None, tuple(classes))

    def _listings(self, log):
        """[training images] or [training images, test images], each {class or None: [path, ...]}."""
        root, left_out = Path(self.path), []
        try:
            parts = [root / part for part in ("train", "test") if (root / part).is_dir()]
            if parts and parts[0].name == "test":
                raise UserError(f"{root} has a folder test but no folder train")
            for part in filter(os.path.islink, parts):
                _check_link(part, root)
            listings = [_listing(part, root, left_out) for part in parts or [root]]
            if parts:
                left_out += [entry.path for entry in os.scandir(root) if _visible(entry) and Path(entry) not in parts]
        except OSError as error:
            raise UserError(f"cannot read {error.filename or root}: {error.strerror}") from error
        if left_out:
            log(f"{root}: {len(left_out):,} files or folders that are not images left out, such as {left_out[0]}")
        return listings

    def _check_classes(self, listings, numbers):
        for unknown in set().union(*listings) - set(numbers):
            what = "images outside classes" if unknown is None else f"a class {unknown!r}"
            raise UserError(f"{self.path}: test has {what}, train has not: both must be divided into the same classes")


def square_form(name, paths, log, side=None, padded=False):
    """(side, whether grey) that all images are brought to, said where it changes them. side: None for that of most of them."""
    sizes, grey = decoding.measure(paths)
    if not sizes:
        decoding.refuse_or_skip([(path, "not an image") for path in paths], False, log)
    side, change = (side, set(sizes) != {(side, side)}) if side else decoding.common_side(sizes)
    if change:
        (width, height), (wide, high) = min(sizes), max(sizes)
        log(
            f"{name}: images of {width} x {height} to {wide} x {high} pixels are resized and "
            f"{'padded with black' if padded else 'cropped at the centre'} to {side} x {side}"
        )
    return side, grey


def _visible(entry):
    return not entry.name.startswith(".")


def _listing(folder, root, left_out):
    """{class: [path, ...]} of a folder of class folders, or {None: [path, ...]} of a folder of images."""
    images, folders, others = _entries(folder, root)
    inside = {Path(path).name: _entries(path, root) for path in folders}
    classes = {name: found for name, (found, _, _) in inside.items()}
    left_out += others + [path for _, deeper, other in inside.values() for path in deeper + other]
    if images and any(classes.values()):
        raise UserError(f"{folder} holds both images and folders of images: put every image into a class, or none")
    if images:
        left_out += folders
        return {None: images}
    if not any(classes.values()):
        raise UserError(f"{folder} holds no images ({', '.join(EXTENSIONS)})")
    for name, found in classes.items():
        if not found:
            raise UserError(f"the class folder {folder}/{name} holds no images: fill or remove it")
    return classes


def _entries(folder, root):
    """Sorted paths of the images, the folders and everything else visible in a folder."""
    found = [], [], []
    for entry in sorted(filter(_visible, os.scandir(folder)), key=lambda entry: entry.name):
        kind = 1 if entry.is_dir() else 0 if entry.name.lower().endswith(EXTENSIONS) else 2
        if entry.is_symlink() and kind != 2:
            _check_link(entry.path, root)
        found[kind].append(entry.path)
    return found


def _check_link(path, root):
    """UserError for a link that leads out of root, where anything may lie, or to a folder, perhaps in circles."""
    target = os.path.realpath(path)
    if os.path.isdir(target) or not Path(target).is_relative_to(os.path.realpath(root)):
        raise UserError(
            f"{path} is a link to {target}, and only links to files inside {root} are followed: "
            "put there what it leads to (cp -rL copies that)"
        )


def raw_files(path, name, depth=3):
    """Yield [name, size, modification time in ns] of a file, or of all files in a folder, `depth` levels down.

    One scandir per folder, so that 13,000 files take a few hundredths of a second.
    """
    try:
        if not os.path.isdir(path):
            status = os.stat(path)
            yield [name, status.st_size, status.st_mtime_ns]
            return
        for entry in filter(_visible, os.scandir(path)):
            if not entry.is_dir():
                yield [f"{name}/{entry.name}", *_size_and_time(entry)]
            elif depth > 1:
                yield from raw_files(entry.path, f"{name}/{entry.name}", depth - 1)
    except OSError as error:
        raise UserError(f"cannot read {error.filename}: {error.strerror}") from error


def _size_and_time(entry):
    try:
        return entry.stat().st_size, entry.stat().st_mtime_ns
    except FileNotFoundError:  # a link that leads nowhere: decoding will name it
        return 0, 0
