"""Faust's consumer, but one that goes back to the first unfinished event whenever it goes back at all.

aiokafka's `seek_to_committed` leaves a partition where it is while nothing, or 0, is committed for it. What
Faust has read of such a partition and dropped, as it does around each rebalance, would never be read again:
a worker that was killed before its first commit then said ready and read nothing (6 of 11 starts).
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
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


# Each of Faust's classes logs under the name of its module. Under the names of ours what Faust tells of
# every deal of partitions, in tables of many lines, would pass for what we say.
FAUST_LOGGER: Final = logging.getLogger("faust.session_processor")


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

    logger = FAUST_LOGGER

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

    async def on_thread_stop(self) -> None:
        """Ends; before that it leaves its group, where it is to."""
        if self._consumer is not None and cast(RewindingApp, self.app).leaves_group:
            # aiokafka lets a member that has a name stay until the group misses it.
            self._consumer._coordinator._group_instance_id = None
        await super().on_thread_stop()

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Goes back to what is to be read next, and says where that is; None for the table's changelogs."""
        return cast("Mapping[TP, int]", await self.call_thread(self._rewind, self._ensure_consumer()))

    async def _rewind(self, consumer: aiokafka.AIOKafkaConsumer) -> dict[TP, int | None]:
        # In aiokafka's thread. Its own `seek_to_committed` asks for each partition alone: 16 answers of a
        # busy coordinator, three times a rebalance. After one answer for all, nobody has a turn until all are
        # sought: records that a `getmany` under way has taken up lie before, so they are read again.
        assigned = consumer.assignment()
        read = [each for each in assigned if each.topic not in self.app.tables.changelog_topics]
        firsts = await consumer.beginning_offsets(read) if read else {}
        committed = await consumer._coordinator.fetch_committed_offsets(list(assigned))
        found: dict[TP, int | None] = {}
        for each in assigned:
            offset = committed[each].offset if each in committed else 0
            # Never committed, or deleted by retention since: the beginning. Changelogs stay where they are.
            found[each] = max(offset, firsts.get(each, 0)) or firsts.get(each)
            if found[each] is not None:
                consumer.seek(each, found[each])
        return found


class RewindingConsumer(Consumer):
    """Faust's own, over that thread."""

    logger = FAUST_LOGGER

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return RewindingThread(self, loop=self.loop, beacon=self.beacon)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """As Faust's own, but that the app hears of it before anything is read from there."""
        found = await super().seek_to_committed()
        cast(RewindingApp, self.app).on_rewind(found)
        return found

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
    """Faust's own, with that transport. `on_rewind` hears where each partition goes on, whoever goes back.

    `leaves_group`: others are dealt its partitions when it stops, rather than when they miss it.
    """

    logger = FAUST_LOGGER
    leaves_group = False
    on_rewind: Callable[[Mapping[TP, int]], object] = staticmethod(lambda _: None)

    def _new_transport(self) -> TransportT:
        return RewindingTransport(self.conf.broker_consumer, self)
