"""The newest session of each visitor, as it came from [sessions], within bounds of memory."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

from cachetools import LRUCache

from schemas.directions import form
from schemas.events import EventType
from schemas.sessions import (
    ACCEPTED_AT,
    CAUSED_BY,
    FOLDED_AT,
    QUIET,
    SESSION_EVENTS_MAX,
    Session,
    SessionEvent,
    decode,
)
from schemas.vectors import Layout
from services.kafka.messages import header_ms, header_text
from services.model.session import (
    ProductVectors,
    Tuning,
    compute_session,
    merge_events,
)
from services.model.session_memory import NOTHING, SessionMemory, merge_memory
from services.visitors.eviction import EvictionOrder, Rank, rank_of
from services.visitors.identity_graph import IdentityGraph

DECODED_MAX: Final = 1_000  # 15 KB each: who has clicked lately clicks again
ENTRY_BYTES: Final = 500  # what stands around a session's bytes: keys, times, places in tables (measured)


@dataclass(frozen=True, slots=True)
class PublishedSession:
    """A session's bytes, and what its message told of the event that led to it; times are Unix ms.

    `is_quiet`: no row is to be made anew for it. `traceparent`: what rows that it moves are part of, where
    that is traced; what is kept of a visitor has none.
    """

    raw: bytes
    caused_by: str | None = None
    accepted_at: float | None = None
    folded_at: float | None = None
    is_quiet: bool = False
    traceparent: str | None = None

    @classmethod
    def of(cls, raw: bytes, headers: Mapping[str, bytes | None]) -> "PublishedSession":
        """From the value and headers of one message."""
        caused_by = header_text(headers, CAUSED_BY)
        return cls(
            raw, caused_by, header_ms(headers, ACCEPTED_AT), header_ms(headers, FOLDED_AT), QUIET in headers
        )


class Sessions:
    """visitor_id → what was published last. Decoded only when somebody looks: most visitors have left."""

    def __init__(
        self,
        layout: Layout,
        most: int,
        bytes_max: float = inf,
        *,
        is_open: Callable[[str], bool] = lambda _visitor_id: False,
    ) -> None:
        self._form = form(layout)
        self._published: dict[str, PublishedSession] = {}
        self._decoded: LRUCache[str, tuple[bytes, Session]] = LRUCache(DECODED_MAX)
        self._order = EvictionOrder[str](count_max=most, bytes_max=bytes_max, is_open=is_open)

    @property
    def bytes(self) -> int:
        """What all of them take, about."""
        return self._order.bytes

    def __len__(self) -> int:
        return len(self._published)

    @property
    def visitor_ids(self) -> tuple[str, ...]:
        """All visitors of whom something is held."""
        return tuple(self._published)

    def put(
        self, visitor_id: str, published: PublishedSession, session: Session | None = None
    ) -> list[tuple[str, Rank]]:
        """Takes a newer session, decoded where it is; tells who was forgotten for it, and what each was."""
        self._published[visitor_id] = published
        if session is not None:
            self._decoded[visitor_id] = (published.raw, session)
        rank = rank_of(session) if session is not None else Rank.ONCE
        self._order.put(visitor_id, ENTRY_BYTES + len(published.raw), rank)
        evicted = self._order.pop_excess()
        for each, _ in evicted:
            del self._published[each]
            self._decoded.pop(each, None)
        return evicted

    def is_news(self, visitor_id: str, published: PublishedSession, session: Session) -> bool:
        """Whether rows are to be made anew for a session that is about to be put.

        They are not for a quiet one, unless the message before it, which moved them, was not looked at.
        """
        if not published.is_quiet:
            return True
        known = self._published.get(visitor_id)
        if published.caused_by is not None:
            return known is None or known.caused_by != published.caused_by
        before = self.last_session(visitor_id)
        return before is not None and before.events != session.events

    def remove(self, visitor_id: str) -> None:
        """Forgets a visitor."""
        self._published.pop(visitor_id, None)
        self._decoded.pop(visitor_id, None)
        self._order.remove(visitor_id)

    def latest(self, visitor_id: str) -> PublishedSession | None:
        """The newest message about a visitor, or None."""
        self._order.touch(visitor_id)
        return self._published.get(visitor_id)

    def session(self, visitor_id: str) -> Session | None:
        """The newest session, or None for a visitor without one, or with vectors of another form or layout.

        The session processor computes such a session anew at the visitor's next event.
        """
        session = self.last_session(visitor_id)
        return session if session is not None and session.layout == self._form else None

    def last_session(self, visitor_id: str) -> Session | None:
        """The newest session as it was written, its vectors of whatever form and layout."""
        published = self.latest(visitor_id)
        if published is None:
            return None
        known = self._decoded.get(visitor_id)
        if known is None or known[0] is not published.raw:
            known = self._decoded[visitor_id] = (published.raw, decode(published.raw))
        return known[1]


JOINED_BYTES_MAX: Final = 64 << 20  # of merged sessions, as the parts they are made of: 10,000 of 6 KB

OwnEvent = tuple[EventType, str, int]  # what was done with which product, and when (Unix ms)


Merged = tuple[list[bytes], Session]  # the parts' bytes, and what they come to


class MergedSessions:
    """What is known of a visitor, as Sessions tells it of one alone."""

    def __init__(
        self,
        sessions: Sessions,
        people: IdentityGraph,
        vectors: ProductVectors,
        layout: Layout,
        tuning: Tuning,
        *,
        bytes_max: int = JOINED_BYTES_MAX,
    ) -> None:
        def size(merged: Merged) -> int:
            return min(ENTRY_BYTES + sum(map(len, merged[0])), bytes_max)

        self._sessions = sessions
        self._people = people
        self._vectors = vectors
        self._layout = layout
        self._tuning = tuning
        self._made: LRUCache[frozenset[str], Merged] = LRUCache(bytes_max, getsizeof=size)
        self._decoded: LRUCache[bytes, Session] = LRUCache(DECODED_MAX)

    def session(self, visitor_id: str, *, proven: bool = False) -> Session | None:
        """The newest session of the visitor's person, or None for somebody without one.

        `proven`: without what others have done of whom it is only claimed that they are the same person. Rows
        are made from all of it; what is shown and explained to the visitor is what is proven.
        """
        members = self._people.members(visitor_id, proven=proven)
        if len(members) == 1:
            return self._sessions.session(visitor_id)
        parts = [part.raw for member in sorted(members) if (part := self._sessions.latest(member))]
        if not parts:
            return None
        known = self._made.get(members)
        if known is None or known[0] != parts or self._may_join(known[1]):
            known = self._made[members] = (parts, self._merge(visitor_id, parts))
        return known[1]

    def own_events(self, visitor_id: str) -> frozenset[OwnEvent] | None:
        """What may be told to the visitor of its session; None: all of it."""
        members = self._people.members(visitor_id)
        if len(members) == 1 or members == self._people.members(visitor_id, proven=True):
            return None
        own = self.session(visitor_id, proven=True)
        events = own.events if own else ()
        return frozenset((each.type, each.product_id, each.occurred_at) for each in events)

    def _may_join(self, session: Session) -> bool:
        """Whether a product has a vector by now that had none when the session was computed."""
        missing = sorted(session.missing_products)
        return bool(missing) and any(each is not None for each in self._vectors.top_categories(missing))

    def remove(self, visitor_id: str) -> None:
        """Forgets what was made of a visitor's history with others'."""
        for members in [each for each in self._made if visitor_id in each]:
            del self._made[members]

    def latest(self, visitor_id: str) -> PublishedSession | None:
        """The newest message about the person."""
        found = [
            part
            for member in self._people.members(visitor_id)
            if (part := self._sessions.latest(member)) is not None
        ]
        return max(found, key=lambda part: part.folded_at or 0.0, default=None)

    def _merge(self, visitor_id: str, parts: Sequence[bytes]) -> Session:
        events: tuple[SessionEvent, ...] = ()
        # The newest first: once there are as many events as a session holds, older ones change nothing.
        sessions = [self._decode(raw) for raw in parts]
        of_visitors = [session.events for session in sessions]
        for found in sorted(of_visitors, key=lambda each: each[-1:], reverse=True):
            oldest = events[0] if len(events) == SESSION_EVENTS_MAX else None
            newer = [each for each in found if oldest is None or each > oldest]
            if newer:
                events = merge_events(events, newer, self._tuning)
        memory = merge_memory(sessions, None, (), self._layout)
        if not events and memory == NOTHING:
            return Session(visitor_id)
        return compute_session(visitor_id, events, self._vectors, self._layout, self._tuning, memory=memory)

    def _decode(self, raw: bytes) -> Session:
        """Its events, and what it keeps beside."""
        if (session := self._decoded.get(raw)) is None:
            whole = decode(raw)
            memory = SessionMemory.of(whole)._asdict()
            session = self._decoded[raw] = Session(whole.visitor_id, whole.events, **memory)
        return session
