"""Patterns that a product's surface is drawn in, as square textures."""

import math
import random
from collections.abc import Callable
from typing import Final

from PIL import Image, ImageDraw

from storefront.demo.catalogue.palette import Colour, contrast

Draw = ImageDraw.ImageDraw
Drawn = Callable[[Draw, int, Colour, random.Random], None]


def texture(pattern: str, size: int, colour: Colour, rng: random.Random) -> Image.Image:
    """A size × size RGBX picture of the pattern on the colour; its fourth band is 255."""
    image = Image.new("RGBX", (size, size), (*colour, 255))
    PATTERNS[pattern](ImageDraw.Draw(image), size, contrast(colour), rng)
    return image


def _plain(_draw: Draw, _size: int, _ink: Colour, _rng: random.Random) -> None:
    """Nothing on the ground."""


def _stripes(draw: Draw, size: int, ink: Colour, rng: random.Random) -> None:
    step = size // rng.randint(10, 14)
    for top in range(0, size, step):
        draw.rectangle((0, top, size, top + step * 2 // 5), fill=ink)


def _pinstripes(draw: Draw, size: int, ink: Colour, rng: random.Random) -> None:
    step = size // rng.randint(16, 22)
    for left in range(0, size, step):
        draw.rectangle((left, 0, left + max(1, step // 6), size), fill=ink)


def _dots(draw: Draw, size: int, ink: Colour, rng: random.Random) -> None:
    step = size // rng.randint(10, 14)
    radius = step * 0.24
    for row in range(size // step + 1):
        for column in range(size // step + 1):
            x, y = (column + 0.5 * (row % 2)) * step, row * step
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=ink)


def _checks(draw: Draw, size: int, ink: Colour, rng: random.Random) -> None:
    step = size // rng.randint(8, 11)
    width = max(1, step // 5)
    for at in range(0, size, step):
        draw.rectangle((at, 0, at + width, size), fill=ink)
        draw.rectangle((0, at, size, at + width), fill=ink)


def _zigzag(draw: Draw, size: int, ink: Colour, rng: random.Random) -> None:
    step = size // rng.randint(9, 12)
    for row in range(-1, size // step + 2):
        points = [(column * step / 2, row * step + (column % 2) * step * 0.55) for column in range(40)]
        draw.line(points, fill=ink, width=max(2, step // 5))


def _floral(draw: Draw, size: int, ink: Colour, rng: random.Random) -> None:
    for _ in range(46):
        x, y, radius = rng.uniform(0, size), rng.uniform(0, size), size * rng.uniform(0.014, 0.022)
        for petal in range(5):
            angle = 2 * math.pi * petal / 5
            px, py = x + radius * 1.3 * math.cos(angle), y + radius * 1.3 * math.sin(angle)
            draw.ellipse((px - radius, py - radius, px + radius, py + radius), fill=ink)
        draw.ellipse(
            (x - radius * 0.7, y - radius * 0.7, x + radius * 0.7, y + radius * 0.7), fill=(232, 190, 80)
        )


PATTERNS: Final[dict[str, Drawn]] = {
    "plain": _plain,
    "striped": _stripes,
    "pinstriped": _pinstripes,
    "dotted": _dots,
    "checked": _checks,
    "zigzag": _zigzag,
    "floral": _floral,
}
