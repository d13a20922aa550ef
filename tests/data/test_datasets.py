"""The published sets: splits, reading, names, and what is said about bad files."""

import dataclasses
import gzip
import os
import pickle
import re
import struct
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from study.data import cifar10, digits, fashion_mnist, folder, imagenette, mnist, named
from study.data.datasets import Dataset, check_batch, data_folder
from study.errors import UserError

SPLITS = ("train", "validation", "test")


@pytest.fixture
def real(data_dir):
    """Links a part of the real data into data_dir, so that prepared images never land beside it."""
    if not os.environ.get("STUDY_DATA"):
        pytest.skip("STUDY_DATA names no folder of real data")

    def link(name, per_class=None):
        source = Path(os.environ["STUDY_DATA"]).resolve() / name
        if per_class is None:
            (data_dir / name).symlink_to(source)
            return
        for kind in sorted(source.glob("*/*")):
            target = data_dir / name / kind.relative_to(source)
            target.mkdir(parents=True)
            for image in sorted(kind.iterdir())[:per_class]:
                (target / image.name).symlink_to(image)

    return link


def write_idx(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes())


def write_mnist(data_dir, train=60, test=20, name="MNIST", change=0):
    """A small set in MNIST's format; every image holds its own number, so that it can be followed."""
    for part, count in (("train", train), ("t10k", test)):
        images = np.zeros((count, 28, 28), np.uint8)
        images[:, 0, 0], images[:, 0, 1] = np.arange(count), part == "train"
        images[:, 5, 5] = change
        write_idx(data_dir / name / "raw" / f"{part}-images-idx3-ubyte", images)
        write_idx(data_dir / name / "raw" / f"{part}-labels-idx1-ubyte", np.arange(count, dtype=np.uint8) % 10)


class Python2Pickler(pickle._Pickler):
    """Writes text and bytes as the one string type of Python 2, in which the published batches are written."""

    def save_string(self, value):
        raw = value.encode("latin1") if isinstance(value, str) else value
        self.write(pickle.BINSTRING + struct.pack("<i", len(raw)) + raw)

    dispatch = {**pickle._Pickler.dispatch, str: save_string, bytes: save_string}


def write_cifar10(data_dir, per_batch=20):
    """Small batches in CIFAR-10's format: red planes hold the image's number, green its batch, blue 200."""
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    (data_dir / "cifar-10-batches-py").mkdir()
    for batch, name in enumerate(names):
        planes = [np.broadcast_to(value, (1024, per_batch)).T for value in (np.arange(per_batch), batch, 200)]
        content = {
            "batch_label": name,
            "labels": [number % 10 for number in range(per_batch)],
            "data": np.concatenate(planes, 1).astype(np.uint8),
            "filenames": ["x.png"] * per_batch,
        }
        with open(data_dir / "cifar-10-batches-py" / name, "wb") as file:
            Python2Pickler(file, protocol=2).dump(content)
        raw = (data_dir / "cifar-10-batches-py" / name).read_bytes()
        (data_dir / "cifar-10-batches-py" / name).write_bytes(raw.replace(b"numpy._core", b"numpy.core"))


def sizes(images):
    return [len(getattr(images, name).images) for name in SPLITS]


def contents(split):
    return sorted(image.numpy().tobytes() for image in split.images)


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


# Splits


def test_digits_are_divided_into_1077_360_and_360_images_of_17_grey_levels(data_dir):
    images = digits.prepare(data_dir)
    assert sizes(images) == [1077, 360, 360]
    assert (images.shape, images.levels, images.classes) == ((1, 8, 8), 17, tuple("0123456789"))
    assert max(int(getattr(images, name).images.max()) for name in SPLITS) == 16


def test_every_class_gets_its_due_share_of_every_split(data_dir):
    images = digits.prepare(data_dir)
    counts = torch.stack([torch.bincount(getattr(images, name).labels, minlength=10) for name in SPLITS]).double()
    due = counts.sum(0) * torch.tensor(sizes(images))[:, None] / 1797
    assert (counts - due).abs().max() <= 1.5  # rounded twice: once for the test set, once for validation


def test_the_splits_together_are_exactly_the_images_and_labels_of_the_set(data_dir):
    from sklearn.datasets import load_digits

    images, published = digits.prepare(data_dir), load_digits()
    pairs = [
        (image.numpy().tobytes(), int(label))
        for name in SPLITS
        for image, label in zip(getattr(images, name).images, getattr(images, name).labels)
    ]
    expected = zip(published.images.astype(np.uint8), published.target)
    assert sorted(pairs) == sorted((image.tobytes(), int(label)) for image, label in expected)


def test_validation_comes_from_the_training_images_and_none_is_in_two_splits(data_dir):
    write_mnist(data_dir)
    images = mnist.prepare(data_dir)
    assert sizes(images) == [50, 10, 20]
    assert images.test.images[:, 0, 0, 1].max() == 0 and images.validation.images[:, 0, 0, 1].min() == 1
    numbers = torch.cat([images.train.images[:, 0, 0, 0], images.validation.images[:, 0, 0, 0]])
    assert sorted(numbers.tolist()) == list(range(60))
    assert torch.equal(images.train.labels, images.train.images[:, 0, 0, 0] % 10)
    assert torch.bincount(images.validation.labels).tolist() == [1] * 10


def test_the_first_images_of_a_split_are_a_mixture_of_classes(data_dir):
    write_mnist(data_dir)
    images = mnist.prepare(data_dir)
    assert len(set(images.test.labels[:8].tolist())) > 4 and images.test.images[:, 0, 0, 0].tolist() != list(range(20))


def test_splits_are_the_same_wherever_the_data_lies(data_dir, tmp_path):
    for place in (data_dir, tmp_path / "elsewhere"):
        write_mnist(place)
    first, second = mnist.prepare(data_dir), mnist.prepare(tmp_path / "elsewhere")
    assert torch.equal(first.train.images, second.train.images) and first.fingerprint == second.fingerprint


def test_real_mnist_has_50000_10000_and_10000_images_and_nothing_is_lost(real, data_dir):
    real("MNIST")
    images = mnist.prepare(data_dir)
    assert sizes(images) == [50_000, 10_000, 10_000]
    raw = np.fromfile(data_dir / "MNIST/raw/train-images-idx3-ubyte", np.uint8)[16:].reshape(60_000, -1)
    both = np.concatenate([images.train.images.numpy(), images.validation.images.numpy()]).reshape(60_000, -1)
    key = np.random.RandomState(1).randint(1, 2**40, 784)
    assert np.array_equal(np.sort(raw @ key), np.sort(both @ key))
    labels = np.fromfile(data_dir / "MNIST/raw/train-labels-idx1-ubyte", np.uint8)[8:]
    assert np.abs(np.bincount(images.validation.labels) - np.bincount(labels) / 6).max() < 1


def test_prepared_mnist_is_loaded_in_milliseconds(real, data_dir):
    real("MNIST")
    mnist.prepare(data_dir)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        mnist.load(data_dir)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.05


# What is loaded


def test_loading_copies_nothing_warns_of_nothing_and_cannot_change_the_files(data_dir):
    digits.prepare(data_dir)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        images = digits.load(data_dir)
    assert "train.npy" in Path("/proc/self/maps").read_text() or sys.platform != "linux"
    images.train.images.zero_()
    assert digits.load(data_dir).train.images.max() == 16


@pytest.mark.parametrize("levels_of", [digits, mnist])
def test_scaled_images_reach_from_0_to_1(data_dir, levels_of):
    write_mnist(data_dir, change=255)
    images = levels_of.prepare(data_dir)
    scaled = images.scaled(images.train.images)
    assert scaled.dtype == torch.float32 and (scaled.min(), scaled.max()) == (0, 1)


def test_images_move_to_a_device_at_once_and_stay_where_they_are_on_the_cpu(data_dir):
    images = digits.prepare(data_dir)
    assert {getattr(images.to("meta"), name).images.device.type for name in SPLITS} == {"meta"}
    assert images.to("meta").train.labels.device.type == "meta"
    assert images.to("cpu").train.images.data_ptr() == images.train.images.data_ptr()


def test_a_batch_larger_than_the_training_set_is_refused(data_dir):
    images = digits.prepare(data_dir)
    check_batch(images, 1077)
    with pytest.raises(UserError, match="1077 training images do not fill one batch of 1078"):
        check_batch(images, 1078)


def test_prepared_data_is_loaded_without_torchvision_or_scikit_learn(data_dir):
    write_mnist(data_dir)
    digits.prepare(data_dir), mnist.prepare(data_dir)
    script = (
        "import sys; from study.data import digits, mnist, named; "
        "assert mnist.is_available(sys.argv[1]); mnist.load(sys.argv[1]); digits.load(sys.argv[1]); "
        "named('imagenette-64').is_available(sys.argv[1]); print({'torchvision', 'sklearn'} & set(sys.modules))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script, data_dir], cwd=root, capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


# Binarised


def test_binarised_images_are_the_same_files_with_a_flag_and_a_fingerprint_of_their_own(data_dir):
    write_mnist(data_dir)
    plain, said = mnist.prepare(data_dir), []
    binarised = named("mnist-binarised").prepare(data_dir, log=said.append)
    assert not said and [entry.name for entry in (data_dir / ".prepared").iterdir()] == ["mnist"]
    assert torch.equal(plain.train.images, binarised.train.images)
    assert (plain.binarised, binarised.binarised) == (False, True) and plain.fingerprint != binarised.fingerprint
    assert named("mnist-binarised").fingerprint(data_dir) == binarised.fingerprint


# Names


@pytest.mark.parametrize(
    "name",
    [
        "digits",
        "mnist",
        "fashion_mnist",
        "cifar10",
        "imagenette",
        "imagenette-64",
        "mnist-binarised",
        "digits-binarised",
        "imagenette-64-binarised",
        "folder:pictures",
        "folder:pictures-binarised",
        "folder:pictures-binarised/",
        "folder:pictures-binarised/-binarised",
    ],
)
def test_a_name_stands_for_the_dataset_that_bears_it(name):
    assert named(name).name == name
    assert dataclasses.replace(named(name)) == named(name) and hash(named(name)) == hash(named(name))
    assert pickle.loads(pickle.dumps(named(name))) == named(name)


def test_a_folder_may_be_called_binarised_without_being_so():
    assert not folder("faces-binarised").binarised and named("folder:faces-binarised").binarised
    assert named(folder("faces-binarised").name) == folder("faces-binarised")


def test_the_published_size_of_imagenette_goes_without_saying():
    assert named("imagenette-160") == imagenette and named("imagenette-64").size == 64


@pytest.mark.parametrize(
    "wrong, nearest",
    [
        ("mnits", "mnist"),
        ("MNIST", "mnist"),
        ("fashion-mnist", "fashion_mnist"),
        ("cifar", "cifar10"),
        ("imagenet", "imagenette"),
        ("", "mnist|digits"),
        ("mnsit-binarised", "mnist"),
        (os.getcwd(), f"folder:{os.getcwd()}"),
    ],
)
def test_for_an_unknown_name_the_nearest_is_suggested(wrong, nearest):
    with pytest.raises(UserError, match=f"did you mean ({nearest})") as error:
        named(wrong)
    one_line(error)


@pytest.mark.parametrize("name", ["imagenette-500", "imagenette-1", "folder:"])
def test_a_size_or_path_that_makes_no_sense_is_refused(name):
    with pytest.raises(UserError):
        named(name)


@pytest.mark.parametrize("path", ["../../étage (1)/$(touch x)", "/", ".", "a/../b", "Ünï\ncode", "x" * 300, "\udcff"])
def test_slugs_are_safe_and_different_whatever_the_folder_is_called(path):
    assert re.fullmatch("folder-[a-z0-9-]{8,45}", folder(path).slug)
    assert folder(path).slug != folder(path + "2").slug
    assert not folder(path + "/nowhere").is_available("/")


def test_slugs_of_named_sets_are_their_names():
    assert [dataset.slug for dataset in (fashion_mnist, named("imagenette-64-binarised"))] == [
        "fashion-mnist",
        "imagenette-64-binarised",
    ]


def test_the_data_folder_is_what_was_asked_for_else_study_data_else_data(monkeypatch):
    monkeypatch.setenv("STUDY_DATA", "/from/environment")
    assert data_folder("here") == Path("here") and data_folder(None) == Path("/from/environment")
    monkeypatch.delenv("STUDY_DATA")
    assert data_folder(None) == Path("data")


# Bad and missing files


@pytest.mark.parametrize("dataset", [mnist, fashion_mnist, cifar10, imagenette, named("imagenette-64-binarised")])
def test_a_missing_set_is_named_with_the_option_that_fetches_it(data_dir, dataset):
    assert not dataset.is_available(data_dir) and dataset.fingerprint(data_dir) is None
    with pytest.raises(UserError, match=f"{dataset.source.name} is not in .*--download") as error:
        dataset.load(data_dir)
    one_line(error)


def test_looking_whether_a_set_is_at_hand_takes_less_than_10_milliseconds(data_dir):
    write_mnist(data_dir)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        assert mnist.is_available(data_dir) and digits.is_available(data_dir) and not cifar10.is_available(data_dir)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.01


@pytest.mark.parametrize("part", ["train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw[: len(raw) // 2],
        lambda raw: raw[:3],
        lambda raw: b"",
        gzip.compress,
        lambda raw: b"<html>not found</html>" * 9,
        lambda raw: raw + b"12",
    ],
)
def test_a_damaged_idx_file_is_named(data_dir, part, damage):
    write_mnist(data_dir)
    path = data_dir / "MNIST" / "raw" / f"{part}-ubyte"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=f"{part}-ubyte is truncated or damaged .*--download") as error:
        mnist.prepare(data_dir)
    one_line(error)


def test_labels_that_do_not_fit_their_images_are_refused(data_dir):
    write_mnist(data_dir)
    for labels in (np.zeros(59, np.uint8), np.full(60, 77, np.uint8)):
        write_idx(data_dir / "MNIST/raw/train-labels-idx1-ubyte", labels)
        with pytest.raises(UserError, match="damaged .*labels"):
            mnist.prepare(data_dir)


def test_fashion_mnist_is_read_from_its_own_folder(data_dir):
    write_mnist(data_dir, name="FashionMNIST")
    images = fashion_mnist.prepare(data_dir)
    assert "Sneaker" in images.classes and not mnist.is_available(data_dir)


def test_cifar10_is_read_plane_by_plane_from_its_six_batches(data_dir):
    write_cifar10(data_dir)
    images = cifar10.prepare(data_dir)
    assert sizes(images) == [90, 10, 20] and images.shape == (3, 32, 32) and images.classes[9] == "truck"
    assert (images.train.images[:, 2] == 200).all() and (images.test.images[:, 1] == 5).all()
    assert torch.equal(images.test.images[:, 0, 7, 9] % 10, images.test.labels)


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("owned",)


@pytest.mark.parametrize(
    "content",
    [
        lambda raw: raw[: len(raw) // 2],
        lambda raw: b"",
        lambda raw: b"\x80garbage" * 50,
        gzip.compress,
        lambda raw: pickle.dumps(Malicious()),
        lambda raw: pickle.dumps({"labels": [1]}),
        lambda raw: pickle.dumps([1, 2]),
        lambda raw: raw.replace(b"numpy.core.multiarray", b"os"),
    ],
)
def test_a_damaged_or_malicious_batch_is_named_and_never_run(data_dir, tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    write_cifar10(data_dir)
    path = data_dir / "cifar-10-batches-py" / "data_batch_3"
    path.write_bytes(content(path.read_bytes()))
    with pytest.raises(UserError, match="data_batch_3 is truncated or damaged .*--download") as error:
        cifar10.prepare(data_dir)
    one_line(error)
    assert not Path("owned").exists()


def test_a_set_that_is_smaller_than_the_published_one_is_prepared_and_said_to_be(data_dir):
    write_mnist(data_dir)
    said = []
    mnist.prepare(data_dir, log=said.append)
    assert len(said) == 2 and "50 training, 10 validation and 20 test images of 28 x 28" in said[0]
    assert "60 + 20 of the published 60,000 + 10,000" in said[1]


@pytest.mark.parametrize(
    "dataset, name",
    [(mnist, "MNIST"), (fashion_mnist, "FashionMNIST"), (cifar10, "CIFAR10"), (named("imagenette-64"), "Imagenette")],
)
def test_a_download_goes_through_torchvision_and_its_failure_is_one_line(data_dir, monkeypatch, dataset, name):
    from study.data.vision import torchvision

    asked = []

    def download(*arguments, **options):
        asked.append((*arguments, options))
        raise RuntimeError("Error downloading train:\nTried http://a, got:\n<urlopen error no route to host>")

    monkeypatch.setattr(torchvision.datasets, name, download)
    with pytest.raises(UserError, match=f"could not download {dataset.name} .*no route to host") as error:
        dataset.download(data_dir)
    one_line(error)
    assert asked[0][0] == data_dir and asked[0][-1] == {"download": True}


# Imagenette


def test_real_imagenette_is_cropped_to_squares_in_colour_and_its_val_is_the_test_set(real, data_dir):
    real("imagenette2-160", per_class=10)
    images = named("imagenette-64").prepare(data_dir)
    assert sizes(images) == [90, 10, 100] and images.shape == (3, 64, 64)
    assert torch.bincount(images.validation.labels).tolist() == [1] * 10
    assert images.classes[0] == "tench" and images.classes[9] == "parachute"
    assert not set(contents(images.train)) & set(contents(images.test))
    assert imagenette.fingerprint(data_dir) is None


def test_a_real_photograph_that_is_cut_short_is_refused_or_left_out(real, data_dir):
    real("imagenette2-160", per_class=4)
    victim = sorted((data_dir / "imagenette2-160/train").glob("*/*"))[7]
    raw = victim.read_bytes()
    victim.unlink()
    victim.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(UserError, match=f"1 image cannot be read: .*{victim.name} .*--skip-corrupt"):
        named("imagenette-32").prepare(data_dir)
    assert sizes(named("imagenette-32").prepare(data_dir, skip_corrupt=True)) == [35, 4, 40]


def test_an_incomplete_imagenette_is_refused(real, data_dir):
    real("imagenette2-160", per_class=2)
    for image in (data_dir / "imagenette2-160/val/n03888257").iterdir():
        image.unlink()
    with pytest.raises(UserError, match="incomplete .*--download"):
        imagenette.prepare(data_dir)


@pytest.mark.long
def test_all_of_the_real_photographs_are_decoded(real, data_dir):
    real("imagenette2-160")
    images = imagenette.prepare(data_dir)
    assert sizes(images) == [2250, 250, 500] and images.shape == (3, 160, 160)
    assert torch.bincount(images.validation.labels).tolist() == [25] * 10
    assert len(set(contents(images.train)) | set(contents(images.validation)) | set(contents(images.test))) > 2990


def test_a_dataset_says_what_it_is():
    assert isinstance(mnist, Dataset) and [mnist.size, imagenette.size, folder("x").size] == [28, 160, None]


def test_the_first_images_of_every_split_are_a_fair_sample_of_its_classes(tmp_path):
    images = digits.load(tmp_path)
    for split in (images.train, images.validation, images.test):
        assert torch.bincount(split.labels[:20], minlength=10).max() <= 7  # they were once nearly all of one class
        assert torch.bincount(split.labels[:100], minlength=10).min() >= 1
