"""`export` and `import`: ranges of topics to Parquet files, and back."""

import re
from typing import Annotated

import typer

from schemas.topics import EVENTS, TOPICS, Topic
from services.endings import AnswerIsNo, CannotBeDone
from services.history import timerange
from services.history.archive_manifest import ARCHIVED, ArchiveRefused
from services.history.progress import shown_on
from services.kafka import now_ms
from services.ops.settings import OpsSettings
from services.ops.shell import (
    AsJson,
    console,
    ending_clearly,
    print_json,
    progress_console,
    settings,
)

Url = Annotated[str, typer.Argument(help="a local folder, or an fsspec URL: s3://bucket/eddy, gs://…")]
TopicName = Annotated[
    str, typer.Option("--topic", help=f"which topic: {', '.join(each.name for each in ARCHIVED)}")
]
From = Annotated[
    str | None,
    typer.Option("--from", help="from when on: 2024-11-24, 2024-11-24T12:00 (UTC), 7d, 12h"),
]
To = Annotated[str | None, typer.Option("--to", help="up to when, not included; else all there is now")]


def export(
    url: Url,
    topic: TopicName = EVENTS.name,
    since: From = None,
    until: To = None,
    as_json: AsJson = False,
) -> None:
    """Copy a topic's range into Parquet files, a folder a day (UTC): history outlives the topic's retention.

    An archive grows by one export after another: what it has already is passed over, so the same command can
    run every night. --from and --to go by when the broker took the messages. What erased visitors did is left
    out. Killed, an export counts for nothing, and the next one clears away what it left. Only topics that
    forget are exported: what is kept for ever, such as products, is a state, which an old copy would undo.

    Example: python -m services.ops export s3://shop-archive/eddy --from 2026-11-01 --to 2026-11-02
    """
    stopped = "nothing of it counts; the same command begins anew"
    with ending_clearly(ArchiveRefused, stopped=stopped):
        wanted, found, now = _topic(topic), settings(), int(now_ms())
        times = timerange.parsed(since, until, now, ("--from", "--to"))
        from services.ops.archives import running, telling  # noqa: PLC0415 - pyarrow: half a second

        with shown_on(progress_console) as progress:
            report = running.exported(found, url, wanted, times, now, progress)
        if as_json:
            print_json(report)
        else:
            telling.show_export(console, report)


def import_(  # noqa: PLR0917 - typer knows them by name
    url: Url,
    topic: TopicName = EVENTS.name,
    since: From = None,
    until: To = None,
    as_prefix: Annotated[
        str | None,
        typer.Option("--as-prefix", help="put before the topic's name, instead of EDDY_TOPIC_PREFIX"),
    ] = None,
    anew: Annotated[
        bool, typer.Option("--anew", help="from the beginning, although one that was stopped could go on")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write an archive's messages to a topic as they were: key, value, time and headers.

    Every file is verified before the first message is written. What erased visitors did is left out, also of
    those who were erased after the export. Count and digest of what was read must be those of the manifests;
    else it ends with 1. Killed, the same command goes on where it was; some messages may then be there twice,
    which changes nothing: an event counts once, by its event_id.

    Example: python -m services.ops import s3://shop-archive/eddy --from 2026-11-01 --as-prefix shadow.
    """
    stopped = "the same command goes on from here"
    with ending_clearly(ArchiveRefused, stopped=stopped):
        wanted, found = _topic(topic), settings()
        times = timerange.parsed(since, until, int(now_ms()), ("--from", "--to"))
        target = found if as_prefix is None else _prefixed(found, as_prefix)
        from services.ops.archives import running, telling  # noqa: PLC0415 - pyarrow: half a second

        with shown_on(progress_console) as progress:
            report = running.imported(found, target, url, wanted, times, progress, anew=anew)
        if as_json:
            print_json(report)
        else:
            telling.show_import(console, report)
        if not report.agrees:
            raise AnswerIsNo(
                "what was read is not what the manifests promise: run it again with --anew, and if that "
                "tells the same, do not use this archive"
            )


def _topic(name: str) -> Topic:
    found = next((each for each in TOPICS if each.name == name), None)
    if found in ARCHIVED:
        return found
    names = ", ".join(each.name for each in ARCHIVED)
    if found is None:
        raise CannotBeDone(f"no topic is called {name!r}; archives hold {names}")
    raise CannotBeDone(
        f"{name} is no history but a state, which the topic itself keeps; an old copy of it, read back, "
        f"would undo what has changed since. Archives hold {names}"
    )


def _prefixed(found: OpsSettings, prefix: str) -> OpsSettings:
    if re.fullmatch(r"[A-Za-z0-9._-]{0,64}", prefix) is None:
        raise CannotBeDone(f"--as-prefix takes up to 64 letters, digits and . _ -: {prefix!r}")
    return found.model_copy(update={"topic_prefix": prefix})
