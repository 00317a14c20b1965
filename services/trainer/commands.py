"""The trainer's commands: `train`, `evaluate`, `release`, `rollback`."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from schemas.models import Metrics, ObjectiveMetrics
from services import time_range
from services.cli import ShowVersion, Terminal, exit_with_status, progress_console
from services.clock import now_ms
from services.errors import CheckFailed
from services.logging import configure_logging
from services.progress import create_progress
from services.settings import load
from services.trainer import release as releasing
from services.trainer.settings import TrainerSettings
from services.trainer.topic_history import Tally

NOT_DELIVERED = "nothing has changed, or look again"

app = typer.Typer(
    help="Learn from the history of events, measure, release.",
    epilog="Status 0: done. 1: the gate is against it. 2: it cannot be done, and why is said. "
    "130, 143: stopped.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
console = Terminal(highlight=False, soft_wrap=True)


@app.callback()
def say_which(_version: ShowVersion = False) -> None:
    """Keeps what is said before the command."""


@app.command()
def train(
    since: Annotated[
        str | None, typer.Option(help="from when on: 2024-11-24, 2024-11-24T12:00 (UTC), 7d, 12h")
    ] = None,
    until: Annotated[str | None, typer.Option(help="up to when, not included; else all there is now")] = None,
    archives: Annotated[
        list[str] | None,
        typer.Option(
            "--archive",
            help="also from an archive that `python -m services.ops export` made: a folder or an fsspec URL "
            "(s3://…); can be given several times",
        ),
    ] = None,
) -> None:
    """Learn from the topic events and put a new version into the model store. Releases nothing.

    The newest day is held out, and the version, popularity and the released version are measured on it.
    --since and --until go by when the events reached Kafka. What the topic has forgotten its archives may
    still have; what both have counts once. Killed, it leaves nothing half-made.

    Example: python -m services.trainer train --since 90d --archive s3://shop-archive/eddy
    """
    with exit_with_status(not_delivered=NOT_DELIVERED):
        settings = _settings()
        times = time_range.parse_range(since, until, int(now_ms()))
        from services.trainer import app as trainer  # noqa: PLC0415 - numba, gensim and lightgbm: 3 s

        with create_progress(progress_console) as progress:
            made = trainer.train(settings, times, progress, archives or ())
        counts = ", ".join(f"{count:,} {name}" for name, count in made.manifest.counts.items())
        console.print(f"{made.released.version}, learned from {counts}")
        _tell_sources(made.tally)
        _tell_left_out(made.tally)
        if made.tally.rows:
            console.print(f"rows: {made.tally.rows:,}, learned from the {made.tally.rows_seen:,} newest seen")
        _tell_metrics("held out", made.manifest.metrics)
        _tell_metrics("popularity", made.manifest.popularity)
        _tell_objectives(made.manifest.objectives)
        _tell_metrics("released", made.manifest.released.metrics if made.manifest.released else None)
        console.print(f"the gate would {'release it' if made.verdict.passed else 'not release it'}:")
        _tell_reasons(made.verdict.reasons)
        console.print(f"stored at {made.released.location}")


@app.command()
def evaluate(
    train: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="sessions to learn from, .gz too")],
    test: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="cases to measure on, .gz too")],
) -> None:
    """Learn from one file of sessions, measure on another, and print one line of JSON.

    A plain file has one session a line, ids separated by spaces, and its test file prefix TAB target. A table
    has the columns session_id, item_id and timestamp, parted by tabs, commas or the like, or as JSON lines,
    and the last product of each of its test sessions is held out. RecBole's files are understood.
    Every case ranks all training products, repeats allowed. Neither Kafka nor a model store is needed.

    Status 1: no target was found at all. 2: a file cannot be read, or both have no product in common.

    Example: python -m services.trainer evaluate --train train.txt.gz --test test.txt.gz
    """
    from services.trainer import app as trainer  # noqa: PLC0415 - numba, gensim and lightgbm: 3 s

    with exit_with_status(not_delivered=NOT_DELIVERED):
        settings = _settings()
        with create_progress(progress_console) as progress:
            metrics = trainer.evaluate_files(train, test, settings.trainer_datadir, progress)
        typer.echo(msgspec.json.encode(metrics).decode())
        if not metrics.hr_20:
            raise CheckFailed(
                f"none of the {metrics.cases:,} targets is among the first 20: are both files of one shop?"
            )


@app.command()
def release(
    version: Annotated[str | None, typer.Argument(help="a version of the store; else the latest")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="even when the gate is against it; the release says so")
    ] = False,
) -> None:
    """Tell all services to serve a version that beats popularity and is no worse than the released one.

    Every byte of it is verified first. Ends with 1 when the gate is against it.

    Example: python -m services.trainer release
    """
    with exit_with_status(not_delivered=NOT_DELIVERED):
        made, verdict = releasing.release(_settings(), version, force=force)
        if verdict is None:
            console.print(f"{made.name} {made.version} is released already")
            return
        console.print(f"released {made.name} {made.version} ({made.gate.outcome})")
        _tell_reasons(made.gate.reasons)


@app.command()
def rollback() -> None:
    """Tell all services to serve what was released before. A second rollback takes the first one back.

    Example: python -m services.trainer rollback
    """
    with exit_with_status(not_delivered=NOT_DELIVERED):
        made = releasing.rollback(_settings())
        console.print(f"released {made.name} {made.version} again. {made.gate.reasons[0]}")


def _settings() -> TrainerSettings:
    settings = load(TrainerSettings)
    configure_logging(settings, "trainer")
    if settings.log_level != "DEBUG":
        logging.getLogger("librdkafka").setLevel(logging.CRITICAL)  # what goes wrong is told in a sentence
        logging.getLogger("gensim").setLevel(logging.WARNING)  # it tells of every epoch, and so do we
    return settings


def _tell_sources(tally: Tally) -> None:
    if len(tally.sources) > 1:
        for name, count in tally.sources.items():
            console.print(f"read: {count:,} messages of {name}")


def _tell_left_out(tally: Tally) -> None:
    for count, what in (
        (tally.bad, "messages that are no events"),
        (tally.erased, "events of erased visitors"),
        (tally.too_old, "events older than the newest EDDY_TRAINER_EVENTS_MAX"),
        (tally.unreadable_erasures, "erasures that could not be read: counted up to when they were sent"),
    ):
        if count:
            console.print(f"left out: {count:,} {what}")


def _tell_objectives(objectives: Mapping[str, ObjectiveMetrics]) -> None:
    """Beside clicks; one that has no order of its own with the reason."""
    for name, told in objectives.items():
        figures = ""
        if told.hr_20 is not None and told.mrr_20 is not None:
            figures = (
                f"HR@20 {told.hr_20:.4f}  MRR@20 {told.mrr_20:.4f}  {told.cases:,} cases, in the order for "
                f"clicks {told.clicks_hr_20:.4f} and {told.clicks_mrr_20:.4f}"
            )
        console.print(f"{name:<10} {'; '.join(filter(None, (figures, told.reason)))}".rstrip())


def _tell_reasons(reasons: Sequence[str]) -> None:
    for reason in reasons:
        console.print(f"  {reason}")


def _tell_metrics(name: str, metrics: Metrics | None) -> None:
    if metrics is not None:
        console.print(
            f"{name:<10} HR@20 {metrics.hr_20:.4f}  MRR@20 {metrics.mrr_20:.4f}  "
            f"coverage {metrics.coverage:.3f}  {metrics.cases:,} cases  {metrics.predictions_per_s:,.0f}/s"
        )
