"""Draws how long a click takes to change a page, by how many come a second: an SVG from what was measured."""

from collections.abc import Iterator, Sequence
from math import ceil, floor, log10
from typing import Any, Final

from infra.chart import HEIGHT, PALE, WIDTH, svg, text

Json = dict[str, Any]
Point = tuple[float, float]  # events a second, milliseconds

LEFT: Final = 64
RIGHT: Final = 130
TOP: Final = 24
BOTTOM: Final = 44
NAMES: Final = {"p50": "#0a7d5a", "p99": "#c2452d"}  # percentile → colour
HOLLOW: Final = "#fff"  # the dot of a rate that was not held


class Scales:
    """Both axes are logarithmic: events a second to the right, milliseconds upwards."""

    def __init__(self, rates: Sequence[float], times: Sequence[float]) -> None:
        self._rates = (min(rates), max(rates))
        self._decades = (floor(log10(min(times))), ceil(log10(max(times))))

    @property
    def ticks(self) -> list[float]:
        """Whole powers of ten, in milliseconds."""
        first, last = self._decades
        return [10.0**each for each in range(first, last + 1)]

    def place(self, point: Point) -> Point:
        """Where it stands in the picture."""
        rate, ms = point
        low, high = map(log10, self._rates)
        right = (log10(rate) - low) / ((high - low) or 1)
        first, last = self._decades
        up = (log10(ms) - first) / (last - first)
        return LEFT + right * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)


def draw(live: Json) -> str:
    """The picture of `make bench`'s live part. Rates that were not held have hollow dots."""
    windows, bare = live["windows"], {int(rate): each for rate, each in live["bare"].items()}
    spreads = [each["event_to_push"] for each in windows] + list(bare.values())
    times = [each[name] for each in spreads for name in NAMES if each[name] > 0]
    scales = Scales([each["rate"] for each in windows], times)
    lines = [*_axes(scales, [each["rate"] for each in windows])]
    for name, colour in NAMES.items():
        eddy = [(each["rate"], each["event_to_push"][name]) for each in windows]
        held = [each["rate"] in live["held"] for each in windows]
        lines += _line(scales, eddy, colour, f"Eddy {name}", held)
        beside = [(rate, each[name]) for rate, each in sorted(bare.items())]
        lines += _line(scales, beside, colour, f"bare Kafka {name}", None)
    return svg(lines)


def _axes(scales: Scales, rates: Sequence[float]) -> Iterator[str]:
    for ms in scales.ticks:
        _, y = scales.place((rates[0], ms))
        yield f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="{PALE}"/>'
        yield text(LEFT - 6, y + 4, f"{ms:g} ms", "end")
    for rate in rates:
        x, _ = scales.place((rate, scales.ticks[0]))
        yield f'<path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="{PALE}"/>'
        yield text(x, HEIGHT - BOTTOM + 16, f"{rate:,}", "middle")
    yield text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, "events a second", "middle")


def _line(
    scales: Scales, points: Sequence[Point], colour: str, name: str, held: Sequence[bool] | None
) -> Iterator[str]:
    """One with dots, or dashed where nothing is said of what was held."""
    places = [scales.place(point) for point in points]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    dashes = "" if held else ' stroke-dasharray="4 4"'
    yield f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>'
    for (x, y), is_held in zip(places, held or (), strict=bool(held)):
        fill = colour if is_held else HOLLOW
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{fill}" stroke="{colour}" stroke-width="2"/>'
    x, y = places[-1]
    yield text(x + 10, y + 4, name, "start", colour)
