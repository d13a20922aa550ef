"""Prepared images survive other processes, damage, read-only folders and changed files."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from study.data import digits, folder, prepared
from study.errors import UserError

ROOT = Path(__file__).parents[2]
PREPARE = """
import os, sys, time
from pathlib import Path
from study.data import folder
images, rounds = Path(sys.argv[1]), [Path(path) for path in sys.argv[2:]]
for data_dir in rounds:
    (data_dir / f"ready-{os.getpid()}").touch()
    while len(list(data_dir.glob("ready-*"))) < 3:
        time.sleep(.0005)
    mine = folder(images).load(data_dir)
    print(mine.fingerprint, int(mine.train.images.sum()))
"""


@pytest.fixture
def prepared_digits(data_dir):
    digits.prepare(data_dir)
    return data_dir / ".prepared" / "digits"


def write_images(path, count=10, value=0):
    from PIL import Image

    path.mkdir(exist_ok=True)
    for number in range(count):
        Image.new("RGB", (8, 8), (number, value, 0)).save(path / f"{number:03}.png")


def test_what_is_prepared_is_not_prepared_again(data_dir, tmp_path):
    write_images(tmp_path / "mine")
    said = []
    first = folder(tmp_path / "mine").prepare(data_dir, log=said.append)
    assert len(said) == 1
    second = folder(tmp_path / "mine").prepare(data_dir, log=said.append)
    assert len(said) == 1 and first.fingerprint == second.fingerprint


def test_the_fingerprint_is_known_once_prepared(data_dir):
    assert digits.fingerprint(data_dir) is None
    assert digits.prepare(data_dir).fingerprint == digits.fingerprint(data_dir)


def test_changed_raw_files_are_noticed_and_replace_what_was_prepared(data_dir, tmp_path):
    mine = folder(tmp_path / "mine")
    write_images(tmp_path / "mine")
    before = mine.prepare(data_dir)
    write_images(tmp_path / "mine", value=9)
    assert mine.fingerprint(data_dir) is None
    after = mine.prepare(data_dir)
    assert before.fingerprint != after.fingerprint and after.train.images[:, 1].min() == 9
    assert [entry.name for entry in (data_dir / ".prepared").iterdir()] == [mine.slug]
    (tmp_path / "mine" / "000.png").unlink()
    assert mine.fingerprint(data_dir) is None and len(mine.prepare(data_dir).test.images) == 2
    assert before.train.images[:, 1].max() == 0  # whoever still has the old images keeps them


def test_a_raw_file_overwritten_by_one_of_the_same_size_is_noticed(data_dir, tmp_path):
    mine = folder(tmp_path / "mine")
    write_images(tmp_path / "mine")
    mine.prepare(data_dir)
    raw = (tmp_path / "mine" / "000.png").read_bytes()
    (tmp_path / "mine" / "000.png").write_bytes(raw[::-1])
    assert mine.fingerprint(data_dir) is None


def test_the_fingerprint_depends_on_pixels_and_not_on_places_or_times(data_dir, tmp_path):
    for name, value in (("a", 0), ("b", 0), ("c", 1)):
        write_images(tmp_path / name, value=value)
    a, b, c = (folder(tmp_path / name).prepare(data_dir).fingerprint for name in "abc")
    assert a == b != c


def truncate(folder):
    (folder / "train.npy").write_bytes((folder / "train.npy").read_bytes()[:-100])


def append(folder):
    with open(folder / "train.npy", "ab") as file:
        file.write(b"more")


def overwrite_in_place(folder):
    with open(folder / "train.npy", "r+b") as file:
        file.seek(30_000)
        file.write(b"garbage")


def garbage_of_the_same_size(folder):
    path = folder / "validation_labels.npy"
    path.write_bytes(b"\1" * path.stat().st_size)


def lose_an_array(folder):
    (folder / "test.npy").unlink()


def swap_arrays(folder):
    (folder / "test.npy").write_bytes((folder / "validation.npy").read_bytes())


def garbage_meta(folder):
    (folder / "meta.json").write_bytes(b"\xff\xfe{")


def strange_meta(folder):
    (folder / "meta.json").write_text("[1]")


def lose_meta(folder):
    (folder / "meta.json").unlink()


def file_instead(folder):
    shutil.rmtree(folder)
    folder.write_text("not a folder")


@pytest.mark.parametrize(
    "damage",
    [
        truncate,
        append,
        overwrite_in_place,
        garbage_of_the_same_size,
        lose_an_array,
        swap_arrays,
        garbage_meta,
        strange_meta,
        lose_meta,
        file_instead,
    ],
)
def test_damaged_images_are_quarantined_said_and_prepared_again(data_dir, prepared_digits, damage):
    sound = digits.load(data_dir)
    total, fingerprint = int(sound.train.images.long().sum()), sound.fingerprint
    damage(prepared_digits)
    assert digits.fingerprint(data_dir) is None and prepared_digits.exists()
    said = []
    images = digits.prepare(data_dir, log=said.append)
    assert images.fingerprint == fingerprint and int(images.train.images.long().sum()) == total
    assert "damaged" in said[0] and len(said) == 2
    aside = [entry.name for entry in prepared_digits.parent.iterdir() if entry != prepared_digits]
    assert len(aside) == 1 and aside[0].startswith("digits.damaged-") and aside[0] in said[0]
    digits.prepare(data_dir, log=said.append)
    assert len(said) == 2


def test_a_copy_of_prepared_images_is_used_and_checked_only_once(data_dir, prepared_digits, monkeypatch):
    shutil.copytree(prepared_digits, data_dir / "copy", copy_function=shutil.copy)
    shutil.rmtree(prepared_digits)
    shutil.move(data_dir / "copy", prepared_digits)
    said = []
    digits.prepare(data_dir, log=said.append)
    assert not said
    monkeypatch.setattr("study.data.prepared.hashlib.sha256", None)  # from here on, nothing can be checksummed
    assert prepared.read(prepared_digits, json.loads((prepared_digits / "meta.json").read_text())["signature"])


def test_a_read_only_data_folder_is_left_alone_and_the_users_cache_is_used(data_dir, tmp_path):
    data_dir.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        first = digits.prepare(data_dir)
        assert list(data_dir.iterdir()) == []
        assert digits.fingerprint(data_dir) == first.fingerprint
        assert [entry.name[:7] for entry in (tmp_path / "cache" / "latent-sweep").iterdir()] == ["digits-"]
    finally:
        data_dir.chmod(0o755)


def test_two_read_only_data_folders_do_not_share_a_cache(data_dir, tmp_path):
    assert prepared.places(data_dir, "mnist")[1] != prepared.places(tmp_path / "other", "mnist")[1]


def test_no_place_to_write_is_one_clear_line(data_dir, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/cache")
    data_dir.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        with pytest.raises(UserError, match="no place to write prepared images: .*read-only.*XDG_CACHE_HOME") as error:
            digits.prepare(data_dir)
    finally:
        data_dir.chmod(0o755)
    assert "\n" not in str(error.value)


def test_prepared_images_that_cannot_be_read_are_one_clear_line(data_dir, prepared_digits):
    (prepared_digits / "meta.json").unlink()
    (prepared_digits / "meta.json").symlink_to("meta.json")  # reading it fails even for root
    with pytest.raises(UserError, match="cannot read the prepared images in .*digits"):
        digits.prepare(data_dir)


def test_a_full_disk_is_one_clear_line_and_leaves_nothing_behind(data_dir, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="cannot write prepared images to .*No space left on device"):
        digits.prepare(data_dir)
    assert list((data_dir / ".prepared").iterdir()) == []


def test_a_process_killed_while_it_writes_leaves_nothing_that_looks_prepared(data_dir, tmp_path):
    write_images(tmp_path / "mine")
    script = (
        "import os, signal, sys; from study.data import folder; "
        "os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL); folder(sys.argv[1]).load(sys.argv[2])"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path / "mine", data_dir], cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    mine = folder(tmp_path / "mine")
    assert mine.fingerprint(data_dir) is None and len(mine.load(data_dir).train.images) == 6


def test_what_a_killed_process_left_is_removed_after_a_day(data_dir):
    old, young, foreign = (data_dir / ".prepared" / name for name in (".digits.1-a", ".digits.2-b", ".digits-x.1-a"))
    for left in (old, young, foreign):
        left.mkdir(parents=True)
    for left in (old, foreign):
        os.utime(left, (time.time() - 100_000,) * 2)
    digits.prepare(data_dir)
    assert [left.exists() for left in (old, young, foreign)] == [False, True, True]


@pytest.mark.long
def test_several_processes_may_prepare_the_same_at_once(data_dir, tmp_path):
    mine = folder(tmp_path / "mine")
    write_images(tmp_path / "mine", value=7)
    rounds = [data_dir / f"{before}-{number}" for number in range(8) for before in ("nothing", "damaged", "outdated")]
    for place in rounds:
        place.mkdir()
        if place.name.startswith("nothing"):
            continue
        mine.load(place)
        meta = place / ".prepared" / mine.slug / "meta.json"
        damaged = place.name.startswith("damaged")
        meta.write_text("{" if damaged else meta.read_text().replace('"signature": "', '"signature": "0'))
    command = [sys.executable, "-c", PREPARE, tmp_path / "mine", *rounds]
    running = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    results = [process.communicate(timeout=60) for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], results
    answers = {line for out, _ in results for line in out.splitlines()}
    assert len(answers) == 1 and answers.pop().startswith(mine.load(rounds[0]).fingerprint)
    for place in rounds:
        left = [entry.name for entry in (place / ".prepared").iterdir() if ".damaged-" not in entry.name]
        assert left == [mine.slug] and mine.fingerprint(place)


def test_arrays_larger_than_a_block_are_written_whole(data_dir, monkeypatch):
    monkeypatch.setattr(prepared, "ROWS", 7)
    array = np.arange(200).reshape(50, 4)
    with prepared.workspace([data_dir / "x"]) as workspace:
        rows = np.random.RandomState(0).permutation(50)
        workspace.publish({"a": (array, rows)}, "signature", {})
    assert np.array_equal(prepared.read(data_dir / "x", "signature").arrays["a"], array[rows])
