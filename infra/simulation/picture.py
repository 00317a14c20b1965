"""Draws what came of the days: clicks a visit by each ranking, an SVG from what was simulated."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from infra.chart import HEIGHT, PALE, WIDTH, svg, text

Json = dict[str, Any]
Point = tuple[float, float]  # day, clicks a visit

LEFT: Final = 56
RIGHT: Final = 170
TOP: Final = 28
BOTTOM: Final = 44
COLOURS: Final = ("#8a8a8a", "#b0782a", "#3b6fb5", "#7a4fa3", "#0a7d5a")  # of the rankings, in their order
NEIGHBOURS: Final = 1  # days before and after that a line's point is the mean with
APART: Final = 15  # pixels between two names


def draw(figures: Json) -> str:
    """The picture: dots are days, a line the mean of three."""
    rankings, days = figures["rankings"], figures["days"]
    most = max([*(each for ranking in rankings for each in ranking["clicks_by_day"]), 0.01])
    step = next(step for step in (0.05, 0.1, 0.2, 0.5, 1.0, 2.0) if most / step <= 8 or step == 2.0)
    scales = _Scales(days, most * 1.05)
    lines = [*_axes(scales, days, step, most)]
    ends = {
        ranking["name"]: scales.place((days, _smooth(ranking["clicks_by_day"])[-1]))[1]
        for ranking in rankings
    }
    names = _spread(ends)
    for ranking, colour in zip(rankings, COLOURS, strict=False):
        lines += _line(scales, ranking["clicks_by_day"], colour)
        lines.append(text(WIDTH - RIGHT + 10, names[ranking["name"]] + 4, ranking["name"], "start", colour))
    return svg(lines)


class _Scales:
    def __init__(self, days: int, most: float) -> None:
        self._days, self._most = days, most

    def place(self, point: Point) -> Point:
        day, clicks = point
        right = (day - 1) / ((self._days - 1) or 1)
        up = clicks / self._most
        return LEFT + right * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)


def _axes(scales: _Scales, days: int, step: float, most: float) -> Iterator[str]:
    yield text(LEFT - 6, TOP - 12, "clicks a visit", "start")
    for nth in range(int(most / step) + 1):
        _, y = scales.place((1, nth * step))
        yield f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="{PALE}"/>'
        yield text(LEFT - 6, y + 4, f"{nth * step:g}", "end")
    for day in range(1, days + 1):
        x, _ = scales.place((day, 0))
        yield text(x, HEIGHT - BOTTOM + 16, str(day), "middle")
    yield text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, "day", "middle")


def _line(scales: _Scales, clicks: Sequence[float], colour: str) -> Iterator[str]:
    places = [scales.place((day, each)) for day, each in enumerate(_smooth(clicks), start=1)]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    yield f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
    for day, each in enumerate(clicks, start=1):
        x, y = scales.place((day, each))
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}" fill-opacity="0.5"/>'


def _smooth(values: Sequence[float]) -> list[float]:
    near = [values[max(nth - NEIGHBOURS, 0) : nth + NEIGHBOURS + 1] for nth in range(len(values))]
    return [sum(each) / len(each) for each in near]


def _spread(heights: Mapping[str, float]) -> dict[str, float]:
    """Names beside the ends of their lines, moved down where they would lie on each other."""
    found: dict[str, float] = {}
    below = float("-inf")
    for name, height in sorted(heights.items(), key=lambda each: each[1]):
        below = found[name] = max(height, below + APART)
    return found
