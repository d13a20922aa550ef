"""The published sets as torchvision lays them on disk: where their files are, how they are read and downloaded."""

import pickle
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from study.data import decoding
from study.errors import UserError


class Part(NamedTuple):
    images: np.ndarray  # (N, C, H, W) uint8
    labels: np.ndarray | None  # (N,) int64


class Raw(NamedTuple):
    """A set as its authors divided it; with test None, all of it is in `train`."""

    train: Part
    test: Part | None
    classes: tuple[str, ...]
    levels: int = 256


# What a source must offer: `Source` in study/space/contracts.py. `published`: training and test images as their authors count them.


@dataclass(frozen=True)
class Digits:
    """Scikit-learn's 1,797 handwritten digits of 8 x 8 pixels, stored as 0..16."""

    name: ClassVar[str] = "digits"
    size: ClassVar[int] = 8
    channels: ClassVar[int] = 1
    validation: ClassVar[None] = None  # there is no test part either: 1,077 / 360 / 360

    def roots(self, data_dir):
        return []

    def read(self, data_dir, scratch, skip_corrupt, log):
        from sklearn.datasets import load_digits  # a second to import, needed once

        digits = load_digits()
        images = digits.images.astype(np.uint8)[:, None]
        return Raw(Part(images, digits.target.astype(np.int64)), None, tuple("0123456789"), levels=17)

    def download(self, data_dir):
        pass  # comes with scikit-learn


@dataclass(frozen=True)
class IDX:
    """MNIST and Fashion-MNIST: 60,000 and 10,000 grey images of 28 x 28 in four IDX files."""

    name: str
    torchvision_name: str  # of the class, and of the folder it downloads to
    size: ClassVar[int] = 28
    channels: ClassVar[int] = 1
    validation: ClassVar[int] = 6  # 50,000 / 10,000
    published: ClassVar[tuple[int, int]] = (60_000, 10_000)

    def roots(self, data_dir):
        folder = data_dir / self.torchvision_name / "raw"
        return [folder / f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]

    def read(self, data_dir, scratch, skip_corrupt, log):
        from study.data.vision import torchvision  # a second to import, needed once

        mnist = torchvision.datasets.mnist
        readers = [mnist.read_image_file, mnist.read_label_file] * 2
        images, labels, test_images, test_labels = map(_read_idx, readers, self.roots(data_dir))
        train, test = (
            _checked(part, (1, 28, 28), data_dir / self.torchvision_name)
            for part in (Part(images[:, None], labels), Part(test_images[:, None], test_labels))
        )
        classes = getattr(torchvision.datasets, self.torchvision_name).classes
        return Raw(train, test, tuple(name.split(" - ")[0] for name in classes))

    def download(self, data_dir):
        from study.data.vision import torchvision

        getattr(torchvision.datasets, self.torchvision_name)(data_dir, download=True)


def _read_idx(reader, path):
    try:
        return reader(path).numpy()
    except Exception as error:  # torchvision's reader raises seven kinds for a file that is not what it should be
        raise _damaged(path, error) from error


def _checked(part, shape, where):
    """`part`, if it is a consistent set of ten classes."""
    if part.images.shape[1:] != shape or part.labels.shape != part.images.shape[:1]:
        raise _damaged(where, f"{len(part.labels)} labels, images of shape {part.images.shape}")
    if len(part.labels) and not 0 <= part.labels.min() <= part.labels.max() <= 9:
        raise _damaged(where, "labels outside 0..9")
    return part


def _damaged(path, reason):
    return UserError(
        f"{path} is truncated or damaged ({type(reason).__name__ if str(reason) == '' else reason}); "
        "delete it and run again with --download"
    )


@dataclass(frozen=True)
class CIFAR10:
    """CIFAR-10: 50,000 and 10,000 colour photographs of 32 x 32 in six pickled batches."""

    name: ClassVar[str] = "cifar10"
    size: ClassVar[int] = 32
    channels: ClassVar[int] = 3
    validation: ClassVar[int] = 10  # 45,000 / 5,000
    published: ClassVar[tuple[int, int]] = (50_000, 10_000)
    classes: ClassVar[tuple[str, ...]] = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

    def roots(self, data_dir):
        folder = data_dir / "cifar-10-batches-py"
        return [*(folder / f"data_batch_{number}" for number in range(1, 6)), folder / "test_batch"]

    def read(self, data_dir, scratch, skip_corrupt, log):
        *train, test = map(_read_batch, self.roots(data_dir))
        images, labels = map(np.concatenate, zip(*train))
        return Raw(Part(images, labels), test, self.classes)

    def download(self, data_dir):
        from study.data.vision import torchvision

        torchvision.datasets.CIFAR10(data_dir, download=True)


class _ArraysOnly(pickle.Unpickler):
    """Unpickles arrays of numbers, lists and strings and nothing else.

    A pickle can run any code when it is loaded, and these files come from wherever the user got them. torchvision
    guards against that with checksums of the six published files; this guard also holds for other files of the format.
    """

    allowed = {
        ("numpy.core.multiarray", "_reconstruct"): np.zeros(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module, name):
        if (module, name) not in self.allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no CIFAR-10 batch contains")
        return self.allowed[module, name]


def _read_batch(path):
    try:
        with open(path, "rb") as file:
            batch = _ArraysOnly(file, encoding="latin1").load()  # the strings are Python 2's
        images = np.asarray(batch["data"], np.uint8).reshape(-1, 3, 32, 32)
        labels = np.array(batch["labels"], np.int64)
    except Exception as error:  # unpickling garbage can raise anything
        raise _damaged(path, error) from error
    return _checked(Part(images, labels), (3, 32, 32), path)


@dataclass(frozen=True)
class Imagenette:
    """Imagenette: 9,469 and 3,925 photographs of ten ImageNet classes, short side 160; its `val` is the test set."""

    size: int = 160
    channels: ClassVar[int] = 3
    validation: ClassVar[int] = 10
    published: ClassVar[tuple[int, int]] = (9_469, 3_925)

    @property
    def name(self):
        return "imagenette" if self.size == 160 else f"imagenette-{self.size}"

    def roots(self, data_dir):
        return [data_dir / "imagenette2-160" / part for part in ("train", "val")]

    def read(self, data_dir, scratch, skip_corrupt, log):
        from study.data.vision import torchvision

        try:  # `loader=str`: an item is (path, label), decoded by several threads below
            train, test = (torchvision.datasets.Imagenette(data_dir, part, "160px", loader=str) for part in ("train", "val"))
            if train.wnids != test.wnids:
                raise KeyError("train and val hold different classes")
        except (KeyError, OSError) as error:
            raise UserError(
                f"{data_dir}/imagenette2-160 is incomplete ({error}); delete it and run again with --download"
            ) from error
        parts = decode_parts([list(train), list(test)], self.size, False, scratch, skip_corrupt, log)
        return Raw(*parts, tuple(names[0] for names in train.classes))

    def download(self, data_dir):
        from study.data.vision import torchvision

        torchvision.datasets.Imagenette(data_dir, "train", "160px", download=True)


def decode_parts(parts, side, grey, scratch, skip_corrupt, log, padded=False):
    """Decode lists of (path, label), label None where there is none, into Parts of what could be read, cropped or padded."""
    decoded, unreadable = [], []
    for number, items in enumerate(parts):
        paths, labels = [path for path, _ in items], [label for _, label in items]
        images, readable, failed = decoding.decode(paths, side, grey, scratch / f"{number}.raw", padded)
        unreadable += failed
        labels = None if None in labels else np.array(labels, np.int64)[readable]
        decoded.append(Part(images, labels))
    decoding.refuse_or_skip(unreadable, skip_corrupt, log)
    return decoded
