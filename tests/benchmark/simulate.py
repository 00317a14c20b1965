"""`python -m tests.benchmark.simulate`: what `make simulate` runs. Simulated shoppers, real rows."""

import asyncio
import logging
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Final

import msgspec
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from infra.simulation import figures as simulation_figures
from infra.simulation import picture
from infra.simulation.figures import Interval, SimulationFigures
from infra.simulation.visits import Visit
from infra.simulation.world import Plan, Ranking, World
from schemas.products import Product
from schemas.vectors import Layout, Matrix
from services.progress import Progress, create_progress
from services.recommender.pipeline.exploration import SHARE_MAX
from services.trainer.content import Contents
from services.vector_replica import VectorReplica
from storefront.demo.catalogue.generator import made
from storefront.demo.catalogue.writing import write
from storefront.demo.shoppers.content_vectors import embedded
from tests.benchmark import report
from tests.benchmark.machine import this_machine
from tests.benchmark.simulated_rankings import (
    Item2VecRanking,
    LoopRanking,
    PipelineRanking,
    Stock,
    TrainedRanking,
)

PRODUCTS: Final = 600
CATALOGUE_SEED: Final = 7
WITHOUT_LOOP: Final = "Eddy without the loop"
WITH_LOOP: Final = "Eddy with the loop"
DEFAULTS: Final = Plan()
# Each with its name, made of the stock and the share of chance.
RANKINGS: Final[dict[str, Callable[[Stock, float], Ranking]]] = {
    "popularity": lambda stock, _share: PipelineRanking("popularity", "popular", stock),
    "content": lambda stock, _share: PipelineRanking("content", "for_you", stock),
    "item2vec": lambda stock, _share: Item2VecRanking("item2vec", stock),
    WITHOUT_LOOP: lambda stock, _share: TrainedRanking(WITHOUT_LOOP, stock),
    WITH_LOOP: lambda stock, share: LoopRanking(WITH_LOOP, stock, explores=share),
}

app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)
console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)


@app.command()
def main(
    days: Annotated[int, typer.Option(min=1, help="with rows, after seven without")] = DEFAULTS.days,
    shoppers: Annotated[int, typer.Option(min=10, help="of whom half come on a day")] = DEFAULTS.shoppers,
    share: Annotated[
        float, typer.Option(min=0, max=SHARE_MAX, help="of the loop's lower places, that chance fills")
    ] = SHARE_MAX,
    seed: Annotated[int, typer.Option(help="the same seed makes the same shoppers")] = DEFAULTS.seed,
    out: Annotated[Path, typer.Option(help="folder of the figures and the picture")] = Path("build/simulate"),
) -> None:
    """Let simulated shoppers, whose taste is known, click and buy on rows of five rankings, and compare them.

    Example: python -m tests.benchmark.simulate --days 3 --shoppers 100
    """
    begun, plan = time.perf_counter(), Plan(days, shoppers, seed)
    with create_progress(Console(stderr=True)) as progress:
        progress.stage("content vectors")
        contents = embed_products()
        progress.stage("days", len(RANKINGS) * days)
        found = simulate_all(contents, plan, share, progress)
    told = SimulationFigures(
        days=days,
        shoppers=shoppers,
        products=PRODUCTS,
        seed=seed,
        compared_with=WITHOUT_LOOP,
        rankings=simulation_figures.summarise(found, shoppers, PRODUCTS, WITHOUT_LOOP),
    )
    seconds = round(time.perf_counter() - begun)
    machine = msgspec.to_builtins(this_machine())
    written = {"machine": machine, "seconds": seconds, "share": share, "figures": told}
    report.write(out / "simulate.json", written)
    (out / "simulate.svg").write_text(picture.draw(msgspec.to_builtins(told)))
    show(told)
    console.print(f"{seconds} s; written to {out / 'simulate.json'} and {out / 'simulate.svg'}")


def embed_products() -> Contents:
    """The demo's small catalogue, as the embedder embeds it."""
    with TemporaryDirectory(prefix="eddy-") as folder:
        pictures = Path(folder)
        write(pictures, PRODUCTS, CATALOGUE_SEED, lambda: None)
        return embedded(list_products(), pictures)


def list_products() -> list[Product]:
    """The catalogue."""
    return [each.product for each in made(PRODUCTS, CATALOGUE_SEED)]


def simulate_all(
    contents: Contents, plan: Plan, share: float, progress: Progress
) -> dict[str, list[list[Visit]]]:
    """The visits of each day with rows, by ranking: each in its own process, as many as cores at a time."""
    vectors = contents.replica.units([each.product_id for each in list_products()])
    context = get_context("spawn")  # a fork of a process that has used torch may hang
    days: SimpleQueue[int] = context.SimpleQueue()
    with ProcessPoolExecutor(mp_context=context, initializer=_begin, initargs=(days,)) as pool:
        futures = {
            name: pool.submit(_simulate, name, plan, share, (contents.layout, vectors)) for name in RANKINGS
        }
        for future in futures.values():
            future.add_done_callback(lambda _done: days.put(0))
        left = len(futures)
        while left:
            day = days.get()
            left -= day == 0
            progress.advance(1 if day > 0 else 0)
        return {name: future.result() for name, future in futures.items()}


_days: "list[SimpleQueue[int]]" = []  # of this process: where it tells of each day that is over


def _begin(days: "SimpleQueue[int]") -> None:
    logging.getLogger("gensim").setLevel(logging.WARNING)
    _days.append(days)


def _simulate(
    name: str, plan: Plan, share: float, embedded_products: tuple[Layout, Matrix]
) -> list[list[Visit]]:
    layout, vectors = embedded_products
    products, replica = list_products(), VectorReplica(layout)
    for product, vector in zip(products, vectors, strict=True):
        replica.put(product, vector.astype(np.float16))
    found = []
    with TemporaryDirectory(prefix="eddy-") as folder, asyncio.Runner() as runner:
        ranking = RANKINGS[name](Stock(products, Contents(replica, layout), Path(folder), runner), share)
        for day, visits in World(products, plan).run(ranking):
            if day > 0:
                found.append(visits)
                _days[0].put(day)
    return found


def show(told: SimulationFigures) -> None:
    """The table."""
    heads = ("clicks a visit", "purchases a visit", "coverage a day", "regret a row", "more clicks")
    table = Table("rows by", *heads)
    for each in told.rankings:
        above = each.clicks_above
        table.add_row(
            each.name,
            *(cell(value) for value in (each.clicks, each.purchases, each.coverage, each.regret)),
            "" if above is None else cell(above),
        )
    console.print(table)
    console.print(f"{told.days} days, {told.shoppers} shoppers")
    console.print(f"more clicks: a visit, than with {told.compared_with}")


def cell(interval: Interval) -> str:
    """A figure with its interval."""
    return f"{interval.value:.3f} ({interval.low:.3f} … {interval.high:.3f})"


if __name__ == "__main__":
    app()
