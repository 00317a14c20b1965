"""The peers' bars beside ours."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from tests.benchmark.accuracy.figures import SERVES, AccuracyFigures
from tests.benchmark.accuracy.published import AIMS, PUBLISHED, Pair
from tests.benchmark.accuracy.tables import percent

DATASETS: Final = (("retailrocket", "RetailRocket"), ("diginetica", "Diginetica"))
METRICS: Final = ("HR@20, %", "MRR@20, %")
SIZE_INCHES: Final = (13.0, 8.6)
DPI: Final = 110
OURS: Final = "Eddy, what serves"
COLOURS: Final = {
    "published": "#a3a9b3",
    "measured by us, before Eddy": "#c9ced6",
    "Eddy": "#7fb0e6",
    OURS: "#1f5fae",
}


class Bar(NamedTuple):
    """One recommender: its kind is a key of COLOURS, its pairs are in the order of DATASETS."""

    name: str
    kind: str
    pairs: tuple[Pair | None, Pair | None]


def bars(figures: AccuracyFigures) -> Iterator[Bar]:
    """From top to bottom: those published, those measured earlier, ours."""
    for peer in figures.published:
        kind = "published" if peer.source == PUBLISHED else "measured by us, before Eddy"
        yield Bar(peer.name, kind, (peer.retailrocket, peer.diginetica))
    found = (figures.retailrocket, figures.diginetica)
    for name in dict.fromkeys(row for each in found if each for row in each.rows):
        kind = OURS if name == SERVES else "Eddy"
        yield Bar(f"Eddy: {name.partition(':')[0]}", kind, (percent(found[0], name), percent(found[1], name)))


def draw(figures: AccuracyFigures, path: Path) -> None:
    """Writes a PNG: a row of panels a metric, a column a dataset."""
    shown = list(bars(figures))
    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, layout=ConstrainedLayoutEngine(w_pad=0.15, h_pad=0.1))
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 2, sharey=True, squeeze=False)
    for row, metric in enumerate(METRICS):
        for column, (name, title) in enumerate(DATASETS):
            _panel(panels[row][column], shown, column, row, AIMS[name][row])
            panels[row][column].set_title(f"{title}: {metric}", loc="left", fontsize=11, fontweight="bold")
    handles = [(panels[0][0].barh([0], [0], color=colour), kind) for kind, colour in COLOURS.items()]
    aim = panels[0][0].plot([], [], color="#c0392b", linestyle="--", linewidth=1.2)[0]
    figure.legend(
        [*(handle for handle, _ in handles), aim],
        [*(kind for _, kind in handles), "aim"],
        loc="outside lower center", ncols=len(handles) + 1, frameon=False,
    )  # fmt: skip
    figure.suptitle("The next product among the first 20: every case ranks all products", fontsize=13)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _panel(axes: Axes, shown: list[Bar], dataset: int, metric: int, aim: float) -> None:
    longest = max([aim, *(pair[metric] for bar in shown if (pair := bar.pairs[dataset]))])
    for place, bar in enumerate(shown):
        pair = bar.pairs[dataset]
        if pair is None:
            axes.text(longest * 0.01, place, "no figure", va="center", fontsize=8, color="#777777")
            continue
        axes.barh(place, pair[metric], color=COLOURS[bar.kind], height=0.75)
        end = pair[metric] - longest * 0.008
        ink, weight = ("white", "bold") if bar.kind == OURS else ("black", "normal")
        text = axes.text(end, place, f"{pair[metric]:.2f}", ha="right", va="center", fontsize=8)
        text.set(color=ink, fontweight=weight)
    axes.axvline(aim, color="#c0392b", linestyle="--", linewidth=1.2, zorder=0.5)  # behind the figures
    axes.set_yticks(range(len(shown)), [bar.name for bar in shown], fontsize=9)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(0, longest * 1.04)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
