"""One event's way through the processor: decode, fold, store, publish; and only then its offset counts."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from math import inf
from typing import Final

from cachetools import LRUCache
from faust.types import EventT
from prometheus_client import Counter

from schemas import sessions
from schemas.events import CLICKS, Event
from schemas.sessions import Session, encode
from schemas.topics import ERASURES, EVENTS
from schemas.traces import TRACEPARENT
from schemas.vectors import Layout
from services.clock import now_ms
from services.kafka.clients import AcknowledgedProducer, Headers, OutgoingMessage
from services.kafka.messages import header_ms
from services.kafka.ranges import TopicMessage, partition_of
from services.model.session import (
    Tuning,
    compute_session,
    fold,
    is_over,
    is_quiet,
    is_remembered,
    last_seen,
)
from services.model.session_memory import SessionMemory
from services.session_processor.commit_order import PartitionOrder, PendingMessage
from services.session_processor.dead_letters import BadEvent, DeadLetters, check_place, decode_event
from services.session_processor.erasures import ARRIVALS_S, ArrivalErasures
from services.session_processor.idle_visitors import IdleVisitors
from services.session_processor.metrics import Metrics
from services.session_processor.pending_products import PendingProducts
from services.session_processor.table import SessionTable, read_entry
from services.tracing.messages import begin_send, follow_message
from services.tracing.port import NULL_TRACER, Tracer, begin_child, current_span, end_after, use
from services.vector_replica import VectorReplica
from services.visitors.eviction import EvictionOrder, rank_of

IN_FLIGHT_MAX: Final = 2_000  # sends of at most 20 KB: 40 MB
EXPIRED_AT_ONCE: Final = 200  # an event does not wait long for the visitors who are forgotten before it

ENTRY_BYTES: Final = 520  # what stands around a session's bytes: keys and places in tables (measured)
CAUSES_MAX: Final = 10_000  # visitors whose newest event is known by name: 300 bytes each
MISSING_BYTES: Final = 380  # what is noted of a product that has no vector yet (measured)

TRACE_MAX_MS: Final = 3_600_000  # between sending and reading

Message = EventT[bytes]
Send = tuple[list[tuple[str, OutgoingMessage]], Callable[[], object]]  # what, and what then


class SessionProcessor:
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
        table_bytes_max: float = inf,
        tracer: Tracer = NULL_TRACER,
    ) -> None:
        self._tracer = tracer
        self._table = table
        self._producer = producer
        self._published = published
        self._dead_letters = dead_letters
        self._vectors = vectors
        self._layout = layout
        self._tuning = tuning
        self._metrics = metrics
        self._crash = crash
        self._letters = DeadLetters(bad_in_a_row_max)
        self._waiting = PendingProducts()
        self._memory = EvictionOrder[bytes](bytes_max=table_bytes_max)
        self._idle = IdleVisitors(tuning.idle_ms)
        self._erasures = ArrivalErasures()
        self._order = PartitionOrder()
        self._partitions = EVENTS.partitions
        self._causes: LRUCache[bytes, Headers] = LRUCache(CAUSES_MAX)
        self._in_flight: set[asyncio.Future[None]] = set()
        self._unanswered = 0  # sends in flight
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._outbox: list[Send] | None = None  # of the batch that is being taken
        self._noted: set[int] = set()  # partitions whose sessions are noted, and that have stayed here since

    @property
    def order(self) -> PartitionOrder:
        """What of each partition was taken."""
        return self._order

    def set_partitions(self, count: int) -> None:
        """So many `events` has now, and its sessions' changelog is to have."""
        self._partitions = count
        self._table.set_partitions(count)

    @property
    def changelog(self) -> str:
        """The topic that sessions are recovered from."""
        return self._table.changelog

    def take_all(self, messages: deque[Message]) -> None:
        """Takes them out one by one, and sends what they cause together: the broker answers once for all.

        Raises what `take` raises; the message that it is raised for is then the first that is left.
        """
        outbox: list[Send] = []
        self._outbox = outbox
        try:
            while messages:
                self.take(messages[0])
                messages.popleft()
        finally:  # what was taken is in the table already
            self._outbox = None
            if outbox:
                self._begin(outbox)

    def take(self, message: Message) -> None:
        """Takes one message of `events`; its offset may be committed once all it caused is acknowledged.

        Raises SkippedEvents or TooManyBadEvents, after which the worker is to be started anew.
        """
        about = message.message
        taken = self._order.track(about.partition, about.offset, message.ack)
        sent_at = round((about.timestamp or -1) * 1000)
        span = follow_message(
            self._tracer,
            dict(about.headers or ()),
            (about.topic, about.partition, about.offset),
            written_at=sent_at,
            within_ms=TRACE_MAX_MS,
        )
        if span is None:
            self._take(message, taken, sent_at)
            return
        taken.acknowledge = end_after(span, taken.acknowledge)
        with use(span):
            self._take(message, taken, sent_at)

    def _take(self, message: Message, taken: PendingMessage, sent_at: int) -> None:
        try:
            event = decode_event(message.message.key, message.message.value, sent_at)
            belongs = check_place(message.message.key or b"", message.message.partition, self._partitions)
        except BadEvent as bad:
            self._send_to_dlq(message, taken, bad)
            return
        self._letters.reset()
        if self._erasures.leave_out_event(event, sent_at):
            self._pass_over(taken, "erased")
        elif not is_remembered(event, self._tuning):
            self._pass_over(taken, "no_signal")
        elif not belongs:
            self._move(message, taken)
        else:
            self._fold(message, taken, event)

    def _move(self, message: Message, taken: PendingMessage) -> None:
        """To the partition of its key, whose worker has the visitor's session; once more does no harm."""
        self._metrics.events.labels("moved").inc()
        found = dict(message.message.headers or ()).items()
        headers: Headers = [each for each in found if each[0] not in {sessions.ACCEPTED_AT, TRACEPARENT}]
        moved = (message.message.topic, (message.message.key, message.message.value, headers))
        self._send([moved], self._trace_send(moved, lambda: self._order.complete(taken)))

    def _trace_send(
        self, sent: tuple[str, OutgoingMessage], then: Callable[[], object]
    ) -> Callable[[], object]:
        """Gives the message what its readers are to follow, where it is traced; what is to be done then."""
        if (span := current_span()) is None:
            return then
        topic, (_, _, headers) = sent
        sending = begin_send(span, topic)
        headers.append((TRACEPARENT, sending.traceparent.encode()))

        def on_sent() -> None:
            sending.end()  # first: with the last of what it has caused the event's own span ends
            then()

        return on_sent

    def _pass_over(self, taken: PendingMessage, why: str) -> None:
        note_outcome(why)
        self._metrics.events.labels(why).inc()
        self._order.complete(taken)

    def _fold(self, message: Message, taken: PendingMessage, event: Event) -> None:
        visitor, partition = event.visitor_id.encode(), message.message.partition
        before = self._table.get(visitor)
        if is_over(before, event, self._tuning):
            # The table may have forgotten this visitor, or be about to: the session is the same either way.
            before = Session(event.visitor_id)
        started = time.perf_counter()
        span = begin_child("fold")
        after = fold(before, event, self._vectors, self._layout, self._tuning)
        if span is not None:
            span.end()
        folded_at = now_ms()
        self._metrics.fold.observe(time.perf_counter() - started)
        accepted_at = self._note_timing(message, folded_at)
        headers: Headers = [
            *self._cause(visitor, event, accepted_at),
            (sessions.FOLDED_AT, f"{folded_at:.3f}".encode()),
        ]
        if event.type in CLICKS and event.recommendation_id:
            headers.append((sessions.CLICKED_ROW, event.recommendation_id.encode()))
        # A known event is published again: after a crash its session may be stored but not yet published.
        news = after is not before
        outcome = "news" if news else "known"
        note_outcome(outcome)
        self._metrics.events.labels(outcome).inc()
        messages = self._store(visitor, partition, after, headers, changed=news)
        self._send(messages, self._trace_send(messages[-1], lambda: self._complete(taken, started)))
        self._expire(partition)
        self._evict()

    def _cause(self, visitor: bytes, event: Event, accepted_at: bytes) -> Headers:
        """Which event the rows are to follow. A quiet one names the last that was none.

        Who reads `sessions` may look at the newest of several messages only.
        """
        if is_quiet(event, self._tuning):
            return [*self._causes.get(visitor, []), (sessions.QUIET, b"1")]
        found: Headers = [
            (sessions.CAUSED_BY, event.event_id.encode()),
            (sessions.ACCEPTED_AT, accepted_at),
        ]
        self._causes[visitor] = found
        return found

    def _store(
        self, visitor: bytes, partition: int, session: Session, headers: Headers, *, changed: bool
    ) -> list[tuple[str, OutgoingMessage]]:
        """The session is in the table; what is to be sent for it."""
        value = encode(session)
        self._note_session(visitor, partition, session, len(value))
        published = (self._published, (visitor, value, headers))
        if not changed:
            return [published]
        self._table.put(visitor, value)
        return [(self._table.changelog, (visitor, value, [])), published]

    def _note_session(self, visitor: bytes, partition: int, session: Session, size: int) -> None:
        """What a session waits for, when its visitor was last seen, and the memory that all of it takes."""
        if (seen := last_seen(session)) is not None:
            self._idle.note_seen(visitor, partition, seen, now_ms())
        self._waiting.wait(visitor, partition, session.missing_products)
        size += ENTRY_BYTES + MISSING_BYTES * len(session.missing)
        self._memory.put(visitor, size, rank_of(session))

    def _expire(self, partition: int) -> None:
        """Tells `sessions` of visitors who have been idle for too long, and then forgets them."""
        for visitor in self._idle.due(partition, EXPIRED_AT_ONCE):
            if self._table.raw(visitor) is not None:
                forget = partial(self._forget, visitor, self._metrics.expired)
                self._send([(self._published, (visitor, None, []))], forget)

    def _evict(self) -> None:
        """As with idle visitors: more than memory allows are forgotten, those who did least first."""
        for visitor, rank in self._memory.pop_excess():
            self._idle.forget(visitor)
            self._waiting.forget(visitor)
            evicted = self._metrics.evicted.labels(rank.name.lower())
            self._send([(self._published, (visitor, None, []))], partial(self._forget, visitor, evicted))
        self._metrics.table_bytes.set(self._memory.bytes)
        self._metrics.waiting.set(len(self._waiting))

    def _forget(self, visitor: bytes, counter: Counter) -> None:
        """`sessions` has the tombstone: after a crash before now it is written once more, and never left out.

        A visitor who came back meanwhile stays: the session was published again after the tombstone.
        """
        if visitor not in self._idle:
            self._drop(visitor)
            self._send([(self._table.changelog, (visitor, None, []))], counter.inc)

    def _drop(self, visitor: bytes) -> None:
        """The visitor leaves the table and all that was noted of it."""
        self._table.remove(visitor)
        self._idle.forget(visitor)
        self._waiting.forget(visitor)
        self._memory.remove(visitor)

    def _send(self, messages: list[tuple[str, OutgoingMessage]], then: Callable[[], object]) -> None:
        """Calls `then` once the broker has all messages, or `crash` when it has not."""
        if self._outbox is None:
            self._begin([(messages, then)])
        else:
            self._outbox.append((messages, then))

    def _begin(self, sends: list[Send]) -> None:
        sent = self._producer.begin([each for messages, _ in sends for each in messages])
        self._in_flight.add(sent)
        self._unanswered += len(sends)
        if self._unanswered >= IN_FLIGHT_MAX:
            self._has_room.clear()

        def on_sent(sent: asyncio.Future[None]) -> None:
            self._in_flight.discard(sent)
            self._unanswered -= len(sends)
            if self._unanswered <= IN_FLIGHT_MAX // 2:
                self._has_room.set()
            error = asyncio.CancelledError() if sent.cancelled() else sent.exception()
            if error is not None:
                self._crash(error)
                return
            for _, then in sends:
                then()

        sent.add_done_callback(on_sent)

    async def settle(self) -> None:
        """Waits until all that was sent has arrived: nothing may be late when another worker takes over."""
        while self._in_flight:
            await asyncio.gather(*self._in_flight)

    @property
    def is_behind(self) -> bool:
        """Whether so much is on its way that it is better to wait than to send more."""
        return not self._has_room.is_set()

    async def wait_for_room(self) -> None:
        """Until at most half of that is on its way."""
        await self._has_room.wait()

    def _complete(self, taken: PendingMessage, started: float) -> None:
        self._order.complete(taken)
        self._metrics.acknowledged.observe(time.perf_counter() - started)

    def _note_timing(self, message: Message, folded_at: float) -> bytes:
        """The header `accepted_at` as sessions carry it on: empty where it is no time."""
        headers: dict[str, bytes | None] = dict(message.message.headers or ())
        accepted_at = header_ms(headers, sessions.ACCEPTED_AT)
        if accepted_at is None:
            return b""
        self._metrics.accepted_to_folded.observe(max((folded_at - accepted_at) / 1000, 0.0))
        return headers[sessions.ACCEPTED_AT] or b""

    def _send_to_dlq(self, message: Message, taken: PendingMessage, bad: BadEvent) -> None:
        if (span := current_span()) is not None:
            span.fail("dead letter")  # the reason may quote what was sent: the letter has it
        letter = self._letters.of(message.message, bad, at=int(now_ms()))
        if letter is None:
            self._metrics.repeated.inc()
            self._pass_over(taken, "dead")
            return
        self._metrics.events.labels("dead").inc()
        sent = (self._dead_letters, letter)
        self._send([sent], self._trace_send(sent, lambda: self._order.complete(taken)))

    def erase(self, message: TopicMessage, owned: Callable[[int], bool] | None) -> None:
        """Takes one message of `erasures`; where this worker owns the visitor, what came before it is gone.

        `owned` is None as long as no sessions are recovered: `recover` looks at them then.
        """
        unreadable = self._erasures.unreadable
        visitor_id = self._erasures.take(message)
        self._metrics.unreadable.labels(ERASURES.name).inc(self._erasures.unreadable - unreadable)
        visitor = visitor_id.encode()
        until = self._erasures.until.get(visitor_id)
        is_ours = owned is not None and owned(partition_of(visitor, self._partitions))
        if is_ours and until is not None:
            session = self._table.get(visitor)
            is_old = message.timestamp()[1] - until > ARRIVALS_S * 1000
            self._keep(visitor, session, self._erasures.keep(session, by_own_time=is_old))

    def _keep(self, visitor: bytes, session: Session, kept: Session) -> None:
        """Only this stays of it. `sessions` is told also where nothing was: somebody waits for the word.

        As with visitors who were idle, `sessions` knows before the changelog does: a worker that ends between
        the two recovers the old session, and erases it once more.
        """
        value = None
        self._causes.pop(visitor, None)
        if last_seen(kept) is not None:
            value = encode(self._compute(kept))
            self._table.put(visitor, value)
        else:
            self._drop(visitor)
        until = self._erasures.until[session.visitor_id]
        headers: Headers = [
            (sessions.ERASED_AT, str(until).encode()),
            (sessions.EVENTS_REMOVED, str(len(session.events) - len(kept.events)).encode()),
            (sessions.FOLDED_AT, f"{now_ms():.3f}".encode()),
        ]
        self._metrics.erased.inc()
        self._send([(self._published, (visitor, value, headers))], partial(self._record, visitor, value))

    def _record(self, visitor: bytes, value: bytes | None) -> None:
        """The changelog gets what is left, unless an event that came meanwhile has written more."""
        if self._table.raw(visitor) == value:
            self._send([(self._table.changelog, (visitor, value, []))], lambda: None)

    def stay(self, partitions: set[int]) -> None:
        """The group has dealt these to this worker: what is noted of any other holds no more."""
        self._noted &= partitions

    def recover(self, begins: Mapping[int, int]) -> None:
        """After a start or rebalance: what the stored sessions tell of missing products and of time.

        `begins` has the offset at which each owned partition goes on.

        What was erased while nobody owned a visitor is erased now.
        """
        self._order.reset(begins)
        for visitor in [each for each in self._memory if self._table.raw(each) is None]:
            self._drop(visitor)  # its partition has moved to another worker
        for visitor, raw in self._table.items():
            partition = self._table.partition_of(visitor)
            if partition is None:
                continue
            session = read_entry(visitor, raw)
            if session is None:
                continue
            kept = self._erasures.keep(session, by_own_time=True)
            if kept is not session:
                self._keep(visitor, session, kept)
            elif any(product_id in self._vectors for product_id in session.missing_products):
                # A worker that ended before its join was stored left this behind; the vector comes only once.
                self._compute_again(visitor, partition, session)
            elif partition not in self._noted or visitor not in self._memory:
                # Half of the time that a takeover needs: who was here before is known.
                self._note_session(visitor, partition, session, len(raw))
        self._noted = set(begins)
        self._evict()

    def join(self, product_id: str, owned: Callable[[int], bool]) -> None:
        """A product got its vector: the sessions that missed it are computed again and published."""
        for visitor, partition in self._waiting.pop_waiting(product_id).items():
            if self._table.raw(visitor) is None or not owned(partition):
                continue  # the visitor's partition has moved to another worker, which waits by itself
            self._compute_again(visitor, partition, self._table.get(visitor))
        self._metrics.waiting.set(len(self._waiting))

    def _compute_again(self, visitor: bytes, partition: int, before: Session) -> None:
        """A session with the vectors that there are now.

        No offset stands for it, so that no message is read again where this worker ends before it is done:
        `sessions` knows before the changelog does, and `recover` sees what the changelog still misses.
        """
        after = self._compute(before)
        value = encode(after)
        self._note_session(visitor, partition, after, len(value))
        self._table.put(visitor, value)
        headers: Headers = [(sessions.FOLDED_AT, f"{now_ms():.3f}".encode())]
        self._metrics.joined.inc()
        self._send([(self._published, (visitor, value, headers))], partial(self._record, visitor, value))

    def _compute(self, session: Session) -> Session:
        """A session of the same events and the same beside them, with the vectors that there are now."""
        memory = SessionMemory.of(session)
        return compute_session(
            session.visitor_id, session.events, self._vectors, self._layout, self._tuning, memory=memory
        )


def note_outcome(outcome: str) -> None:
    """What became of the event, as the metric has it."""
    if (span := current_span()) is not None:
        span.set({"eddy.outcome": outcome})
