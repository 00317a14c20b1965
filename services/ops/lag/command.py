"""`lag`."""

import time
from collections.abc import Iterator
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from services.cli import AnswerIsNo, AsJson, CannotBeDone, console, print_json
from services.clock import now_ms
from services.ops import services
from services.ops.lag.query import GroupLag, LagReader, Watched, age, watched
from services.ops.output import ending_clearly, settings
from services.ops.services import Health
from services.ops.settings import OpsSettings

EVERY_S: Final = 2.0


class Look(msgspec.Struct, frozen=True):
    """What was found at one moment (Unix ms). `whole_topic_readers` have no group: they tell at /readyz."""

    at: int
    groups: tuple[GroupLag, ...]
    whole_topic_readers: tuple[Health, ...]

    @property
    def lag(self) -> int:
        """Of all groups together."""
        return sum(group.lag for group in self.groups)


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
    with ending_clearly(stopped="looking changes nothing"):
        found = settings()
        reader, groups = LagReader(found), _chosen(found, group)
        if watch:
            _watch(found, reader, groups, as_json=as_json)
        look = _look(found, reader, groups)
        _show(look, as_json=as_json)
        if most is not None and (over := [each for each in look.groups if each.lag > most]):
            told = ", ".join(f"{each.group} is {each.lag:,} behind" for each in over)
            raise AnswerIsNo(f"{told}; --max allows {most:,}")


def _chosen(found: OpsSettings, names: list[str] | None) -> tuple[Watched, ...]:
    groups = watched(found)
    if not names:
        return groups
    known = {each.group.removeprefix(found.topic_prefix): each for each in groups}
    if unknown := sorted(set(names) - known.keys()):
        raise CannotBeDone(f"no such group: {', '.join(unknown)}; there are {', '.join(known)}")
    return tuple(known[name] for name in dict.fromkeys(names))


def _look(found: OpsSettings, reader: LagReader, groups: tuple[Watched, ...]) -> Look:
    at = now_ms()
    looked = tuple(reader.look(each, at) for each in groups)
    return Look(int(at), looked, (services.asked(found, "recommender"),))


def _watch(found: OpsSettings, reader: LagReader, groups: tuple[Watched, ...], *, as_json: bool) -> None:
    """Until a signal comes."""
    looks = _every(found, reader, groups)
    if as_json or not console.is_terminal:
        before: Look | None = None
        for look in looks:
            _show(look, before, as_json=as_json)
            before = look
        return
    before = None
    with Live(console=console, auto_refresh=False) as live:
        for look in looks:
            live.update(_drawn(look, before), refresh=True)
            before = look


def _every(found: OpsSettings, reader: LagReader, groups: tuple[Watched, ...]) -> Iterator[Look]:
    while True:
        yield _look(found, reader, groups)
        time.sleep(EVERY_S)


def _show(look: Look, before: Look | None = None, *, as_json: bool) -> None:
    if as_json:
        print_json(look)
    else:
        console.print(_drawn(look, before))


def _drawn(look: Look, before: Look | None = None) -> RenderableType:
    earlier = {each.group: each for each in before.groups} if before else {}
    seconds = (look.at - before.at) / 1000 if before else 0.0
    parts: list[RenderableType] = []
    for group in look.groups:
        parts += [_table(group, look.at), *_words(group, earlier.get(group.group), seconds)]
    for reader in look.whole_topic_readers:
        style = "green" if reader.ready else "yellow"
        parts.append(Text(f"{reader.service} (reads whole topics, no group): {reader.told}", style))
    return Group(*parts)


def _table(group: GroupLag, now: int) -> Table:
    table = Table(title=f"{group.group} reads {group.topic}", title_justify="left")
    for name in ("partition", "committed", "end", "lag", "oldest unread"):
        table.add_column(name, justify="right")
    table.add_column("member")
    for part in group.partitions:
        waited = None if part.oldest_unread_at is None else max(0, now - part.oldest_unread_at) / 1000
        table.add_row(
            str(part.partition),
            "none" if part.committed is None else f"{part.committed:,}",
            f"{part.end:,}",
            f"{part.lag:,}",
            "" if waited is None else age(waited),
            part.member or "nobody",
        )
    table.add_section()
    total_age = "" if group.oldest_unread_s is None else age(group.oldest_unread_s)
    table.add_row("all", "", "", f"{group.lag:,}", total_age, f"{len(group.members)} of state {group.state}")
    return table


def _words(group: GroupLag, before: GroupLag | None, seconds: float) -> Iterator[Text]:
    change = f" ({(group.lag - before.lag) / seconds:+,.0f}/s)" if before and seconds else ""
    yield Text(f"{group.meaning}{change}", "green" if group.is_healthy else "red")
    if group.what_to_do:
        yield Text(f"→ {group.what_to_do}")
