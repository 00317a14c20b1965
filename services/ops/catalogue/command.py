"""`python -m services.ops catalogue`: a feed's products through ingest's HTTP API, or a look at them."""

import asyncio
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from schemas.products import Product
from services.cli import exit_with_status, progress_console
from services.clock import now_ms
from services.ops import services
from services.ops.catalogue import check as check_report
from services.ops.catalogue import columns as columns_file
from services.ops.catalogue.check import Check, console
from services.ops.catalogue.feed_choice import (
    AvailabilityOption,
    CatalogueMapping,
    ColumnsOption,
    CurrencyOption,
    Decimal,
    DecimalOption,
    EncodingOption,
    FeedChoice,
    FeedOptions,
    File,
    MappingOption,
    ShopUrl,
    Variants,
    VariantsOption,
)
from services.ops.catalogue.file_formats import UnreadableFile
from services.ops.catalogue.full_sync import FullSync
from services.ops.catalogue.mappings import BadRow, OmittedRow, entries
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
    if summary.sold_out or summary.deleted:
        text += f", {summary.sold_out} sold out and {summary.deleted} deleted: no longer in the feed"
    if summary.kept:
        text += f", {summary.kept} not in the feed, but changed after it was written: they stay"
    console.print(text, highlight=False)
    for reason in summary.outdated:
        console.print(f"  {reason}", style="yellow", highlight=False, markup=False)
    for reason in summary.reasons:
        console.print(f"  {reason}", style="red", highlight=False, markup=False)
    if summary.odd:
        told = f"  {summary.odd:,} oddities were passed over: `catalogue check` tells them"
        console.print(told, style="yellow", highlight=False, markup=False)


EVERY: Final = 500  # rows, between two looks at how far the file is read
STATE: Final = Path("build/ops")

app = typer.Typer(help="Product catalogues.", no_args_is_help=True)


Json = Annotated[bool, typer.Option("--json", help="the result as JSON on stdout")]


@app.command("load")
def load_catalogue(  # noqa: PLR0917 - typer knows them by name
    file: File,
    mapping: MappingOption = CatalogueMapping.AUTO,
    columns: ColumnsOption = None,
    currency: CurrencyOption = "EUR",
    variants: Variants = VariantsOption.SEPARATE,
    encoding: EncodingOption = None,
    decimal: Decimal = DecimalOption.AUTO,
    availability: AvailabilityOption = None,
    shop_url: ShopUrl = None,
    full: Annotated[
        bool, typer.Option("--full", help="the feed is the whole catalogue: what it no longer has goes")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="let even over 20 % of the catalogue go")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="stop at the first bad row")] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="as `catalogue check`; with --full, what would go"),
    ] = False,
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
    Merchant feed in XML, TSV or CSV), shopify (product JSON, or its CSV export), woocommerce and magento
    (their CSV exports), and the files of rees46 and uci.

    Other columns are told by a small file, --columns columns.toml:
    columns.product_id = "sku"

    columns.name = "{brand} {title}"

    columns.price = "amount"

    availability."auf Lager" = "in_stock"

    A load that was stopped goes on where it was when it is started again; so does that of a feed that broke
    off, once it is mended. A product without updated_at gets the file's time; what is older than what the
    shop has is ignored, and told. --only-changed is for a feed that alone tells the products: what someone
    else has changed or removed meanwhile is not sent again.

    --full: what the feed no longer has is sold out at once, and deleted by the first such load after
    EDDY_CATALOGUE_DELETE_AFTER_DAYS. What was changed after the file was written stays.

    Exit status: 0, 1 where rows were refused, 2 where the file or ingest failed.

    Example: python -m services.ops catalogue load feed.xml --currency EUR
    """
    options = FeedOptions(
        mapping, columns, currency, variants, encoding, decimal, availability or (), shop_url
    )
    if dry_run:
        _check(file, options, state if full else None, as_json=as_json)
        return
    started = time.monotonic()
    with exit_with_status(stopped=STOPPED):
        settings = load_settings()
        chosen = options.choose(file)
        summary = Summary(str(file), chosen.mapping.name)
        cluster = services.health(settings, "ingest").cluster or ""
        sync = FullSync(chosen, settings, state, cluster=cluster, now=int(now_ms())) if full else None
        if sync is not None:
            sync.require_consent(yes=yes)
        with _journal(file, settings, cluster, state, only_changed=only_changed, fresh=restart) as journal:
            if len(journal):
                had = "earlier loads" if only_changed else "a load that was stopped"
                typer.echo(
                    f"{len(journal):,} products were acknowledged in {had}: sent again only where changed "
                    "(--restart: all)",
                    err=True,
                )
            with FileBar("products", lambda: chosen.feed.share, progress_console) as bar:
                _Load(chosen, journal, summary, settings, bar).run(strict=strict)
            if sync is not None:
                _take_away(sync, journal, summary, settings)
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
    encoding: EncodingOption = None,
    decimal: Decimal = DecimalOption.AUTO,
    availability: AvailabilityOption = None,
    shop_url: ShopUrl = None,
    as_json: Json = False,
) -> None:
    """Look at a feed and tell what is missing or odd, row by row; nothing is sent.

    It tells all that a load passes over, and ends with what a shopper would see wrong.

    Exit status: 0 where all rows are fine, 1 where some would be refused, 2 where the file cannot be read.

    Example: python -m services.ops catalogue check feed.xml
    """
    options = FeedOptions(
        mapping, columns, currency, variants, encoding, decimal, availability or (), shop_url
    )
    _check(file, options, None, as_json=as_json)


def _check(file: Path, options: FeedOptions, state: Path | None, *, as_json: bool) -> None:
    """With a `state` folder also what a full load would take away."""
    with exit_with_status(stopped=STOPPED):
        chosen = options.choose(file)
        departures = None
        if state is not None:
            settings = load_settings()
            cluster = services.health(settings, "ingest").cluster or ""
            departures = FullSync(chosen, settings, state, cluster=cluster, now=int(now_ms())).departures
        check = Check(chosen.mapping, chosen.defaults.updated_at)
        broke_off: UnreadableFile | None = None
        try:
            for number, found in entries(chosen.feed, chosen.mapping, chosen.defaults, check.tell):
                check.take(number, found)
        except UnreadableFile as error:  # what was read before it is still to be told
            broke_off = error
        report = check.report(str(file), chosen.feed.format.value, departures)
        report = msgspec.structs.replace(report, broke_off=str(broke_off) if broke_off else None)
        present(report, check_report.show, as_json=as_json)
        if broke_off is not None:
            raise broke_off
    if report.refused:
        raise typer.Exit(1)


@app.command("columns")
def print_columns() -> None:
    """Print an example of a file for --columns.

    Example: python -m services.ops catalogue columns > columns.toml
    """
    typer.echo(columns_file.EXAMPLE.read_text(encoding="utf-8"), nl=False)


def _journal(
    file: Path, settings: OpsSettings, cluster: str, state: Path, *, only_changed: bool, fresh: bool
) -> Journal:
    """What has been acknowledged: of this very file by a stopped load, or of all its former contents.

    By that ingest, for that Kafka cluster: another one behind the same URL has nothing of it. Where ingest
    does not tell, nothing that was kept is believed.
    """
    is_known = not cluster.startswith("/") and bool(cluster)
    kind = "changes" if only_changed else "load"
    status = file.stat()
    version = "" if only_changed else f"{status.st_size}:{status.st_mtime_ns}"
    about = f"{kind}: {file.resolve()} to {settings.ingest_url} of {cluster}"
    return Journal(state, about, version, fresh=fresh or not is_known)


class _Load:
    """One feed on its way to ingest."""

    def __init__(
        self, chosen: FeedChoice, journal: Journal, summary: Summary, settings: OpsSettings, bar: FileBar
    ) -> None:
        self._chosen = chosen
        self._journal = journal
        self._summary = summary
        self._settings = settings
        self._bar = bar
        self._broke_off: UnreadableFile | None = None

    def run(self, *, strict: bool) -> None:
        """Sends all that can be read. Raises UnreadableFile after that, where the file broke off."""

        def on_batch(sent: list[Product]) -> None:
            self._journal.add(sent)
            self._bar.advance(len(sent))

        found = self._unsent(strict)
        asyncio.run(send(PRODUCTS, found, self._summary, self._settings, on_accepted=on_batch))
        self._bar.advance()
        if self._broke_off is not None:
            self._journal.keep_for_mended()
            raise UnreadableFile(
                f"{self._broke_off}. The {self._summary.accepted:,} products before that place are in: mend "
                "the file and load it again, it goes on there"
            )

    def _unsent(self, strict: bool) -> Iterator[Product]:
        """The products that are to be sent; everything else is counted."""
        chosen, summary = self._chosen, self._summary
        try:
            for number, found in entries(chosen.feed, chosen.mapping, chosen.defaults, self._tell):
                if number % EVERY == 0:
                    self._bar.advance()
                if isinstance(found, BadRow):
                    refuse(found, summary, strict)
                elif isinstance(found, OmittedRow):
                    summary.left_out += 1
                elif self._journal.has(found):
                    summary.skipped += 1
                else:
                    yield found
        except UnreadableFile as error:  # what was read before it is still to be sent
            self._broke_off = error

    def _tell(self, _number: int, _what: str, _example: str) -> None:
        self._summary.odd += 1


def _take_away(sync: FullSync, journal: Journal, summary: Summary, settings: OpsSettings) -> None:
    """What the feed no longer has; remembered first of all, so that a stop in between costs nothing."""
    sync.remember()
    gone = Summary(summary.file, summary.mapping)
    asyncio.run(send(PRODUCTS, iter(sync.products_to_sell_out()), gone, settings, on_accepted=journal.add))
    sync.delete()
    summary.sold_out, summary.deleted = gone.accepted, len(sync.departures.deleted)
    summary.kept = len(sync.departures.newer)
    for reason in gone.reasons:
        summary.refuse(reason)
