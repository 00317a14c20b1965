"""The visits of the last hours, so that they count before the next training. Bounded; no I/O."""

from collections.abc import Sequence

import msgspec
from cachetools import LRUCache

from schemas.sessions import SessionEvent, decode
from services.model.tuning import Tuning
from services.model.weights import visits

Visit = tuple[int, tuple[str, ...]]  # when its last event was, Unix ms, and its products in order


class LatestVisits:
    """Takes sessions as they are published, and keeps the visits of those that moved last."""

    def __init__(self, visitors_max: int, tuning: Tuning) -> None:
        self._tuning = tuning
        self._visits: LRUCache[str, dict[int, Visit]] = LRUCache(visitors_max)  # by when the visit began

    def put(self, visitor_id: str, published: bytes | None) -> None:
        """A visitor's session as it is on the topic; None forgets the visitor."""
        if published is None:
            self._visits.pop(visitor_id, None)
        else:
            self._take(visitor_id, published)

    def since(self, time: int) -> list[tuple[str, ...]]:
        """The products of each visit with an event after `time` (Unix ms), by the time of the last event."""
        newest = sorted(
            visit for of_visitor in self._visits.values() for visit in of_visitor.values() if visit[0] > time
        )
        return [products for _, products in newest]

    def _take(self, visitor_id: str, raw: bytes) -> None:
        try:
            events = decode(raw).events
        except msgspec.MsgspecError:
            return  # whoever shows the session's visitor something tells of it
        if events:
            began, visit = self._current(events)
            # Taken out and put back: `since` touches all in order of insertion, which so is that of moves.
            before = self._visits.pop(visitor_id, {})
            oldest = events[0].occurred_at  # what the session itself has forgotten is forgotten here
            kept = {begin: each for begin, each in before.items() if begin >= oldest}
            self._visits[visitor_id] = kept | {began: visit}

    def _current(self, events: Sequence[SessionEvent]) -> tuple[int, Visit]:
        current = events[visits(events, self._tuning.gap_ms)[-1] :]
        counts = self._tuning.kind_weights
        products = tuple([event.product_id for event in current if counts[event.kind] > 0])
        return current[0].occurred_at, (current[-1].occurred_at, products)
