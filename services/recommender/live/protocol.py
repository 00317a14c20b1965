"""One live socket: its slots, which of them are due, and the rows it was shown last."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Final, Protocol

import msgspec

from schemas.live import Recommendations, Slot, SlotKind, Timing
from services.clock import now_ms
from services.recommender.impressions import Impressions
from services.recommender.metrics import Metrics
from services.recommender.pipeline.distinct import ASKED_FOR, find_overlaps, find_shown
from services.recommender.pipeline.pipeline import RecommendationPipeline
from services.recommender.pipeline.request import (
    RecommendationRequest,
    RecommendationResult,
    RequestBuilder,
    RequestWords,
    Row,
    SharedLookups,
)
from services.recommender.visitor_sessions import MergedSessions, PublishedSession
from services.tracing.port import NULL_TRACER, Kind, Span, Tracer, current_span, run

WEBSOCKET: Final = {"network.protocol.name": "websocket"}
FOLLOWING: Final = frozenset({"for_you", "search"})  # kinds of rows that follow the visitor's session

Send = Callable[[bytes], Awaitable[None]]

_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class PendingSlot:
    """Why a slot is to be made anew: the session's newest message, or None when only products changed."""

    published: PublishedSession | None = None


@dataclass(frozen=True, slots=True)
class RecordedRow:
    """A row as it was computed and recorded: once for all sockets of a visitor that ask the same.

    `without` is what it had to leave out, because the page shows it before.
    """

    slot: Slot
    without: frozenset[str]
    result: RecommendationResult
    models: dict[str, str]
    recommendation_id: str | None


class Page(Protocol):
    """Who holds a subscription."""

    def push(self) -> None:
        """A slot is stale: sees to it that the subscription's `push` runs, now or still."""

    def erase(self) -> None:
        """The visitor was erased: its credentials are good no more."""


def _no_siblings(_visitor_id: str) -> Collection["LiveSubscription"]:
    return ()


class LiveSubscription:
    """Recommendations are state, not a log: a slot that is due twice before it is made is made once."""

    __slots__ = (
        "_asks", "_due", "_impressions", "_lock", "_metrics", "_models", "_on_shown", "_passed_over", "_rows",
        "_rows_shown", "_seq", "_sessions", "_shown", "_siblings", "_slots", "_tracer", "_turns", "page",
        "under_way", "visitor_id",
    )  # fmt: skip

    def __init__(
        self,
        visitor_id: str,
        *,
        rows: RecommendationPipeline,
        asks: RequestBuilder,
        sessions: MergedSessions,
        impressions: Impressions,
        models: Callable[[str | None], dict[str, str]],
        metrics: Metrics,
        turns: asyncio.Semaphore,
        on_shown: Callable[["LiveSubscription", Slot, RecommendationResult], object],
        siblings: Callable[[str], Collection["LiveSubscription"]] = _no_siblings,
        lock: asyncio.Lock | None = None,
        tracer: Tracer = NULL_TRACER,
    ) -> None:
        self.visitor_id = visitor_id
        self.under_way: tuple[str, PublishedSession | None] | None = (
            None  # the row that is being made: slot, why
        )
        self._tracer = tracer
        self.page: Page | None = None  # who is told that a slot is stale
        self._rows = rows
        self._asks = asks
        self._sessions = sessions
        self._impressions = impressions
        self._models = models
        self._metrics = metrics
        self._turns = turns
        self._on_shown = on_shown
        self._slots: dict[str, Slot] = {}
        self._due: dict[str, PendingSlot] = {}
        self._shown: dict[str, RecordedRow] = {}
        self._rows_shown: dict[str, Row] = {}  # also of slots that are about to change
        self._siblings = siblings
        self._lock = lock or asyncio.Lock()  # of the visitor: what its other sockets compute is waited for
        self._seq = 0
        self._passed_over = False  # whether the oldest stale slot has waited for a newer one

    def subscribe(self, slots: Sequence[Slot]) -> None:
        """Replaces the slots; each is made at once from the newest state."""
        self._slots = {slot.name: slot for slot in slots}
        self._due = {}
        self._shown = {}
        self._rows_shown = {}
        known = self._sessions.latest(self.visitor_id)
        # The page learns which event the state holds, not how long that took: it was not waiting for it.
        published = replace(known, accepted_at=None, folded_at=None) if known else None
        for slot in slots:
            self._mark_stale(slot.name, PendingSlot(published if slot.kind in FOLLOWING else None))

    def session_changed(self, published: PublishedSession) -> None:
        """The visitor's session moved: rows made from it are due, and those with what is wanted no more."""
        dismissed = self._asks.find_dismissed(self.visitor_id)
        for slot in self._slots.values():
            if slot.kind in FOLLOWING:
                self._mark_stale(slot.name, PendingSlot(published))
            elif dismissed and slot.kind not in ASKED_FOR and self._shows(slot.name, dismissed):
                self._mark_stale(slot.name, self._due.get(slot.name, PendingSlot()))

    def _shows(self, slot_name: str, products: frozenset[str]) -> bool:
        return any(item.product_id in products for item in self._rows_shown.get(slot_name, ()))

    def slots_changed(self, kind: SlotKind | None = None) -> None:
        """Something that all rows of a kind, or of every kind, depend on is different."""
        for slot in self._slots.values():
            if kind is None or slot.kind == kind:
                self._mark_stale(slot.name, self._due.get(slot.name, PendingSlot()))

    def products_changed(self, slot_name: str) -> None:
        """A product on show changed, or a short row may be filled: the slot is due, whatever the session."""
        if slot_name in self._slots:
            self._mark_stale(slot_name, self._due.get(slot_name, PendingSlot()))

    def _mark_stale(self, slot_name: str, due: PendingSlot) -> None:
        if slot_name in self._due:
            self._metrics.coalesced.inc()
        self._due[slot_name] = due
        if self.page is not None:
            self.page.push()

    def erase(self) -> None:
        """The visitor was erased."""
        if self.page is not None:
            self.page.erase()

    async def push(self, send: Send) -> None:
        """Makes and sends what is due, until nothing is. Raises what `send` raises."""
        shared = SharedLookups()
        while self._due:
            if (made := await self._in_turn(shared)) is not None:
                message, span = made
                if span is None:
                    await send(message)
                else:
                    with run(span.child("send row", Kind.PRODUCER, WEBSOCKET)):
                        await send(message)
                self._metrics.pushes.inc()

    async def _in_turn(self, shared: SharedLookups) -> tuple[bytes, Span | None] | None:
        """One row, when this socket's turn has come, and what it is part of where that is traced.

        Between two turns the loop looks at what has come in. Without that a burst of sessions would be worked
        off row by row while newer ones wait in Kafka, where they cannot replace the older.
        """
        slot = self._slots[self._next_due()]
        words = await self._asks.words(
            self.visitor_id, slot
        )  # no turn is held while words wait for the network
        async with self._lock, self._turns:
            if self._slots.get(slot.name) is not slot or slot.name not in self._due:
                return None  # subscribed anew while it waited
            due = self._due.pop(slot.name)
            self.under_way = (slot.name, due.published)
            span = self._follow(due, slot)
            if span is None:
                message = await self._recommend(slot, words, due, shared)
            else:
                with run(span):
                    message = await self._recommend(slot, words, due, shared)
            await asyncio.sleep(0)
        return None if message is None else (message, span)

    def _follow(self, due: PendingSlot, slot: Slot) -> Span | None:
        if due.published is None or due.published.traceparent is None:
            return None
        span = self._tracer.follow(f"recommend {slot.kind}", Kind.INTERNAL, due.published.traceparent)
        if span is not None:
            span.set({"eddy.slot": slot.name, "eddy.k": slot.k})
        return span

    def _next_due(self) -> str:
        """What an event has moved comes first: who has just asked for more rows waits for these anyway.
        Of such rows the page's order counts, for a row may take products out of those below it.

        But not twice in a row: a visitor who clicks faster than rows are made would never see the others.
        """
        oldest = next(iter(self._due))
        due = ((name, self._due.get(name)) for name in self._slots)
        moved = (name for name, of in due if of and of.published and of.published.accepted_at)
        chosen = oldest if self._passed_over else next(moved, oldest)
        self._passed_over = chosen != oldest
        return chosen

    async def _recommend(
        self, slot: Slot, words: RequestWords, due: PendingSlot, shared: SharedLookups
    ) -> bytes | None:
        before = self._shown.pop(slot.name, None)  # nobody takes over what is being replaced
        without = find_shown(self._slots.values(), slot.name, self._rows_shown)
        recorded = self._of_sibling(slot, without)
        if recorded is not None:
            self._metrics.shared.inc()
            made = recorded.result
        else:
            started = perf_counter()
            asked = self._asks.by_slot(self.visitor_id, slot, words, without)
            made = await self._rows.run(asked, shared)
            if self._slots.get(slot.name) is not slot:
                return None  # subscribed to something else while the index was asked
            self._metrics.compute.observe(perf_counter() - started)
        self._on_shown(self, slot, made)
        self._rows_shown[slot.name] = made.row
        for name in find_overlaps(self._slots.values(), slot.name, self._rows_shown):
            self._mark_stale(name, self._due.get(name, PendingSlot()))
        if due.published is None and before is not None and before.result.row == made.row:
            self._shown[slot.name] = replace(before, without=without)
            return None  # whatever has changed, it is not this row
        if recorded is None:
            recorded = self._record(slot, without, due, asked, made)
        if (span := current_span()) is not None:
            span.set({"eddy.items": len(made.row), "eddy.fallback": made.fallback or ""})
        self._shown[slot.name] = recorded
        return _encoder.encode(self._message(due, recorded))

    def _of_sibling(self, slot: Slot, without: frozenset[str]) -> RecordedRow | None:
        """What another socket of the visitor shows in the same slot, without the same products, unless it is
        about to change there.

        Every socket is told of every change that concerns what it shows, so what is not stale is current.
        """
        for sibling in self._siblings(self.visitor_id):
            shown = sibling._shown.get(slot.name)
            if sibling is self or shown is None or slot.name in sibling._due:
                continue
            if (shown.slot, shown.without) == (slot, without):
                return shown
        return None

    def _record(
        self,
        slot: Slot,
        without: frozenset[str],
        due: PendingSlot,
        asked: RecommendationRequest,
        made: RecommendationResult,
    ) -> RecordedRow:
        models = self._models(made.model)
        if made.fallback is not None:
            self._metrics.fallbacks.labels(made.fallback).inc()
        caused_by = due.published.caused_by if due.published else None
        recommendation_id = self._impressions.record(
            asked, made, models, query=slot.query, caused_by=caused_by
        )
        return RecordedRow(slot, without, made, models, recommendation_id)

    def _message(self, due: PendingSlot, recorded: RecordedRow) -> Recommendations:
        self._seq += 1
        made, span = recorded.result, current_span()
        return Recommendations(
            slot=recorded.slot.name,
            seq=self._seq,
            items=made.row,
            models=recorded.models,
            caused_by=due.published.caused_by if due.published else None,
            timing=self._timing(due.published),
            recommendation_id=recorded.recommendation_id,
            fallback=made.fallback,
            notice=made.notice,
            experiments=dict(made.experiments),
            causes=dict(made.causes),
            funnel=made.funnel,
            traceparent=None if span is None else span.traceparent,
        )

    def _timing(self, published: PublishedSession | None) -> Timing:
        pushed_at = now_ms()
        if published is None:
            return Timing(pushed_at=pushed_at)
        if published.accepted_at is not None:
            self._metrics.accepted_to_pushed.observe(max(pushed_at - published.accepted_at, 0.0) / 1000)
        return Timing(pushed_at=pushed_at, accepted_at=published.accepted_at, folded_at=published.folded_at)
