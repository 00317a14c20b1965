"""Faust's consumer, but one that goes back to the first unfinished event whenever it goes back at all.

aiokafka's `seek_to_committed` leaves a partition where it is while nothing, or 0, is committed for it. What
Faust has read of such a partition and dropped, as it does around each rebalance, would never be read again:
a worker that was killed before its first commit then said ready and read nothing (6 of 11 starts).
"""

import asyncio
import time
from collections.abc import Mapping
from inspect import iscoroutine
from math import exp
from typing import Any, Final, cast

import aiokafka
import faust
from faust.transport.conductor import Conductor
from faust.transport.consumer import RecordMap
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP
from faust.types.transports import TransportT
from mode.services import WaitResults

# What a partition's new place is read from waits for the fetch that is under way; Faust lets the broker hold
# one for 1.5 s, of which a start has three. With it a worker reads 4 s sooner, for ten idle fetches a second.
FETCH_WAIT_MS: Final = 100

# A fetch, and the hand-over from aiokafka's thread to Faust's behind it, cost the same however many messages
# they bring. Above so many messages a second they wait for so long, and carry what came meanwhile.
BUSY_PER_S: Final = 450.0
SHARE_S: Final = 0.002
MEMORY_S: Final = 0.25


class Traffic:
    """How many messages a second have come lately: of the last quarter of a second, fading."""

    def __init__(self) -> None:
        self._count, self._at = 0.0, 0.0

    def note(self, count: int, now_s: float) -> None:
        """So many have come now."""
        self._count = self._count * exp((self._at - now_s) / MEMORY_S) + count
        self._at = now_s

    def is_busy(self, now_s: float) -> bool:
        """Whether a hand-over is better shared."""
        return self._count * exp((self._at - now_s) / MEMORY_S) > BUSY_PER_S * MEMORY_S


class RewindingThread(AIOKafkaConsumerThread):
    """aiokafka in its thread."""

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - Faust's
        super().__init__(*arguments, **named)
        self._traffic = Traffic()

    async def _fetch_records(self, *arguments: Any, **named: Any) -> RecordMap:  # noqa: ANN401
        if self._traffic.is_busy(time.monotonic()):
            await asyncio.sleep(SHARE_S)
        found = await super()._fetch_records(*arguments, **named)
        self._traffic.note(sum(map(len, found.values())), time.monotonic())
        return found

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

    async def wait_first(self, *coros: Any, **named: Any) -> WaitResults:  # noqa: ANN401
        """As Faust's own, but that a message which nothing holds up is handed over without a task.

        Faust waits for each message's delivery or the flow's end, and starts four tasks to do so.
        """
        if len(coros) == 2 and not named and iscoroutine(coros[0]) and self._is_free():
            delivery, end_of_flow = coros
            end_of_flow.close()
            await delivery
            return WaitResults([delivery], [None], self.should_stop)
        return await super().wait_first(*coros, **named)

    def _is_free(self) -> bool:
        """Whether a delivery waits for nothing: neither for the flow nor for room in a stream's queue."""
        if self.suspend_flow.is_set() or not self.app.flow_control.is_active():
            return False
        topics = cast(Conductor, self.app.topics)
        return not (topics._tp_to_callback_lock.locked() or any(topic.queue.full() for topic in topics))


class RewindingTransport(Transport):
    """Faust's own, with that consumer."""

    Consumer = RewindingConsumer


class RewindingApp(faust.App):
    """Faust's own, with that transport."""

    def _new_transport(self) -> TransportT:
        return RewindingTransport(self.conf.broker_consumer, self)
