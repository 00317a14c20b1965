"""`export` and `import`: ranges of topics to Parquet files, and back."""

import re
from typing import Annotated

import typer

from schemas.topics import EVENTS, TOPICS, Topic
from services import time_range
from services.archive.manifest import ARCHIVED
from services.cli import AsJson, exit_with_status, progress_console
from services.clock import now_ms
from services.errors import CheckFailed, UsageError
from services.ops.output import present
from services.ops.settings import OpsSettings, load_settings
from services.progress import create_progress

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
    from services.ops.archive import render, transfer  # noqa: PLC0415 - pyarrow: --help comes without

    with exit_with_status(stopped="nothing of it counts; the same command begins anew"):
        wanted, found, now = _topic(topic), load_settings(), int(now_ms())
        times = time_range.parse_range(since, until, now, ("--from", "--to"))
        with create_progress(progress_console) as progress:
            report = transfer.export_range(found, url, wanted, times, now, progress)
        present(report, render.show_export, as_json=as_json)


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
    from services.ops.archive import render, transfer  # noqa: PLC0415 - pyarrow: --help comes without

    with exit_with_status(stopped="the same command goes on from here"):
        wanted, found = _topic(topic), load_settings()
        times = time_range.parse_range(since, until, int(now_ms()), ("--from", "--to"))
        target = found if as_prefix is None else _with_prefix(found, as_prefix)
        with create_progress(progress_console) as progress:
            report = transfer.import_range(found, target, url, wanted, times, progress, anew=anew)
        present(report, render.show_import, as_json=as_json)
        if not report.agrees:
            raise CheckFailed(
                "what was read is not what the manifests promise: run it again with --anew, and if that "
                "tells the same, do not use this archive"
            )


def _topic(name: str) -> Topic:
    found = next((each for each in TOPICS if each.name == name), None)
    if found in ARCHIVED:
        return found
    names = ", ".join(each.name for each in ARCHIVED)
    if found is None:
        raise UsageError(f"no topic is called {name!r}; archives hold {names}")
    raise UsageError(
        f"{name} is no history but a state, which the topic itself keeps; an old copy of it, read back, "
        f"would undo what has changed since. Archives hold {names}"
    )


def _with_prefix(found: OpsSettings, prefix: str) -> OpsSettings:
    if re.fullmatch(r"[A-Za-z0-9._-]{0,64}", prefix) is None:
        raise UsageError(f"--as-prefix takes up to 64 letters, digits and . _ -: {prefix!r}")
    return found.model_copy(update={"topic_prefix": prefix})
