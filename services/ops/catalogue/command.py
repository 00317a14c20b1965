"""`python -m services.ops catalogue`: a feed's products through ingest's HTTP API, or a look at them."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from schemas.products import Product
from schemas.times import EARLIEST_MS
from services.cli import exit_with_status, progress_console
from services.ops import services
from services.ops.catalogue import check as check_report
from services.ops.catalogue import columns as columns_file
from services.ops.catalogue.cell_values import Defaults
from services.ops.catalogue.check import Check, console
from services.ops.catalogue.file_formats import Feed, UnreadableFile
from services.ops.catalogue.mappings import MAPPINGS, BadRow, Mapping, OmittedRow, detect, entries, mapping_by
from services.ops.catalogue.resume_journal import Journal
from services.ops.catalogue.upload import PRODUCTS, Summary, send
from services.ops.output import present
from services.ops.settings import OpsSettings, load_settings
from services.progress import FileBar

STOPPED: Final = "what was sent is in, and may be sent again without harm"


def refuse(row: BadRow, summary: Summary, strict: bool) -> None:
    """Counts a bad row. Raises UnreadableFile where the first is to be the last."""
    summary.refuse(str(row))
    if strict:
        raise UnreadableFile(f"{row} (--strict)")


def finish(name: str, summary: Summary, *, as_json: bool) -> None:
    """Prints what became of the file; exit status 1 where anything was refused."""
    present(summary, partial(_show, name), as_json=as_json)
    if summary.rejected:
        raise typer.Exit(1)


def _show(name: str, summary: Summary) -> None:
    text = f"{summary.accepted} {name} accepted, {summary.rejected} rejected"
    if summary.skipped:
        text += f", {summary.skipped} not sent again"
    if summary.left_out:
        text += f", {summary.left_out} rows left out"
    if summary.ignored:
        text += f", {summary.ignored} ignored: older than what is there"
    console.print(text, highlight=False)
    for reason in summary.outdated:
        console.print(f"  {reason}", style="yellow", highlight=False, markup=False)
    for reason in summary.reasons:
        console.print(f"  {reason}", style="red", highlight=False, markup=False)


EVERY: Final = 500  # rows, between two looks at how far the file is read
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
class _FeedChoice:
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
    the file's time; what is older than what the shop has is ignored, and told. --only-changed is for a feed
    that alone tells the products: what someone else has changed or removed meanwhile is not sent again.

    Exit status: 0, 1 where rows were refused, 2 where the file or ingest failed.

    Example: python -m services.ops catalogue load feed.xml --currency EUR
    """
    if dry_run:
        check_catalogue(file, mapping, columns, currency, variants, as_json)
        return
    started = time.monotonic()
    with exit_with_status(stopped=STOPPED):
        settings = load_settings()
        chosen = _choose_feed(file, mapping, columns, currency, variants)
        summary = Summary(str(file), chosen.mapping.name)
        with _journal(file, settings, state, only_changed=only_changed, fresh=restart) as journal:
            if len(journal):
                had = "earlier loads" if only_changed else "a load that was stopped"
                typer.echo(
                    f"{len(journal):,} products were acknowledged in {had}: sent again only where changed "
                    "(--restart: all)",
                    err=True,
                )
            with FileBar("products", lambda: chosen.feed.share, progress_console) as bar:
                _send(chosen, journal, summary, settings, bar, strict=strict)
            if not only_changed:
                journal.remove()
    summary.seconds = round(time.monotonic() - started, 3)
    finish("products", summary, as_json=as_json)


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
    with exit_with_status(stopped=STOPPED):
        chosen = _choose_feed(file, mapping, columns, currency, variants)
        check = Check(chosen.mapping, chosen.defaults.updated_at)
        for number, found in entries(chosen.feed, chosen.mapping, chosen.defaults):
            check.take(number, found)
        report = check.report(str(file), chosen.feed.format.value)
    present(report, check_report.show, as_json=as_json)
    if report.refused:
        raise typer.Exit(1)


@app.command("columns")
def print_columns() -> None:
    """Print an example of a file for --columns.

    Example: python -m services.ops catalogue columns > columns.toml
    """
    typer.echo(columns_file.EXAMPLE.read_text(encoding="utf-8"), nl=False)


def _choose_feed(
    file: Path, mapping: CatalogueMapping, columns: Path | None, currency: str, variants: VariantsOption
) -> _FeedChoice:
    if len(currency) != 3 or not (currency.isascii() and currency.isalpha() and currency.isupper()):
        raise typer.BadParameter("must be three capital letters, such as EUR", param_hint="--currency")
    if columns is not None and mapping is not CatalogueMapping.AUTO:
        raise typer.BadParameter("tells the columns already: leave --mapping out", param_hint="--columns")
    file_time = max(EARLIEST_MS, int(file.stat().st_mtime * 1000))  # some archives unpack to 1970 or 1980
    defaults = Defaults(currency, file_time, variants.value)
    if columns is not None:
        told = columns_file.read(columns)
        feed = Feed(file, told.dialect)
        return _FeedChoice(feed, mapping_by(told, feed), defaults)
    feed = Feed(file)
    is_auto = mapping is CatalogueMapping.AUTO
    return _FeedChoice(feed, detect(feed) if is_auto else MAPPINGS[mapping.value], defaults)


def _journal(file: Path, settings: OpsSettings, state: Path, *, only_changed: bool, fresh: bool) -> Journal:
    """What has been acknowledged: of this very file by a stopped load, or of all its former contents.

    By that ingest, for that Kafka cluster: another one behind the same URL has nothing of it. Where ingest
    does not tell, nothing that was kept is believed.
    """
    cluster = services.health(settings, "ingest").cluster or ""
    is_known = not cluster.startswith("/") and bool(cluster)
    kind = "changes" if only_changed else "load"
    status = file.stat()
    version = "" if only_changed else f"{status.st_size}:{status.st_mtime_ns}"
    about = f"{kind}: {file.resolve()} to {settings.ingest_url} of {cluster}"
    return Journal(state, about, version, fresh=fresh or not is_known)


def _send(
    chosen: _FeedChoice,
    journal: Journal,
    summary: Summary,
    settings: OpsSettings,
    bar: FileBar,
    *,
    strict: bool,
) -> None:
    def on_batch(sent: list[Product]) -> None:
        journal.add(sent)
        bar.advance(len(sent))

    found = _unsent(chosen, journal, summary, bar, strict)
    asyncio.run(send(PRODUCTS, found, summary, settings, on_accepted=on_batch))
    bar.advance()


def _unsent(
    chosen: _FeedChoice, journal: Journal, summary: Summary, bar: FileBar, strict: bool
) -> Iterator[Product]:
    """The products that are to be sent; everything else is counted."""
    for number, found in entries(chosen.feed, chosen.mapping, chosen.defaults):
        if number % EVERY == 0:
            bar.advance()
        if isinstance(found, BadRow):
            refuse(found, summary, strict)
        elif isinstance(found, OmittedRow):
            summary.left_out += 1
        elif journal.has(found):
            summary.skipped += 1
        else:
            yield found
