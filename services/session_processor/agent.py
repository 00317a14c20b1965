"""One event's way through the processor: decode, fold, store, publish; and only then its offset counts."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec
import structlog
from faust.types import EventT

from schemas import deadletters, sessions
from schemas.events import Event, decode
from schemas.sessions import Session, encode
from schemas.vectors import Layout
from services.kafka import AcknowledgedProducer, Headers, OutgoingMessage, now_ms
from services.model.session import computed, fold, signals
from services.model.tuning import Tuning
from services.replica import VectorReplica
from services.session_processor.expiry import IdleVisitors
from services.session_processor.metrics import Metrics
from services.session_processor.order import PartitionOrder, Taken
from services.session_processor.table import SessionTable
from services.session_processor.waiting import WaitingSessions

IN_FLIGHT_MAX: Final = 2_000  # sends of at most 20 KB: 40 MB
EXPIRED_AT_ONCE: Final = 200  # an event does not wait long for the visitors who are forgotten before it

log = structlog.get_logger()

Message = EventT[bytes]


class BadEvent(Exception):
    """A message that is no event; the text is the reason written to events.dlq."""


class TooManyBadEvents(Exception):
    """So many bad messages in a row that the fault is likely not theirs."""


def decoded(key: bytes | None, value: bytes | None) -> Event:
    """The event of a message. Raises BadEvent for what is none, or lies under another visitor's key."""
    if value is None:
        raise BadEvent("a tombstone is no event")
    try:
        event = decode(value)
    except msgspec.MsgspecError as error:
        raise BadEvent(str(error)) from None
    if key != event.visitor_id.encode():
        raise BadEvent(f"the message's key is not the event's visitor_id {event.visitor_id!r}")
    return event


class EventFolder:
    """Folds events into the table and publishes sessions; `crash` is told of a write that failed."""

    def __init__(
        self,
        *,
        table: SessionTable,
        producer: AcknowledgedProducer,
        published: str,
        dead_letters: str,
        vectors: VectorReplica,
        layout: Layout,
        tuning: Tuning,
        bad_in_a_row_max: int,
        metrics: Metrics,
        crash: Callable[[BaseException], object],
    ) -> None:
        self._table = table
        self._producer = producer
        self._published = published
        self._dead_letters = dead_letters
        self._vectors = vectors
        self._layout = layout
        self._tuning = tuning
        self._bad_in_a_row_max = bad_in_a_row_max
        self._metrics = metrics
        self._crash = crash
        self._bad_in_a_row = 0
        self._waiting = WaitingSessions()
        self._idle = IdleVisitors(tuning.idle_ms)
        self._order = PartitionOrder()
        self._in_flight: set[asyncio.Future[None]] = set()

    def take(self, message: Message) -> None:
        """Takes one message of `events`; its offset may be committed once all it caused is acknowledged.

        Raises SkippedEvents or TooManyBadEvents, after which the worker is to be started anew.
        """
        taken = self._order.took(message.message.partition, message.message.offset, message.ack)
        try:
            event = decoded(message.message.key, message.message.value)
        except BadEvent as bad:
            self._bury(message, taken, str(bad))
            return
        self._bad_in_a_row = 0
        if not signals(event, self._tuning):
            self._metrics.events.labels("no_signal").inc()
            self._order.finished(taken)
            return
        self._fold(message, taken, event)

    def _fold(self, message: Message, taken: Taken, event: Event) -> None:
        visitor, partition = event.visitor_id.encode(), message.message.partition
        before = self._table.get(visitor)
        started = time.perf_counter()
        after = fold(before, event, self._vectors, self._layout, self._tuning)
        folded_at = now_ms()
        self._metrics.fold.observe(time.perf_counter() - started)
        accepted_at = self._note_way(message, folded_at)
        headers: Headers = [
            (sessions.CAUSED_BY, event.event_id.encode()),
            (sessions.ACCEPTED_AT, accepted_at),
            (sessions.FOLDED_AT, f"{folded_at:.3f}".encode()),
        ]
        # A known event is published again: after a crash its session may be stored but not yet published.
        news = after is not before
        self._metrics.events.labels("news" if news else "known").inc()
        messages = self._stored(visitor, partition, after, headers, changed=news)
        self._send(messages, lambda: self._done(taken, started))
        self._expire(partition)

    def _stored(
        self, visitor: bytes, partition: int, session: Session, headers: Headers, *, changed: bool
    ) -> list[tuple[str, OutgoingMessage]]:
        """The session is in the table; what is to be sent for it."""
        value = encode(session)
        self._note(visitor, partition, session)
        published = (self._published, (visitor, value, headers))
        if not changed:
            return [published]
        self._table.put(visitor, value)
        return [(self._table.changelog, (visitor, value, [])), published]

    def _note(self, visitor: bytes, partition: int, session: Session) -> None:
        """What a session waits for, and when its visitor was last seen."""
        if session.events:
            self._idle.seen(visitor, partition, session.events[-1].occurred_at, now_ms())
        if session.missing:
            self._waiting.wait(visitor, partition, session.missing_products)
            self._metrics.waiting.set(len(self._waiting))

    def _expire(self, partition: int) -> None:
        """Tells `sessions` of visitors who have been idle for too long, and then forgets them."""
        for visitor in self._idle.due(partition, EXPIRED_AT_ONCE):
            if self._table.raw(visitor) is not None:
                self._send([(self._published, (visitor, None, []))], partial(self._forget, visitor))

    def _forget(self, visitor: bytes) -> None:
        """`sessions` has the tombstone: after a crash before now it is written once more, and never left out.

        A visitor who came back meanwhile stays: the session was published again after the tombstone.
        """
        if visitor not in self._idle:
            self._table.remove(visitor)
            self._send([(self._table.changelog, (visitor, None, []))], self._metrics.expired.inc)

    def _send(self, messages: list[tuple[str, OutgoingMessage]], then: Callable[[], object]) -> None:
        """Calls `then` once the broker has all messages, or `crash` when it has not."""
        sent = self._producer.begin(messages)
        self._in_flight.add(sent)

        def ended(sent: asyncio.Future[None]) -> None:
            self._in_flight.discard(sent)
            error = asyncio.CancelledError() if sent.cancelled() else sent.exception()
            if error is None:
                then()
            else:
                self._crash(error)

        sent.add_done_callback(ended)

    async def settle(self) -> None:
        """Waits until all that was sent has arrived: nothing may be late when another worker takes over."""
        while self._in_flight:
            await asyncio.gather(*self._in_flight)

    @property
    def is_behind(self) -> bool:
        """Whether so much is on its way that it is better to wait than to send more."""
        return len(self._in_flight) >= IN_FLIGHT_MAX

    def _done(self, taken: Taken, started: float) -> None:
        self._order.finished(taken)
        self._metrics.acknowledged.observe(time.perf_counter() - started)

    def _note_way(self, message: Message, folded_at: float) -> bytes:
        headers: dict[str, bytes] = dict(message.message.headers or ())
        accepted_at = headers.get(sessions.ACCEPTED_AT, b"")
        if accepted_at:
            seconds = (folded_at - float(accepted_at)) / 1000
            self._metrics.accepted_to_folded.observe(max(seconds, 0.0))
        return accepted_at

    def _bury(self, message: Message, taken: Taken, reason: str) -> None:
        self._bad_in_a_row += 1
        if self._bad_in_a_row > self._bad_in_a_row_max:
            raise TooManyBadEvents(
                f"{self._bad_in_a_row_max} bad messages in a row on `events`, the last because {reason}. "
                "Look at events.dlq, mend the producer, and start the worker again."
            )
        self._metrics.events.labels("dead").inc()
        raw = message.message
        source = f"{raw.topic}/{raw.partition}/{raw.offset}"
        log.warning("dead letter", reason=reason, source=source)
        headers = deadletters.headers(
            reason=reason,
            service="session_processor",
            stage="decode",
            source=source,
            failed_at=int(now_ms()),
        )
        letter: OutgoingMessage = (raw.key, raw.value, [*headers])
        self._send([(self._dead_letters, letter)], lambda: self._order.finished(taken))

    def recovered(self) -> None:
        """After a start or rebalance: what the stored sessions tell of missing products and of time."""
        self._order.reassigned()
        for visitor, raw in self._table.items():
            partition = self._table.partition_of(visitor)
            if partition is not None:
                self._note(visitor, partition, sessions.decode(raw))

    def join(self, product_id: str, owned: Callable[[int], bool]) -> None:
        """A product got its vector: the sessions that missed it are computed again and published."""
        for visitor, partition in self._waiting.arrived(product_id).items():
            if self._table.raw(visitor) is None or not owned(partition):
                continue  # the visitor's partition has moved to another worker, which waits by itself
            before = self._table.get(visitor)
            after = computed(before.visitor_id, before.events, self._vectors, self._layout, self._tuning)
            headers: Headers = [(sessions.FOLDED_AT, f"{now_ms():.3f}".encode())]
            messages = self._stored(visitor, partition, after, headers, changed=True)
            self._send(messages, self._metrics.joined.inc)
        self._metrics.waiting.set(len(self._waiting))
