"""Asks the broker how far the consumer groups are behind, and who reads."""

import time
from collections.abc import Mapping
from typing import Final

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from services.kafka.admin import EARLIEST, LATEST, KafkaAdmin, require_broker
from services.kafka.clients import LIBRDKAFKA, client_config, receive
from services.ops.lag.report import (
    GroupLag,
    Member,
    PartitionLag,
    Watched,
    group_lag,
    partition_lag,
    waits_long,
)
from services.ops.settings import OpsSettings

ANSWER_S: Final = 5.0  # for one question to the broker
OLDEST_S: Final = 5.0  # for the first unread message of every partition
STILL_S: Final = 2.5  # between two looks at what is committed: workers that read commit once a second
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
        with require_broker(self._settings):
            return patiently(self._ask, of, topic, now)

    def _ask(self, of: Watched, topic: str, now: float) -> GroupLag:
        parts = self._admin.partitions(topic)
        lows, highs = self._ends(parts, EARLIEST), self._ends(parts, LATEST)
        committed = self._admin.read_committed(of.group, parts)
        state, members = self._group(of.group, topic)
        found = [
            partition_lag(
                part.partition, committed[part.partition], lows[part.partition], highs[part.partition]
            )
            for part in parts
        ]
        oldest = self._oldest_unread(topic, found, lows)
        owners = {number: member.name for member in members for number in member.partitions}
        partitions = [
            msgspec.structs.replace(
                each, oldest_unread_at=oldest.get(each.partition), member=owners.get(each.partition)
            )
            for each in found
        ]
        still = self._still(of.group, topic, [each for each in partitions if waits_long(each, now)])
        partitions = [
            msgspec.structs.replace(each, stands_still=each.partition in still) for each in partitions
        ]
        return group_lag(of, topic, state, members=members, partitions=tuple(partitions), now=now)

    def _still(self, group: str, topic: str, waiting: list[PartitionLag]) -> set[int]:
        """Those of the partitions for which nothing is committed within 2.5 s."""
        if not waiting:
            return set()
        time.sleep(STILL_S)
        after = self._admin.read_committed(group, [TopicPartition(topic, each.partition) for each in waiting])
        return {each.partition for each in waiting if max(after[each.partition], 0) == (each.committed or 0)}

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
        for message in receive(consumer, 500, 0.1):
            partition = int(message.partition() or 0)
            error = message.error()
            if error is None and partition in wanted:
                found[partition] = int(message.timestamp()[1])
            if error is None or error.code() == KafkaError._PARTITION_EOF:
                wanted.discard(partition)
    return found
