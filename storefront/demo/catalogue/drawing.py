"""Draws one product: parts in colour and pattern, a soft light from the left, a shadow on the ground."""

import math
import random
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from storefront.demo.catalogue import clothes, things
from storefront.demo.catalogue.palette import BACKDROPS, COLOURS, Colour, shade
from storefront.demo.catalogue.patterns import texture
from storefront.demo.catalogue.shapes import Part, Role

SHAPES = clothes.SHAPES | things.SHAPES
SUPERSAMPLING = 2
MARGIN = 4 * SUPERSAMPLING  # Lanczos looks three pixels far

Box = tuple[int, int, int, int]  # left, top, right, bottom


@dataclass(frozen=True, slots=True)
class Look:
    """What a product looks like."""

    shape: str
    colour: str
    pattern: str


def draw(look: Look, size: int, rng: random.Random) -> Image.Image:
    """A size × size RGB picture. Equal looks and equal generators give equal pictures."""
    return draw_both(look, size, rng)[0]


def draw_both(look: Look, size: int, rng: random.Random) -> tuple[Image.Image, Image.Image]:
    """The picture, and the same at twice its size: that is how it is drawn.

    What is neither product nor shadow is plain ground: most of the work is done in the box around both.
    """
    side = size * SUPERSAMPLING
    colour = _varied(COLOURS[look.colour], rng)
    ground = rng.choice(BACKDROPS)
    place = _Placement(side, rng)
    # The fourth band is the outline: 255 where there is product, so that one turn turns both.
    product = Image.new("RGBX", (side, side), (*ground, 0))
    surface = texture(look.pattern, side, colour, rng)
    for part in SHAPES[look.shape]:
        if part.role == "main" and look.pattern != "plain":
            mask = Image.new("L", (side, side), 0)
            place.trace(part, mask, 255)
            box = mask.getbbox() or (0, 0, 1, 1)
            product.paste(surface.crop(box), box, mask=mask.crop(box))
        else:
            place.trace(part, product, _ink(part.role, colour))
    turned, at = place.turned(product)
    lit = ImageChops.multiply(turned, _light(side).crop(at))
    outline = Image.new("L", (side, side), 0)
    outline.paste(lit.getchannel("X"), at)
    shadow = _shadow(outline)
    box = _around(at, shadow.getbbox() or at, side)
    picture = Image.new("RGB", (box[2] - box[0], box[3] - box[1]), ground)
    picture.paste(shade(ground, 0.45), mask=shadow.crop(box))
    picture.paste(lit.convert("RGB"), (at[0] - box[0], at[1] - box[1]), mask=lit.getchannel("X"))
    smaller = picture.resize(
        (picture.width // SUPERSAMPLING, picture.height // SUPERSAMPLING), Image.Resampling.LANCZOS
    )
    whole, large = Image.new("RGB", (size, size), ground), Image.new("RGB", (side, side), ground)
    whole.paste(smaller, (box[0] // SUPERSAMPLING, box[1] // SUPERSAMPLING))
    large.paste(picture, (box[0], box[1]))
    return whole, large


def _varied(colour: Colour, rng: random.Random) -> Colour:
    red, green, blue = (max(0, min(255, part + rng.randint(-12, 12))) for part in colour)
    return (red, green, blue)


def _ink(role: Role, colour: Colour) -> tuple[int, int, int, int]:
    """What a plain part is drawn in; the fourth band says that it is product."""
    plain = {
        "main": colour,
        "trim": shade(colour, 0.72),
        "light": shade(colour, 1.72),
        "dark": shade(colour, 0.34),
        "leaf": (86, 134, 84),
    }[role]
    return (*plain, 255)


class _Placement:
    """Puts unit coordinates onto the picture, not quite straight, as hands place things."""

    def __init__(self, side: int, rng: random.Random) -> None:
        self._side = side
        self._scale = rng.uniform(0.80, 0.90)
        self._left = (1 - self._scale) / 2 + rng.uniform(-0.02, 0.02)
        self._top = (1 - self._scale) / 2 + rng.uniform(-0.02, 0.02)
        self._angle = rng.uniform(-4, 4)

    def trace(self, part: Part, on: Image.Image, ink: int | tuple[int, ...]) -> None:
        """Draws a part."""
        pen = ImageDraw.Draw(on)
        points = [self._placed(x, y) for x, y in part.points]
        unit = self._side * self._scale
        if part.kind == "polygon":
            pen.polygon(points, fill=ink)
            pen.line([*points, points[0]], fill=ink, width=int(0.02 * unit), joint="curve")
        elif part.kind == "ellipse":
            pen.ellipse([points[0], points[1]], fill=ink)
        elif part.kind == "rounded":
            pen.rounded_rectangle([points[0], points[1]], radius=part.width * unit, fill=ink)
        else:
            pen.line(points, fill=ink, width=max(1, int(part.width * unit)), joint="curve")

    def turned(self, picture: Image.Image) -> tuple[Image.Image, Box]:
        """What there is of the product, turned about the middle of the picture, and where that is."""
        left, top, right, bottom = picture.getchannel("X").getbbox() or (0, 0, 1, 1)
        middle, angle = self._side / 2, math.radians(self._angle)
        cos, sin = math.cos(angle), math.sin(angle)
        corners = [(x - middle, y - middle) for x in (left, right) for y in (top, bottom)]
        across = [middle + cos * x + sin * y for x, y in corners]
        down = [middle - sin * x + cos * y for x, y in corners]
        at = _clipped(min(across) - 2, min(down) - 2, max(across) + 2, max(down) + 2, self._side)
        matrix = (
            *(cos, -sin, middle - cos * (middle - at[0]) + sin * (middle - at[1])),
            *(sin, cos, middle - sin * (middle - at[0]) - cos * (middle - at[1])),
        )
        size = (at[2] - at[0], at[3] - at[1])
        return picture.transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR), at

    def _placed(self, x: float, y: float) -> tuple[float, float]:
        return (self._left + x * self._scale) * self._side, (self._top + y * self._scale) * self._side


@cache
def _light(side: int) -> Image.Image:
    """Brighter to the upper left: what a studio's lamp does. The fourth band leaves outlines as they are."""
    across = Image.linear_gradient("L").rotate(115, expand=False).resize((side, side))
    lamp = across.point([255 - value * 60 // 255 for value in range(256)])
    return Image.merge("RGBX", [lamp, lamp, lamp, Image.new("L", (side, side), 255)])


def _shadow(outline: Image.Image) -> Image.Image:
    """How dark the ground is under a product."""
    side = outline.width
    # Blurred at a quarter of the size: the same softness for a sixteenth of the time.
    small = outline.resize((side // 4, side // 4))
    soft = ImageChops.offset(small, side // 100, side // 64).filter(ImageFilter.GaussianBlur(side / 130))
    return soft.resize((side, side), Image.Resampling.BILINEAR).point(
        [value * 90 // 255 for value in range(256)]
    )


def _around(one: Box, other: Box, side: int) -> Box:
    """Both boxes and as much ground as a smaller picture's pixels at the edge are computed from."""
    return _clipped(
        min(one[0], other[0]) - MARGIN, min(one[1], other[1]) - MARGIN,
        max(one[2], other[2]) + MARGIN, max(one[3], other[3]) + MARGIN, side,
    )  # fmt: skip


def _clipped(left: float, top: float, right: float, bottom: float, side: int) -> Box:
    """Of whole pixels, also in the smaller picture; inside the picture."""
    step = SUPERSAMPLING
    return (
        max(0, math.floor(left / step) * step),
        max(0, math.floor(top / step) * step),
        min(side, math.ceil(right / step) * step),
        min(side, math.ceil(bottom / step) * step),
    )
