"""Faust's consumer, but one that goes back to the first unfinished event whenever it goes back at all.

aiokafka's `seek_to_committed` leaves a partition where it is while nothing, or 0, is committed for it. What
Faust has read of such a partition and dropped, as it does around each rebalance, would never be read again:
a worker that was killed before its first commit then said ready and read nothing (6 of 11 starts).
"""

from collections.abc import Mapping
from typing import Final, cast

import aiokafka
import faust
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP
from faust.types.transports import TransportT

# What a partition's new place is read from waits for the fetch that is under way; Faust lets the broker hold
# one for 1.5 s, of which a start has three. With it a worker reads 4 s sooner, for ten idle fetches a second.
FETCH_WAIT_MS: Final = 100


class RewindingThread(AIOKafkaConsumerThread):
    """aiokafka in its thread."""

    def _create_worker_consumer(self, transport: Transport) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS  # read when it starts
        return consumer

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Goes back to what is to be read next, and says where that is; None for the table's changelogs."""
        return cast("Mapping[TP, int]", await self.call_thread(self._rewind, self._ensure_consumer()))

    async def _rewind(self, consumer: aiokafka.AIOKafkaConsumer) -> dict[TP, int | None]:
        # In aiokafka's thread from the first step to the last. Records that a `getmany` under way takes up
        # meanwhile lie before the last seek, so they are read again.
        found: dict[TP, int | None] = await consumer.seek_to_committed()
        read = [each for each in found if each.topic not in self.app.tables.changelog_topics]
        for partition, first in (await consumer.beginning_offsets(read)).items() if read else ():
            if (found[partition] or 0) <= first:  # never committed, or deleted by retention since
                consumer.seek(partition, first)
                found[partition] = first
        return found


class RewindingConsumer(Consumer):
    """Faust's own, over that thread."""

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return RewindingThread(self, loop=self.loop, beacon=self.beacon)


class RewindingTransport(Transport):
    """Faust's own, with that consumer."""

    Consumer = RewindingConsumer


class RewindingApp(faust.App):
    """Faust's own, with that transport."""

    def _new_transport(self) -> TransportT:
        return RewindingTransport(self.conf.broker_consumer, self)
