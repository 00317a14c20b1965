"""`experiment list` and `experiment report`."""

from typing import Annotated

import msgspec
import typer

from services import time_range
from services.cli import AsJson, exit_with_status, progress_console
from services.clock import now_ms
from services.ops.experiments.query import ReportRequest
from services.ops.output import present
from services.ops.settings import load_settings
from services.progress import create_progress

app = typer.Typer(
    help="Experiments: which there are, and what they have come to.",
    epilog="Status 0: done. 2: it cannot be told, and why is said. 130, 143: stopped.",
    no_args_is_help=True,
)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """The experiments of the topic `experiments`: variants, shares, and whether they run.

    Example: python -m services.ops experiment list
    """
    from services.ops.experiments import query, render  # noqa: PLC0415 - imported when it is run: --help is quick

    with exit_with_status(stopped="a report changes nothing"):
        known = list(query.read_definitions(load_settings()).values())
        now = int(now_ms())
        answer = [msgspec.to_builtins(each) | {"state": render.state(each, now)} for each in known]
        present(answer, lambda _answer: render.show_list(known, now), as_json=as_json)


@app.command()
def report(  # noqa: PLR0917 - typer knows them by name
    name: Annotated[str, typer.Argument(help="the experiment")],
    since: Annotated[
        str | None,
        typer.Option("--from", help="rows shown from when on: 2024-11-24, 2024-11-24T12:00 (UTC), 7d, 12h"),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", help="up to when, not included; else all there is now")
    ] = None,
    slot: Annotated[str | None, typer.Option(help="only rows in this slot of the page")] = None,
    window: Annotated[
        str, typer.Option(help="how long after a visitor's first row a purchase counts: 12h, 7d, 2w")
    ] = "7d",
    confidence: Annotated[float, typer.Option(min=0.5, max=0.9999, help="of the intervals")] = 0.95,
    as_json: AsJson = False,
) -> None:
    """What each variant has come to: click rate, conversion, revenue, lift over the first, with intervals.

    A click counts once, on a product of a row that was shown to that visitor; so does a purchase. --from and
    --to tell by when they reached Kafka which rows count; purchases and clicks are read up to the window's
    length later. Visitors that turned out to be one user (topic identities) are one visitor; what erased
    visitors did is left out. A visitor in two variants counts where seen first. Currencies are kept apart.

    Example: python -m services.ops experiment report less-brand --from 14d --window 3d --json
    """
    with exit_with_status(stopped="a report changes nothing"):
        found, now = load_settings(), int(now_ms())
        times = time_range.parse_range(since, until, now, ("--from", "--to"))
        window_ms = time_range.duration("--window", window)
        from services.ops.experiments import query, render  # noqa: PLC0415 - imported when it is run: --help is quick
        from services.ops.experiments import report as experiment_report  # noqa: PLC0415

        question = ReportRequest(
            experiment=name,
            since=times.since,
            until=times.until,
            slot=slot,
            window_ms=window_ms,
            confidence=confidence,
        )
        experiment = query.one(found, name)
        with create_progress(progress_console) as progress:
            joined, left = query.read_joined(found, question, progress)
            progress.stage("drawing visitors for the intervals")
            answer = experiment_report.report(question, experiment, joined, left, now)
        present(answer, render.show, as_json=as_json)
