"""Reads the sessions of newly dealt partitions back from the changelog, with librdkafka rather than Faust.

Faust takes each message through two queues and some tasks, as it does with events, which is a third as fast
(decision 35). Here they come in batches of thousands into the same store, and Faust finds nothing left to
read. What does not come in time is left to it.
"""

import asyncio
import threading
import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, cast

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from faust.tables import TableManager
from faust.tables.recovery import Recovery
from faust.types import TP

from services.kafka.clients import LIBRDKAFKA, ClientConfig
from services.session_processor.consumer import FAUST_LOGGER

log = structlog.get_logger()

BATCH: Final = 5_000
POLL_S: Final = 0.2
READS_FOR_S: Final = 40.0  # Faust waits for 90
QUICK: Final[ClientConfig] = {
    "group.id": "unused",
    "enable.auto.commit": False,
    "enable.partition.eof": True,
    "auto.offset.reset": "earliest",
    "fetch.wait.max.ms": 10,
    "fetch.queue.backoff.ms": 5,
    "queued.max.messages.kbytes": 65_536,
}


class Changes(NamedTuple):
    """Key → its newest value (None: a tombstone) and partition; partition → the last offset that was read."""

    newest: dict[bytes, tuple[bytes | None, int]]
    last: dict[TP, int]


class ChangelogReader:
    """Reads changelogs from where a store stands to where they end. One use; blocks."""

    def __init__(self, config: ClientConfig) -> None:
        self._config = config
        self._stopping = threading.Event()

    def stop(self) -> None:
        """From any thread: nobody wants it any more."""
        self._stopping.set()

    def read(self, begins: Mapping[TP, int], within_s: float = READS_FOR_S) -> Changes:
        """All from these offsets on, or as much as there is time for. Raises KafkaException."""
        until = time.monotonic() + within_s
        changes = Changes({}, {})
        consumer = Consumer(self._config | QUICK | {"logger": LIBRDKAFKA})
        try:
            consumer.assign([TopicPartition(each.topic, each.partition, at) for each, at in begins.items()])
            open_ = set(begins)
            while open_ and time.monotonic() < until and not self._stopping.is_set():
                for message in consumer.consume(BATCH, POLL_S):
                    part = TP(cast(str, message.topic()), cast(int, message.partition()))
                    error = message.error()
                    if error is None:
                        changes.newest[message.key() or b""] = message.value(), part.partition
                        changes.last[part] = cast(int, message.offset())
                    elif error.code() == KafkaError._PARTITION_EOF:
                        changes.last[part] = cast(int, message.offset()) - 1
                        open_.discard(part)
                    elif not error.retriable():
                        raise KafkaException(error)
        finally:
            consumer.close()
        return changes


class ChangelogRecovery(Recovery):
    """Faust's own, but that the store is filled before Faust looks what it still misses."""

    logger = FAUST_LOGGER

    async def _build_offsets(self, consumer: Any, tps: Any, destination: Any, title: str) -> None:  # noqa: ANN401
        await super()._build_offsets(consumer, tps, destination, title)
        if title == "active":
            await self._read_ahead(destination)

    async def _read_ahead(self, offsets: dict[TP, int | None]) -> None:
        highest = {tp: last for tp, last in self.active_highwaters.items() if last is not None}
        begins = {
            tp: at + 1
            for tp, last in highest.items()
            if tp in self.active_tps and (at := _or_none_yet(offsets.get(tp))) < last
        }
        if not begins:
            return
        generation, began = self._generation_id, time.monotonic()
        reader = ChangelogReader(cast("ChangelogTables", self.tables).config)
        try:
            changes = await asyncio.to_thread(reader.read, begins)
        except KafkaException as error:  # Faust tries in its own way, and its own time
            log.warning("the changelog is not read ahead", reason=error.args[0].str())
            return
        finally:
            reader.stop()  # where a new deal has ended the wait
        if generation != self._generation_id:
            return
        self._apply(changes.newest)
        for tp, last in changes.last.items():
            offsets[tp] = min(last, highest[tp])
        log.info(
            "sessions read back",
            sessions=len(changes.newest),
            partitions=len(begins),
            seconds=round(time.monotonic() - began, 2),
        )

    def _apply(self, newest: Mapping[bytes, tuple[bytes | None, int]]) -> None:
        [table] = self.tables.values()
        store = cast(Any, table).data
        for key, (value, partition) in newest.items():
            if value is None:
                store.data.pop(key, None)
                store._key_partition.pop(key, None)
            else:
                store.data[key] = value
                store._key_partition[key] = partition


def _or_none_yet(offset: int | None) -> int:
    return -1 if offset is None else offset


class ChangelogTables(TableManager):
    """Faust's own, with that recovery. `config` is how librdkafka connects."""

    logger = FAUST_LOGGER
    config: ClientConfig

    @property
    def recovery(self) -> Recovery:
        """What fills the tables after each deal of partitions."""
        if self._recovery is None:
            self._recovery = ChangelogRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery


def read_with(config: ClientConfig) -> type[ChangelogTables]:
    """The tables of an app that reads its changelog over such connections."""
    return type("ChangelogTables", (ChangelogTables,), {"config": config})
