"""A source of images of one's own: what of it reaches a worker by the spec, and when its images are read anew."""

import json
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from tiny import spec_of, tiny_space

from study.data import Dataset
from study.data.datasets import dataset_of
from study.data.sources import Part, Raw
from study.errors import UserError
from study.ledger.records import Spec
from study.space.cells import source_arguments
from study.space.loading import accepted


class Grey:
    """Images all of one grey level."""

    size, channels, validation, level = 8, 1, None, 100

    def roots(self, data_dir):
        return []

    def download(self, data_dir):
        pass

    def read(self, data_dir, scratch, skip_corrupt, log):
        return Raw(Part(np.full((50, 1, 8, 8), self.level, np.uint8), None), None, ())


class Plain(Grey):
    name = "grey"


@dataclass(frozen=True)
class Levelled(Grey):
    level: int
    name: str = "levelled"


@dataclass(frozen=True)
class Named(Grey):
    name: str
    levels: tuple[tuple[int, ...], ...] = ()
    drawn: int = field(init=False, default=3)


@dataclass
class Changing(Plain):
    level: int = 100


@dataclass(frozen=True)
class Keyed(Plain):
    level: object


class Undeclared(Plain):
    def __init__(self, level=100):
        self.level = level


def spec(source) -> Spec:
    """As a worker reads it."""
    cell = accepted(tiny_space(cells=[replace(tiny_space().cells[0], dataset=Dataset(source))])).cells[0]
    told = {**spec_of(), **cell.definition(), "source_arguments": source_arguments(cell.dataset) or None}
    return Spec.from_json(json.loads(json.dumps(told)))


@pytest.mark.parametrize("source", [Levelled(7), Levelled(7, "seven"), Named("letters", ((1, 2), (3,)))], ids=str)
def test_a_frozen_dataclass_is_made_again_from_its_spec(source):
    again = dataset_of(spec(source))
    assert again == Dataset(source) and hash(again) == hash(Dataset(source))


def test_a_class_without_arguments_is_too():
    assert isinstance(dataset_of(spec(Plain())).source, Plain) and spec(Plain()).source_arguments is None


@pytest.mark.parametrize(
    "source", [Changing(), Keyed({"a": 1}), Keyed(Path("a")), Keyed(float("nan")), Undeclared()], ids=lambda each: str(vars(each))
)
def test_what_could_not_be_made_again_is_said_when_its_space_is_loaded(source):
    with pytest.raises(UserError, match=f"{type(source).__name__} must be a frozen dataclass of numbers"):
        spec(source)


def test_what_a_notebook_itself_defines_is_said_too(monkeypatch):
    monkeypatch.setattr(Levelled, "__module__", "__main__")
    monkeypatch.setattr(sys.modules["__main__"], "Levelled", Levelled, raising=False)
    with pytest.raises(UserError, match="at the top of a module"):
        spec(Levelled(7))


def first_pixel(source, data_dir) -> int:
    return int(Dataset(source).prepare(data_dir, log=lambda line: None).train.images[0, 0, 0, 0])


def test_images_are_read_anew_when_the_arguments_of_their_source_are_others(tmp_path):
    assert first_pixel(Levelled(7), tmp_path) == 7
    assert Dataset(Levelled(9)).fingerprint(tmp_path) is None
    assert first_pixel(Levelled(9), tmp_path) == 9


def test_images_are_read_anew_when_the_code_of_their_source_is_another(tmp_path, monkeypatch):
    code = "1"
    monkeypatch.setattr("study.data.datasets.digest", lambda kind: code)
    kept = Dataset(Plain()).prepare(tmp_path, log=lambda line: None).fingerprint
    assert Dataset(Plain()).fingerprint(tmp_path) == kept
    code = "2"
    assert Dataset(Plain()).fingerprint(tmp_path) is None
    assert Dataset(Plain()).prepare(tmp_path, log=lambda line: None).fingerprint == kept  # of the same images: no key changes
