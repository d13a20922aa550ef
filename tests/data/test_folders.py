"""A user's own images: every layout that is described is read, and everything else is named."""

import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from study.data import decoding, folder, named
from study.errors import UserError

SPLITS = ("train", "validation", "test")


@pytest.fixture
def mine(tmp_path):
    return tmp_path / "mine"


def draw(path, count=5, first=0, size=(12, 12), mode="RGB", suffix="png"):
    """Plain images; the first channel holds the image's own number, so that it can be followed."""
    path.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        colour = (number, 100, 200)[: len(mode.replace("L", "x"))] if mode == "RGB" else number
        Image.new(mode, size, colour).save(path / f"{number:03}.{suffix}")


def prepare(path, data_dir, **options):
    said = []
    return folder(path).prepare(data_dir, log=said.append, **options), said


def numbers(split):
    return sorted(split.images[:, 0].amax((1, 2)).tolist())


def sizes(images):
    return [len(getattr(images, name).images) for name in SPLITS]


def refusal(path, data_dir, **options):
    with pytest.raises(UserError) as error:
        prepare(path, data_dir, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


# Layouts


def test_classes_with_a_test_folder_give_a_fifth_of_training_to_validation(mine, data_dir):
    draw(mine / "train" / "cat", 10), draw(mine / "train" / "dog", 20, 10)
    draw(mine / "test" / "dog", 3, 50), draw(mine / "test" / "cat", 2, 60)
    images, _ = prepare(mine, data_dir)
    assert sizes(images) == [24, 6, 5] and images.classes == ("cat", "dog") and images.shape == (3, 12, 12)
    assert torch.bincount(images.validation.labels).tolist() == [2, 4]
    for name in SPLITS:
        split = getattr(images, name)
        is_dog = [10 <= number < 60 for number in split.images[:, 0, 0, 0].tolist()]
        assert split.labels.tolist() == [int(dog) for dog in is_dog]


def test_classes_without_a_test_folder_are_divided_60_20_20(mine, data_dir):
    draw(mine / "train" / "cat", 10), draw(mine / "train" / "dog", 20, 10)
    images, _ = prepare(mine, data_dir)
    assert sizes(images) == [18, 6, 6]
    assert [torch.bincount(getattr(images, name).labels).tolist() for name in SPLITS] == [[6, 12], [2, 4], [2, 4]]
    assert sorted(number for name in SPLITS for number in numbers(getattr(images, name))) == list(range(30))


@pytest.mark.parametrize(
    "inside, test, expected", [("", False, [6, 2, 2]), ("train", False, [6, 2, 2]), ("train", True, [8, 2, 4])]
)
def test_images_without_classes_have_no_labels(mine, data_dir, inside, test, expected):
    draw(mine / inside, 10)
    if test:
        draw(mine / "test", 4, 50)
    images, _ = prepare(mine, data_dir)
    assert sizes(images) == expected and images.classes == ()
    assert [getattr(images, name).labels for name in SPLITS] == [None] * 3
    assert images.to("cpu").train.labels is None
    seen = [number for name in SPLITS for number in numbers(getattr(images, name))]
    assert sorted(seen) == [*range(10), *([50, 51, 52, 53] if test else [])]


def test_other_files_are_left_out_and_said_so_once(mine, data_dir):
    draw(mine / "train" / "cat", 5), draw(mine / "train" / "dog", 5, 10), draw(mine / "val" / "cat", 5, 20)
    (mine / "train" / "cat" / "notes.txt").write_text("x")
    (mine / "train" / ".DS_Store").write_text("x")
    images, said = prepare(mine, data_dir)
    assert sizes(images) == [6, 2, 2]
    assert "2 files or folders that are not images left out" in said[0] and len(said) == 2


@pytest.mark.parametrize("suffix", ["jpg", "JPEG", "png", "webp", "bmp", "gif", "tiff", "ppm"])
def test_every_usual_format_is_read(mine, data_dir, suffix):
    draw(mine, 4, suffix=suffix)
    assert sizes(prepare(mine, data_dir)[0]) == [2, 1, 1]


# Sizes and colours


def test_squares_of_one_size_are_kept_as_they_are(mine, data_dir):
    draw(mine, 5, size=(160, 160))
    images, said = prepare(mine, data_dir)
    assert images.shape == (3, 160, 160) and len(said) == 1


def test_mixed_sizes_become_squares_of_the_median_short_side_and_that_is_said_once(mine, data_dir):
    draw(mine, 3, size=(20, 10)), draw(mine, 3, 10, size=(14, 14)), draw(mine, 3, 20, size=(30, 40))
    images, said = prepare(mine, data_dir)
    assert images.shape == (3, 14, 14)
    assert sum("14 x 14 to 30 x 40" in line or "resized and cropped" in line for line in said) == 1 and len(said) == 2


@pytest.mark.parametrize("size", [(300, 300), (200, 161), (161, 500)])
def test_large_images_become_squares_of_160(mine, data_dir, size):
    draw(mine, 3, size=size)
    assert prepare(mine, data_dir)[0].shape == (3, 160, 160)


def test_the_crop_is_the_centre_and_nothing_is_stretched(mine, data_dir):
    mine.mkdir()
    picture = np.zeros((30, 90, 3), np.uint8)
    picture[:, 30:60, 1] = 255
    picture[:, :30, 0] = picture[:, 60:, 2] = 255
    for number in range(3):
        Image.fromarray(picture).save(mine / f"{number}.png")
        Image.fromarray(picture.transpose(1, 0, 2)).save(mine / f"{number}-upright.png")
    images, _ = prepare(mine, data_dir)
    assert images.shape == (3, 30, 30)
    assert (images.train.images == torch.tensor([0, 255, 0])[:, None, None]).all()


def test_a_photograph_is_turned_as_its_camera_says(mine, data_dir):
    mine.mkdir()
    picture = np.zeros((10, 10, 3), np.uint8)
    picture[:5] = 255
    turned = Image.Exif()
    turned[274] = 3  # Orientation: upside down
    for number in range(3):
        Image.fromarray(picture).save(mine / f"{number}.png", exif=turned)
    images, _ = prepare(mine, data_dir)
    assert images.train.images[:, :, 0].max() == 0 and images.train.images[:, :, 9].min() == 255


def test_grey_images_stay_grey_unless_one_has_colours(mine, data_dir):
    draw(mine, 6, mode="L")
    assert prepare(mine, data_dir)[0].shape == (1, 12, 12)
    draw(mine, 1, 50)
    images, _ = prepare(mine, data_dir)
    assert images.shape == (3, 12, 12)
    everything = torch.cat([getattr(images, name).images for name in SPLITS])
    assert sum(bool((image == image[0]).all()) for image in everything) == 6


@pytest.mark.parametrize("mode", ["1", "LA", "P", "RGBA", "CMYK"])
def test_every_mode_becomes_grey_or_colour(mine, data_dir, mode):
    mine.mkdir()
    for number in range(3):
        Image.new("RGB", (9, 9), (200, 10, 10)).convert(mode).save(mine / f"{number}.{'tiff' if mode == 'CMYK' else 'png'}")
    images, _ = prepare(mine, data_dir)
    assert images.shape == ((1 if mode in ("1", "LA") else 3), 9, 9) and images.levels == 256
    if images.shape[0] == 3:
        assert images.train.images[:, 0].min() > 150 and images.train.images[:, 1].max() < 60


def test_more_than_8_bits_are_refused_rather_than_clipped(mine, data_dir):
    draw(mine, 4, mode="L")
    Image.fromarray(np.full((12, 12), 40_000, np.uint16)).save(mine / "deep.png")
    assert "deep.png (more than 8 bits per channel)" in refusal(mine, data_dir)


# Bad folders


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda mine: None, "there is no folder"),
        (lambda mine: mine.write_text("x"), "cannot read .*Not a directory"),
        (lambda mine: mine.mkdir(), "holds no images"),
        (lambda mine: (mine / "train").mkdir(parents=True), "train holds no images"),
        (lambda mine: (draw(mine / "train"), (mine / "test").mkdir()), "test holds no images"),
        (lambda mine: draw(mine / "test"), "a folder test but no folder train"),
        (lambda mine: (draw(mine / "train" / "cat"), (mine / "train" / "dog").mkdir()), "train/dog holds no images"),
        (lambda mine: (draw(mine / "train" / "cat"), draw(mine / "train")), "both images and folders of images"),
        (lambda mine: (draw(mine / "train" / "cat"), draw(mine / "test" / "dgo", 5, 10)), "test has a class 'dgo', train has not"),
        (lambda mine: (draw(mine / "train"), draw(mine / "test" / "dog", 5, 10)), "test has a class 'dog', train has not"),
        (lambda mine: (draw(mine / "train" / "cat"), draw(mine / "test", 5, 10)), "test has images outside classes"),
        (lambda mine: draw(mine, 2), "too few to divide"),
        (lambda mine: (draw(mine / "train", 1), draw(mine / "test", 5, 10)), "too few to divide"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused_in_one_line(mine, data_dir, build, message):
    build(mine)
    assert re.search(message, refusal(mine, data_dir))
    assert not any((data_dir / ".prepared").glob("*"))


def test_a_path_ending_in_binarised_that_does_not_exist_gets_a_hint(data_dir):
    with pytest.raises(UserError, match='there is no folder /nowhere/faces .*"/" at its end'):
        named("folder:/nowhere/faces-binarised").prepare(data_dir)


def test_three_images_are_enough(mine, data_dir):
    draw(mine, 3)
    assert sizes(prepare(mine, data_dir)[0]) == [1, 1, 1]


@pytest.mark.parametrize("damage", [lambda raw: raw[: len(raw) // 2], lambda raw: b"", lambda raw: b"garbage" * 30])
def test_damaged_images_are_counted_and_the_first_few_named(mine, data_dir, damage):
    rng = np.random.RandomState(0)
    for kind in ("cat", "dog"):
        (mine / "train" / kind).mkdir(parents=True)
        for number in range(10):
            noise = Image.fromarray(rng.randint(0, 255, (32, 32, 3), np.uint8))
            noise.save(mine / "train" / kind / f"{number}.jpg")
    for number in range(5):
        path = mine / "train" / "cat" / f"{number}.jpg"
        path.write_bytes(damage(path.read_bytes()))
    message = refusal(mine, data_dir)
    assert "5 images cannot be read" in message and "and 2 more" in message and "--skip-corrupt" in message
    assert [f"cat/{number}.jpg" in message for number in range(5)] == [True, True, True, False, False]
    assert not any((data_dir / ".prepared").glob("*"))


def test_damaged_images_are_left_out_when_asked_and_labels_still_fit(mine, data_dir, monkeypatch):
    monkeypatch.setattr(decoding, "BLOCK", 4)  # several blocks
    draw(mine / "train" / "cat", 10), draw(mine / "train" / "dog", 10, 100), draw(mine / "test" / "cat", 3, 50)
    draw(mine / "test" / "dog", 3, 150)
    for name in ("train/cat/002", "train/cat/003", "train/dog/101", "test/cat/050"):
        (mine / f"{name}.png").write_bytes(b"")
    images, said = prepare(mine, data_dir, skip_corrupt=True)
    assert "4 images cannot be read" in said[0] and said[0].endswith("left out") and len(said) == 2
    assert sizes(images) == [13, 4, 5]
    for name in SPLITS:
        split = getattr(images, name)
        assert torch.equal(split.labels, (split.images[:, 0, 3, 3] >= 100).long())
    assert folder(mine).load(data_dir).fingerprint == images.fingerprint


def test_a_folder_of_damaged_images_only_is_refused_even_when_skipping(mine, data_dir):
    mine.mkdir()
    for number in range(4):
        (mine / f"{number}.png").write_bytes(b"")
    assert "4 images cannot be read" in refusal(mine, data_dir, skip_corrupt=True)


def test_a_link_that_leads_nowhere_is_an_image_that_cannot_be_read(mine, data_dir):
    draw(mine, 5)
    (mine / "gone.png").symlink_to(mine / "nowhere.png")
    assert "gone.png" in refusal(mine, data_dir)


# Files that are no image for us


def png(width, height, kind=0, compressed=b"") -> bytes:
    """A PNG of 8 bits per channel, grey (kind 0) or RGBA (6)."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", compressed) + chunk(b"IEND", b"")


def zeros(rows, length) -> bytes:
    """So many rows of a black PNG, compressed a thousandfold."""
    compressor = zlib.compressobj(9)
    return b"".join(compressor.compress(bytes(1 + length)) for _ in range(rows)) + compressor.flush()


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 12 12\n%%EndComments\nshowpage\n"
TOO_LARGE = {
    "x.png": png(13_000, 13_000),
    "x.ppm": b"P6 13000 13000 255 ",
    "x.bmp": b"BM" + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, 13_000, 13_000, 1, 24, 0, 0, 0, 0, 0, 0),
    "x.gif": b"GIF89a"
    + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0)
    + b","
    + struct.pack("<HHHHB", 0, 0, 1, 1, 0)
    + b"\2\2\x44\1\0;",
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_an_image_of_too_many_pixels_is_refused_by_its_header(mine, data_dir, name):
    draw(mine, 5)
    (mine / name).write_bytes(TOO_LARGE[name])
    assert f"{name} (more than 134,217,728 pixels: make it smaller)" in refusal(mine, data_dir)
    assert sizes(prepare(mine, data_dir, skip_corrupt=True)[0]) == [3, 1, 1]


def test_postscript_is_no_image_whatever_it_is_called(mine, data_dir):
    draw(mine, 5)
    (mine / "x.png").write_bytes(POSTSCRIPT)
    assert "x.png (not an image in JPEG, PNG, WEBP, BMP, GIF, TIFF or PPM)" in refusal(mine, data_dir)
    assert sizes(prepare(mine, data_dir, skip_corrupt=True)[0]) == [3, 1, 1]


def test_an_image_may_be_named_after_another_format(mine, data_dir):
    draw(mine, 4, suffix="jpg")
    (mine / "000.jpg").rename(mine / "other.png")
    assert sizes(prepare(mine, data_dir)[0]) == [2, 1, 1]


def test_several_pictures_in_one_file_count_as_the_first(mine, data_dir):
    mine.mkdir()
    for number, suffix in enumerate(("gif", "webp", "png", "tiff", "jpg")):
        first, *more = (Image.new("L", (12, 12), value) for value in (10 + number, 200, 250))
        first.save(
            mine / f"x.{suffix}",
            save_all=True,
            append_images=more,
            **{"jpg": {"format": "MPO"}, "webp": {"lossless": True}}.get(suffix, {}),
        )
    images, _ = prepare(mine, data_dir)
    assert sorted(value for name in SPLITS for value in numbers(getattr(images, name))) == [10, 11, 12, 13, 14]


def pipe(path):
    os.mkfifo(path)


def listener(path):
    with socket.socket(socket.AF_UNIX) as open_socket:
        open_socket.bind(str(path))


def device(path):
    try:
        os.mknod(path, 0o20600, os.makedev(1, 5))  # /dev/zero, which has no end
    except PermissionError:
        pytest.skip("only root can make a device")


@pytest.mark.parametrize("make", [pipe, listener, device])
def test_what_is_no_file_is_never_opened(mine, data_dir, make):
    draw(mine, 5)
    make(mine / "x.png")
    assert "x.png (no regular file but" in refusal(mine, data_dir)
    assert sizes(prepare(mine, data_dir, skip_corrupt=True)[0]) == [3, 1, 1]


@pytest.mark.parametrize(
    "build",
    [
        lambda mine, outside: (mine / "train" / "cat" / "x.png").symlink_to(outside / "000.png"),
        lambda mine, outside: (mine / "train" / "cat" / "x.png").symlink_to(outside / "gone.png"),
        lambda mine, outside: (mine / "train" / "x").symlink_to(outside),
        lambda mine, outside: (mine / "train" / "cat" / "x").symlink_to(outside),
        lambda mine, outside: (mine / "train" / "x").symlink_to(mine / "train" / "cat"),
        lambda mine, outside: (mine / "train" / "x").symlink_to(".."),
        lambda mine, outside: (mine / "train" / "cat" / "x").symlink_to("."),
        lambda mine, outside: (mine / "test").symlink_to("train"),
        lambda mine, outside: (mine / "test").symlink_to(outside.parent),
    ],
)
def test_a_link_out_of_the_folder_or_to_a_folder_is_refused_even_when_skipping(tmp_path, mine, data_dir, build):
    draw(mine / "train" / "cat", 5), draw(tmp_path / "outside" / "cat", 5)
    build(mine, tmp_path / "outside" / "cat")
    message = refusal(mine, data_dir, skip_corrupt=True)
    assert re.match(f"{mine}/(train/x|train/cat/x|train/cat/x.png|test) is a link to .*only links to files inside", message)


def test_a_link_in_circles_is_named(mine, data_dir):
    draw(mine, 5)
    (mine / "x.png").symlink_to("x.png")
    assert "x.png: Too many levels of symbolic links" in refusal(mine, data_dir)


def test_links_inside_the_folder_and_one_to_it_are_followed(tmp_path, mine, data_dir):
    draw(mine, 4)
    (mine / "other.png").symlink_to("000.png")
    (tmp_path / "link").symlink_to(mine)
    assert sizes(prepare(tmp_path / "link", data_dir)[0]) == [3, 1, 1]


MEASURE = """
import resource, sys
from study.data import decoding
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
images, readable, _ = decoding.decode(sys.argv[2:], 32, False, sys.argv[1])
print(readable.sum(), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def decoded_in(paths, scratch) -> tuple[int, int]:
    """How many of the files can be read, and the MB of memory that took."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, scratch, *paths],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(decoding.__file__).parents[2],
    )
    return tuple(map(int, done.stdout.split()))


@pytest.mark.long
def test_memory_stays_bounded_whatever_is_decoded_at_a_time(tmp_path):
    (tmp_path / "bomb.png").write_bytes(png(13_000, 13_000, 0, zeros(13_000, 13_000)))
    assert decoded_in([tmp_path / "bomb.png"] * 8, tmp_path / "scratch")[0] == 0
    (tmp_path / "largest.png").write_bytes(png(11_585, 11_585, 6, zeros(11_585, 4 * 11_585)))  # RGBA, to be made RGB
    count, megabytes = decoded_in([tmp_path / "largest.png"] * 3, tmp_path / "scratch")
    assert count == 3 and megabytes < 1_300  # 2 x 4 bytes a pixel of one image at a time
    Image.new("RGB", (11_648, 8_736), (9, 99, 199)).save(tmp_path / "camera.jpg")  # 102 million pixels
    count, megabytes = decoded_in([tmp_path / "camera.jpg"] * 3, tmp_path / "scratch")
    assert count == 3 and megabytes < 100


@pytest.mark.parametrize("name", ["a b", "..hidden", "$(x)", "étage", "new\nline", os.fsdecode(b"\xff\xfe")])
def test_odd_folder_and_class_names_are_only_names(tmp_path, data_dir, name):
    draw(tmp_path / name / "train" / f"x{name}", 5), draw(tmp_path / name / "train" / "plain", 5, 10)
    images, _ = prepare(tmp_path / name, data_dir)
    assert images.classes == tuple(sorted((f"x{name}", "plain")))
    assert [entry.name for entry in (data_dir / ".prepared").iterdir()] == [folder(tmp_path / name).slug]


def test_the_data_folder_may_be_the_folder_of_images_itself(mine):
    draw(mine, 6)
    assert prepare(mine, mine)[0].fingerprint == folder(mine).fingerprint(mine) == folder(mine).load(mine).fingerprint


def test_a_real_folder_of_photographs_is_read(tmp_path, data_dir):
    if not os.environ.get("STUDY_DATA"):
        pytest.skip("STUDY_DATA names no folder of real data")
    source = Path(os.environ["STUDY_DATA"]).resolve() / "cifar10-folder"
    for kind in source.glob("*/*"):
        target = tmp_path / "some" / kind.relative_to(source)
        target.mkdir(parents=True)
        for image in sorted(kind.iterdir())[:20]:
            shutil.copy(image, target)
    images, _ = prepare(tmp_path / "some", data_dir)
    assert sizes(images) == [160, 40, 200] and images.shape == (3, 32, 32) and len(images.classes) == 10
    first = sorted((source / "test" / "airplane").iterdir())[0]
    with Image.open(first) as image:
        wanted = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    assert (images.test.images == wanted).flatten(1).all(1).any()
