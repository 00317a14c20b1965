"""Draws one click's trace: an SVG from the spans of a recorded one.

`python -m tests.benchmark.traces --click infra/docs/measured/trace.json` records it, and
`python -m infra.trace_picture` draws infra/docs/trace.svg from
that.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from infra.chart import PALE, WIDTH, svg, text

Json = dict[str, Any]

DOCS: Final = Path(__file__).parent / "docs"
MEASURED: Final = DOCS / "measured" / "trace.json"
PICTURE: Final = DOCS / "trace.svg"

LEFT: Final = 24
RIGHT: Final = 24
TOP: Final = 34
ROW: Final = 31
BAR: Final = 9
COLOURS: Final = {
    "storefront": "#888",
    "eddy-ingest": "#2f6fb0",
    "eddy-session-processor": "#0a7d5a",
    "eddy-recommender": "#c2452d",
}


def draw(spans: Sequence[Json]) -> str:
    """A bar for each span, the earliest first; to the right go milliseconds since the click."""
    began = min(each["began_ms"] for each in spans)
    whole = max(each["ended_ms"] for each in spans) - began
    return svg([*_axis(whole, len(spans)), *_bars(spans, began, whole)])


def _place(ms: float, whole: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * ms / whole


def _axis(whole: float, count: int) -> Iterator[str]:
    step = next(each for each in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000) if whole / each <= 10)
    bottom = TOP + ROW * count
    for number in range(int(whole / step) + 1):
        x = _place(number * step, whole)
        yield f'<line x1="{x:.1f}" y1="{TOP - 8}" x2="{x:.1f}" y2="{bottom}" stroke="{PALE}"/>'
        yield text(x, TOP - 14, f"{number * step} ms" if number == 0 else str(number * step), "middle")


def _bars(spans: Sequence[Json], began: float, whole: float) -> Iterator[str]:
    for number, span in enumerate(spans):
        y = TOP + ROW * number
        colour = COLOURS[span["service"]]
        left, right = (_place(span[name] - began, whole) for name in ("began_ms", "ended_ms"))
        width = max(right - left, 1.5)
        took = span["ended_ms"] - span["began_ms"]
        words = f"{span['service'].removeprefix('eddy-')} · {span['name']} · {took:.1f} ms"
        is_late = left > WIDTH / 2
        yield text(left + width if is_late else left, y + 13, words, "end" if is_late else "start", colour)
        yield (
            f'<rect x="{left:.1f}" y="{y + 18}" width="{width:.1f}" height="{BAR}" rx="2" fill="{colour}"/>'
        )


def main() -> None:
    """Writes the picture."""
    spans = msgspec.json.decode(MEASURED.read_bytes(), type=list[Json])
    PICTURE.write_text(draw(spans))


if __name__ == "__main__":
    main()
