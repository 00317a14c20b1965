"""The colours of the demo's products and of the studio that they are drawn in."""

from typing import Final

Colour = tuple[int, int, int]

COLOURS: Final[dict[str, Colour]] = {
    "red": (196, 52, 58),
    "orange": (226, 125, 52),
    "yellow": (236, 196, 72),
    "green": (74, 140, 88),
    "olive": (128, 130, 66),
    "teal": (38, 138, 142),
    "sky blue": (122, 180, 222),
    "blue": (52, 96, 184),
    "navy": (36, 48, 92),
    "purple": (120, 78, 158),
    "pink": (232, 146, 172),
    "brown": (132, 88, 58),
    "beige": (218, 198, 166),
    "white": (244, 243, 240),
    "grey": (146, 150, 156),
    "black": (44, 44, 50),
}

# What a pattern is drawn in on each ground: light on dark, dark on light.
LIGHT: Final[Colour] = (250, 246, 238)
DARK: Final[Colour] = (52, 54, 66)

BACKDROPS: Final[tuple[Colour, ...]] = (
    (240, 238, 234), (234, 238, 240), (242, 236, 230), (236, 240, 234), (238, 235, 241),
)  # fmt: skip


def shade(colour: Colour, factor: float) -> Colour:
    """The colour made darker (below 1) or lighter (above 1)."""
    if factor <= 1:
        return (int(colour[0] * factor), int(colour[1] * factor), int(colour[2] * factor))
    mix = factor - 1
    red, green, blue = (int(part + (255 - part) * mix) for part in colour)
    return (red, green, blue)


def contrast(colour: Colour) -> Colour:
    """What a pattern on this ground is drawn in."""
    luminance = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
    return LIGHT if luminance < 150 else DARK
