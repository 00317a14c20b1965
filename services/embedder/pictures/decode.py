"""Bytes into a picture: RGB, upright, its first frame; limited in pixels before anything is unpacked."""

import io
import warnings
from typing import Final

from PIL import Image, ImageOps

from services.embedder.errors import TooLarge, Unreadable

FORMATS: Final = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
PAPER: Final = (255, 255, 255)  # behind transparent pictures, as shops show them
MODES_WITH_ALPHA: Final = ("RGBA", "LA", "PA", "RGBa", "La")


def decode_picture(raw: bytes, *, pixels_max: int, edge: int) -> Image.Image:
    """The picture in RGB. `edge` is what the model looks at: a JPEG is unpacked at no more than it needs.

    Raises TooLarge and Unreadable.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata; we have a limit of our own
            with Image.open(io.BytesIO(raw), formats=FORMATS) as picture:
                width, height = picture.size
                if width * height > pixels_max:
                    raise TooLarge(f"the picture has {width} × {height} pixels, more than {pixels_max}")
                picture.draft("RGB", (2 * edge, 2 * edge))
                return _rgb(ImageOps.exif_transpose(picture))
    except TooLarge:
        raise
    except Image.DecompressionBombError as error:
        raise TooLarge(f"the picture is too large: {error}") from None
    except Exception as error:  # noqa: BLE001 - decoders raise nearly everything on crafted bytes
        raise Unreadable(f"the bytes are no picture that can be read: {error}") from None


def _rgb(picture: Image.Image) -> Image.Image:
    """Transparency onto paper; palettes, grey, CMYK and 16 bit into RGB."""
    if picture.mode in MODES_WITH_ALPHA or "transparency" in picture.info:
        sheet = Image.new("RGBA", picture.size, (*PAPER, 255))
        sheet.alpha_composite(picture.convert("RGBA"))
        return sheet.convert("RGB")
    if picture.mode.startswith("I;16"):
        return picture.point(lambda value: value / 256).convert("L").convert("RGB")
    return picture.convert("RGB")
