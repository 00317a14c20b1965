"""The figures of searches, of product pages, and of what comes in and is reported."""

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]


def lines(search: Json, pages: Json, catalogue: Json, experiment: Json) -> Iterator[str]:
    """Paragraphs and one table, with empty lines between them."""
    yield _search(search)
    yield ""
    yield from _pages(pages["figures"])
    yield ""
    yield _feeds(catalogue, experiment)


def _search(found: Json) -> str:
    known, first, bare = found["known_ms"], found["first_ms"], found["bare_ms"]
    right, held_out = found["held_out_right"], found["held_out"]
    return (
        f"Search (`python -m tests.benchmark search`; {found['queries']} sentences, "
        f"{found['products']:,} products, a visitor's taste in each): p50 {known['p50']:.1f} ms, "
        f"p90 {known['p90']:.1f} ms, p99 {known['p99']:.1f} ms without the models' own time, "
        f"p99 {first['p99']:.1f} ms with it, beside p99 {bare['p99']:.1f} ms of an empty request. "
        f"Of {held_out} sentences that nothing was tuned on, {right} ({right / held_out:.1%}) are "
        "understood exactly."
    )


def _pages(found: Json) -> Iterator[str]:
    places = 4 * found["k"]
    yield (
        f"Pages of {found['pages']} products of the demo's catalogue, each with four rows of {found['k']} "
        "for a visitor who came there by a simulated visit (`python -m tests.benchmark pages`): "
        f"{found['different']:.1f} different products of {places}, {found['least_different']} at least; no "
        f"product on more than {found['pages_of_one']} pages; {found['coverage']:.0%} of the catalogue on "
        f"any. Of {found['reasons']} reasons that tell of visits {found['false_reasons']} do not hold in the "
        f"model's own. All rows of a page in one request take {found['together']:.0%} of what they take in "
        "one each."
    )
    yield ""
    yield (
        f"Rows about {found['sample']} products. The model behind them has learned from simulated shoppers, "
        "so this says that the rows differ as they should, not how good they are:"
    )
    yield ""
    yield "| | products a row | types a row | same type | goes with it | overlap with similar |"
    yield "|---|---|---|---|---|---|"
    for name, spread in found["spreads"].items():
        overlap = found["overlap"].get(f"similar / {name}")
        yield (
            f"| {name} | {spread['length']:.1f} | {spread['types']:.1f} | {spread['same_type']:.0%} | "
            f"{spread['fitting']:.0%} | {'' if overlap is None else f'{overlap:.0%}'} |"
        )
    yield ""
    yield (
        "“Goes with it”: the type is one that the simulated shoppers combine with the product's; by "
        f"chance {found['fitting_by_chance']:.0%}."
    )


def _feeds(catalogue: Json, experiment: Json) -> str:
    formats = catalogue["figures"]["formats"]
    told = ", ".join(
        f"{name.upper()} {each['rows_per_s']:,.0f} (the bare reader {each['bare_rows_per_s']:,.0f})"
        for name, each in formats.items()
    )
    return (
        f"Feeds, rows made into products a second: {told}. The report of an experiment reads and joins "
        f"{experiment['joined_messages_per_s']:,.0f} impressions and events a second."
    )
