"""Draws one product: parts in colour and pattern, a soft light from the left, a shadow on the ground."""

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


@dataclass(frozen=True, slots=True)
class Look:
    """What a product looks like."""

    shape: str
    colour: str
    pattern: str


def draw(look: Look, size: int, rng: random.Random) -> Image.Image:
    """A size × size RGB picture. Equal looks and equal generators give equal pictures."""
    side = size * SUPERSAMPLING
    colour = _varied(COLOURS[look.colour], rng)
    ground = rng.choice(BACKDROPS)
    place = _Placement(side, rng)
    product = Image.new("RGB", (side, side), ground)
    outline = Image.new("L", (side, side), 0)
    surface = texture(look.pattern, side, colour, rng)
    for part in SHAPES[look.shape]:
        mask = place.mask(part)
        outline = ImageChops.lighter(outline, mask)
        product.paste(_fill(part.role, colour, surface), mask=mask)
    lit = ImageChops.multiply(place.turned(product), _light(side))
    outline = place.turned(outline)
    picture = _studio(ground, outline)
    picture.paste(lit, mask=outline)
    return picture.resize((size, size), Image.Resampling.LANCZOS)


def _varied(colour: Colour, rng: random.Random) -> Colour:
    red, green, blue = (max(0, min(255, part + rng.randint(-12, 12))) for part in colour)
    return (red, green, blue)


def _fill(role: Role, colour: Colour, surface: Image.Image) -> Image.Image:
    """What a part is filled with."""
    if role == "main":
        return surface
    plain = {
        "trim": shade(colour, 0.72),
        "light": shade(colour, 1.72),
        "dark": shade(colour, 0.34),
        "leaf": (86, 134, 84),
    }[role]
    return Image.new("RGB", surface.size, plain)


class _Placement:
    """Puts unit coordinates onto the picture, not quite straight, as hands place things."""

    def __init__(self, side: int, rng: random.Random) -> None:
        self._side = side
        self._scale = rng.uniform(0.80, 0.90)
        self._left = (1 - self._scale) / 2 + rng.uniform(-0.02, 0.02)
        self._top = (1 - self._scale) / 2 + rng.uniform(-0.02, 0.02)
        self._angle = rng.uniform(-4, 4)

    def mask(self, part: Part) -> Image.Image:
        mask = Image.new("L", (self._side, self._side), 0)
        pen = ImageDraw.Draw(mask)
        points = [self._placed(x, y) for x, y in part.points]
        unit = self._side * self._scale
        if part.kind == "polygon":
            pen.polygon(points, fill=255)
            pen.line([*points, points[0]], fill=255, width=int(0.02 * unit), joint="curve")
        elif part.kind == "ellipse":
            pen.ellipse([points[0], points[1]], fill=255)
        elif part.kind == "rounded":
            pen.rounded_rectangle([points[0], points[1]], radius=part.width * unit, fill=255)
        else:
            pen.line(points, fill=255, width=max(1, int(part.width * unit)), joint="curve")
        return mask

    def turned(self, picture: Image.Image) -> Image.Image:
        return picture.rotate(self._angle, resample=Image.Resampling.BILINEAR)

    def _placed(self, x: float, y: float) -> tuple[float, float]:
        return (self._left + x * self._scale) * self._side, (self._top + y * self._scale) * self._side


@cache
def _light(side: int) -> Image.Image:
    """Brighter to the upper left: what a studio's lamp does."""
    across = Image.linear_gradient("L").rotate(115, expand=False).resize((side, side))
    return Image.merge("RGB", [across.point([255 - value * 60 // 255 for value in range(256)])] * 3)


def _studio(ground: Colour, outline: Image.Image) -> Image.Image:
    """The ground with the product's soft shadow on it."""
    side = outline.size[0]
    # Blurred at a quarter of the size: the same softness for a sixteenth of the time.
    small = outline.resize((side // 4, side // 4))
    soft = ImageChops.offset(small, side // 100, side // 64).filter(ImageFilter.GaussianBlur(side / 130))
    shadow = soft.resize((side, side), Image.Resampling.BILINEAR).point(
        [value * 90 // 255 for value in range(256)]
    )
    picture = Image.new("RGB", (side, side), ground)
    picture.paste(Image.new("RGB", (side, side), shade(ground, 0.45)), mask=shadow)
    return picture
