"""`python -m services.ops product`."""

from typing import Annotated

import typer

from services import time_range
from services.cli import AnswerIsNo, AsJson, console, print_json, progress_console
from services.clock import now_ms
from services.ops.output import ending_clearly, settings
from services.progress import shown_on


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
    from services.ops.inspect.product import query, render  # noqa: PLC0415 - imported when it is run: --help is quick

    with ending_clearly(stopped="nothing was changed"):
        found = settings()
        times = time_range.parsed(since, until, int(now_ms()), ("--from", "--to")) if with_events else None
        with shown_on(progress_console) as progress:
            report = query.told(found, query.Wanted(product_id, times, everywhere), progress)
        if as_json:
            print_json(report)
        else:
            render.show(console, report)
        if report.product is None:
            raise AnswerIsNo(f"the shop does not have {product_id}: {report.state}")
