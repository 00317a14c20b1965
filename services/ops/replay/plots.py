"""The plots of a replay's page: SVG by matplotlib, in colours that the page's style names."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Final

from services.cli import CannotBeDone
from services.ops.replay.figures import (
    Estimate,
    ReplayReport,
    RowsCompared,
    advantage,
    change,
    decimal,
    percent,
    points,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.ticker import MaxNLocator


WIDTH_IN: Final = 4.3  # a phone's width: it grows with the window
ROW_IN: Final = 0.42
POINTS: Final = 9

# matplotlib writes colours as numbers. These stand for the style's variables, which know dark from light.
INK, DIM, RULE = "#010101", "#020202", "#030303"
SERIES: Final = ("#0a0101", "#0a0202", "#0a0303")
VARIABLES: Final = {
    INK: "var(--ink)",
    DIM: "var(--dim)",
    RULE: "var(--rule)",
    **{colour: f"var(--series-{number})" for number, colour in enumerate(SERIES, start=1)},
}
OUTSIDE: Final = re.compile(r"<\?xml.*?(?=<svg)|<metadata>.*?</metadata>", re.DOTALL)


class PlotsMissing(CannotBeDone):
    """matplotlib is not installed."""


@dataclass(frozen=True, slots=True)
class Plot:
    """One picture: `svg` is markup that needs nothing from elsewhere; `caption` tells how to read it."""

    title: str
    caption: str
    svg: str


def require() -> None:
    """Raises PlotsMissing: better before a long run than after it."""
    try:
        import matplotlib  # type: ignore[import-not-found,unused-ignore]  # noqa: F401, PLC0415 - an extra
    except ImportError:
        raise PlotsMissing(
            "a page with plots needs matplotlib: install the extra `ops` (pip install 'eddy[ops]'), or leave "
            "the page out"
        ) from None


def plots(report: ReplayReport) -> list[Plot]:
    """What the figures give something to draw for. Raises PlotsMissing."""
    if not any(each.cases for each in report.qualities):
        return []
    require()
    k, confidence = report.asked.k, f"{report.asked.confidence:.0%}"
    names = [(each.name, each.cases) for each in report.qualities]
    known, lines = advantage(report), f"lines are {confidence} intervals."
    made = [
        Plot(
            f"Hit rate @{k}",
            f"Share of cases whose next product is among the first {k}; {lines} {known}",
            _estimates(names, [each.hit_rate for each in report.qualities], percent),
        ),
        Plot(
            f"MRR @{k}",
            f"Mean of 1/rank of the next product, 0 where it is missing; {lines} {known}",
            _estimates(names, [each.mrr for each in report.qualities], decimal),
        ),
    ]
    pairs = [each for each in report.compared if each.cases]
    if pairs:
        made += _of_pairs(pairs, k, f"{lines} One that holds 0 may be chance. {known}")
    made.append(
        Plot(
            "Hit rate by length of the row",
            f"Share of cases whose next product is among the first 1, 2, … products. {known}",
            _svg(lambda axes: _cumulative(axes, report), height_in=2.6),
        )
    )
    if pairs:
        pair = pairs[0]
        made.append(
            Plot(
                f"Overlap @{k}: {pair.name} and {pair.with_name}",
                "Share of the cases by how many of the products are in both rows.",
                _svg(lambda axes: _overlaps(axes, pair), height_in=2.6),
            )
        )
    return made


def _of_pairs(pairs: Sequence[RowsCompared], k: int, told: str) -> list[Plot]:
    names = [(f"{each.name} −\n{each.with_name}", each.cases) for each in pairs]
    caption = f"On the same cases; {told}"
    hit_rates = [each.hit_rate_difference for each in pairs]
    mrrs = [each.mrr_difference for each in pairs]
    return [
        Plot(
            f"Hit rate @{k}, differences in points", caption, _estimates(names, hit_rates, points, zero=True)
        ),
        Plot(f"MRR @{k}, differences", caption, _estimates(names, mrrs, change, zero=True)),
    ]


def _estimates(
    names: Sequence[tuple[str, int]],
    found: Sequence[Estimate],
    figure: Callable[[float], str],
    *,
    zero: bool = False,
) -> str:
    """A dot a line with its interval; differences in one colour, around 0."""

    def draw(axes: "Axes") -> None:
        for place, each in enumerate(found):
            colour = INK if zero else SERIES[place % len(SERIES)]
            if each.value is None:
                continue
            if each.low is not None and each.high is not None:
                axes.plot(
                    [each.low, each.high], [place, place], color=colour, linewidth=2, solid_capstyle="butt"
                )
            axes.plot([each.value], [place], "o", color=colour, markersize=6.5)
            axes.annotate(
                figure(each.value), (each.value, place), xytext=(0, 6), textcoords="offset points",
                ha="center", color=INK, fontsize=POINTS, fontweight="bold",
            )  # fmt: skip
        if zero:
            axes.axvline(0, color=DIM, linewidth=1, zorder=0.5)
        else:
            axes.set_xlim(left=0)
        axes.margins(x=0.12)
        axes.set_ylim(len(found) - 0.5, -0.75)
        axes.set_yticks(range(len(found)), [f"{name}\n{count:,} cases" for name, count in names])
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_formatter(lambda value, _position: figure(value))
        axes.xaxis.set_major_locator(_locator())
        axes.grid(axis="x", color=RULE, linewidth=0.7)

    return _svg(draw, height_in=0.6 + ROW_IN * len(found) * (1.35 if zero else 1.1))


def _cumulative(axes: "Axes", report: ReplayReport) -> None:
    shown = [each for each in report.qualities if each.cases]
    for place, each in enumerate(report.qualities):
        if each.cases == 0:
            continue
        total, rates = 0, []
        for hits in each.hits_by_rank:
            total += hits
            rates.append(total / each.cases)
        colour = SERIES[place % len(SERIES)]
        ranks = range(1, len(rates) + 1)
        axes.plot(ranks, rates, color=colour, linewidth=2, marker="o", markersize=3, label=each.name)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("first products of the row")
    axes.yaxis.set_major_formatter(lambda value, _position: percent(value))
    axes.xaxis.set_major_locator(_locator(whole=True))
    axes.yaxis.set_major_locator(_locator())
    axes.grid(axis="y", color=RULE, linewidth=0.7)
    legend = axes.legend(frameon=False, fontsize=POINTS, loc="lower right", ncols=1 if len(shown) < 4 else 2)
    for text in legend.get_texts():
        text.set_color(INK)


def _overlaps(axes: "Axes", pair: RowsCompared) -> None:
    shares = [count / pair.cases for count in pair.overlaps]
    bins = len(shares)
    axes.bar([(place + 0.5) / bins for place in range(bins)], shares, width=0.86 / bins, color=SERIES[0])
    axes.set_xlim(0, 1)
    axes.set_xlabel("products in both rows")
    axes.xaxis.set_major_formatter(lambda value, _position: f"{value:.0%}")
    axes.yaxis.set_major_formatter(lambda value, _position: f"{value:.0%}")
    axes.yaxis.set_major_locator(_locator())
    axes.grid(axis="y", color=RULE, linewidth=0.7)
    axes.set_axisbelow(True)


def _locator(*, whole: bool = False) -> "MaxNLocator":
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415 - an extra

    return MaxNLocator(nbins=4 if not whole else 6, integer=whole, min_n_ticks=2)


def _svg(draw: Callable[["Axes"], None], *, height_in: float) -> str:
    """The picture as one element of a page; the same for the same figures."""
    from matplotlib import rc_context  # noqa: PLC0415 - an extra
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    with rc_context(
        {
            "svg.fonttype": "none",  # text stays text
            "svg.hashsalt": "replay",  # and ids the same each time
            "text.parse_math": False,
            "font.size": POINTS,
            "text.color": INK,
            "axes.labelcolor": DIM,
            "xtick.color": DIM,
            "ytick.color": INK,
        }
    ):
        figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
        FigureCanvasSVG(figure)
        figure.patch.set_alpha(0)
        axes = figure.subplots()
        axes.patch.set_alpha(0)
        draw(axes)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        axes.spines["bottom"].set_color(RULE)
        axes.tick_params(axis="x", color=RULE)
        written = StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    return _inline(written.getvalue())


def _inline(svg: str) -> str:
    """Without what stands around the element in a file of its own, and in the page's colours and size."""
    svg = re.sub(r'<g id="[^"]*"', "<g", OUTSIDE.sub("", svg))  # every picture would have a figure_1
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, variable)
    return svg.strip()
