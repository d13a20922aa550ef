"""Frozen features: trained once, the same on every run, and read only from files that can be trusted."""

import hashlib
import os
import pickle
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
import torch

from study.data import digits, mnist, named
from study.data.datasets import Images, Split
from study.data.vision import torchvision  # noqa: F401  (before the library that imports it, which it mends)
from study.errors import UserError
from study.metrics import coverage, distances, features
from study.metrics.inception import INCEPTION_SHA256, Inception, inception
from study.metrics.reference import Reference


@pytest.fixture(scope="module")
def images(data_dir):
    return digits.prepare(data_dir, log=lambda line: None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("features")


@pytest.fixture(scope="module")
def extractor(images, folder):
    return features.prepare(digits, images, folder)


@pytest.fixture
def quick(monkeypatch):
    """A recipe of two epochs, for what does not depend on how well the classifier does."""
    monkeypatch.setitem(features.RECIPE, "epochs", (1, 2))


def made_up(shape=(1, 8, 8), n=40, classes=4, labelled=True, fingerprint="made up"):
    """Images of grey patches whose class is how bright they are."""
    labels = torch.arange(n) % max(classes, 1)
    noise = torch.randint(0, 40, (n, *shape), generator=torch.Generator().manual_seed(0))
    split = Split((noise + 50 * labels.view(-1, 1, 1, 1)).to(torch.uint8), labels if labelled else None)
    names = tuple(str(name) for name in range(classes)) if labelled else ()
    return Images(split, split, split, names, 256, shape, fingerprint, False)


def test_the_classifier_of_digits_is_good_enough_to_judge_them(images, extractor):
    x = images.scaled(images.test.images)
    assert extractor.accuracy > 0.97
    assert (extractor.classify(x) == images.test.labels).float().mean() > 0.96
    assert extractor(x).shape == (360, 64) and extractor(x).dtype == torch.float32
    assert sum(p.numel() for p in extractor.head.parameters()) == 85_066


def test_features_and_classes_at_once_are_those_asked_for_one_by_one(images, extractor):
    x = images.scaled(images.test.images)
    made, labels = extractor.both(x)
    assert torch.equal(made, extractor(x)) and torch.equal(labels, extractor.classify(x))
    assert replace(extractor, head=None).both(x)[1] is None


def test_features_are_frozen_and_do_not_depend_on_the_batch(images, extractor):
    x = images.scaled(images.test.images)
    assert not extractor(x.requires_grad_(True)).requires_grad
    torch.testing.assert_close(extractor(x)[300:310], extractor(x[300:310]), rtol=1e-4, atol=1e-5)


def test_the_second_time_they_are_read_and_not_trained(images, extractor, folder, monkeypatch):
    monkeypatch.setattr(features, "_train", mock.Mock(side_effect=AssertionError("trained again")))
    again, x = features.prepare(digits, images, folder), images.scaled(images.test.images)
    assert (again.hash, again.accuracy, again.describe) == (extractor.hash, extractor.accuracy, extractor.describe)
    assert torch.equal(again(x), extractor(x)) and torch.equal(again.classify(x), extractor.classify(x))


def test_weights_do_not_depend_on_the_threads_or_the_random_state_of_the_process(quick, tmp_path):
    threads, files = torch.get_num_threads(), []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            torch.manual_seed(number)
            state = torch.get_rng_state()
            features.prepare(digits, made_up(), tmp_path / str(number))
            assert torch.get_num_threads() == number and torch.equal(torch.get_rng_state(), state)
            files += [next((tmp_path / str(number)).iterdir()).read_bytes()]
    finally:
        torch.set_num_threads(threads)
    assert files[0] == files[1]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-100],
        lambda content: b"",
        lambda content: b"x" * 1000,
        lambda content: content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
    ],
    ids=["truncated", "empty", "garbage", "one bit"],
)
def test_a_damaged_cache_is_quarantined_and_made_again(quick, tmp_path, damage):
    first = features.prepare(digits, made_up(), tmp_path)
    file = next(tmp_path.iterdir())
    content = file.read_bytes()
    file.write_bytes(damage(content))
    assert features.prepare(digits, made_up(), tmp_path).accuracy == first.accuracy
    assert file.read_bytes() == content
    assert [path.name.split(".bad-")[0] for path in sorted(tmp_path.iterdir())] == [file.name] * 2


def test_the_hash_is_known_without_training_and_changes_with_all_that_matters(extractor, images, monkeypatch):
    known = features.recipe_hash(digits, images.fingerprint)
    assert known == extractor.hash
    other = {
        features.recipe_hash(digits, "other data"),
        features.recipe_hash(mnist, images.fingerprint),
        features.recipe_hash(digits, images.fingerprint, "inception", "weights.pth"),
    }
    other.add(features.recipe_hash(digits, images.fingerprint, seed=1))
    monkeypatch.setitem(features.RECIPE, "batch", 65)
    other.add(features.recipe_hash(digits, images.fingerprint))
    monkeypatch.setattr(torch, "__version__", "0.1")
    other.add(features.recipe_hash(digits, images.fingerprint))
    assert len(other | {known}) == 7


@pytest.mark.parametrize("shape", [(1, 4, 4), (1, 9, 9), (1, 28, 28), (3, 32, 32), (3, 64, 64), (3, 65, 65), (3, 160, 160)])
def test_one_design_fits_every_size_and_ends_in_64_features(quick, tmp_path, shape):
    made = features.prepare(digits, made_up(shape), tmp_path)
    assert made(torch.rand(3, *shape)).shape == (3, 64)
    assert made.classify(torch.rand(3, *shape)).shape == (3,)


@pytest.mark.parametrize("options", [{"labelled": False}, {"classes": 1}], ids=["unlabelled", "one class"])
@pytest.mark.parametrize("shape, size, kind", [((1, 8, 8), 64, "pixels"), ((3, 32, 32), 64, "untrained")])
def test_without_classes_to_learn_features_are_pixels_or_untrained_and_say_so(tmp_path, options, shape, size, kind):
    made = features.prepare(digits, made_up(shape, **options), tmp_path)
    assert made(torch.rand(3, *shape)).shape == (3, size)
    assert made.head is None and made.accuracy is None and kind in made.describe
    again = features.prepare(digits, made_up(shape, **options), tmp_path)
    x = torch.rand(3, *shape)
    assert torch.equal(again(x), made(x)) and made(x).var() > 0


def test_an_empty_validation_split_leaves_the_accuracy_unknown(quick, tmp_path):
    whole = made_up()
    empty = replace(whole, validation=Split(whole.train.images[:0], whole.train.labels[:0]))
    assert features.prepare(digits, empty, tmp_path).accuracy is None


def test_an_unknown_kind_of_features_is_the_users_to_mend():
    with pytest.raises(UserError, match="classifier or inception"):
        features.recipe_hash(digits, "f", "resnet")
    with pytest.raises(UserError, match="--inception-weights"):
        features.recipe_hash(digits, "f", "inception")


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory):
    """Weights of the right shapes, drawn at random, and the SHA-256 of their file."""
    from torch_fidelity import FeatureExtractorInceptionV3

    with mock.patch.object(FeatureExtractorInceptionV3, "load_state_dict"), mock.patch("torch.load"):
        network = FeatureExtractorInceptionV3("random", ["2048"], "no file")
    file = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.save(network.state_dict(), file)
    return file, hashlib.sha256(file.read_bytes()).hexdigest()


def test_inception_features_are_those_of_torch_fidelity(inception_file):
    from torch_fidelity import FeatureExtractorInceptionV3

    file, digest = inception_file
    x = torch.rand(2, 1, 28, 28)
    pixels = (x.repeat(1, 3, 1, 1) * 255).round().to(torch.uint8)
    (wanted,) = FeatureExtractorInceptionV3("theirs", ["2048"], str(file))(pixels)
    assert torch.equal(inception(file, digest)(x), wanted) and wanted.shape == (2, 2048)


class Pictures(torch.utils.data.Dataset):
    """Images (N, C, H, W) uint8, as torch-fidelity takes them."""

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index]


@pytest.mark.long
def test_fid_precision_and_recall_are_torch_fidelitys_on_the_same_images(inception_file):
    """The whole way from pixels to the number, with its own resizing and network; the published weights where STUDY_INCEPTION names
    their file."""
    from torch_fidelity import calculate_metrics

    file, digest = inception_file
    if published := os.environ.get("STUDY_INCEPTION"):
        file, digest = Path(published), INCEPTION_SHA256
    generator = torch.Generator().manual_seed(0)
    sides = [torch.randint(0, high, (24, 3, 32, 32), dtype=torch.uint8, generator=generator) for high in (256, 200)]
    theirs = calculate_metrics(
        input1=Pictures(sides[1]),
        input2=Pictures(sides[0]),
        fid=True,
        prc=True,
        prc_neighborhood=coverage.NEIGHBOURS,
        cuda=False,
        verbose=False,
        feature_extractor="inception-v3-compat",
        feature_extractor_weights_path=str(file),
        feature_layer_prc="2048",
        save_cpu_ram=True,
    )
    network = inception(file, digest)
    real, fake = (network(side / 255) for side in sides)
    ours = distances.fd(distances.moments(real), distances.moments(fake))
    assert ours == pytest.approx(theirs["frechet_inception_distance"], rel=1e-3)
    shares = coverage.prdc(Reference(real), fake)
    assert shares["precision"] == pytest.approx(theirs["precision"], abs=1e-3)
    assert shares["recall"] == pytest.approx(theirs["recall"], abs=1e-3)


def test_inception_keeps_the_classifier_to_tell_classes(images, extractor, folder, inception_file, monkeypatch):
    monkeypatch.setattr(features, "inception", lambda weights: Inception(lambda pixels: (pixels.flatten(1),)))
    made = features.prepare(digits, images, folder, "inception", "weights.pth")
    x = images.scaled(images.test.images)
    assert made.kind == "inception" and torch.equal(made.classify(x), extractor.classify(x))
    assert torch.equal(made.both(x)[0], made(x)) and torch.equal(made.both(x)[1], extractor.classify(x))
    assert made.hash == features.recipe_hash(digits, images.fingerprint, "inception", "weights.pth") != extractor.hash


def test_only_the_published_inception_weights_are_opened(inception_file):
    with pytest.raises(UserError, match="not the published file"):
        inception(inception_file[0])


def test_missing_inception_weights_are_the_users_to_mend(tmp_path):
    with pytest.raises(UserError, match="cannot read the Inception weights"):
        inception(tmp_path / "none.pth")


def test_a_truncated_inception_file_is_refused(inception_file, tmp_path):
    file = tmp_path / "weights.pth"
    file.write_bytes(inception_file[0].read_bytes()[:1_000_000])
    with pytest.raises(UserError, match="not the published file"):
        inception(file)
    with pytest.raises(UserError, match="no file of tensors"):
        inception(file, hashlib.sha256(file.read_bytes()).hexdigest())


class Hostile:
    def __reduce__(self):
        return (open, (Hostile.target, "w"))


def test_a_pickle_in_place_of_inception_weights_is_never_run_even_if_its_hash_were_accepted(tmp_path):
    Hostile.target, file = str(tmp_path / "was here"), tmp_path / "weights.pth"
    file.write_bytes(pickle.dumps(Hostile(), protocol=2))
    for digest in (INCEPTION_SHA256, hashlib.sha256(file.read_bytes()).hexdigest()):
        with pytest.raises(UserError):
            inception(file, digest)
    assert [path.name for path in tmp_path.iterdir()] == ["weights.pth"]


def test_tensors_of_another_network_are_refused(tmp_path):
    file = tmp_path / "weights.pth"
    torch.save({"weight": torch.ones(2)}, file)
    with pytest.raises(UserError, match="no Inception weights"):
        inception(file, hashlib.sha256(file.read_bytes()).hexdigest())


def test_without_torch_fidelity_the_user_is_told_what_to_install(inception_file):
    with mock.patch.dict("sys.modules", torch_fidelity=None), pytest.raises(UserError, match="pip install torch-fidelity"):
        inception(*inception_file)


@pytest.mark.long
def test_the_classifier_of_mnist_is_better_than_97_percent(real_data, tmp_path):
    assert features.prepare(mnist, mnist.load(real_data), tmp_path).accuracy > 0.97


@pytest.mark.long
def test_the_classifier_of_photographs_is_far_better_than_chance(real_data, tmp_path):
    dataset = named("imagenette-64")
    assert features.prepare(dataset, dataset.load(real_data), tmp_path).accuracy > 0.3
