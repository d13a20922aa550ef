"""Images that other libraries keep: torchvision's datasets by their names, and folders that Hugging Face's `datasets` has saved.

torchvision:NAME            any of its datasets with images and a class of each, downloaded to <data>/torchvision/NAME
torchvision:NAME,KEY=VALUE  with one of its own options, such as EMNIST,split=letters
huggingface:PATH            what save_to_disk wrote: a column of images and, for classes, one of ClassLabel or of whole numbers
"""

import inspect
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from study.data import decoding
from study.data.folders import Own, square_form
from study.data.sources import Part, Raw, decode_parts
from study.errors import UserError, first_line, nearest

TRAIN, TEST = ("train", "trainval"), ("test", "val", "valid")  # what splits are called, best first


@dataclass(frozen=True)
class Item:
    """Image number `index` of one of torchvision's datasets, which opens it."""

    dataset: Any
    index: int

    def __str__(self):
        return f"image {self.index} of {type(self.dataset).__name__}"

    def open(self) -> Image.Image:
        image = self.dataset[self.index][0]
        if not isinstance(image, Image.Image):
            raise ValueError(f"a {type(image).__name__}, no image")
        return image


@dataclass(frozen=True)
class Encoded:
    """An image file's content."""

    name: str
    content: bytes

    def __str__(self):
        return self.name

    def open(self) -> Image.Image:
        return Image.open(io.BytesIO(self.content), formats=decoding.FORMATS)


@dataclass(frozen=True)
class TorchVision:
    """One of torchvision's datasets; `options` are further arguments of its class."""

    of: str
    options: tuple[tuple[str, str], ...] = ()
    size: ClassVar[None] = None  # the images' own
    channels: ClassVar[None] = None
    validation: ClassVar[int] = 10

    @property
    def name(self):
        return "torchvision:" + ",".join([self.of, *(f"{key}={value}" for key, value in self.options)])

    @property
    def slug(self):
        return "-".join(["torchvision", self.of, *(value for _, value in self.options)]).lower().replace("_", "-")

    def roots(self, data_dir):
        return [data_dir / "torchvision" / self.of]

    def read(self, data_dir, scratch, skip_corrupt, log):
        train, test = self._parts(data_dir)
        parts = [each for each in (train, test) if each is not None]
        labels = [self._labels(each) for each in parts]
        known = np.unique(np.concatenate(labels))
        numbers = [np.searchsorted(known, each) for each in labels]
        pixels = [self._pixels(each) for each in parts]
        if all(each is not None for each in pixels):
            found = [Part(*each) for each in zip(pixels, numbers)]
        else:
            items = [[(Item(each, index), label) for index, label in enumerate(number)] for each, number in zip(parts, numbers)]
            side, grey = square_form(self.name, [item for part in items for item, _ in part], log)
            found = decode_parts(items, side, grey, scratch, skip_corrupt, log)
        names = getattr(train, "classes", None) or []
        classes = names if len(names) == len(known) else known.tolist()
        return Raw(found[0], found[1] if test is not None else None, tuple(map(str, classes)))

    def download(self, data_dir):
        for arguments in self._splits():
            self._made(data_dir, {**arguments, "download": True})

    def _parts(self, data_dir) -> tuple:
        """Its training and its test part, the latter None where there is none."""
        first, *others = [self._made(data_dir, arguments) for arguments in self._splits()]
        return first, others[0] if others else None

    def _splits(self) -> list[dict]:
        """What its class is told for its training and for its test part; one entry where it is not divided."""
        taken, given = self._taken(), dict(self.options)
        if "train" in taken:
            return [{**given, "train": True}, {**given, "train": False}]
        if "split" not in taken or "split" in given:
            return [given]
        text = f"{taken['split'].annotation} {self.class_of().__doc__}"  # where alone it is said which splits there are
        trains, tests = ([each for each in names if re.search(f"[\"'`]{each}[\"'`]", text)] for names in (TRAIN, TEST))
        return [{**given, "split": name} for name in (*trains[:1], *tests[:1])] if trains else [given]

    def _taken(self) -> dict:
        """The arguments of its class, by name, with those that it hands on to the classes that it is made of."""
        found: dict = {}
        for each in self.class_of().__mro__[:-1]:
            found = {**inspect.signature(each.__init__).parameters, **found}
            if not any(one.kind is one.VAR_KEYWORD for one in inspect.signature(each.__init__).parameters.values()):
                break
        return found

    def _made(self, data_dir, arguments: dict):
        """Its class with these arguments; UserError for what it does not take or find."""
        made, taken, (root,) = self.class_of(), self._taken(), self.roots(data_dir)
        if odd := [key for key in arguments if key not in taken and key != "download"]:
            raise UserError(f"torchvision's {self.of} has no option {odd[0]!r}{nearest(odd[0], taken)}")
        try:
            return made(root, **{key: value for key, value in arguments.items() if key in taken})
        except (ValueError, TypeError) as error:
            raise UserError(f"torchvision's {self.of} refuses {arguments}: {first_line(error)}") from None
        except RuntimeError as error:
            if "download" in arguments:
                raise
            raise UserError(f"{root} does not hold torchvision's {self.of} ({first_line(error)}); --download brings it") from None

    def class_of(self):
        """torchvision's own of that name; UserError where there is none."""
        from study.data.vision import torchvision

        known = torchvision.datasets.__all__
        if self.of not in known:
            raise UserError(f"torchvision has no dataset {self.of!r}{nearest(self.of, known)}")
        return getattr(torchvision.datasets, self.of)

    def _labels(self, dataset) -> np.ndarray:
        """The class (N,) of every image."""
        held = next((getattr(dataset, name) for name in ("targets", "labels", "_labels") if hasattr(dataset, name)), None)
        try:
            labels = np.asarray([dataset[index][1] for index in range(len(dataset))] if held is None else held)
        except Exception as error:  # a dataset may raise anything
            raise self._wrong(first_line(error)) from None
        if labels.shape != (len(dataset),) or not np.issubdtype(labels.dtype, np.integer):
            raise self._wrong(f"what it tells of its images has the shape {labels.shape} and the type {labels.dtype}")
        return labels.astype(np.int64)

    def _pixels(self, dataset) -> np.ndarray | None:
        """All images as (N, C, H, W) uint8, where the dataset holds them so; None where they lie in files."""
        data: Any = getattr(dataset, "data", None)
        data = data.numpy() if hasattr(data, "numpy") else data
        if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or len(data) != len(dataset):
            return None
        data = data[:, None] if data.ndim == 3 else data.transpose(0, 3, 1, 2) if data.shape[3] in (1, 3) else data
        return np.ascontiguousarray(data) if data.ndim == 4 and data.shape[2] == data.shape[3] else None

    def _wrong(self, why: str) -> UserError:
        return UserError(f"{self.name} is no set of images with one class each: {why}")


@dataclass(frozen=True)
class HuggingFace(Own):
    """Images in the folder `path`, as `save_to_disk` of a `Dataset` or a `DatasetDict` lays them down; read with pyarrow alone."""

    kind: ClassVar[str] = "huggingface"

    def read(self, data_dir, scratch, skip_corrupt, log):
        root = Path(self.path)
        splits = self._json(root / "dataset_dict.json")["splits"] if (root / "dataset_dict.json").exists() else [""]
        train = next((name for name in TRAIN if name in splits), splits[0])
        test = next((name for name in TEST if name in splits and name != train), None)
        if others := [name for name in splits if name not in (train, test)]:
            log(f"{root}: its splits {', '.join(others)} are left out")
        tables = [self._table(root / name) for name in (train, test) if name is not None]
        image, label, classes = self._columns(root / train, tables[0])
        items = [
            [
                (self._image(f"{self.path} {name or 'image'} {index}", cell), number)
                for index, (cell, number) in enumerate(zip(table[image].to_pylist(), self._labels(table, label)))
            ]
            for name, table in zip((train, test), tables)
        ]
        side, grey = square_form(self.path, [item for part in items for item, _ in part], log)
        first, *others = decode_parts(items, side, grey, scratch, skip_corrupt, log)
        return Raw(first, others[0] if others else None, classes)

    def _table(self, folder: Path):
        """All rows of a split."""
        import pyarrow as pa

        try:
            files = [folder / each["filename"] for each in self._json(folder / "state.json")["_data_files"]]
            if any(file.resolve().parent != folder.resolve() for file in files):
                raise self._wrong("its state.json names files elsewhere")
            return pa.concat_tables([pa.ipc.open_stream(pa.memory_map(str(file))).read_all() for file in files])
        except (OSError, KeyError, TypeError, pa.ArrowInvalid) as error:
            raise self._wrong(f"{folder.name or 'it'} cannot be read: {first_line(error)}") from None

    def _columns(self, folder: Path, table) -> tuple[str, str | None, tuple[str, ...]]:
        """The column of the images, that of the classes, and what these are called."""
        features = self._json(folder / "dataset_info.json").get("features") or {}
        kinds = {name: each.get("_type") for name, each in features.items() if isinstance(each, dict)}
        image = next((name for name, kind in kinds.items() if kind == "Image"), None)
        if image is None:
            raise self._wrong(f"none of its columns {', '.join(table.column_names)} holds images")
        label = next((name for name, kind in kinds.items() if kind == "ClassLabel"), None)
        if label:
            return image, label, tuple(map(str, features[label]["names"]))
        whole = [name for name, each in features.items() if kinds.get(name) == "Value" and "int" in each.get("dtype", "")]
        label = next((name for name in ("label", "labels") if name in whole), None)
        known = sorted(set(table[label].to_pylist())) if label else []
        return image, label, tuple(map(str, range(known[-1] + 1))) if known else ()

    @staticmethod
    def _labels(table, label: str | None) -> list:
        return table[label].to_pylist() if label else [None] * len(table)

    def _image(self, name: str, cell) -> Encoded:
        if not isinstance(cell, dict) or not isinstance(cell.get("bytes"), bytes):
            raise self._wrong("its images are not in it but elsewhere: save it with the images decoded and encoded anew")
        return Encoded(name, cell["bytes"])

    def _json(self, path: Path) -> dict:
        try:
            return json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise self._wrong(f"{path.name}: {first_line(error)}") from None

    def _wrong(self, what: str) -> UserError:
        return UserError(f"{self.path} is no folder that Hugging Face's save_to_disk wrote: {what}")
