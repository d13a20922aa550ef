"""A dataset with arguments: some classes of an .npz file, whose name and classes reach every worker with the trial's spec."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from study.data import Dataset
from study.data.sources import Part, Raw
from study.errors import UserError


@dataclass(frozen=True)
class SomeClasses:
    """Of `file`, which holds images (N, H, W) of 0 to 255 and labels (N,), those whose label is one of `labels`."""

    file: str
    labels: tuple[int, ...]
    size: ClassVar[None] = None  # the images' own
    channels: ClassVar[int] = 1
    validation: ClassVar[None] = None  # a share of the images is held out

    @property
    def name(self):
        return f"{Path(self.file).stem}-{'-'.join(map(str, self.labels))}"

    def roots(self, data_dir):
        """What it is read from: when that changes, it is read anew."""
        return [Path(self.file)]

    def download(self, data_dir):
        raise UserError(f"{self.file} is your own: there is nothing to download")

    def read(self, data_dir, scratch, skip_corrupt, log):
        with np.load(self.file) as arrays:
            images, labels = arrays["images"], arrays["labels"]
        wanted = np.isin(labels, self.labels)
        classes = np.searchsorted(self.labels, labels[wanted])
        return Raw(Part(images[wanted, None].astype(np.uint8), classes), None, tuple(map(str, self.labels)))


def some_classes(file: str, *labels: int) -> Dataset:
    return Dataset(SomeClasses(str(Path(file).resolve()), tuple(sorted(labels))))
