"""`replay`: events of the past once more, into live or into a pipeline in its shadow."""

import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.events import is_visitor_id
from services import time_range
from services.cli import AsJson, confirm, exit_with_status, progress_console
from services.clock import now_ms
from services.ops.output import present, say
from services.ops.replay.source import ReplayFailed, ReplayRequest, speed_of
from services.ops.settings import load_settings
from services.progress import create_progress

if TYPE_CHECKING:
    from services.ops.replay.figures import ReplayReport
    from services.ops.replay.shadow_pipeline import Pipeline


def replay(  # noqa: PLR0917 - typer knows them by name
    since: Annotated[str | None, typer.Option("--from", help="from when on: 2026-11-01T00:00Z, 7d")] = None,
    until: Annotated[
        str | None, typer.Option("--to", help="up to when, not included; else all there is now")
    ] = None,
    speed: Annotated[
        str, typer.Option(help="how fast: 1 keeps the time between events, 10 is ten times as fast; or max")
    ] = "max",
    prefix: Annotated[
        str | None, typer.Option(help="into a pipeline of its own under this name, instead of into live")
    ] = None,
    visitor: Annotated[str | None, typer.Option(help="only what this visitor did")] = None,
    archive: Annotated[
        str | None, typer.Option(help="events of an archive (a folder, s3://…) instead of the topic's")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=VERSION",
            help="the shadow's model: behaviour=VERSION (or its beginning), =7 (its number, 1 is the "
            "oldest), =previous, =none",
        ),
    ] = None,
    changed: Annotated[
        Path | None,
        typer.Option("--settings", help="TOML: the shadow's settings that differ, and \\[weights.for_you] …"),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=8, help="session processors of the shadow")] = 1,
    cases: Annotated[int, typer.Option(min=0, help="clicks at most that rows are held against")] = 2_000,
    k: Annotated[int, typer.Option(min=1, max=100, help="products of a row")] = 12,
    html: Annotated[Path | None, typer.Option(help="also write the report as one HTML page")] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="leave the shadow up, for a look, until Ctrl-C")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="do not ask; remove what a replay on another host left")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Replay events: into live, where by event_id nothing changes twice, or into a shadow.

    --from and --to tell by when the broker took the events. Erased visitors are left out. A shadow has
    topics, processes, index and model of its own, started, fed, waited for and taken down here. Its report
    compares sessions byte for byte, and how well rows tell the next click: the shadow's, today's live
    settings' on the same events (with --model or --settings), and those that were shown.

    A settings file has settings of session processor and recommender by their names without EDDY_, in lower
    case (diversity = 0.3), and weights by kind of row (\\[weights.for_you], and brand = 0.2 below it).

    Example: python -m services.ops replay --from 2026-11-17 --to 2026-11-18 --prefix shadow
    --settings weights.toml --html report.html

    Example: python -m services.ops replay --from 2026-11-17T09:00Z --to 2026-11-17T10:00Z --speed 10 --yes
    """
    if prefix is None:
        stopped = "run it again: what was written already changes nothing"
    else:
        stopped = "the shadow is taken down, live is as it was"
    with exit_with_status(stopped=stopped):
        times = time_range.parse_range(since, until, int(now_ms()), ("--from", "--to"))
        question = ReplayRequest(
            times=times,
            speed=speed_of(speed),
            prefix=prefix,
            visitor_id=visitor,
            archive=archive,
            model=model,
            settings=changed,
            workers=workers,
            cases=cases,
            k=k,
        )
        _require_sense(question, html, keep=keep)
        _run(question, html, keep=keep, yes=yes, as_json=as_json)


def _require_sense(question: ReplayRequest, html: Path | None, *, keep: bool) -> None:
    if question.prefix is None:
        named = {
            "--model": question.model,
            "--settings": question.settings,
            "--workers": question.workers > 1,
            "--keep": keep,
        }
        lone = [option for option, value in named.items() if value]
        if lone:
            raise ReplayFailed(f"{lone[0]} is about a shadow: add --prefix shadow")
    if question.visitor_id is not None and not is_visitor_id(question.visitor_id):
        raise ReplayFailed(f"--visitor {question.visitor_id}: no visitor has such an id")
    if html is not None and not html.parent.is_dir():
        raise ReplayFailed(f"--html {html}: there is no folder {html.parent}")


def _run(question: ReplayRequest, html: Path | None, *, keep: bool, yes: bool, as_json: bool) -> None:
    from services.ops.replay import run  # noqa: PLC0415 - numpy and scipy: seconds
    from services.ops.replay import source as feeding  # noqa: PLC0415

    found = load_settings()
    source = feeding.source(found, question)
    if question.prefix is None:
        run.group_of(found)  # before anybody is asked
        where = (
            f"{len(source):,} events to the live topic {found.topic_prefix}events at {found.kafka_bootstrap}"
        )
        confirm(
            f"Write up to {where}? By event_id nothing changes twice.",
            yes=yes,
            unattended=f"this writes up to {where}: add --yes, or --prefix shadow to leave live alone",
            declined="nothing was written",
        )
    with create_progress(progress_console) as progress:
        if question.prefix is None:
            made = run.into_live(found, question, source, progress)
        else:

            def keep_open(made: "ReplayReport", pipelines: "Sequence[Pipeline]") -> None:
                _tell(made, html, as_json=as_json)
                progress.stage("up for a look, until Ctrl-C")
                for each in pipelines:
                    where = f"recommender {each.url}, API key {each.key}; " if each.url else ""
                    progress_console.print(
                        f"{each.wanted.name}: {where}topics {each.shadow.prefix}…",
                        highlight=False,
                        markup=False,
                    )
                with suppress(KeyboardInterrupt):
                    signal.pause()

            made = run.in_shadow(
                found,
                question,
                source,
                progress,
                take_over=yes,
                on_left=lambda told: progress_console.print(told, style="red", markup=False),
                keep=keep_open if keep else None,
            )
    if not keep:
        _tell(made, html, as_json=as_json)


def _tell(made: "ReplayReport", html: Path | None, *, as_json: bool) -> None:
    from services.ops.replay import render  # noqa: PLC0415

    if html is not None:
        render.write_page(made, html)
    present(made, render.show, as_json=as_json)
    if html is not None and not as_json:
        say(f"written to {html}", wrap=True)
