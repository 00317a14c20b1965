"""`visitor` and `product`."""

from typing import Annotated

import typer

from services import time_range
from services.cli import AsJson, exit_with_status, progress_console
from services.clock import now_ms
from services.errors import CheckFailed
from services.model.settings import SessionSettings
from services.ops.output import present
from services.ops.settings import load_settings
from services.progress import create_progress
from services.settings import load


def visitor(  # noqa: PLR0917 - typer knows them by name
    visitor_id: Annotated[str, typer.Argument(metavar="VISITOR", help="the visitor_id; user:… for a user")],
    since: Annotated[
        str, typer.Option("--from", help="from when on: 2024-11-24, 2024-11-24T12:00 (UTC), 7d, 12h")
    ] = "7d",
    until: Annotated[
        str | None, typer.Option("--to", help="up to when, not included; else all there is now")
    ] = None,
    events: Annotated[int, typer.Option(min=0, max=5_000, help="how many of the newest events")] = 20,
    rows: Annotated[int, typer.Option("--shown", min=0, max=5_000, help="how many of the newest rows")] = 10,
    everywhere: Annotated[
        bool, typer.Option("--everywhere", help="look on all partitions: for topics that were given more")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """One visitor: who it is, what it did, its interests in words, what it was shown and why.

    This shows personal data: run it where that may be seen, and keep no output that need not be kept.

    Kafka alone is enough; what a recommender knows is told where one answers. --from and --to tell by when
    they reached Kafka which events and rows are read. What came before an erasure is not shown. Status 1:
    nothing is known of the visitor.

    Example: python -m services.ops visitor 01JD7Z8QX3N5R2V9W4T6Y8B1CM --from 30d
    """
    from services.ops.inspect.visitor import query, render  # noqa: PLC0415 - numpy and scipy: seconds

    with exit_with_status(stopped="nothing was changed"):
        found, tuning = load_settings(), load(SessionSettings).tuning
        times = time_range.parse_range(since, until, int(now_ms()), ("--from", "--to"))
        wanted = query.VisitorQuery(visitor_id, times, events, rows, everywhere)
        with create_progress(progress_console) as progress:
            report = query.look_up(found, tuning, wanted, progress)
        present(report, render.show, as_json=as_json)


def product(  # noqa: PLR0917 - typer knows them by name
    product_id: Annotated[str, typer.Argument(metavar="PRODUCT", help="the product_id")],
    since: Annotated[
        str, typer.Option("--from", help="events from when on: 2024-11-24, 2024-11-24T12:00 (UTC), 7d, 12h")
    ] = "1d",
    until: Annotated[
        str | None, typer.Option("--to", help="up to when, not included; else all there is now")
    ] = None,
    with_events: Annotated[
        bool, typer.Option("--events/--no-events", help="whether to look through all events of the range")
    ] = True,
    everywhere: Annotated[
        bool, typer.Option("--everywhere", help="look on all partitions: for topics that were given more")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """One product: its state, its vectors, what was refused, its neighbours, rules on it, its events.

    Kafka alone is enough; what a recommender knows is told where one answers. --from and --to tell by when
    they reached Kafka which events are counted. Status 1: there is no such product; ids like it are named.

    Example: python -m services.ops product p0419 --no-events
    """
    from services.ops.inspect.product import query, render  # noqa: PLC0415 - as above

    with exit_with_status(stopped="nothing was changed"):
        found = load_settings()
        times = (
            time_range.parse_range(since, until, int(now_ms()), ("--from", "--to")) if with_events else None
        )
        with create_progress(progress_console) as progress:
            report = query.look_up(found, query.ProductQuery(product_id, times, everywhere), progress)
        present(report, render.show, as_json=as_json)
        if report.product is None:
            raise CheckFailed(f"the shop does not have {product_id}: {report.state}")
