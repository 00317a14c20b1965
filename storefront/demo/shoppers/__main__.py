"""`python -m storefront.demo.shoppers`: simulated shoppers, and the behaviour that is learned of them."""

import logging
import shutil
import time
from pathlib import Path
from tempfile import gettempdir
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from schemas import events
from schemas.models import ModelRelease
from services.cli import exit_with_status
from services.clock import now_ms
from services.logging import configure_logging
from services.model import artifact
from services.progress import create_progress
from services.settings import load
from services.trainer.commands import NOT_DELIVERED
from services.trainer.settings import TrainerSettings
from storefront.demo.catalogue.generator import made
from storefront.demo.catalogue.writing import write
from storefront.demo.shoppers import releasing, shelf
from storefront.demo.shoppers.recent import recent
from storefront.demo.shoppers.shelf import Catalogue
from storefront.demo.shoppers.visits import simulated

# The demo's catalogue, and the small one of the tests; so many visits keep both below 3 MB together.
SIZES = (2400, 600)
VISITS_A_PRODUCT = 10 / 3

app = typer.Typer(
    help="Simulated shoppers of the demo: no figure about them says anything of real ones.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
console = Console(highlight=False, markup=False, soft_wrap=True)


@app.command()
def train(
    products: Annotated[
        list[int] | None, typer.Option(min=50, help="size of the catalogue; 2400 and 600 where none is named")
    ] = None,
    visits: Annotated[int | None, typer.Option(min=100, help="else 10 for every 3 products")] = None,
    seed: Annotated[int, typer.Option(help="the same seed makes the same visits")] = 11,
    out: Annotated[Path, typer.Option(help="folder of the artifacts and metrics.json")] = shelf.BEHAVIOUR,
    content: Annotated[
        bool,
        typer.Option(help="learn what content tells, too, as the trainer does; needs the embedder's models"),
    ] = True,
) -> None:
    """Simulate visits to the demo's catalogue, learn from them, and measure on visits held out.

    Example: python -m storefront.demo.shoppers train --products 600 --out /tmp/behaviour
    """
    logging.getLogger("gensim").setLevel(logging.WARNING)
    for size in products or SIZES:
        _train(Catalogue(size), visits or round(size * VISITS_A_PRODUCT), seed, out, content)


@app.command()
def release(
    catalogue: Annotated[Path, typer.Option(help="the catalogue on show")] = Path("build/demo/catalogue"),
) -> None:
    """Release what was learned on this catalogue, unless a model is released already.

    Example: python -m storefront.demo.shoppers release
    """
    with exit_with_status(not_delivered=NOT_DELIVERED):
        settings = load(TrainerSettings)
        configure_logging(settings, "demo-shoppers")
        shown = shelf.shown(catalogue)
        if shown is None:
            console.print(f"{catalogue} holds no catalogue of the demo: no model is released")
            return
        told = releasing.release(settings, shown)
        # The last line is short: `make up` shows it.
        if isinstance(told, ModelRelease):
            console.print(f"{told.name} {told.version}: {told.gate.reasons[0]}")
            console.print("the simulated shoppers' model is released")
        else:
            console.print(told)


@app.command("events")
def write_events(
    visits: Annotated[int, typer.Option(min=1, help="how many visits")] = 300,
    hours: Annotated[float, typer.Option(min=0.1, max=72, help="begun within so many hours before now")] = 2,
    seed: Annotated[int, typer.Option(help="the same seed makes the same visits")] = 12,
    catalogue: Annotated[Path, typer.Option(help="the catalogue on show")] = Path("build/demo/catalogue"),
) -> None:
    """Write simulated visits to the shop on show as events, a line each, for `ops events load`.

    Example: python -m storefront.demo.shoppers events --visits 600 > visits.jsonl
    """
    shown = shelf.shown(catalogue)
    if shown is None:
        raise typer.BadParameter(f"{catalogue} holds no catalogue of the demo: make up")
    products = [each.product for each in made(shown.products, shown.seed)]
    for event in recent(simulated(products, visits, seed), int(now_ms()), hours):
        typer.echo(events.encode(event).decode())


def _train(catalogue: Catalogue, count: int, seed: int, out: Path, content: bool) -> None:
    from storefront.demo.shoppers import learning  # noqa: PLC0415 - numba, gensim and lightgbm: 3 s

    work, begun = Path(gettempdir()) / "eddy-shoppers", time.perf_counter()
    products = [each.product for each in made(catalogue.products, catalogue.seed)]
    with create_progress(Console(stderr=True)) as progress:
        progress.stage("simulated visits")
        visits = list(simulated(products, count, seed))
        contents = None
        if content:
            from storefront.demo.shoppers.content_vectors import embedded  # noqa: PLC0415 - torch: seconds

            progress.stage("content vectors")
            pictures = work / catalogue.folder
            write(pictures, catalogue.products, catalogue.seed, lambda: None)
            contents = embedded(products, pictures)
        found = learning.learned(visits, catalogue, seed, contents, work=work, progress=progress)
    folder = out / catalogue.folder
    shutil.rmtree(folder, ignore_errors=True)
    artifact.write(folder, found.trained.arrays, found.trained.texts, found.manifest)
    figures: dict[str, object] = {
        "version": found.manifest.version,
        "made by": f"python -m storefront.demo.shoppers train --products {catalogue.products}",
        "simulated": found.manifest.parameters[shelf.SIMULATED],
        **found.manifest.counts,
        "bytes": sum(path.stat().st_size for path in folder.iterdir()),
        "seconds": round(time.perf_counter() - begun),
        "held-out simulated visits": {
            "protocol": "the last day; the next product that the visit has not held yet; repeats allowed",
            "model": _rounded(found.metrics),
            "the 20 most popular": _rounded(found.popular),
        },
    }
    shelf.tell_figures(catalogue, figures, out)
    console.print(f"{folder}: simulated, no figure of real shoppers")
    console.print_json(data=figures)


def _rounded(metrics: object) -> dict[str, float]:
    told: dict[str, float] = msgspec.to_builtins(metrics)
    return {name: round(value, 4) for name, value in told.items() if name != "predictions_per_s"}


if __name__ == "__main__":
    app()
