"""Images of one's own in an .npz file: what is read, how it is divided, and what is refused."""

import zipfile

import numpy as np
import pytest

from study.data import named
from study.errors import UserError

PIXELS = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
LABELS = np.arange(60) % 3 * 5  # classes 0, 5 and 10


def prepared(tmp_path, **arrays):
    np.savez(tmp_path / "mine.npz", **arrays)
    dataset = named(f"npz:{tmp_path / 'mine.npz'}")
    return dataset.prepare(tmp_path / "data", log=lambda line: None), dataset


def rows(split) -> set[bytes]:
    return {image.numpy().tobytes() for image in split.images}


def test_images_without_a_test_part_are_divided_like_a_folder_with_each_class_its_share(tmp_path):
    images, dataset = prepared(tmp_path, images=PIXELS, labels=LABELS)
    assert [len(part.images) for part in (images.train, images.validation, images.test)] == [36, 12, 12]
    assert images.classes == ("0", "5", "10") and images.shape == (1, 8, 8) and images.levels == 256
    assert all(part.labels.bincount().tolist() == [len(part.labels) // 3] * 3 for part in (images.train, images.test))
    assert rows(images.train) | rows(images.validation) | rows(images.test) == {image.tobytes() for image in PIXELS}
    assert dataset.slug.startswith("npz-mine-")


@pytest.mark.parametrize(
    "names", [("x_train", "y_train", "x_test", "y_test"), ("train_images", "train_labels", "test_images", "test_labels")]
)
def test_a_test_part_stays_one_under_the_names_that_others_give(tmp_path, names):
    values = (PIXELS[:50], LABELS[:50, None], PIXELS[50:], LABELS[50:, None])
    images, _ = prepared(tmp_path, **dict(zip(names, values)))
    assert rows(images.test) == {image.tobytes() for image in PIXELS[50:]} and len(images.train.images) == 40


def test_images_for_validation_are_with_those_to_train_on_which_are_divided_as_in_every_set(tmp_path):
    images, _ = prepared(tmp_path, train_images=PIXELS[:40], val_images=PIXELS[40:50], test_images=PIXELS[50:])
    assert [len(part.images) for part in (images.train, images.validation, images.test)] == [40, 10, 10]
    assert images.train.labels is None and images.classes == ()


@pytest.mark.parametrize(
    ("images", "shape"),
    [
        (PIXELS[..., None].repeat(3, 3), (3, 8, 8)),
        (PIXELS[:, None], (1, 8, 8)),
        (PIXELS / 255, (1, 8, 8)),
        ((PIXELS / 255).astype(np.float32), (1, 8, 8)),
    ],
    ids=["channels last", "channels first", "float64", "float32"],
)
def test_every_layout_and_kind_gives_the_same_pixels(tmp_path, images, shape):
    found, _ = prepared(tmp_path, images=images)
    assert found.shape == shape
    assert {image[:1].numpy().tobytes() for image in found.train.images} <= {image.tobytes() for image in PIXELS}


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"pictures": PIXELS}, "it holds pictures: images to train on are called x_train, train_images, images"),
        ({"images": PIXELS[:, :7]}, r"images have the shape \(60, 1, 7, 8\): square images"),
        ({"images": PIXELS[:, None].repeat(2, 1)}, "square images"),
        ({"images": PIXELS.astype(np.int32)}, "images are int32: uint8 in 0..255, or floats"),
        ({"images": PIXELS * 1.0}, "images are float64: uint8"),
        ({"images": PIXELS, "labels": LABELS[:59]}, "labels are no whole numbers, one for each of the 60 images"),
        ({"images": PIXELS, "labels": LABELS[0]}, "labels are no whole numbers"),
        ({"images": PIXELS, "labels": LABELS[:0]}, "labels are no whole numbers"),
        ({"images": PIXELS, "labels": LABELS / 2}, "labels are no whole numbers"),
        ({"x_train": PIXELS, "x_test": PIXELS[:, :4, :4]}, "different sizes"),
        ({"x_train": PIXELS, "y_train": LABELS, "x_test": PIXELS}, "some of its parts have labels"),
        ({"images": np.array([{}, 1], dtype=object)}, "allow_pickle=False"),
        ({"images": PIXELS[:1]}, "too few to divide"),
    ],
)
def test_what_cannot_be_used_is_one_line(tmp_path, arrays, said):
    with pytest.raises(UserError, match=said) as error:
        prepared(tmp_path, **arrays)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_none_or_holds_something_else_is_one_line(tmp_path):
    place = tmp_path / "mine.npz"
    with pytest.raises(UserError, match="there is no file"):
        named(f"npz:{place}").prepare(tmp_path / "data")
    place.write_bytes(b"PK nonsense")
    with pytest.raises(UserError, match="mine.npz: File is not a zip file"):
        named(f"npz:{place}").prepare(tmp_path / "data")
    with zipfile.ZipFile(place, "w") as packed:
        packed.writestr("images.npy", b"")
    with pytest.raises(UserError, match="mine.npz: images is no array"):
        named(f"npz:{place}").prepare(tmp_path / "data")


def test_more_than_is_allowed_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("study.data.arrays.LARGEST", 1000)
    with pytest.raises(UserError, match="it unpacks to 0 GiB"):
        prepared(tmp_path, images=PIXELS)


def test_a_path_that_ends_in_npz_is_understood_where_npz_was_left_out():
    with pytest.raises(UserError, match="did you mean npz:mine.npz"):
        named("mine.npz")
