"""What a shape is made of: parts in unit coordinates, drawn from back to front."""

from dataclasses import dataclass
from typing import Final, Literal

Point = tuple[float, float]
# main: the product's colour and pattern; trim: darker, plain; light: lighter, plain; dark: nearly black;
# leaf: green, whatever the product's colour.
Role = Literal["main", "trim", "light", "dark", "leaf"]


@dataclass(frozen=True, slots=True)
class Part:
    """A filled polygon (smoothed by its own mask), an ellipse, or a line of some width."""

    kind: Literal["polygon", "ellipse", "line", "rounded"]
    points: tuple[Point, ...]
    role: Role = "main"
    width: float = 0.0


def polygon(*points: Point, role: Role = "main") -> Part:
    """A filled polygon."""
    return Part("polygon", points, role)


def mirrored(*points: Point, role: Role = "main") -> Part:
    """A polygon given by its left half from top to bottom; the right half mirrors it at x = .5."""
    return Part("polygon", (*points, *((1 - x, y) for x, y in reversed(points))), role)


SMOOTH: Final = 6  # straight steps between two points of a curve


def curved(*points: Point, role: Role = "main") -> Part:
    """A filled outline through the points, round at each (a closed Catmull-Rom spline)."""
    count, found = len(points), list[Point]()
    for at in range(count):
        p0, p1, p2, p3 = (points[(at + offset) % count] for offset in (-1, 0, 1, 2))
        for step in range(SMOOTH):
            t = step / SMOOTH
            x, y = (
                0.5
                * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
                for a, b, c, d in zip(p0, p1, p2, p3, strict=True)
            )
            found.append((x, y))
    return Part("polygon", tuple(found), role)


def ellipse(left: float, top: float, right: float, bottom: float, role: Role = "main") -> Part:
    """A filled ellipse in a box."""
    return Part("ellipse", ((left, top), (right, bottom)), role)


def rounded(  # noqa: PLR0917 - a box is four numbers, as everywhere in PIL
    left: float, top: float, right: float, bottom: float, radius: float, role: Role = "main"
) -> Part:
    """A box with round corners."""
    return Part("rounded", ((left, top), (right, bottom)), role, radius)


def line(*points: Point, width: float = 0.015, role: Role = "trim") -> Part:
    """A line of a width."""
    return Part("line", points, role, width)


def both(*parts: Part) -> tuple[Part, ...]:
    """The parts and their mirror images at x = .5."""
    return tuple(each for part in parts for each in (part, flipped(part)))


def flipped(part: Part) -> Part:
    """The mirror image at x = .5."""
    points = tuple((1 - x, y) for x, y in part.points)
    if part.kind in ("ellipse", "rounded"):
        (left, top), (right, bottom) = points
        points = ((right, top), (left, bottom))
    return Part(part.kind, points, part.role, part.width)
