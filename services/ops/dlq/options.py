"""The options that the commands of dead letters share, and what they mean together."""

from enum import StrEnum
from typing import Annotated

import typer

from services.endings import CannotBeDone
from services.history import timerange
from services.history.timerange import TimeRange
from services.kafka import now_ms
from services.ops.dlq.letters import Selection


class Which(StrEnum):
    """The topics of dead letters, for the command line."""

    EVENTS = "events"
    PRODUCTS = "products"


Ids = Annotated[list[str] | None, typer.Argument(help="letters, such as events.dlq/0/17", show_default=False)]
Of = Annotated[Which | None, typer.Option("--topic", help="only letters of this topic")]
Reason = Annotated[str | None, typer.Option(help="only with this text in the reason, in any case")]
Service = Annotated[str | None, typer.Option(help="only of ingest, session_processor or embedder")]
Stage = Annotated[str | None, typer.Option(help="only of this stage: decode, validate, size, picture, …")]
Since = Annotated[
    str | None,
    typer.Option("--from", help="written when or later: 2026-11-24, 2026-11-24T12:00 (UTC), 7d, 12h"),
]
Until = Annotated[str | None, typer.Option("--to", help="written before then; else up to now")]
AllOpen = Annotated[bool, typer.Option("--all-open", help="every open letter, where nothing else is named")]
Yes = Annotated[bool, typer.Option("--yes", help="do not ask")]


def meant(  # noqa: PLR0917 - the options of a command
    ids: list[str] | None,
    topic: Which | None,
    reason: str | None,
    service: str | None,
    stage: str | None,
    since: str | None,
    until: str | None,
    *,
    all_open: bool,
) -> tuple[Selection, TimeRange]:
    """What a command is to work on. Raises CannotBeDone where nothing is named."""
    if not (ids or topic or reason or service or stage or since or until or all_open):
        raise CannotBeDone("name letters by id or by filters, or say --all-open")
    selection = Selection.of(ids or [], topic, reason, service, stage)
    return selection, timerange.parsed(since, until, int(now_ms()), ("--from", "--to"))
