"""`python -m tests.benchmark.simulate`: what `make simulate` runs. Simulated shoppers, real rows."""

import asyncio
import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from infra.simulation import figures as simulation_figures
from infra.simulation import picture
from infra.simulation.figures import Interval, SimulationFigures
from infra.simulation.visits import Visit
from infra.simulation.world import Plan, Ranking, World
from services.progress import Progress, create_progress
from services.recommender.pipeline.exploration import SHARE_MAX
from storefront.demo.catalogue.generator import made
from storefront.demo.catalogue.writing import write
from storefront.demo.shoppers.content_vectors import embedded
from tests.benchmark import report
from tests.benchmark.machine import this_machine
from tests.benchmark.simulated_rankings import (
    Item2VecRanking,
    PipelineRanking,
    Stock,
    TrainedRanking,
)

PRODUCTS: Final = 600
CATALOGUE_SEED: Final = 7
WITHOUT_LOOP: Final = "Eddy without the loop"
DEFAULTS: Final = Plan()

app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)
console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)


@app.command()
def main(
    days: Annotated[int, typer.Option(min=1, help="with rows, after four without")] = DEFAULTS.days,
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
    logging.getLogger("gensim").setLevel(logging.WARNING)
    begun, plan = time.perf_counter(), Plan(days, shoppers, seed)
    found: dict[str, list[list[Visit]]] = {}
    with (
        create_progress(Console(stderr=True)) as progress,
        TemporaryDirectory(prefix="eddy-") as folder,
        asyncio.Runner() as runner,
    ):
        progress.stage("content vectors")
        stock = load_stock(Path(folder), runner)
        for ranking in rankings(stock, share):
            found[ranking.name] = list(simulate(stock, plan, ranking, progress))
    told = SimulationFigures(
        days=days,
        shoppers=shoppers,
        products=len(stock.products),
        seed=seed,
        compared_with=WITHOUT_LOOP,
        rankings=simulation_figures.summarise(found, shoppers, len(stock.products), WITHOUT_LOOP),
    )
    seconds = round(time.perf_counter() - begun)
    machine = msgspec.to_builtins(this_machine())
    written = {"machine": machine, "seconds": seconds, "share": share, "figures": told}
    report.write(out / "simulate.json", written)
    (out / "simulate.svg").write_text(picture.draw(msgspec.to_builtins(told)))
    show(told)
    console.print(f"{seconds} s; written to {out / 'simulate.json'} and {out / 'simulate.svg'}")


def load_stock(folder: Path, runner: asyncio.Runner) -> Stock:
    """The demo's small catalogue, embedded as the embedder does it."""
    products = [each.product for each in made(PRODUCTS, CATALOGUE_SEED)]
    write(folder / "catalogue", PRODUCTS, CATALOGUE_SEED, lambda: None)
    return Stock(products, embedded(products, folder / "catalogue"), folder, runner)


def rankings(stock: Stock, share: float) -> Iterator[Ranking]:
    """One after the other, each with what it needs."""
    yield PipelineRanking("popularity", "popular", stock)
    yield PipelineRanking("content", "for_you", stock)
    yield Item2VecRanking("item2vec", stock)
    yield TrainedRanking(WITHOUT_LOOP, stock)


def simulate(stock: Stock, plan: Plan, ranking: Ranking, progress: Progress) -> Iterator[list[Visit]]:
    """The visits of each day with rows."""
    progress.stage(f"days on rows by {ranking.name}", plan.days)
    for day, visits in World(stock.products, plan).run(ranking):
        if day > 0:
            progress.advance()
            yield visits


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
