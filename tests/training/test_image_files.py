"""A picture of a study that somebody sent is a PNG of a picture's size, or it is none."""

import zlib

import pytest
from PIL import Image

from study.mlflow_view import image_cards
from study.training.image_files import opened, size

POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"


def chunk(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)


def huge(side: int) -> bytes:
    """A small PNG that unpacks to side x side pixels."""
    rows = zlib.compress(bytes(side // 8 + 1) * 8) * 1
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", side.to_bytes(4) * 2 + b"\x01\0\0\0\0") + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("content", [POSTSCRIPT, huge(5_000), huge(100_000), b"", b"\x89PNG\r\n\x1a\n", b"private"], ids=range(6))
def test_what_is_no_picture_of_a_trial_is_not_opened_and_becomes_no_card(tmp_path, content):
    path = tmp_path / "samples-00000.png"
    path.write_bytes(content)
    assert size(path) is None and opened(path) is None
    image_cards.add(path, tmp_path, "samples", 0)
    assert list(tmp_path.iterdir()) == [path]


def test_a_picture_cut_short_is_none_and_a_whole_one_is_opened(tmp_path):
    path = tmp_path / "samples-00000.png"
    Image.effect_noise((600, 300), 90).save(path)
    assert size(path) == (600, 300) and opened(path).mode == "RGB"
    path.write_bytes(path.read_bytes()[:9000])
    assert opened(path) is None
