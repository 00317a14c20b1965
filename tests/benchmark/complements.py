"""Whether "Also liked" and "Goes with" differ from "Similar", through the HTTP API of a running stack.

`python -m tests.benchmark.complements` starts one with the demo's catalogue, whose shoppers are simulated:
the figures tell that the rows differ, not how shoppers like them.
"""

import logging
import random
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any, Final

import httpx
import msgspec
import typer
from rich.console import Console
from rich.table import Table

from infra.stack.broker import ROOT, BrokerUnavailable
from infra.stack.lifecycle import CannotStart, StepFailed
from schemas import products
from schemas.topics import PRODUCTS
from storefront.demo.shoppers.complements import GOES_WITH
from tests.benchmark import report
from tests.benchmark.machine import Machine, this_machine
from tests.benchmark.system import System, already_running, whole_stack
from tests.support.kafka import read_topic

K: Final = 12
SAMPLE: Final = 200
SEED: Final = 5
ROWS: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = {
    "similar": ("similar", {}),
    "also liked": ("also-liked", {}),
    "goes with, other category": ("complements", {"by": "topic"}),
    "goes with, other type": ("complements", {"by": "type"}),
}


class Shelf(msgspec.Struct, frozen=True):
    """Where a product stands: its top-level category, and its type."""

    top: str
    type: str


class Item(msgspec.Struct, frozen=True):
    """One product of a row, and which source brought it."""

    product_id: str
    source: str


class Row(msgspec.Struct, frozen=True):
    """The row of one kind about one product."""

    about: str
    items: tuple[Item, ...]


class Spread(msgspec.Struct, frozen=True):
    """How far the rows of one kind spread. Shares are of all items, means are over rows that are not empty.

    `tops` and `types` count distinct ones in a row; `same_top` and `same_type` are the shares of items that
    stand where the row's product does, `fitting` of those whose type goes with the row's product by the table
    that the simulated shoppers act by; `sources` are shares by source.
    """

    rows: int
    empty: int
    length: float
    tops: float
    types: float
    same_top: float
    same_type: float
    fitting: float
    sources: dict[str, float]


class ComplementFigures(msgspec.Struct, frozen=True):
    """What was measured. `overlap` is by pair of kinds; `model` is the version of the behaviour.

    `fitting_by_chance` is what rows of any products would have as `fitting`.
    """

    machine: Machine
    system: str
    model: str
    products: int
    sample: int
    k: int
    spreads: dict[str, Spread]
    overlap: dict[str, float]
    fitting_by_chance: float


def spread(rows: Sequence[Row], shelves: Mapping[str, Shelf]) -> Spread:
    """How far rows of one kind spread; all zero where there is nothing to count."""
    full = [row for row in rows if row.items]
    items = [(shelves[row.about], shelves[item.product_id], item) for row in full for item in row.items]
    sources = sorted({item.source for _, _, item in items})
    return Spread(
        rows=len(rows),
        empty=len(rows) - len(full),
        length=_mean([len(row.items) for row in full]),
        tops=_mean([len({shelves[item.product_id].top for item in row.items}) for row in full]),
        types=_mean([len({shelves[item.product_id].type for item in row.items}) for row in full]),
        same_top=_mean([about.top == there.top for about, there, _ in items]),
        same_type=_mean([about.type == there.type for about, there, _ in items]),
        fitting=_mean([there.type in GOES_WITH.get(about.type, ()) for about, there, _ in items]),
        sources={source: _mean([item.source == source for _, _, item in items]) for source in sources},
    )


def overlap(some: Sequence[Row], others: Sequence[Row]) -> float:
    """The mean share of products that two rows about one product have in common, of the longer row.

    Pairs of empty rows are passed over. Raises ValueError for rows about different products.
    """
    shares = []
    for one, other in zip(some, others, strict=True):
        if one.about != other.about:
            raise ValueError(f"a row about {one.about} beside one about {other.about}")
        first, second = ({item.product_id for item in row.items} for row in (one, other))
        if longer := max(len(first), len(second)):
            shares.append(len(first & second) / longer)
    return _mean(shares)


def fitting_by_chance(asked: Sequence[str], shelves: Mapping[str, Shelf]) -> float:
    """The mean share of the catalogue that goes with a product."""
    types = Counter(shelf.type for shelf in shelves.values())
    fitting = [GOES_WITH.get(shelves[product_id].type, {}) for product_id in asked]
    return _mean([sum(types[each] for each in kinds) / types.total() for kinds in fitting])


def measure(system: System, sample: int = SAMPLE, k: int = K) -> ComplementFigures:
    """Asks for every kind of row about products drawn at random. RuntimeError: no model serves."""
    shelves = _shelves(system)
    asked = random.Random(SEED).sample(sorted(shelves), min(sample, len(shelves)))
    rows: dict[str, list[Row]] = {}
    served = ""
    with httpx.Client(base_url=system.recommender_url, timeout=30) as client:
        for kind, (path, parameters) in ROWS.items():
            rows[kind] = []
            for product_id in asked:
                answer = _answer(client, f"/v1/products/{product_id}/{path}", {"k": k, **parameters})
                served = answer["models"].get("behaviour", served)
                items = [Item(each["product_id"], each["source"]) for each in answer["items"]]
                rows[kind].append(Row(product_id, tuple(items)))
    if not served:
        raise RuntimeError(f"{system.recommender_url} serves no model, so nothing tells what is also liked")
    return ComplementFigures(
        machine=this_machine(),
        system=system.kind,
        model=served,
        products=len(shelves),
        sample=len(asked),
        k=k,
        spreads={kind: spread(each, shelves) for kind, each in rows.items()},
        overlap={f"{one} / {other}": overlap(rows[one], rows[other]) for one, other in combinations(rows, 2)},
        fitting_by_chance=fitting_by_chance(asked, shelves),
    )


def show(console: Console, figures: ComplementFigures) -> None:
    """Two tables."""
    told = Table(
        f"rows about {figures.sample} products", "empty", "items", "top categories", "types",
        "same top", "same type", "goes with", "by source",
    )  # fmt: skip
    for kind, each in figures.spreads.items():
        sources = ", ".join(f"{name} {share:.0%}" for name, share in each.sources.items())
        shares = (f"{each.same_top:.1%}", f"{each.same_type:.1%}", f"{each.fitting:.1%}", sources)
        told.add_row(
            kind, str(each.empty), f"{each.length:.1f}", f"{each.tops:.2f}", f"{each.types:.2f}", *shares
        )
    console.print(told)
    pairs = Table(f"overlap@{figures.k}", "")
    for pair, share in figures.overlap.items():
        pairs.add_row(pair, f"{share:.1%}")
    console.print(pairs)
    console.print(f"by chance {figures.fitting_by_chance:.1%} of a row's products go with what it is about")
    console.print(f"{figures.products} products; model {figures.model}, learned from SIMULATED shoppers")


def _answer(client: httpx.Client, path: str, parameters: Mapping[str, str | int]) -> dict[str, Any]:
    answer = client.get(path, params=dict(parameters))
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def _shelves(system: System) -> dict[str, Shelf]:
    newest = {message.key(): message.value() for message in read_topic(system.settings, PRODUCTS)}
    found = [products.decode(value) for value in newest.values() if value is not None]
    return {each.product_id: Shelf(each.top_category, each.type or "") for each in found}


def _mean(numbers: Sequence[float]) -> float:
    return round(fmean(numbers), 4) if numbers else 0.0


def main(
    recommender: Annotated[str | None, typer.Option(help="URL of a running recommender")] = None,
    kafka: Annotated[str | None, typer.Option(help="its Kafka, host:port")] = None,
    sample: Annotated[int, typer.Option(min=1, help="products to ask about")] = SAMPLE,
    out: Annotated[Path, typer.Option(help="folder of complements.json")] = ROOT / "build" / "bench",
) -> None:
    """Compare the rows about products: what they have in common, and how far they spread.

    Example: python -m tests.benchmark.complements --recommender http://127.0.0.1:8002 --kafka 127.0.0.1:9092
    """
    logging.getLogger("librdkafka").setLevel(logging.ERROR)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    if (recommender is None) != (kafka is None):
        raise typer.BadParameter("--recommender and --kafka go together")
    start: AbstractContextManager[System] = (
        already_running("", recommender, kafka)
        if recommender and kafka
        else whole_stack(lambda what, seconds: console.print(f"  {what}: {seconds:.1f} s"))
    )
    try:
        with start as system:
            figures = measure(system, sample)
    except (CannotStart, StepFailed, BrokerUnavailable, RuntimeError, httpx.HTTPError) as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(1) from None
    report.write(out / "complements.json", figures)
    show(console, figures)


if __name__ == "__main__":
    typer.run(main)
