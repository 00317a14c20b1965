"""`python -m services.ops product`."""

from typing import Annotated

import typer

from services.endings import AnswerIsNo
from services.history import timerange
from services.history.progress import shown_on
from services.kafka import now_ms
from services.ops.shell import AsJson, console, ending_clearly, print_json, progress_console, settings


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
    from services.ops.product import reading, table  # noqa: PLC0415 - numpy: help comes without

    with ending_clearly(stopped="nothing was changed"):
        found = settings()
        times = timerange.parsed(since, until, int(now_ms()), ("--from", "--to")) if with_events else None
        with shown_on(progress_console) as progress:
            report = reading.told(found, reading.Wanted(product_id, times, everywhere), progress)
        if as_json:
            print_json(report)
        else:
            table.show(console, report)
        if report.product is None:
            raise AnswerIsNo(f"the shop does not have {product_id}: {report.state}")
