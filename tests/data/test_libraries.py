"""What torchvision and Hugging Face's `datasets` keep is read by name, by those libraries' own classes and writers."""

import io
import struct

import datasets
import numpy as np
import pytest
from PIL import Image

from study.data import named
from study.errors import UserError

SIDE, TRAIN, TEST = 12, 30, 10


def pixels(count, first=0):
    """Images (N, SIDE, SIDE) whose value is their own number."""
    return np.arange(first, first + count, dtype=np.uint8)[:, None, None].repeat(SIDE, 1).repeat(SIDE, 2)


def idx(path, array):
    """As the authors of MNIST write arrays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes())


def labels_follow(images) -> bool:
    """Whether the class of every image is its number modulo 3."""
    splits = (images.train, images.validation, images.test)
    return all((split.images[:, 0, 0, 0] % 3 == split.labels).all() for split in splits)


def prepare(name, data_dir):
    said = []
    return named(name).prepare(data_dir, log=said.append), said


def test_a_set_of_torchvisions_that_holds_arrays_keeps_its_division(tmp_path):
    raw = tmp_path / "torchvision" / "KMNIST" / "KMNIST" / "raw"
    for part, count, first in (("train", TRAIN, 0), ("t10k", TEST, 100)):
        idx(raw / f"{part}-images-idx3-ubyte", pixels(count, first))
        idx(raw / f"{part}-labels-idx1-ubyte", (np.arange(first, first + count) % 3).astype(np.uint8))
    images, _ = prepare("torchvision:KMNIST", tmp_path)
    assert images.shape == (1, SIDE, SIDE) and labels_follow(images)
    assert sorted(images.test.images[:, 0, 0, 0].tolist()) == list(range(100, 110))
    assert len(images.train.images) + len(images.validation.images) == TRAIN and images.classes == ("0", "1", "2")


def test_a_set_of_files_that_is_not_divided_is_divided_here_and_its_images_become_squares(tmp_path):
    place = tmp_path / "torchvision" / "EuroSAT" / "eurosat" / "2750"
    for number, value in enumerate(pixels(TRAIN)):
        folder = place / ("River", "Forest", "Lake")[number % 3]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(value).resize((SIDE + 4, SIDE)).convert("RGB").save(folder / f"{number:02}.png")
    images, said = prepare("torchvision:EuroSAT", tmp_path)
    assert images.shape == (3, SIDE, SIDE) and images.classes == ("Forest", "Lake", "River")
    wanted = {0: 2, 1: 0, 2: 1}  # River, Forest, Lake in the order of their names
    for split in (images.train, images.validation, images.test):
        assert [wanted[int(number) % 3] for number in split.images[:, 0, 0, 0]] == split.labels.tolist()
    assert any("cropped at the centre to 12 x 12" in line for line in said)


def test_a_set_whose_parts_have_names_is_read_by_them(tmp_path):
    place = tmp_path / "torchvision" / "OxfordIIITPet" / "oxford-iiit-pet"
    (place / "images").mkdir(parents=True)
    (place / "annotations").mkdir()
    for part, count, first in (("trainval", TRAIN, 0), ("test", TEST, 100)):
        lines = []
        for number, value in enumerate(pixels(count, first), first):
            Image.fromarray(value).convert("RGB").save(place / "images" / f"pet_{number}.jpg", quality=100)
            lines.append(f"{('aby', 'ben', 'cat')[number % 3]}_{number} {number % 3 + 1} 1 1")
            (place / "images" / f"pet_{number}.jpg").rename(place / "images" / f"{lines[-1].split()[0]}.jpg")
        (place / "annotations" / f"{part}.txt").write_text("\n".join(lines))
    images, _ = prepare("torchvision:OxfordIIITPet", tmp_path)
    assert len(images.test.images) == TEST and labels_follow(images) and len(images.classes) == 3


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("torchvision:KMIST", "no dataset 'KMIST' (did you mean 'KMNIST'?)"),
        ("torchvision:SVHN", "--download"),
        ("torchvision:SVHN,splat=train", "no option 'splat'"),
        ("torchvision:", "torchvision:NAME"),
        ("torchvision:SVHN,x", "KEY=VALUE"),
    ],
)
def test_what_there_is_not_is_one_line(name, said, tmp_path):
    (tmp_path / "torchvision" / "SVHN").mkdir(parents=True)
    with pytest.raises(UserError) as error:
        prepare(name, tmp_path)
    assert said in str(error.value) and "\n" not in str(error.value)


def encoded(value, size=(SIDE, SIDE)) -> bytes:
    Image.fromarray(value).resize(size).save(buffer := io.BytesIO(), "PNG")
    return buffer.getvalue()


def saved(place, kind="classes", size=(SIDE, SIDE)):
    """A folder as Hugging Face's library writes it, divided into train and test."""
    column = {
        "classes": datasets.ClassLabel(names=["a", "b", "c"]),
        "numbers": datasets.Value("int64"),
        "none": datasets.Value("string"),
    }[kind]
    features = datasets.Features({"picture": datasets.Image(), "label": column})
    parts = {}
    for part, count, first in (("train", TRAIN, 0), ("test", TEST, 100)):
        numbers = range(first, first + count)
        cells = [{"bytes": encoded(value, size), "path": None} for value in pixels(count, first)]
        labels = [f"about {number}" if kind == "none" else number % 3 for number in numbers]
        parts[part] = datasets.Dataset.from_dict({"picture": cells, "label": labels}, features=features)
    datasets.DatasetDict(parts).save_to_disk(place)
    return place


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_a_folder_of_hugging_faces_is_read_with_its_division_and_classes(tmp_path, kind):
    images, _ = prepare(f"huggingface:{saved(tmp_path / 'set', kind)}", tmp_path)
    assert images.shape == (1, SIDE, SIDE) and labels_follow(images)
    assert sorted(images.test.images[:, 0, 0, 0].tolist()) == list(range(100, 110))
    assert images.classes == (("a", "b", "c") if kind == "classes" else ("0", "1", "2"))


def test_one_split_of_it_is_divided_here_and_images_without_classes_have_none(tmp_path):
    images, _ = prepare(f"huggingface:{saved(tmp_path / 'set', 'none', (SIDE, SIDE + 6)) / 'train'}", tmp_path)
    assert images.shape == (1, SIDE, SIDE) and images.classes == () and images.train.labels is None
    assert sum(len(split.images) for split in (images.train, images.validation, images.test)) == TRAIN


@pytest.mark.parametrize("damage", ["cut short", "elsewhere", "no images", "nothing"])
def test_a_folder_that_is_not_what_it_wrote_is_one_line(tmp_path, damage):
    place = tmp_path / "set"
    place.mkdir()
    if damage != "nothing":
        saved(place)
    if damage == "cut short":
        (file,) = (place / "train").glob("*.arrow")
        file.write_bytes(file.read_bytes()[:500])
    if damage == "elsewhere":
        (place / "train" / "state.json").write_text('{"_data_files": [{"filename": "../test/data-00000-of-00001.arrow"}]}')
    if damage == "no images":
        (place / "train" / "dataset_info.json").write_text('{"features": {"label": {"_type": "Value"}}}')
    with pytest.raises(UserError) as error:
        prepare(f"huggingface:{place}", tmp_path)
    assert str(place) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(("name", "corner"), [("folder-20", 100), ("folder-20-padded", 0), ("folder-padded", 0)])
def test_images_of_ones_own_are_cropped_or_padded_as_said(tmp_path, name, corner):
    place = tmp_path / "mine"
    place.mkdir()
    for number in range(20):
        Image.new("L", (40, 80), 100).save(place / f"{number}.png")
    images, said = prepare(f"{name}:{place}", tmp_path)
    side = 20 if "20" in name else 40
    assert images.shape == (1, side, side) and images.train.images[0, 0, side // 2, 0].item() == corner
    assert images.train.images[0, 0, side // 2, side // 2].item() == 100
    assert any(("padded with black" if "padded" in name else "cropped at the centre") in line for line in said)


def test_images_beyond_160_pixels_keep_the_size_that_is_asked_for(tmp_path):
    place = tmp_path / "mine"
    place.mkdir()
    for number in range(12):
        Image.new("RGB", (300, 300), (number, 0, 0)).save(place / f"{number}.png")
    assert prepare(f"folder-256:{place}", tmp_path)[0].shape == (3, 256, 256)
    assert named(f"folder-256:{place}").slug != named(f"folder:{place}").slug
    with pytest.raises(UserError, match="8 to 1024 pixels"):
        named(f"folder-2000:{place}")
