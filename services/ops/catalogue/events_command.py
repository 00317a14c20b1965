"""`python -m services.ops events load`: a file's events through ingest's HTTP API."""

import asyncio
import time
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from schemas.events import Event
from services.cli import exit_with_status, progress_console
from services.ops.catalogue.command import STOPPED, finish, refuse
from services.ops.catalogue.file_formats import Feed, UnreadableFile
from services.ops.catalogue.mappings import MAPPINGS, BadRow, Mapping, detect, events
from services.ops.catalogue.upload import EVENTS, Summary, send
from services.ops.settings import load_settings
from services.progress import FileBar

app = typer.Typer(help="Shoppers' events.", no_args_is_help=True)


class EventMapping(StrEnum):
    """The kinds of files that hold events, for the command line."""

    AUTO = "auto"
    REES46 = "rees46"
    UCI = "uci"
    EDDY = "eddy"


@app.callback()
def _group() -> None:
    """Keeps `load` a command of its own while it is the only one."""


@app.command("load")
def load_events(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="CSV, JSONL or Parquet, .gz too")],
    speed: Annotated[str, typer.Option(help="events a second, or max")] = "max",
    mapping: Annotated[
        EventMapping, typer.Option(help="the file's columns; auto tells by their names")
    ] = EventMapping.AUTO,
    strict: Annotated[bool, typer.Option("--strict", help="stop at the first bad row")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="the summary as JSON")] = False,
) -> None:
    """Send a file's events to POST /v1/events. Loading a file again makes no second events.

    Event ids follow from the rows, times are the file's own. A JSONL file holds Events as they are.

    Example: python -m services.ops events load rees46_oct2019_17k.csv.gz --speed 300
    """
    rate = _rate(speed)
    started = time.monotonic()
    with exit_with_status(stopped=STOPPED):
        feed = Feed(file)
        chosen = detect(feed, of_events=True) if mapping is EventMapping.AUTO else MAPPINGS[mapping.value]
        summary = Summary(str(file), chosen.name)
        broke_off: list[UnreadableFile] = []
        with FileBar("events", lambda: feed.share, progress_console) as bar:
            sending = send(
                EVENTS,
                _good(feed, chosen, summary, broke_off, strict=strict),
                summary,
                load_settings(),
                on_accepted=lambda sent: bar.advance(len(sent)),
                rate=rate,
            )
            asyncio.run(sending)
            bar.advance()
        if broke_off:
            raise UnreadableFile(
                f"{broke_off[0]}. The {summary.accepted:,} events before that place are in: mend the file "
                "and load it again, none counts twice"
            )
    summary.seconds = round(time.monotonic() - started, 3)
    finish("events", summary, as_json=as_json)


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


def _good(
    feed: Feed, mapping: Mapping, summary: Summary, broke_off: list[UnreadableFile], *, strict: bool
) -> Iterator[Event]:
    try:
        for found in events(feed, mapping):
            if isinstance(found, BadRow):
                refuse(found, summary, strict)
            else:
                yield found
    except UnreadableFile as error:  # what was read before it is still to be sent
        broke_off.append(error)
