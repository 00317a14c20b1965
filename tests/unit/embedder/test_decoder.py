"""The process that decodes: hostile pictures of every format end in an answer, and in no more memory."""

import io
import os
import signal
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from services.embedder.errors import PictureRefused, TooLarge, Unreadable
from services.embedder.pictures.decoder import DecoderDied, DecoderPool, DecoderProcess
from tests.support.embedding import png
from tests.support.examples import examples
from tests.support.patience import patiently

PIXELS_MAX = 4_000_000
MEMORY = 64 << 20
Image.init()
FORMATS = sorted(Image.SAVE)
MODES = [
    "1",
    "L",
    "LA",
    "P",
    "PA",
    "RGB",
    "RGBA",
    "RGBX",
    "RGBa",
    "CMYK",
    "YCbCr",
    "LAB",
    "HSV",
    "I",
    "F",
    "I;16",
]


@pytest.fixture(scope="module")
def decoder() -> Iterator[DecoderProcess]:
    process = start()
    yield process
    process.close()


@pytest.fixture
def pool() -> Iterator[DecoderPool]:
    made = DecoderPool(1, pixels_max=PIXELS_MAX, edge=64, memory_bytes=MEMORY, timeout_s=10)
    yield made
    made.close()


def start(memory_bytes: int = MEMORY) -> DecoderProcess:
    return DecoderProcess(pixels_max=PIXELS_MAX, edge=64, memory_bytes=memory_bytes, timeout_s=30)


def status_kib(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name + ":"))


def save(size: tuple[int, int], mode: str, kind: str, **options: Any) -> bytes:
    """A picture; empty where Pillow cannot write it so."""
    buffer = io.BytesIO()
    try:
        Image.new(mode, size).save(buffer, kind, **options)
    except Exception:  # noqa: BLE001 - each plug-in refuses in its own way
        return b""
    return buffer.getvalue()


def png_claiming(width: int, height: int, depth: int = 8, colour: int = 2, body: bytes = b"") -> bytes:
    """A PNG whose header tells this size, whatever follows."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(body))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + data + chunk(b"IEND", b"")


def answers(decoder: DecoderProcess, raw: bytes) -> Image.Image | PictureRefused:
    """Whichever it is; another exception fails the test, and so does a decoder that dies."""
    try:
        return decoder.decode(raw)
    except PictureRefused as refusal:
        return refusal


def test_a_picture_comes_out_as_it_went_in(decoder: DecoderProcess) -> None:
    picture = decoder.decode(png((30, 20), colour="blue"))
    assert (picture.mode, picture.size, picture.getpixel((3, 3))) == ("RGB", (30, 20), (0, 0, 255))


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        ((1, 1_000_000), "at most 20000"),
        ((1_000_000, 1), "at most 20000"),
        ((40, 19_000), "20 times"),
        ((2001, 2000), "more than 4000000"),
        ((30_000, 30_000), "too large"),
        ((0x7FFFFFFF, 0x7FFFFFFF), "too large|no picture|more than"),
    ],
)
def test_a_shape_that_the_model_could_not_bear_is_refused(
    decoder: DecoderProcess, size: tuple[int, int], reason: str
) -> None:
    with pytest.raises((TooLarge, Unreadable), match=reason):
        decoder.decode(png_claiming(*size))


def test_what_takes_more_memory_is_refused_and_the_next_is_not() -> None:
    with closing(start(memory_bytes=12 << 20)) as decoder:
        with pytest.raises(TooLarge, match="EDDY_PICTURE_MEMORY_MB"):
            decoder.decode(save((2000, 2000), "RGBA", "PNG"))
        with pytest.raises(PictureRefused):  # unpacked several times over before Pillow has it
            decoder.decode(save((2000, 2000), "RGB", "WEBP", lossless=True))
        assert decoder.decode(png()).size == (8, 8)
        assert status_kib(decoder.pid, "VmPeak") < 128 << 10


def test_large_pictures_come_back_small(decoder: DecoderProcess) -> None:
    for kind, mode in [("PNG", "RGBA"), ("PNG", "I;16"), ("GIF", "P"), ("BMP", "RGB"), ("TIFF", "CMYK")]:
        picture = decoder.decode(save((1000, 3000), mode, kind))
        assert picture.size == (334, 1000)  # 1000 is 3 times 4 times the model's edge, and a bit


@examples(150)
@given(
    st.sampled_from(FORMATS),
    st.sampled_from(MODES),
    st.tuples(st.integers(1, 400), st.integers(1, 400)),
    st.sampled_from(["whole", "truncated", "patched", "doubled", "another's magic"]),
    st.integers(0, 2**32),
    st.binary(max_size=40),
)
def test_hostile_pictures_end_in_an_answer(  # noqa: PLR0917 - hypothesis gives them by place
    decoder: DecoderProcess, kind: str, mode: str, size: tuple[int, int], how: str, at: int, noise: bytes
) -> None:
    raw = save(size, mode, kind)
    place = at % (min(len(raw), 400) + 1)  # headers are at the beginning
    raw = {
        "whole": raw,
        "truncated": raw[: at % (len(raw) + 1)],
        "patched": raw[:place] + noise + raw[place + len(noise) :],
        "doubled": raw + raw,
        "another's magic": png()[: len(noise) % 16] + raw[len(noise) % 16 :],
    }[how]
    answer = answers(decoder, raw)
    assert isinstance(answer, Image.Image | TooLarge | Unreadable)
    assert decoder.is_alive
    assert status_kib(decoder.pid, "VmPeak") < 256 << 10


@examples(60)
@given(
    st.integers(0, 0xFFFFFFFF),
    st.integers(0, 0xFFFFFFFF),
    st.sampled_from([1, 2, 4, 8, 16, 32]),
    st.sampled_from([0, 2, 3, 4, 6, 7]),
    st.binary(max_size=200),
)
def test_headers_that_lie_end_in_an_answer(  # noqa: PLR0917 - hypothesis gives them by place
    decoder: DecoderProcess, width: int, height: int, depth: int, colour: int, body: bytes
) -> None:
    assert isinstance(answers(decoder, png_claiming(width, height, depth, colour, body)), PictureRefused)
    gif = b"GIF89a" + struct.pack("<HH", width & 0xFFFF, height & 0xFFFF) + bytes([depth, 0, 0])
    frame = b"," + struct.pack("<HHHH", 0, 0, height & 0xFFFF, width & 0xFFFF) + bytes([colour, 8]) + body
    assert isinstance(answers(decoder, gif + frame), Image.Image | PictureRefused)
    bmp = b"BM" + struct.pack(
        "<IHHIIiiHHIIiiII", 99, 0, 0, 54, 40, *_to_signed(width, height), 1, depth, *[0] * 6
    )
    assert isinstance(answers(decoder, bmp + body), Image.Image | PictureRefused)
    assert decoder.is_alive


def _to_signed(*numbers: int) -> tuple[int, ...]:
    return struct.unpack(f"<{len(numbers)}i", struct.pack(f"<{len(numbers)}I", *numbers))


def test_an_animation_is_as_large_as_its_first_frame(decoder: DecoderProcess) -> None:
    frames = [Image.new("RGB", (300, 200), (number, 0, 0)) for number in range(40)]
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        buffer = io.BytesIO()
        frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
        assert decoder.decode(buffer.getvalue()).size == (300, 200)


def test_a_picture_that_takes_too_long_is_refused() -> None:
    pool = DecoderPool(1, pixels_max=PIXELS_MAX, edge=64, memory_bytes=512 << 20, timeout_s=0.01)
    with pytest.raises(Unreadable, match=r"more than 0\.01 s"):
        pool.decode(save((2000, 2000), "RGB", "PNG"))
    pool.close()


def decoder_pid(pool: DecoderPool) -> int:
    decoder = pool._idle.get()
    pool._idle.put(decoder)
    assert decoder is not None
    return decoder.pid


def test_a_decoder_that_was_killed_is_started_anew(pool: DecoderPool) -> None:
    pool.decode(png())
    former = decoder_pid(pool)
    os.kill(former, signal.SIGKILL)
    assert pool.decode(png()).size == (8, 8)
    assert decoder_pid(pool) != former


def test_a_picture_that_kills_its_decoder_twice_is_refused_and_the_next_is_not(
    pool: DecoderPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool.decode(png())
    decode = DecoderProcess.decode

    def kill(decoder: DecoderProcess, raw: bytes) -> Image.Image:
        if raw != b"deadly":
            return decode(decoder, raw)
        os.kill(decoder.pid, signal.SIGSEGV)
        return decode(decoder, raw)

    monkeypatch.setattr(DecoderProcess, "decode", kill)
    with pytest.raises(Unreadable, match=f"signal {int(signal.SIGSEGV)}"):
        pool.decode(b"deadly")
    assert pool.decode(png()).size == (8, 8)


def test_a_decoder_that_cannot_start_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(DecoderDied):
        start()


def test_a_decoder_ends_with_whoever_started_it() -> None:
    with closing(start()) as decoder:
        decoder._requests.close()

        @patiently(10, 0.01)
        def check_ended() -> None:
            assert not decoder.is_alive

        check_ended()


def test_threads_share_the_decoders(pool: DecoderPool) -> None:
    sizes: list[tuple[int, int]] = []
    threads = [
        threading.Thread(target=lambda edge=edge: sizes.append(pool.decode(png((edge, edge))).size))
        for edge in range(1, 9)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(sizes) == [(edge, edge) for edge in range(1, 9)]
