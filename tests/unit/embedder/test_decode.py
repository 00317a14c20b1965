"""Bytes into pictures."""

import io
import struct
import zlib
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from services.embedder.errors import TooLarge, Unreadable
from services.embedder.pictures.decode import decode_picture
from tests.support.embedding import png

LIMIT = 1_000_000


def read(raw: bytes) -> Image.Image:
    return decode_picture(raw, pixels_max=LIMIT, edge=64)


@pytest.mark.parametrize(
    ("mode", "colour", "kind", "seen"),
    [
        ("RGB", "red", "PNG", (255, 0, 0)),
        ("RGB", "red", "WEBP", (255, 0, 0)),
        ("RGB", "red", "JPEG", (255, 0, 0)),
        ("RGB", "red", "GIF", (255, 0, 0)),
        ("RGBA", (255, 0, 0, 0), "PNG", (255, 255, 255)),
        ("RGBA", (255, 0, 0, 128), "PNG", (255, 127, 127)),
        ("LA", (0, 0), "PNG", (255, 255, 255)),
        ("L", 10, "PNG", (10, 10, 10)),
        ("1", 1, "PNG", (255, 255, 255)),
        ("I;16", 32_768, "PNG", (128, 128, 128)),
        ("CMYK", (0, 255, 255, 0), "JPEG", (255, 0, 0)),
        ("CMYK", (0, 255, 255, 0), "TIFF", (255, 0, 0)),
    ],
)
def test_every_mode_becomes_rgb(mode: str, colour: Any, kind: str, seen: tuple[int, int, int]) -> None:
    picture = read(png((16, 16), mode, colour, kind))
    assert picture.mode == "RGB"
    pixel = picture.getpixel((8, 8))
    assert isinstance(pixel, tuple)
    assert pixel == pytest.approx(seen, abs=3)


def test_a_palette_with_transparency_lies_on_paper() -> None:
    image = Image.new("P", (8, 8), 0)
    image.putpalette([255, 0, 0, 0, 255, 0])
    buffer = io.BytesIO()
    image.save(buffer, "PNG", transparency=0)
    assert read(buffer.getvalue()).getpixel((4, 4)) == (255, 255, 255)


def test_a_picture_is_turned_upright() -> None:
    image = Image.new("RGB", (40, 20), "white")
    image.paste("red", (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90°
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", exif=exif, quality=95)
    upright = read(buffer.getvalue())
    assert upright.size == (20, 40)
    assert upright.getpixel((10, 5)) == pytest.approx((254, 0, 0), abs=6)


def test_of_an_animation_the_first_frame_counts() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    assert read(buffer.getvalue()).getpixel((4, 4)) == (255, 0, 0)


def test_a_large_jpeg_is_unpacked_at_what_the_model_needs() -> None:
    picture = read(png((800, 800), kind="JPEG"))
    assert 128 <= picture.size[0] < 800


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    with pytest.raises(TooLarge):
        read(bomb)
    with pytest.raises(TooLarge, match="1100 × 1000"):
        read(png((1100, 1000)))


@pytest.mark.parametrize(
    "raw", [b"", b"no picture", b"<svg/>", png()[:45], b"%PDF-1.4", b"%!PS-Adobe-3.0 EPSF-3.0\n"]
)
def test_what_is_no_picture_is_unreadable(raw: bytes) -> None:
    with pytest.raises(Unreadable):
        read(raw)


KINDS = ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"]


@given(st.binary(max_size=300), st.sampled_from(KINDS), st.integers(0, 80))
def test_crafted_bytes_never_raise_anything_else(noise: bytes, kind: str, at: int) -> None:
    raw = png((8, 8), kind=kind)
    with suppress(TooLarge, Unreadable):
        read(raw[:at] + noise + raw[at + len(noise) :])
