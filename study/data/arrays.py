"""A user's own images as arrays in one .npz file, under the names that Keras' mnist.npz, MedMNIST and others give them.

x_train, y_train, x_test, y_test; or train_images, train_labels, val_images, val_labels, test_images, test_labels; or images,
labels. Images (N, H, W), (N, H, W, C) or (N, C, H, W) with C of 1 or 3, uint8 in 0..255 or floats in [0, 1]; labels whole numbers.
Without labels they have no classes; without a test part they are divided as a folder is; those for validation are trained on, or
held out, as the project divides every set.
"""

import zipfile
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from study.data.folders import Own
from study.data.sources import Part, Raw
from study.errors import UserError

NAMES = (  # of images and labels: those to train on, those for validation, those to test
    (("x_train", "y_train"), (None, None), ("x_test", "y_test")),
    (("train_images", "train_labels"), ("val_images", "val_labels"), ("test_images", "test_labels")),
    (("images", "labels"), (None, None), (None, None)),
)
LARGEST = 2**33  # bytes of all arrays together: a file of a few kilobytes may hold any number of zeros


@dataclass(frozen=True)
class Arrays(Own):
    """Images in the .npz file `path`."""

    kind: ClassVar[str] = "npz"

    def read(self, data_dir, scratch, skip_corrupt, log):
        arrays = self._arrays()
        names = next((each for each in NAMES if each[0][0] in arrays), None)
        if names is None:
            wanted = ", ".join(each[0][0] for each in NAMES)
            raise self._wrong(f"it holds {', '.join(sorted(arrays)) or 'nothing'}: images to train on are called {wanted}")
        parts = [self._part(arrays, *pair) if pair[0] in arrays else None for pair in names]
        train, validation, test = parts
        if len({part.images.shape[1:] for part in parts if part}) > 1:
            raise self._wrong("the images of its parts have different sizes")
        if len({part.labels is None for part in parts if part}) > 1:
            raise self._wrong("some of its parts have labels, others have none")
        if validation:
            train = Part(*(None if one is None else np.concatenate([one, other]) for one, other in zip(train, validation)))
        labels = [part.labels for part in (train, test) if part and part.labels is not None]
        known = np.unique(np.concatenate(labels)) if labels else np.zeros(0, np.int64)
        train, test = (
            part and Part(part.images, None if part.labels is None else np.searchsorted(known, part.labels))
            for part in (train, test)
        )
        return Raw(train, test, tuple(map(str, known.tolist())))

    def _arrays(self) -> dict[str, np.ndarray]:
        """The arrays in the file; a pickle in it is not opened."""
        try:
            with zipfile.ZipFile(self.path) as packed:
                if (held := sum(each.file_size for each in packed.infolist())) > LARGEST:
                    raise self._wrong(f"it unpacks to {held / 2**30:.0f} GiB, of which {LARGEST / 2**30:.0f} are allowed")
            with np.load(self.path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        except UserError:
            raise
        except Exception as error:  # zip and NumPy raise a dozen kinds for what is no such file
            raise self._wrong(" ".join(str(error).split())[:200] or type(error).__name__) from None
        if odd := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
            raise self._wrong(f"{odd[0]} is no array")
        return arrays

    def _part(self, arrays: dict[str, np.ndarray], images: str, labels: str) -> Part:
        pixels, classes = self._pixels(images, arrays[images]), arrays.get(labels)
        if classes is not None:
            count = len(pixels)
            if classes.shape not in ((count,), (count, 1)) or not np.issubdtype(classes.dtype, np.integer):
                raise self._wrong(f"{labels} are no whole numbers, one for each of the {count} images")
            classes = classes.reshape(-1).astype(np.int64)
        return Part(pixels, classes)

    def _pixels(self, name: str, images: np.ndarray) -> np.ndarray:
        """As (N, C, H, W) uint8."""
        if images.ndim == 3:
            images = images[:, None]
        elif images.ndim == 4 and images.shape[3] in (1, 3):
            images = images.transpose(0, 3, 1, 2)
        if images.ndim != 4 or images.shape[1] not in (1, 3) or images.shape[2] != images.shape[3]:
            raise self._wrong(f"{name} have the shape {images.shape}: square images, (N, H, W), (N, H, W, C) or (N, C, H, W)")
        if np.issubdtype(images.dtype, np.floating) and images.size and 0 <= images.min() <= images.max() <= 1:
            return np.round(images * 255).astype(np.uint8)
        if images.dtype != np.uint8:
            raise self._wrong(f"{name} are {images.dtype}: uint8 in 0..255, or floats in [0, 1]")
        return np.ascontiguousarray(images)

    def _wrong(self, what: str) -> UserError:
        return UserError(f"{self.path}: {what}")
