"""`lag`."""

import time
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Annotated, Final

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from services.cli import AsJson, console, exit_with_status
from services.clock import now_ms
from services.errors import CheckFailed, UsageError
from services.ops import services
from services.ops.lag.query import LagReader
from services.ops.lag.report import GroupLag, Look, PartitionLag, Watched, age, list_groups
from services.ops.output import Column, present, table
from services.ops.settings import OpsSettings, load_settings

EVERY_S: Final = 2.0


def lag(
    group: Annotated[
        list[str] | None,
        typer.Option(
            help="only this consumer group, named without the topic prefix; can be given several times"
        ),
    ] = None,
    most: Annotated[
        int | None, typer.Option("--max", min=0, help="end with status 1 when a group's lag is above this")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="look every 2 s, until Ctrl-C")] = False,
    as_json: AsJson = False,
) -> None:
    """How far the consumer groups are behind, how old the oldest unread message is, and who reads.

    Offsets are committed once a second, so that under load a healthy lag is not 0: its age counts. Lag counts
    offsets; of a compacted topic some of them may be gone. The recommender reads whole topics without a
    group: what it waits for is asked at its /readyz.

    Example: python -m services.ops lag --max 1000
    """
    with exit_with_status(stopped="looking changes nothing"):
        found = load_settings()
        reader, groups = LagReader(found), _choose_groups(found, group)
        if watch:
            _watch(found, reader, groups, as_json=as_json)
        look = _look(found, reader, groups)
        _show(look, as_json=as_json)
        if most is not None and (over := [each for each in look.groups if each.lag > most]):
            told = ", ".join(f"{each.group} is {each.lag:,} behind" for each in over)
            raise CheckFailed(f"{told}; --max allows {most:,}")


def _choose_groups(found: OpsSettings, names: list[str] | None) -> tuple[Watched, ...]:
    groups = list_groups(found)
    if not names:
        return groups
    known = {each.group.removeprefix(found.topic_prefix): each for each in groups}
    if unknown := sorted(set(names) - known.keys()):
        raise UsageError(f"no such group: {', '.join(unknown)}; there are {', '.join(known)}")
    return tuple(known[name] for name in dict.fromkeys(names))


def _look(found: OpsSettings, reader: LagReader, groups: tuple[Watched, ...]) -> Look:
    at = now_ms()
    looked = tuple(reader.look(each, at) for each in groups)
    return Look(int(at), looked, (services.health(found, "recommender"),))


def _watch(found: OpsSettings, reader: LagReader, groups: tuple[Watched, ...], *, as_json: bool) -> None:
    """Until a signal comes."""
    live = None if as_json or not console.is_terminal else Live(console=console, auto_refresh=False)
    before: Look | None = None
    with live or nullcontext():
        while True:
            look = _look(found, reader, groups)
            if live is not None:
                live.update(_draw(look, before), refresh=True)
            else:
                _show(look, before, as_json=as_json)
            before = look
            time.sleep(EVERY_S)


def _show(look: Look, before: Look | None = None, *, as_json: bool) -> None:
    present(look, lambda each: console.print(_draw(each, before)), as_json=as_json)


def _draw(look: Look, before: Look | None = None) -> RenderableType:
    earlier = {each.group: each for each in before.groups} if before else {}
    seconds = (look.at - before.at) / 1000 if before else 0.0
    parts: list[RenderableType] = []
    for group in look.groups:
        parts += [_partitions(group, look.at), *_words(group, earlier.get(group.group), seconds)]
    for reader in look.whole_topic_readers:
        style = "green" if reader.ready else "yellow"
        parts.append(Text(f"{reader.service} (reads whole topics, no group): {reader.summary}", style))
    return Group(*parts)


def _partitions(group: GroupLag, now: int) -> Table:
    def age_of(part: PartitionLag) -> str | None:
        at = part.oldest_unread_at
        return None if at is None else age(max(0, now - at) / 1000)

    columns: tuple[Column[PartitionLag], ...] = (
        Column("partition", lambda part: part.partition, right=True),
        Column("committed", lambda part: "none" if part.committed is None else part.committed, right=True),
        Column("end", lambda part: part.end, right=True),
        Column("lag", lambda part: part.lag, right=True),
        Column("oldest unread", age_of, right=True),
        Column("member", lambda part: part.member or "nobody"),
    )
    shown = table(group.partitions, columns, title=f"{group.group} reads {group.topic}")
    shown.add_section()
    total_age = "" if group.oldest_unread_s is None else age(group.oldest_unread_s)
    shown.add_row("all", "", "", f"{group.lag:,}", total_age, f"{len(group.members)} of state {group.state}")
    return shown


def _words(group: GroupLag, before: GroupLag | None, seconds: float) -> Iterator[Text]:
    change = f" ({(group.lag - before.lag) / seconds:+,.0f}/s)" if before and seconds else ""
    yield Text(f"{group.meaning}{change}", "green" if group.is_healthy else "red")
    if group.what_to_do:
        yield Text(f"→ {group.what_to_do}")
