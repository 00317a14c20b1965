"""`catalogue load` and `events load`: files through ingest's HTTP API, with progress and a summary."""

import asyncio
from collections.abc import Iterable, Iterator
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import Annotated, Final, TypeVar

import msgspec
import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from services.ops.mappings import MAPPINGS, BadRow, Defaults, Mapping, detect, events, products
from services.ops.rows import UnreadableFile
from services.ops.settings import OpsSettings
from services.ops.upload import (
    EVENTS,
    PRODUCTS,
    Endpoint,
    IngestUnavailable,
    Refused,
    Tally,
    Uploader,
    batches,
)
from services.settings import load

M = TypeVar("M", bound=msgspec.Struct)

BATCH: Final = 500


class TransferSpeed(ProgressColumn):
    """Messages a second."""

    def render(self, task: Task) -> Text:
        """The newest speed, empty before the first batch."""
        return Text(f"{task.speed:,.0f}/s" if task.speed else "")


catalogue = typer.Typer(help="Product catalogues.", no_args_is_help=True)
events_app = typer.Typer(help="Shoppers' events.", no_args_is_help=True)
console = Console()


class MappingName(StrEnum):
    """The kinds of files known, for the command line."""

    AUTO = "auto"
    REES46 = "rees46"
    UCI = "uci"
    EDDY = "eddy"


File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="CSV, JSONL or Parquet, .gz too")]
MappingOption = Annotated[MappingName, typer.Option(help="the file's columns; auto tells by their names")]
Strict = Annotated[bool, typer.Option("--strict", help="stop at the first bad row")]


@catalogue.callback()
@events_app.callback()
def _group() -> None:
    """Keeps `load` a command of its own while it is the only one."""


@catalogue.command("load")
def load_catalogue(
    file: File,
    mapping: MappingOption = MappingName.AUTO,
    currency: Annotated[str, typer.Option(help="for products that name none")] = "EUR",
    strict: Strict = False,
) -> None:
    """Send a file's products to PUT /v1/products.

    Columns are Product's fields: product_id, name, price, and where known currency, availability (else
    in_stock), updated_at in ms (else the file's time), category as "Women > Shoes > Boots" or a JSON list,
    tags as "red|wool", brand, type, description, image_url, url, popularity. The files of REES46 and of UCI's
    clothing shop are known by their columns; their products are made from their events.

    Example: python -m services.ops catalogue load products.csv --currency EUR
    """
    defaults = Defaults(currency, int(file.stat().st_mtime * 1000))
    with _failing_clearly():
        chosen = _chosen(file, mapping)
        tally = Tally()
        found = _good(products(file, chosen, defaults), tally, strict)
        asyncio.run(_upload(PRODUCTS, found, tally, None))
    _finish("products", tally)


@events_app.command("load")
def load_events(
    file: File,
    speed: Annotated[str, typer.Option(help="events a second, or max")] = "max",
    mapping: MappingOption = MappingName.AUTO,
    strict: Strict = False,
) -> None:
    """Send a file's events to POST /v1/events. Loading a file again makes no second events.

    Event ids follow from the rows, times are the file's own. A JSONL file holds Events as they are.

    Example: python -m services.ops events load rees46_oct2019_17k.csv.gz --speed 300
    """
    rate = _rate(speed)
    with _failing_clearly():
        chosen = _chosen(file, mapping)
        tally = Tally()
        found = _good(events(file, chosen), tally, strict)
        asyncio.run(_upload(EVENTS, found, tally, rate))
    _finish("events", tally)


def _rate(speed: str) -> float | None:
    if speed == "max":
        return None
    try:
        rate = float(speed)
    except ValueError:
        rate = 0.0
    if rate <= 0:
        raise typer.BadParameter("must be a number of events a second, or max", param_hint="--speed")
    return rate


def _chosen(file: Path, mapping: MappingName) -> Mapping:
    return detect(file) if mapping is MappingName.AUTO else MAPPINGS[mapping.value]


def _good(found: Iterable[M | BadRow], tally: Tally, strict: bool) -> Iterator[M]:
    """The messages; bad rows are counted and left out."""
    for each in found:
        if not isinstance(each, BadRow):
            yield each
            continue
        tally.refuse(f"row {each.number}: {each.reason}")
        if strict:
            raise UnreadableFile(f"row {each.number}: {each.reason} (--strict)")


async def _upload(to: Endpoint, found: Iterator[M], tally: Tally, rate: float | None) -> None:
    settings = load(OpsSettings)
    first = next(found, None)  # an unreadable file is told before anything is sent
    source = chain([first], found) if first is not None else iter(())
    # A slow load goes out in small pieces: batches of a tenth of a second.
    size = BATCH if rate is None else max(1, min(BATCH, int(rate / 10)))
    uploader = Uploader(settings.ingest_url, settings.api_key)
    bar = Progress(
        SpinnerColumn(), TextColumn(to.name), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TransferSpeed(), console=console,
    )  # fmt: skip
    try:
        with bar:
            task = bar.add_task(to.name, total=None)
            await uploader.send_all(
                to, batches(source, size), tally, on_batch=lambda sent: bar.advance(task, sent), rate=rate
            )
    finally:
        await uploader.close()


def _finish(name: str, tally: Tally) -> None:
    console.print(f"{tally.accepted} {name} accepted, {tally.rejected} rejected", highlight=False)
    for reason in tally.reasons:
        console.print(f"  {reason}", style="red", highlight=False)
    if tally.rejected:
        raise typer.Exit(1)


class _failing_clearly:  # noqa: N801 - reads as a statement
    """Turns what a person can mend into one sentence and exit status 2."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        errors = error.exceptions if isinstance(error, BaseExceptionGroup) else (error,)
        for each in errors:
            if isinstance(each, UnreadableFile | IngestUnavailable | Refused):
                typer.echo(str(each), err=True)
                raise typer.Exit(2) from None
            if isinstance(each, KeyboardInterrupt):
                typer.echo("stopped; what was sent is in, and may be sent again without harm", err=True)
                raise typer.Exit(130) from None
