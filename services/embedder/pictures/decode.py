"""Bytes into a picture: RGB, upright, its first frame, no larger than the model needs.

Memory is bounded before anything is unpacked: by the pixels, edges and shape that the header tells. What a
header hides is bounded by the memory and the time of the process that this runs in (`decoder`).
"""

import io
import warnings
from math import ceil, sqrt
from typing import Final

from PIL import Image, ImageOps

from services.embedder.errors import TooLarge, Unreadable

FORMATS: Final = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
PAPER: Final = (255, 255, 255)  # behind transparent pictures, as shops show them
MODES_WITH_ALPHA: Final = ("RGBA", "LA", "PA", "RGBa", "La")
ORIENTATION: Final = 0x0112  # EXIF
EDGE_MAX: Final = 20_000  # pixels
ASPECT_MAX: Final = 20  # models scale the shorter edge to theirs: of 1 × 1,000,000 they would make gigabytes
DRAFT: Final = 2  # a JPEG is unpacked at no less than so many times the model's edge
GAP: Final = 4  # other pictures keep so many, for the model's own, finer scaling
KEPT_PIXELS: Final = 1 << 22  # of any picture that is handed on
BAND_PIXELS: Final = (
    1 << 20
)  # converted at a time: copies of a whole picture would take several times its memory


def decode_picture(raw: bytes, *, pixels_max: int, edge: int) -> Image.Image:
    """The picture in RGB. `edge` is what the model looks at; much larger pictures are made smaller.

    Raises TooLarge and Unreadable.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata; we have limits of our own
            with Image.open(io.BytesIO(raw), formats=FORMATS) as picture:
                _check_size(picture.size, pixels_max)
                picture.draft("RGB", (DRAFT * edge, DRAFT * edge))
                picture.load()
                _check_size(
                    picture.size, pixels_max
                )  # GIF frames and turned TIFFs may differ from the header
                orientation = picture.getexif().get(ORIENTATION, 1)
                small = _reduce(picture, edge)
        small.getexif()[ORIENTATION] = orientation
        return ImageOps.exif_transpose(small)
    except TooLarge:
        raise
    except Image.DecompressionBombError as error:
        raise TooLarge(f"the picture is too large: {error}") from None
    except MemoryError:
        raise TooLarge("the picture takes more memory than EDDY_PICTURE_MEMORY_MB allows") from None
    except Exception as error:  # noqa: BLE001 - decoders raise nearly everything on crafted bytes
        raise Unreadable(f"the bytes are no picture that can be read: {error}") from None


def _check_size(size: tuple[int, int], pixels_max: int) -> None:
    width, height = size
    if width * height > pixels_max:
        raise TooLarge(f"the picture has {width} × {height} pixels, more than {pixels_max}")
    if max(size) > EDGE_MAX or max(size) > ASPECT_MAX * min(size):
        raise TooLarge(
            f"the picture has {width} × {height} pixels: an edge has at most {EDGE_MAX}, and at most "
            f"{ASPECT_MAX} times as many as the other"
        )


def _reduce(picture: Image.Image, edge: int) -> Image.Image:
    """In RGB, by a whole factor smaller where it is much larger than the model's edge; band by band."""
    width, height = picture.size
    factor = max(1, min(width, height) // (GAP * edge), ceil(sqrt(width * height / KEPT_PIXELS)))
    if factor == 1 and width * height <= BAND_PIXELS:
        return _rgb(picture)
    small = Image.new("RGB", (-(-width // factor), -(-height // factor)))
    rows = max(1, BAND_PIXELS // (width * factor)) * factor
    for top in range(0, height, rows):
        band = _rgb(picture.crop((0, top, width, min(top + rows, height))))
        small.paste(band.reduce(factor) if factor > 1 else band, (0, top // factor))
    return small


def _rgb(picture: Image.Image) -> Image.Image:
    """Transparency onto paper; palettes, grey, CMYK and 16 bit into RGB."""
    if picture.mode in MODES_WITH_ALPHA or "transparency" in picture.info:
        sheet = Image.new("RGBA", picture.size, (*PAPER, 255))
        sheet.alpha_composite(picture.convert("RGBA"))
        return sheet.convert("RGB")
    if picture.mode.startswith("I;16"):
        return picture.point(lambda value: value / 256).convert("L").convert("RGB")
    return picture.convert("RGB")
