"""The figures of searches, of rows about products, and of what comes in and is reported."""

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]


def lines(search: Json, complements: Json, catalogue: Json, experiment: Json) -> Iterator[str]:
    """Paragraphs and one table, with empty lines between them."""
    yield _search(search)
    yield ""
    yield from _complements(complements)
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


def _complements(found: Json) -> Iterator[str]:
    yield (
        f"Rows about {found['sample']} products of the demo's catalogue, {found['k']} in each "
        "(`python -m tests.benchmark complements`). The model behind them has learned from simulated "
        "shoppers, so this says that the rows differ as they should, not how good they are:"
    )
    yield ""
    yield "| | top categories a row | types a row | same type | goes with it | overlap with similar |"
    yield "|---|---|---|---|---|---|"
    for name, spread in found["spreads"].items():
        overlap = found["overlap"].get(f"similar / {name}")
        yield (
            f"| {name} | {spread['tops']:.1f} | {spread['types']:.1f} | {spread['same_type']:.0%} | "
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
