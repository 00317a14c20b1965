"""Sessions of people: a visitor who turned out to be a user has one history with all of that user's visitors.

A session is a function of a bounded set of events, so the history of several visitors is that function of
all their events together: it is made when it is looked at, wherever each visitor's partition lies (decision
0007). Joining twice, or in another order, gives the same.
"""

from collections.abc import Sequence
from typing import Final

from cachetools import LRUCache

from schemas.sessions import Session, SessionEvent, decode
from schemas.vectors import Layout
from services.history.people import People
from services.model.session import ProductVectors, computed, remembered
from services.model.tuning import Tuning
from services.recommender.sessions import Published, Sessions

JOINED_MAX: Final = 10_000  # 6 KB each


class JoinedSessions:
    """What is known of a visitor, as Sessions tells it of one alone."""

    def __init__(
        self, sessions: Sessions, people: People, vectors: ProductVectors, layout: Layout, tuning: Tuning
    ) -> None:
        self._sessions = sessions
        self._people = people
        self._vectors = vectors
        self._layout = layout
        self._tuning = tuning
        self._made: LRUCache[frozenset[str], tuple[list[bytes], Session]] = LRUCache(JOINED_MAX)

    def session(self, visitor_id: str) -> Session | None:
        """The newest session of the visitor's person, or None for somebody without one."""
        members = self._people.members(visitor_id)
        if len(members) == 1:
            return self._sessions.session(visitor_id)
        parts = [part.raw for member in sorted(members) if (part := self._sessions.published(member))]
        if not parts:
            return None
        known = self._made.get(members)
        if known is None or known[0] != parts or self._may_join(known[1]):
            known = self._made[members] = (parts, self._joined(visitor_id, parts))
        return known[1]

    def _may_join(self, session: Session) -> bool:
        """Whether a product has a vector by now that had none when the session was computed."""
        missing = sorted(session.missing_products)
        return bool(missing) and any(each is not None for each in self._vectors.top_categories(missing))

    def remove(self, visitor_id: str) -> None:
        """Forgets what was made of a visitor's history with others'."""
        for members in [each for each in self._made if visitor_id in each]:
            del self._made[members]

    def published(self, visitor_id: str) -> Published | None:
        """The newest message about the person."""
        found = [
            part
            for member in self._people.members(visitor_id)
            if (part := self._sessions.published(member)) is not None
        ]
        return max(found, key=lambda part: part.folded_at or 0.0, default=None)

    def _joined(self, visitor_id: str, parts: Sequence[bytes]) -> Session:
        events: tuple[SessionEvent, ...] = ()
        for raw in parts:
            events = remembered(events, list(decode(raw).events), self._tuning)
        if not events:
            return Session(visitor_id)
        return computed(visitor_id, events, self._vectors, self._layout, self._tuning)
