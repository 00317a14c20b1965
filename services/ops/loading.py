"""What `catalogue load` and `events load` share: bad rows, sending, the summary and clear failures."""

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Final, TypeVar

import msgspec
import typer
from rich.console import Console

from services.ops.feeds.source import UnreadableFile
from services.ops.journal import JournalUnusable
from services.ops.mappings import BadRow
from services.ops.settings import OpsSettings
from services.ops.upload import Endpoint, IngestUnavailable, Refused, Tally, Uploader, batches

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
