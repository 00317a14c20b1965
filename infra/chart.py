"""What the pictures of measurements share: their size and ink, a text, and the SVG around the lines."""

from collections.abc import Iterable
from typing import Final

WIDTH: Final = 720
HEIGHT: Final = 380
INK: Final = "#333"
PALE: Final = "#ddd"


def text(x: float, y: float, words: str, anchor: str, colour: str = INK) -> str:
    """Words at a place; `anchor` as in SVG."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{words}</text>'


def svg(lines: Iterable[str], height: float = HEIGHT) -> str:
    """The whole picture, on white."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" '
        'font-family="sans-serif" font-size="12">'
    )
    return "\n".join([head, f'<rect width="{WIDTH}" height="{height:g}" fill="#fff"/>', *lines, "</svg>", ""])
