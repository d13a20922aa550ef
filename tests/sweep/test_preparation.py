"""What a study prepares stays beside the data, for the next one."""

import shutil

import pytest
from tiny import tiny_space

from study.data import prepared
from study.ledger.folder import Ledger
from study.metrics import features
from study.sweep import preparation
from study.sweep.launch_options import LaunchOptions


def prepare(tmp_path, data_dir, name, log=lambda line: None) -> Ledger:
    ledger = Ledger(tmp_path / name)
    preparation.prepare(tiny_space(), LaunchOptions(space="tiny", storage=tmp_path), data_dir, ledger, log)
    return ledger


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """A folder with a study that was prepared, and the data beside which its features were left."""
    folder = tmp_path_factory.mktemp("prepared")
    prepare(folder, folder / "data", "first")
    return folder


@pytest.fixture
def first(once, tmp_path) -> Ledger:
    """A copy of it in the test's own folder."""
    shutil.copytree(once, tmp_path, dirs_exist_ok=True)
    return Ledger(tmp_path / "first")


def files(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_a_second_study_on_the_same_data_trains_no_features_and_measures_no_real_images(first, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "_train", lambda *_: pytest.fail("trained again"))
    monkeypatch.setattr(preparation, "real_baseline", lambda *_: pytest.fail("measured again"))
    said = []
    second = prepare(tmp_path, tmp_path / "data", "second", said.append)
    assert not any("training a classifier" in line for line in said)
    assert files(first.root / "features") == files(second.root / "features") == files(tmp_path / "data/.prepared/features")
    assert first.floors() == second.floors() != {}


@pytest.mark.long
def test_features_beside_the_data_that_lie_are_trained_again_and_replaced(first, tmp_path):
    shelf = tmp_path / "data/.prepared/features"
    for file in shelf.iterdir():
        file.write_bytes(file.read_bytes()[:-9])
    second = prepare(tmp_path, tmp_path / "data", "second")
    whole = {name: content for name, content in files(second.root / "features").items() if ".bad-" not in name}
    assert files(shelf) == whole == files(first.root / "features")


@pytest.mark.long
def test_a_data_folder_that_is_read_only_is_left_alone_and_the_users_cache_is_used(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir(mode=0o555)
    said = []
    prepare(tmp_path, tmp_path / "data", "first", said.append)
    assert "training a classifier" in said[-2]  # what takes a minute of MNIST is said before it begins
    assert not list((tmp_path / "data").iterdir())
    beside, cache = prepared.places(tmp_path / "data", "features")
    assert cache.is_relative_to(tmp_path / "cache") and len(files(cache)) == 2 and not beside.exists()
