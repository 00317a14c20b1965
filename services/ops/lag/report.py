"""How far the consumer groups are behind: by partition, with the age of what waits, and what to do. Pure."""

from dataclasses import dataclass
from typing import Final

import msgspec

from schemas.times import DAY_MS
from schemas.topics import EVENTS, PRODUCTS, Topic
from services.ops.services import Health
from services.ops.settings import OpsSettings

FRESH_S: Final = 10.0  # what waits no longer is on its way: Faust commits once a second


@dataclass(frozen=True, slots=True)
class Watched:
    """A group that is to be there: whose it is, its full name, what it reads, and the module that is it."""

    service: str
    group: str
    topic: Topic

    @property
    def start(self) -> str:
        """How one more member is started."""
        return f"python -m services.{self.service}"


def list_groups(settings: OpsSettings) -> tuple[Watched, ...]:
    """The groups of this installation."""
    prefix = settings.topic_prefix
    return (
        Watched("session_processor", prefix + settings.session_processor_group, EVENTS),
        Watched("embedder", prefix + settings.embedder_group, PRODUCTS),
    )


class Member(msgspec.Struct, frozen=True):
    """One process of a group."""

    name: str
    host: str
    partitions: tuple[int, ...]


class PartitionLag(msgspec.Struct, frozen=True, kw_only=True):
    """One partition. `committed` is None where nothing is: it will be read from its beginning.

    `lost` counts what retention deleted before the group read it. `oldest_unread_at` (Unix ms) is None where
    nothing waits, or where what waits is compacted away. `stands_still`: old messages wait, somebody has the
    partition, and nothing was committed between two looks.
    """

    partition: int
    committed: int | None
    end: int
    lag: int
    lost: int = 0
    oldest_unread_at: int | None = None
    member: str | None = None
    stands_still: bool = False


class GroupLag(msgspec.Struct, frozen=True, kw_only=True):
    """One group at one moment. `state` as Kafka names it; `meaning` and `what_to_do` are for people."""

    service: str
    group: str
    topic: str
    state: str
    members: tuple[Member, ...]
    partitions: tuple[PartitionLag, ...]
    lag: int
    lost: int
    oldest_unread_s: float | None
    meaning: str
    what_to_do: str

    @property
    def is_healthy(self) -> bool:
        """Whether somebody reads, and keeps up."""
        return not self.what_to_do


class Look(msgspec.Struct, frozen=True):
    """What was found at one moment (Unix ms). `whole_topic_readers` have no group: they tell at /readyz."""

    at: int
    groups: tuple[GroupLag, ...]
    whole_topic_readers: tuple[Health, ...]

    @property
    def lag(self) -> int:
        """Of all groups together."""
        return sum(group.lag for group in self.groups)


def partition_lag(partition: int, committed: int, low: int, high: int) -> PartitionLag:
    """From what the broker tells; a `committed` below 0 is none. Groups here begin at the beginning."""
    known = committed if committed >= 0 else None
    read = low if known is None else known
    return PartitionLag(
        partition=partition,
        committed=known,
        end=high,
        lag=max(0, high - max(read, low)),
        lost=max(0, low - read),
    )


def waits_long(part: PartitionLag, now: float) -> bool:
    """Whether somebody has the partition and has left something unread for too long; `now` is Unix ms."""
    at = part.oldest_unread_at
    return part.lag > 0 and part.member is not None and (at is None or now - at > FRESH_S * 1000)


def group_lag(
    of: Watched,
    topic: str,
    state: str,
    *,
    members: tuple[Member, ...],
    partitions: tuple[PartitionLag, ...],
    now: float,
) -> GroupLag:
    """All of one group together; `now` is Unix ms."""
    stamps = [part.oldest_unread_at for part in partitions if part.oldest_unread_at is not None]
    oldest_s = max(0.0, now - min(stamps)) / 1000 if stamps else None
    lag, lost = sum(part.lag for part in partitions), sum(part.lost for part in partitions)
    meaning, what_to_do = _explain(of, members, partitions, lag=lag, lost=lost, oldest_s=oldest_s)
    return GroupLag(
        service=of.service,
        group=of.group,
        topic=topic,
        state=state,
        members=members,
        partitions=partitions,
        lag=lag,
        lost=lost,
        oldest_unread_s=None if oldest_s is None else round(oldest_s, 3),
        meaning=meaning,
        what_to_do=what_to_do,
    )


def _explain(
    of: Watched,
    members: tuple[Member, ...],
    partitions: tuple[PartitionLag, ...],
    *,
    lag: int,
    lost: int,
    oldest_s: float | None,
) -> tuple[str, str]:
    """What the figures mean, and what is to be done; nothing where all is well."""
    days = (
        ""
        if of.topic.retention_ms is None
        else f" Kafka keeps it for {of.topic.retention_ms // DAY_MS} days."
    )
    waits = f"{lag:,} wait" + (f", the oldest for {age(oldest_s)}" if oldest_s is not None else "")
    if not members:
        return f"nobody reads; {waits}", f"start it: {of.start}. What waits is read then.{days}"
    if lost:
        return (
            f"{lost:,} messages were deleted by retention before they were read",
            "they are gone from the topic: import them from an archive (`python -m services.ops import`), "
            "and let somebody be woken sooner by the alarm on lag",
        )
    if lag and any(part.member is None for part in partitions if part.lag):
        return (
            "partitions are being dealt out",
            "look again in some seconds; the members' logs tell what holds",
        )
    if still := [part for part in partitions if part.stands_still]:
        numbers = ", ".join(str(part.partition) for part in still)
        names = ", ".join(sorted({part.member or "nobody" for part in still}))
        return (
            f"partition {numbers} stands still: {waits}",
            f"if it lasts, end the member that has it ({names}): the next start reads from the last commit. "
            "Its /readyz and its log tell what holds it",
        )
    if oldest_s is None or oldest_s <= FRESH_S:
        return "keeps up" + (
            f"; {lag:,} on their way (offsets are committed once a second)" if lag else ""
        ), ""
    free = of.topic.partitions - len(members)
    more = f"; if not, start more members (up to {free} more): {of.start}" if free > 0 else ""
    return f"behind: {waits}", f"see with --watch whether it falls{more}"


def age(seconds: float) -> str:
    """A length of time as people say it."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.1f} s"
