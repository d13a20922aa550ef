"""The datasets: splits of decoded images as memory-mapped tensors, prepared once beside the raw files.

images = mnist.prepare(data_folder(None))        # decodes at the first call, afterwards maps what is there
x = images.scaled(images.train.images[:128])     # float32 in [0, 1]
"""

import dataclasses
import difflib
import hashlib
import json
import os
import re
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import torch

from study.data import prepared, sources
from study.data.arrays import Arrays
from study.data.folders import Folder, Own, raw_files
from study.data.libraries import HuggingFace, TorchVision
from study.data.splits import divide
from study.errors import UserError
from study.space.cells import made_again, outside_source, source_arguments
from study.space.foreign_code import digest
from study.space.from_spec import part

VERSION = 1  # of splitting and decoding: a new number has everything prepared anew
LARGEST_SIDE = 1024  # pixels, of a user's own images: four million numbers each
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Split:
    """Images in an order that is shuffled once and for all, so that any first n are a fair sample of the split."""

    images: torch.Tensor  # (N, C, H, W) uint8, 0..levels-1
    labels: torch.Tensor | None  # (N,) int64

    def to(self, device):
        return Split(self.images.to(device), None if self.labels is None else self.labels.to(device))

    def and_then(self, other):
        """The images of both; copied into memory."""
        labels = None if self.labels is None else torch.cat([self.labels, other.labels])
        return Split(torch.cat([self.images, other.images]), labels)


@dataclass(frozen=True)
class Images:
    """A dataset ready to be used; `fingerprint` changes with any pixel, label, split or class name."""

    train: Split
    validation: Split
    test: Split
    classes: tuple[str, ...]  # empty when unlabelled
    levels: int  # grey levels per channel: 17 for digits, else 256
    shape: tuple[int, int, int]  # C, H, W
    fingerprint: str
    binarised: bool  # each pixel is to be drawn anew from Bernoulli(scaled value) whenever it is used in training

    def scaled(self, images):
        """Float32 values in [0, 1] of uint8 images of this dataset, on the device where they are."""
        return images.to(torch.float32) / (self.levels - 1)

    def whole(self):
        """The same with the validation images among those to train on, as a dataset is published."""
        return dataclasses.replace(self, train=self.train.and_then(self.validation))

    def to(self, device):
        """The same images on another device; on the CPU they stay memory-mapped."""
        return dataclasses.replace(self, **{name: getattr(self, name).to(device) for name in SPLITS})


@dataclass(frozen=True)
class Dataset:
    """What a search space names: where images come from, and whether they are binarised.

    With `binarised`, pixels are drawn anew whenever an image is used (Salakhutdinov & Murray 2008); what is prepared
    on disk is shared with the plain set.
    """

    source: object  # one of study/data/sources.py, or a Folder
    binarised: bool = False

    @property
    def name(self):
        return self.source.name + "-binarised" * self.binarised

    @property
    def slug(self):
        """The name in letters that are safe in any file name or key: a-z, 0-9 and hyphens."""
        return self._plain_slug + "-binarised" * self.binarised

    @property
    def _plain_slug(self):
        return getattr(self.source, "slug", self.source.name.replace("_", "-"))

    @property
    def size(self):
        """The side of the square images in pixels; None for a folder, whose images decide."""
        return self.source.size

    @property
    def shape(self):
        """(C, H, W) of the images; None for a folder, whose images decide."""
        return self.size and (self.source.channels, self.size, self.size)

    def is_available(self, data_dir):
        """Whether the raw files are there; looks at no more than their names."""
        return all(os.path.exists(root) for root in self.source.roots(Path(data_dir)))

    def download(self, data_dir):
        """Bring the raw files into data_dir, through torchvision; UserError if that fails."""
        try:
            self.source.download(Path(data_dir))
        except (OSError, RuntimeError, HTTPException) as error:
            reason = " ".join(str(error).split())
            raise UserError(
                f"could not download {self.source.name} to {data_dir} ({reason}): check the connection, "
                "or copy the files there by hand"
            ) from error

    def prepare(self, data_dir, skip_corrupt=False, log=print):
        """The images, decoded into memory-mapped arrays if that was not done yet, or if the raw files changed.

        Image files that cannot be read are refused, or left out with skip_corrupt; that choice stays with the
        prepared images, so that every later load gives the same. `log` is told what was decoded, changed or left out.
        """
        data_dir = Path(data_dir)
        self._require(data_dir)
        stored = self._find(data_dir, lambda folder, damage: _quarantine(folder, damage, log))
        return self._images(stored or self._decode(data_dir, skip_corrupt, log))

    def publish(self, data_dir, place):
        """Copy the prepared images to the folder `place`, if they are not there: for machines without the raw files."""
        if not place.exists():
            prepared.copy(self._find(Path(data_dir), lambda folder, damage: None).folder, place)

    def publish_few(self, data_dir, place, rows):
        """Copy so many images of each split, name -> `rows`, to the folder `place`, where they pass for all of them."""
        prepared.copy_few(self._find(Path(data_dir), lambda folder, damage: None).folder, place, rows)

    def published(self, place):
        """The images that were published to `place`; UserError where they are damaged."""
        try:
            return self._images(prepared.read(place))
        except prepared.Damaged as damage:
            raise UserError(
                f"the published images in {place} are damaged ({damage}): delete that folder and launch again"
            ) from damage

    def load(self, data_dir):
        """`prepare`, silently: what a trial calls."""
        return self.prepare(data_dir, log=lambda line: None)

    def fingerprint(self, data_dir):
        """Images.fingerprint if they are prepared and the raw files unchanged, else None; reads no raw file."""
        stored = self.is_available(data_dir) and self._find(Path(data_dir), lambda folder, damage: None)
        return self._fingerprint(stored) if stored else None

    def _require(self, data_dir):
        if self.is_available(data_dir):
            return
        if not isinstance(self.source, Own):
            raise UserError(
                f"{self.source.name} is not in {data_dir}: run again with --download, or say with --data-dir where it is"
            )
        slash = ' (a "/" at its end if its own name ends in -binarised)' if self.binarised else ""
        kind = "folder" if isinstance(self.source, Folder | HuggingFace) else "file"
        raise UserError(f"there is no {kind} {self.source.path}{slash}")

    def _find(self, data_dir, on_damage):
        signature = self._signature(data_dir)
        for folder in prepared.places(data_dir, self._plain_slug):
            try:
                if stored := prepared.read(folder, signature):
                    return stored
            except prepared.Damaged as damage:
                on_damage(folder, damage)
        return None

    def _signature(self, data_dir):
        """Changes when any raw file does, as far as its path, size and modification time tell; with a source from outside the
        project also when its code or its arguments do."""
        files = [file for root in self.source.roots(data_dir) for file in raw_files(str(root), root.name)]
        own = [digest(type(self.source)), source_arguments(self)] if outside_source(self) else []
        return hashlib.sha256(json.dumps([VERSION, self.size, sorted(files), *own]).encode()).hexdigest()

    def _decode(self, data_dir, skip_corrupt, log):
        signature = self._signature(data_dir)  # taken before: should files change meanwhile, it will no longer fit
        with prepared.workspace(prepared.places(data_dir, self._plain_slug)) as workspace:
            raw = self.source.read(data_dir, workspace.scratch, skip_corrupt, log)
            counts = [len(part.images) for part in (raw.train, raw.test) if part]
            if 0 in counts or sum(counts) < len(SPLITS) or counts[0] < 2:  # no split may be empty
                raise UserError(f"{self.source.name} has only {' + '.join(map(str, counts))} images: too few to divide")
            stored = workspace.publish(
                divide(raw, self.source.validation), signature, {"classes": raw.classes, "levels": raw.levels}
            )
        self._describe(stored, counts, log)
        return stored

    def _describe(self, stored, counts, log):
        train, validation, test = (stored.arrays[name] for name in SPLITS)
        log(
            f"{self.source.name}: {len(train):,} training, {len(validation):,} validation and {len(test):,} test "
            f"images of {train.shape[3]} x {train.shape[2]} pixels prepared in {stored.folder}"
        )
        published = getattr(self.source, "published", None)
        if published and list(published) != counts:
            log(
                f"{self.source.name}: these are {counts[0]:,} + {counts[1]:,} of the published {published[0]:,} + "
                f"{published[1]:,} images, so scores do not compare with published ones"
            )

    def _images(self, stored):
        tensors = {name: torch.from_numpy(array) for name, array in stored.arrays.items()}
        splits = {name: Split(tensors[name], tensors.get(f"{name}_labels")) for name in SPLITS}
        return Images(
            **splits,
            classes=tuple(stored.meta["facts"]["classes"]),
            levels=stored.meta["facts"]["levels"],
            shape=tuple(tensors["train"].shape[1:]),
            fingerprint=self._fingerprint(stored),
            binarised=self.binarised,
        )

    def _fingerprint(self, stored):
        plain = stored.meta["fingerprint"]
        return hashlib.sha256(f"{plain} binarised".encode()).hexdigest() if self.binarised else plain


def _quarantine(folder, damage, log):
    aside = prepared.quarantine(folder)
    log(
        f"the prepared images in {folder} are damaged ({damage}): "
        f"{f'moved to {aside.name}' if aside else 'left there'}, preparing them again"
    )


digits = Dataset(sources.Digits())
mnist = Dataset(sources.IDX("mnist", "MNIST"))
fashion_mnist = Dataset(sources.IDX("fashion_mnist", "FashionMNIST"))
cifar10 = Dataset(sources.CIFAR10())
imagenette = Dataset(sources.Imagenette())


def folder(path, side=None, padded=False):
    """The dataset of a user's own images (the layouts are described in study/data/folders.py)."""
    if not str(path):
        raise UserError("a folder of images is given as folder:PATH")
    return Dataset(Folder(str(Path(path).expanduser()), side and _side("folder", side, LARGEST_SIDE), padded))


def torchvision_set(text):
    """One of torchvision's datasets, as NAME or NAME,KEY=VALUE (study/data/libraries.py)."""
    of, *options = text.split(",")
    if not of or any("=" not in option for option in options):
        raise UserError("a dataset of torchvision is given as torchvision:NAME or torchvision:NAME,KEY=VALUE")
    source = TorchVision(of, tuple(tuple(option.split("=", 1)) for option in options))
    source.class_of()  # UserError where there is none
    return Dataset(source)


def arrays(path):
    """The dataset of a user's own .npz file (the names in it are described in study/data/arrays.py)."""
    if not str(path):
        raise UserError("an .npz file is given as npz:PATH")
    return Dataset(Arrays(str(Path(path).expanduser())))


def named(text):
    """The dataset that text stands for: mnist, mnist-binarised, imagenette-64, folder:PATH, folder-256-padded:PATH, npz:PATH,
    torchvision:NAME, huggingface:PATH; UserError if none."""
    plain, binarised = text.removesuffix("-binarised"), text.endswith("-binarised")
    known = {dataset.name: dataset for dataset in (digits, mnist, fashion_mnist, cifar10, imagenette)}
    if match := re.fullmatch("folder(?:-([0-9]+))?(-padded)?:(.*)", plain, re.S):
        dataset = folder(match[3], match[1] and int(match[1]), bool(match[2]))
    elif plain.startswith("npz:"):
        dataset = arrays(plain.removeprefix("npz:"))
    elif plain.startswith("torchvision:"):
        dataset = torchvision_set(plain.removeprefix("torchvision:"))
    elif plain.startswith("huggingface:"):
        dataset = Dataset(HuggingFace(str(Path(plain.removeprefix("huggingface:")).expanduser())))
    elif match := re.fullmatch("imagenette-([0-9]{1,3})", plain):
        dataset = Dataset(sources.Imagenette(_side("imagenette", int(match[1]), 160)))
    elif plain in known:
        dataset = known[plain]
    else:
        raise _unknown(text, plain, known)
    return dataclasses.replace(dataset, binarised=binarised)


def _side(kind, side, largest):
    if not 8 <= side <= largest:
        raise UserError(f"{kind}-{side}: the side of its images can be 8 to {largest} pixels")
    return side


def _unknown(text, plain, known):
    nearest = difflib.get_close_matches(plain.lower(), known, 1, 0)[0]
    meant = f"folder:{text}" if os.path.isdir(text) else f"npz:{text}" if text.endswith(".npz") else nearest
    return UserError(
        f"there is no dataset {text!r}: did you mean {meant}? There are {', '.join(known)}, imagenette-64 (or another size),"
        " folder:PATH, folder-256-padded:PATH, npz:FILE, torchvision:NAME, huggingface:PATH, and each with -binarised at its end"
    )


def dataset_of(spec):
    """The dataset that a trial's spec names; one from outside the project by the import path of its source and its arguments."""
    if not spec.source:
        return named(spec.dataset)
    return Dataset(made_again(part(spec, "source"), spec.source_arguments or {}), spec.dataset.endswith("-binarised"))


def data_folder(argument):
    """Where raw files are: what --data-dir says, else $STUDY_DATA, else data/."""
    return Path(argument or os.environ.get("STUDY_DATA") or "data")


def check_batch(images, batch_size):
    """UserError if there are fewer training images than one batch takes."""
    if len(images.train.images) < batch_size:
        raise UserError(
            f"{len(images.train.images)} training images do not fill one batch of {batch_size}: "
            "choose a smaller batch size or add images"
        )
