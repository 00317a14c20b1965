"""How far the consumer groups are behind: by partition, with the age of what waits, and who reads."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from schemas.topics import EVENTS, PRODUCTS, Topic
from services.kafka.admin import EARLIEST, LATEST, LIBRDKAFKA, KafkaAdmin
from services.kafka.clients import client_config
from services.kafka.ranges import BrokerAway
from services.ops.settings import OpsSettings

ANSWER_S: Final = 5.0  # for one question to the broker
OLDEST_S: Final = 5.0  # for the first unread message of every partition
# What a broker says that has just started, or hands a group or partition to another.
PASSING: Final = frozenset(
    {
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
    }
)
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


def watched(settings: OpsSettings) -> tuple[Watched, ...]:
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
    nothing waits, or where what waits is compacted away.
    """

    partition: int
    committed: int | None
    end: int
    lag: int
    lost: int = 0
    oldest_unread_at: int | None = None
    member: str | None = None


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
    meaning, what_to_do = _told(of, members, partitions, lag=lag, lost=lost, oldest_s=oldest_s)
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


def _told(
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
        else f" Kafka keeps it for {of.topic.retention_ms // 86_400_000} days."
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


class LagReader:
    """Asks the broker. Raises BrokerAway and TopicMissing."""

    def __init__(self, settings: OpsSettings, within_s: float = ANSWER_S) -> None:
        self._settings = settings
        self._within_s = within_s
        self._admin = KafkaAdmin(settings, within_s)

    def look(self, of: Watched, now: float) -> GroupLag:
        """One group as it is; `now` is Unix ms."""
        topic = self._settings.topic(of.topic)
        patiently = Retrying(
            retry=retry_if_exception(
                lambda error: isinstance(error, KafkaException) and error.args[0].code() in PASSING
            ),
            stop=stop_after_delay(self._within_s),
            wait=wait_fixed(0.1),
            reraise=True,
        )
        try:
            return patiently(self._looked, of, topic, now)
        except KafkaException as error:
            raise BrokerAway.at(self._settings, error.args[0].str()) from None

    def _looked(self, of: Watched, topic: str, now: float) -> GroupLag:
        parts = self._admin.partitions(topic)
        lows, highs = self._ends(parts, EARLIEST), self._ends(parts, LATEST)
        committed = self._admin.committed(of.group, parts)
        state, members = self._group(of.group, topic)
        found = [
            partition_lag(
                part.partition, committed[part.partition], lows[part.partition], highs[part.partition]
            )
            for part in parts
        ]
        oldest = self._oldest_unread(topic, found, lows)
        owners = {number: member.name for member in members for number in member.partitions}
        partitions = tuple(
            msgspec.structs.replace(
                each, oldest_unread_at=oldest.get(each.partition), member=owners.get(each.partition)
            )
            for each in found
        )
        return group_lag(of, topic, state, members=members, partitions=partitions, now=now)

    def _ends(self, parts: list[TopicPartition], spec: OffsetSpec) -> dict[int, int]:
        return {part.partition: found.offset for part, found in self._admin.offsets(parts, spec).items()}

    def _group(self, group: str, topic: str) -> tuple[str, tuple[Member, ...]]:
        found = self._admin.group(group)
        if found is None:
            return "DEAD", ()
        members = [
            Member(
                each.group_instance_id or each.client_id,
                each.host.lstrip("/"),
                tuple(sorted(p.partition for p in each.assignment.topic_partitions if p.topic == topic)),
            )
            for each in found.members
        ]
        return found.state.name, tuple(sorted(members, key=lambda each: each.name))

    def _oldest_unread(
        self, topic: str, partitions: list[PartitionLag], lows: Mapping[int, int]
    ) -> dict[int, int]:
        """By partition, when the first message that waits was written, Unix ms."""
        starts = {
            part.partition: max(lows[part.partition], part.committed or 0) for part in partitions if part.lag
        }
        if not starts:
            return {}
        consumer = Consumer(
            client_config(self._settings)
            | {
                "group.id": "unused-by-lag",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "logger": LIBRDKAFKA,
                "queued.max.messages.kbytes": 1024,
            }
        )
        try:
            consumer.assign([TopicPartition(topic, number, start) for number, start in starts.items()])
            return _firsts(consumer, set(starts))
        finally:
            consumer.close()


def _firsts(consumer: Consumer, wanted: set[int]) -> dict[int, int]:
    """The time of the first message of each partition; none for one whose messages are compacted away."""
    found: dict[int, int] = {}
    deadline = time.monotonic() + OLDEST_S
    while wanted and time.monotonic() < deadline:
        for message in consumer.consume(500, 0.1):
            partition = int(message.partition() or 0)
            error = message.error()
            if error is None and partition in wanted:
                found[partition] = int(message.timestamp()[1])
            if error is None or error.code() == KafkaError._PARTITION_EOF:
                wanted.discard(partition)
    return found
