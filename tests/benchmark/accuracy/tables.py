"""The figures on the terminal."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from schemas.models import Metrics
from tests.benchmark.accuracy.figures import (
    SERVES,
    AccuracyFigures,
    ColdFigures,
    DatasetFigures,
    Difference,
    ObjectivesFigures,
    TypesFigures,
)
from tests.benchmark.accuracy.published import AIMS, INDEX_AIM_PER_S, SERENADE, Pair

NONE = ("–", "–")


def show(console: Console, figures: AccuracyFigures) -> None:
    """All that was measured, a table a question."""
    if figures.retailrocket or figures.diginetica:
        console.print(beside_published(figures))
        for line in aims(figures):
            console.print(line)
    for name, found in (
        ("RetailRocket", figures.retailrocket),
        ("Diginetica", figures.diginetica),
        ("Serenade's example", figures.serenade),
    ):
        if found:
            console.print(rows(name, found))
            console.print(speed(found))
    if figures.serenade:
        console.print(f"Serenade's own figures: HR@20 {SERENADE[0]:.2f}, MRR@20 {SERENADE[1]:.2f}")
    if figures.types:
        console.print(types(figures.types))
    if figures.cold:
        console.print(cold(figures.cold))
    if figures.objectives:
        console.print(objectives(figures.objectives))


def beside_published(figures: AccuracyFigures) -> Table:
    """Peers and Eddy: HR@20 and MRR@20 of both datasets, percent."""
    table = Table("%", "from", "RetailRocket HR@20", "MRR@20", "Diginetica HR@20", "MRR@20")
    for peer in figures.published:
        table.add_row(peer.name, peer.source, *_pair(peer.retailrocket), *_pair(peer.diginetica))
    table.add_section()
    datasets = (figures.retailrocket, figures.diginetica)
    for name in dict.fromkeys(name for found in datasets if found for name in found.rows):
        cells = [cell for found in datasets for cell in _pair(percent(found, name))]
        table.add_row(name, "Eddy", *cells, style="bold" if name == SERVES else None)
    return table


def percent(found: DatasetFigures | None, row: str) -> Pair | None:
    """HR@20 and MRR@20 of one row in percent."""
    told = found.rows.get(row) if found else None
    return (100 * told.hr_20, 100 * told.mrr_20) if told else None


def _pair(pair: Pair | None) -> tuple[str, str]:
    return (f"{pair[0]:.2f}", f"{pair[1]:.2f}") if pair else NONE


def aims(figures: AccuracyFigures) -> Iterator[str]:
    """Of each dataset measured, whether what serves reaches what it is to reach."""
    for name, aim in AIMS.items():
        ours = percent(getattr(figures, name), SERVES)
        if ours:
            told = [
                f"{figure} {value:.2f} {'reaches' if value >= least else 'falls short of'} {least}"
                for figure, value, least in zip(("HR@20", "MRR@20"), ours, aim, strict=True)
            ]
            yield f"{name}: {', '.join(told)}"


def rows(name: str, found: DatasetFigures) -> Table:
    """All figures of one dataset."""
    table = Table(name, "HR@20", "MRR@20", "coverage", "popularity bias", "predictions/s")
    for row, told in found.rows.items():
        table.add_row(row, *_metrics(told))
    return table


def _metrics(told: Metrics) -> tuple[str, ...]:
    return (
        f"{100 * told.hr_20:.2f}",
        f"{100 * told.mrr_20:.2f}",
        f"{told.coverage:.3f}",
        f"{told.popularity_bias:.3f}",
        f"{told.predictions_per_s:,.0f}",
    )


def speed(found: DatasetFigures) -> str:
    """One line."""
    told = found.speed
    return (
        f"learned from {found.sessions:,} sessions of {found.products:,} products in "
        f"{found.learning_s:.0f} s; the index alone, one core: {told.index_per_s:,.0f}/s "
        f"(aim {INDEX_AIM_PER_S:,}), bare numpy {told.numpy_per_s:,.0f}/s\n"
    )


def types(found: TypesFigures) -> Table:
    """With the weights of event types and without."""
    table = Table(f"event types, {found.cases:,} cases", "HR@20", "MRR@20")
    table.add_row("weighed by type", *_metrics(found.weighed)[:2])
    table.add_row("all alike", *_metrics(found.alike)[:2])
    table.add_row("difference of HR@20", difference(found.hit_rate), "")
    table.add_row(f"… where a type differs ({found.told_apart})", difference(found.hit_rate_told_apart), "")
    return table


def cold(found: ColdFigures) -> Table:
    """Hidden products and the others, by way of asking."""
    table = Table("HR@20", f"hidden ({found.cold_cases:,})", f"known ({found.warm_cases:,})")
    table.add_row("content alone", f"{100 * found.cold_content:.2f}", "–")
    table.add_row("the model with contents", f"{100 * found.cold_model:.2f}", f"{100 * found.warm_model:.2f}")
    without = (found.cold_without, found.warm_without)
    table.add_row("the model without", *(f"{100 * share:.2f}" for share in without), end_section=True)
    table.add_row("with contents less the other", difference(found.cold_gain), difference(found.warm_price))
    return table


def objectives(found: ObjectivesFigures) -> Table:
    """Ordered for carts and purchases, and for clicks, by shop."""
    table = Table("in its own order, for clicks", "cases", "HR@20", "", "MRR@20", "", "difference of HR@20")
    for shop, by_name in found.shops.items():
        for name, told in by_name.items():
            pairs = zip(told.own, told.clicks, strict=True)
            cells = [f"{100 * figure:.2f}" for pair in pairs for figure in pair]
            learned = "" if told.is_learned else f", too few to learn from ({told.lessons})"
            table.add_row(f"{shop}: {name}{learned}", f"{told.cases:,}", *cells, difference(told.hit_rate))
    return table


def difference(found: Difference) -> str:
    """In points, with the interval."""
    return f"{100 * found.difference:+.2f} ({100 * found.low:+.2f} … {100 * found.high:+.2f})"
