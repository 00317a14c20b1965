"""The plots of a replay's page: where each mark and text stands. The page's template writes them as SVG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from services.ops.experiments.statistics import Estimate
from services.ops.replay.figures import (
    Figure,
    ReplayReport,
    RowsCompared,
    advantage,
    change,
    count_noun,
    decimal,
    percent,
    points,
)

# In units of the pictures' own, which grow with the window: 400 are a phone's width.
WIDTH: Final = 400
MARGIN: Final = 18  # half a figure stands out at the end of an axis
GUTTER: Final = 46  # for the figures of an upright axis
ROW: Final = 40
ENTRY: Final = 18  # a legend's line
AREA: Final = 170
AXIS: Final = 24  # below the marks, for the figures of the axis
TITLE: Final = 18  # and for what they are

SERIES: Final = tuple(f"var(--series-{number})" for number in (1, 2, 3))


@dataclass(frozen=True, slots=True)
class Tick:
    """A figure at an axis, and how far along it stands."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Interval:
    """A dot with its interval, and the words above; None where there is no such figure."""

    y: float
    colour: str
    name: str
    cases: str
    figure: str
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Curve:
    """Dots with a line through them; `y` is the place of its name in the legend."""

    y: float
    colour: str
    name: str
    dots: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle that stands on the axis."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """One picture: marks between `top` and `base`, from `left` on; `caption` tells how to read it."""

    title: str
    caption: str
    across: tuple[Tick, ...]
    upright: tuple[Tick, ...] = ()
    across_title: str = ""
    left: float = MARGIN
    right: float = WIDTH - MARGIN
    top: float = 0.0
    base: float
    zero: float | None = None  # where a difference is none
    intervals: tuple[Interval, ...] = ()
    curves: tuple[Curve, ...] = ()
    bars: tuple[Bar, ...] = ()

    @property
    def height(self) -> float:
        """Of the whole picture."""
        return self.base + AXIS + (TITLE if self.across_title else 0)


@dataclass(frozen=True, slots=True)
class _Scale:
    """From figures to places. `start` is where `low` stands; it may be below `end`."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self, figure: Figure, *, most: int = 4, step_min: float = 0.0) -> tuple[Tick, ...]:
        """At round figures, in `most` steps or fewer."""
        rough = (self.high - self.low) / most
        power = 10.0 ** math.floor(math.log10(rough))
        step = max(step_min, next(each * power for each in (1, 2, 5, 10) if each * power >= rough * 0.999))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return tuple(Tick(self.at(each * step), figure(each * step)) for each in range(first, last + 1))


def plots(report: ReplayReport) -> list[Plot]:
    """What the figures give something to draw for."""
    if not any(each.cases for each in report.qualities):
        return []
    k, confidence = report.asked.k, f"{report.asked.confidence:.0%}"
    names = [(each.name, each.cases) for each in report.qualities]
    known, lines = advantage(report), f"lines are {confidence} intervals."
    made = [
        _estimates(
            f"Hit rate @{k}",
            f"Share of cases whose next product is among the first {k}; {lines} {known}",
            names, [each.hit_rate for each in report.qualities], percent,
        ),
        _estimates(
            f"MRR @{k}",
            f"Mean of 1/rank of the next product, 0 where it is missing; {lines} {known}",
            names, [each.mrr for each in report.qualities], decimal,
        ),
    ]  # fmt: skip
    pairs = [each for each in report.compared if each.cases]
    if pairs:
        names = [(f"{each.name} − {each.with_name}", each.cases) for each in pairs]
        caption = f"On the same cases; {lines} One that holds 0 may be chance. {known}"
        hit_rates = [each.hit_rate_difference for each in pairs]
        mrrs = [each.mrr_difference for each in pairs]
        made += [
            _estimates(f"Hit rate @{k}, differences in points", caption, names, hit_rates, points, zero=True),
            _estimates(f"MRR @{k}, differences", caption, names, mrrs, change, zero=True),
        ]
    made.append(_by_length(report, known))
    if pairs:
        made.append(_overlaps(pairs[0], k))
    if report.front:
        made.append(_front(report))
    return made


def _estimates(
    title: str,
    caption: str,
    names: Sequence[tuple[str, int]],
    found: Sequence[Estimate],
    figure: Figure,
    *,
    zero: bool = False,
) -> Plot:
    """A dot a line with its interval; differences in one colour, around 0."""
    known = [each for one in found for each in (one.value, one.low, one.high) if each is not None] or [1.0]
    low, high = min(0.0, *known), max(0.0, *known)
    margin = 0.06 * (high - low) or 0.01
    scale = _Scale(low - margin if low < 0 else 0.0, high + margin, MARGIN, WIDTH - MARGIN)

    def place(value: float | None) -> float | None:
        return None if value is None else scale.at(value)

    return Plot(
        title=title,
        caption=caption,
        across=scale.ticks(figure),
        base=len(found) * ROW,
        zero=scale.at(0) if zero else None,
        intervals=tuple(
            Interval(
                (number + 1) * ROW - 10,
                "var(--ink)" if zero else SERIES[number % len(SERIES)],
                name, count_noun(cases, "case"), "" if each.value is None else figure(each.value),
                place(each.value), place(each.low), place(each.high),
            )
            for number, ((name, cases), each) in enumerate(zip(names, found, strict=True))
        ),
    )  # fmt: skip


def _by_length(report: ReplayReport, known: str) -> Plot:
    shown = [(place, each) for place, each in enumerate(report.qualities) if each.cases]
    # The share of cases with a hit up to each rank.
    rates = [[hits / each.cases for hits in accumulate(each.hits_by_rank)] for _, each in shown]
    longest = max((len(each) for each in rates), default=0)
    top = ENTRY * len(shown)
    across = _Scale(1, max(2, longest), GUTTER + 10, WIDTH - MARGIN)
    upright = _Scale(
        0, 1.05 * max((max(each, default=0.0) for each in rates), default=0.0) or 1, top + AREA, top
    )
    return Plot(
        title="Hit rate by length of the row",
        caption=f"Share of cases whose next product is among the first 1, 2, … products. {known}",
        across=across.ticks(lambda value: f"{value:.0f}", most=6, step_min=1),
        across_title="first products of the row",
        upright=upright.ticks(percent),
        left=GUTTER,
        top=top,
        base=top + AREA,
        curves=tuple(
            Curve(
                ENTRY * (line + 1) - 6,
                SERIES[place % len(SERIES)],
                each.name,
                tuple((across.at(rank), upright.at(rate)) for rank, rate in enumerate(found, start=1)),
            )
            for line, ((place, each), found) in enumerate(zip(shown, rates, strict=True))
        ),
    )


def _front(report: ReplayReport) -> Plot:
    """Hit rates of clicks across, of purchases upright: a dot for each mixture, in their order."""
    points_ = [(each.clicks.value or 0.0, each.buys.value or 0.0) for each in report.front]
    (left, right), (low, high) = (
        (min(each) - margin, max(each) + margin)
        for each in zip(*points_, strict=True)
        for margin in (0.1 * (max(each) - min(each)) or 0.01,)
    )
    across = _Scale(left, right, GUTTER + 10, WIDTH - MARGIN)
    upright = _Scale(low, high, ENTRY + AREA, ENTRY)
    k, first, last = report.asked.k, report.front[0], report.front[-1]
    return Plot(
        title=f"Hit rates @{k} by objective",
        caption=(
            f"From {first.objective} to {last.objective}, {len(points_)} mixtures joined in their order: "
            f"{count_noun(first.click_cases, 'click')}, and {count_noun(first.buy_cases, 'click')} on what "
            "was bought later. Up and to the right is better."
        ),
        across=across.ticks(percent),
        across_title="clicks",
        upright=upright.ticks(percent),
        left=GUTTER,
        top=ENTRY,
        base=ENTRY + AREA,
        curves=(
            Curve(
                ENTRY - 6,
                SERIES[0],
                "what was bought later",
                tuple((across.at(clicks), upright.at(buys)) for clicks, buys in points_),
            ),
        ),
    )


def _overlaps(pair: RowsCompared, k: int) -> Plot:
    shares = [count / pair.cases for count in pair.overlaps]
    across = _Scale(0, 1, GUTTER, WIDTH - MARGIN)
    upright = _Scale(0, 1.05 * max(shares, default=0.0) or 1, AREA, 8)
    wide = (WIDTH - MARGIN - GUTTER) / max(1, len(shares))
    return Plot(
        title=f"Overlap @{k}: {pair.name} and {pair.with_name}",
        caption="Share of the cases by how many of the products are in both rows.",
        across=across.ticks(lambda value: f"{value:.0%}", most=5),
        across_title="products in both rows",
        upright=upright.ticks(lambda value: f"{value:.0%}", step_min=0.01),
        left=GUTTER,
        base=AREA,
        bars=tuple(
            Bar(round(GUTTER + (number + 0.07) * wide, 1), top, round(0.86 * wide, 1), round(AREA - top, 1))
            for number, share in enumerate(shares)
            for top in (upright.at(share),)
        ),
    )
