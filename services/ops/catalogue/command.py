"""`python -m services.ops catalogue`: a feed's products through ingest's HTTP API, or a look at them."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import Annotated, Final, TypeVar

import msgspec
import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from schemas.products import Product
from services.ops import output
from services.ops.catalogue import check as check_report
from services.ops.catalogue import columns as columns_file
from services.ops.catalogue.cell_values import Defaults
from services.ops.catalogue.check import Check
from services.ops.catalogue.file_formats import Feed, UnreadableFile
from services.ops.catalogue.mappings import MAPPINGS, BadRow, LeftOut, Mapping, detected, entries, mapped_by
from services.ops.catalogue.resume_journal import Journal, JournalUnusable
from services.ops.catalogue.upload import (
    PRODUCTS,
    Endpoint,
    IngestUnavailable,
    Refused,
    Tally,
    Uploader,
    batches,
)
from services.ops.settings import OpsSettings

M = TypeVar("M", bound=msgspec.Struct)

BATCH: Final = 500
console: Final = Console(soft_wrap=True)


class Summary(msgspec.Struct, frozen=True):
    """What became of a file, for machines. `reasons` are the first few refusals."""

    file: str
    mapping: str
    accepted: int
    rejected: int
    skipped: int
    left_out: int
    reasons: list[str]
    seconds: float


def refuse(row: BadRow, tally: Tally, strict: bool) -> None:
    """Counts a bad row. Raises UnreadableFile where the first is to be the last."""
    tally.refuse(str(row))
    if strict:
        raise UnreadableFile(f"{row} (--strict)")


async def send(
    to: Endpoint,
    found: Iterator[M],
    tally: Tally,
    settings: OpsSettings,
    *,
    on_accepted: Callable[[list[M]], object],
    rate: float | None = None,
) -> None:
    """Sends all that is found. Raises UnreadableFile, IngestUnavailable or Refused."""
    first = next(found, None)  # an unreadable file is told before anything is sent
    source = chain([first], found) if first is not None else iter(())
    # A slow load goes out in small pieces: batches of a tenth of a second.
    size = BATCH if rate is None else max(1, min(BATCH, int(rate / 10)))
    uploader = Uploader(settings.ingest_url, settings.api_key)
    try:
        pieces = batches(source, size, to.most_bytes)
        await uploader.send_all(to, pieces, tally, on_accepted=on_accepted, rate=rate)
    finally:
        await uploader.close()


def finish(name: str, summary: Summary, *, as_json: bool) -> None:
    """Prints what became of the file; exit status 1 where anything was refused."""
    if as_json:
        typer.echo(msgspec.json.encode(summary))
    else:
        console.print(_sentence(name, summary), highlight=False)
        for reason in summary.reasons:
            console.print(f"  {reason}", style="red", highlight=False, markup=False)
    if summary.rejected:
        raise typer.Exit(1)


def _sentence(name: str, summary: Summary) -> str:
    text = f"{summary.accepted} {name} accepted, {summary.rejected} rejected"
    if summary.skipped:
        text += f", {summary.skipped} not sent again"
    return text + (f", {summary.left_out} rows left out" if summary.left_out else "")


class failing_clearly:  # noqa: N801 - reads as a statement
    """Turns what a person can mend into one sentence and exit status 2."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        errors = error.exceptions if isinstance(error, BaseExceptionGroup) else (error,)
        for each in errors:
            if isinstance(each, UnreadableFile | IngestUnavailable | Refused | JournalUnusable):
                typer.echo(str(each), err=True)
                raise typer.Exit(2) from None
            if isinstance(each, KeyboardInterrupt):
                typer.echo("stopped; what was sent is in, and may be sent again without harm", err=True)
                raise typer.Exit(130) from None


EVERY: Final = 500  # rows, between two looks at how far the file is read


class Speed(ProgressColumn):
    """Messages a second, since the beginning."""

    def render(self, task: Task) -> Text:
        """Empty before the first batch."""
        sent = task.fields["sent"]
        return Text(f"{sent / task.elapsed:,.0f}/s" if sent and task.elapsed else "")


class LoadBar:
    """The bar of one load. Used in a `with`."""

    def __init__(self, name: str, feed: Feed) -> None:
        self._feed = feed
        self._sent = 0
        self._bar = Progress(
            SpinnerColumn(), TextColumn(name), BarColumn(), TaskProgressColumn(),
            TextColumn("{task.fields[sent]:,} sent"), Speed(), TimeElapsedColumn(), TimeRemainingColumn(),
            console=Console(stderr=True),
        )  # fmt: skip
        self._task = self._bar.add_task(name, total=1.0, sent=0)

    def __enter__(self) -> "LoadBar":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, sent: int = 0) -> None:
        """So many more messages were accepted, and the file may have been read further."""
        self._sent += sent
        self._bar.update(self._task, completed=self._feed.share, sent=self._sent)


STATE: Final = Path("build/ops")

app = typer.Typer(help="Product catalogues.", no_args_is_help=True)


class CatalogueMapping(StrEnum):
    """The kinds of feeds known, for the command line."""

    AUTO = "auto"
    EDDY = "eddy"
    GOOGLE = "google"
    SHOPIFY = "shopify"
    REES46 = "rees46"
    UCI = "uci"


class VariantsOption(StrEnum):
    """What becomes of the rows of one item group of Google's."""

    SEPARATE = "separate"
    MERGED = "merged"


File = Annotated[
    Path, typer.Argument(exists=True, dir_okay=False, help="CSV, TSV, JSONL, JSON, Parquet or XML, .gz too")
]
MappingOption = Annotated[
    CatalogueMapping, typer.Option(help="the feed's kind; auto tells by its format and columns")
]
ColumnsOption = Annotated[
    Path | None,
    typer.Option(
        "--columns", exists=True, dir_okay=False,
        help="TOML file that tells which column is which; `catalogue columns` prints an example",
    ),
]  # fmt: skip
CurrencyOption = Annotated[
    str, typer.Option(metavar="CODE", help="ISO 4217, for prices that name none (all of Shopify's)")
]
Variants = Annotated[
    VariantsOption, typer.Option(help="Google's item groups: a product a row, or one for a group")
]
Json = Annotated[bool, typer.Option("--json", help="the result as JSON on stdout")]


@dataclass(frozen=True, slots=True)
class _Chosen:
    """A feed with all that decides what its rows become."""

    feed: Feed
    mapping: Mapping
    defaults: Defaults


@app.command("load")
def load_catalogue(  # noqa: PLR0917 - typer knows them by name
    file: File,
    mapping: MappingOption = CatalogueMapping.AUTO,
    columns: ColumnsOption = None,
    currency: CurrencyOption = "EUR",
    variants: Variants = VariantsOption.SEPARATE,
    strict: Annotated[bool, typer.Option("--strict", help="stop at the first bad row")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="as `catalogue check`: nothing is sent")] = False,
    only_changed: Annotated[
        bool, typer.Option("--only-changed", help="send what differs from the last such load of this file")
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="send all, whatever an earlier load has sent")
    ] = False,
    state: Annotated[Path, typer.Option(help="folder that remembers what was acknowledged")] = STATE,
    as_json: Json = False,
) -> None:
    """Send a feed's products to PUT /v1/products; what is loaded twice changes nothing.

    Kinds: eddy (product_id, name, price, and where known currency, availability, updated_at, category as
    "Women > Shoes", tags as "red|wool", brand, type, description, image_url, url, popularity), google (a
    Merchant feed in XML, TSV or CSV), shopify (product JSON), and the files of rees46 and uci.

    Other columns are told by a small file, --columns columns.toml:
    columns.product_id = "sku"

    columns.name = "{brand} {title}"

    columns.price = "amount"

    availability."auf Lager" = "in_stock"

    A load that was stopped goes on where it was when it is started again. A product without updated_at gets
    the file's time. --only-changed is for a feed that alone tells the products: what someone else has
    changed or removed meanwhile is not sent again.

    Exit status: 0, 1 where rows were refused, 2 where the file or ingest failed.

    Example: python -m services.ops catalogue load feed.xml --currency EUR
    """
    if dry_run:
        return check_catalogue(file, mapping, columns, currency, variants, as_json)
    tally, started = Tally(), time.monotonic()
    with failing_clearly():
        settings = output.settings()
        chosen = _chosen(file, mapping, columns, currency, variants)
        with _journal(file, settings, state, only_changed=only_changed, fresh=restart) as journal:
            if len(journal):
                _tell_what_is_known(len(journal), only_changed=only_changed)
            with LoadBar("products", chosen.feed) as bar:
                _send(chosen, journal, tally, settings, bar, strict=strict)
            if not only_changed:
                journal.remove()
    summary = Summary(
        str(file), chosen.mapping.name, tally.accepted, tally.rejected, tally.skipped, tally.left_out,
        tally.reasons, round(time.monotonic() - started, 3),
    )  # fmt: skip
    return finish("products", summary, as_json=as_json)


@app.command("check")
def check_catalogue(  # noqa: PLR0917 - typer knows them by name
    file: File,
    mapping: MappingOption = CatalogueMapping.AUTO,
    columns: ColumnsOption = None,
    currency: CurrencyOption = "EUR",
    variants: Variants = VariantsOption.SEPARATE,
    as_json: Json = False,
) -> None:
    """Look at a feed and tell what is missing or odd, row by row; nothing is sent.

    Exit status: 0 where all rows are fine, 1 where some would be refused, 2 where the file cannot be read.

    Example: python -m services.ops catalogue check feed.xml
    """
    with failing_clearly():
        chosen = _chosen(file, mapping, columns, currency, variants)
        check = Check(chosen.mapping, chosen.defaults.updated_at)
        for number, found in entries(chosen.feed, chosen.mapping, chosen.defaults):
            check.take(number, found)
        report = check.report(str(file), chosen.feed.format.value)
    if as_json:
        typer.echo(msgspec.json.encode(report))
    else:
        check_report.show(console, report)
    if report.refused:
        raise typer.Exit(1)


@app.command("columns")
def print_columns() -> None:
    """Print an example of a file for --columns.

    Example: python -m services.ops catalogue columns > columns.toml
    """
    typer.echo(columns_file.EXAMPLE.read_text(encoding="utf-8"), nl=False)


def _chosen(
    file: Path, mapping: CatalogueMapping, columns: Path | None, currency: str, variants: VariantsOption
) -> _Chosen:
    if len(currency) != 3 or not (currency.isascii() and currency.isalpha() and currency.isupper()):
        raise typer.BadParameter("must be three capital letters, such as EUR", param_hint="--currency")
    if columns is not None and mapping is not CatalogueMapping.AUTO:
        raise typer.BadParameter("tells the columns already: leave --mapping out", param_hint="--columns")
    defaults = Defaults(currency, int(file.stat().st_mtime * 1000), variants.value)
    if columns is not None:
        told = columns_file.read(columns)
        feed = Feed(file, told.dialect)
        return _Chosen(feed, mapped_by(told, feed), defaults)
    feed = Feed(file)
    is_auto = mapping is CatalogueMapping.AUTO
    return _Chosen(feed, detected(feed) if is_auto else MAPPINGS[mapping.value], defaults)


def _journal(file: Path, settings: OpsSettings, state: Path, *, only_changed: bool, fresh: bool) -> Journal:
    """What has been acknowledged: of this very file by a stopped load, or of all its former contents."""
    kind = "changes" if only_changed else "load"
    status = file.stat()
    version = "" if only_changed else f"{status.st_size}:{status.st_mtime_ns}"
    return Journal(state, f"{kind}: {file.resolve()} to {settings.ingest_url}", version, fresh=fresh)


def _tell_what_is_known(count: int, *, only_changed: bool) -> None:
    had = "earlier loads" if only_changed else "a load that was stopped"
    typer.echo(
        f"{count:,} products were acknowledged in {had}: sent again only where changed (--restart: all)",
        err=True,
    )


def _send(
    chosen: _Chosen, journal: Journal, tally: Tally, settings: OpsSettings, bar: LoadBar, *, strict: bool
) -> None:
    def accepted(sent: list[Product]) -> None:
        journal.add(sent)
        bar.show(len(sent))

    found = _unsent(chosen, journal, tally, bar, strict)
    asyncio.run(send(PRODUCTS, found, tally, settings, on_accepted=accepted))
    bar.show()


def _unsent(chosen: _Chosen, journal: Journal, tally: Tally, bar: LoadBar, strict: bool) -> Iterator[Product]:
    """The products that are to be sent; everything else is counted."""
    for number, found in entries(chosen.feed, chosen.mapping, chosen.defaults):
        if number % EVERY == 0:
            bar.show()
        if isinstance(found, BadRow):
            refuse(found, tally, strict)
        elif isinstance(found, LeftOut):
            tally.left_out += 1
        elif journal.has(found):
            tally.skipped += 1
        else:
            yield found
