"""A visitor's events and rows as they come off the topics: counted all, kept the newest. Pure."""

from collections import Counter, deque
from typing import Final

import msgspec

from schemas import events, impressions
from schemas.events import Event
from schemas.impressions import Shown
from services.history.erased import Erasures
from services.history.past import PastMessage

KEPT: Final = 5_000  # events: what a row was caused by is looked for among them


class PastEvents:
    """The events of one visitor, each once."""

    def __init__(self, visitor_id: str, erasures: Erasures, keep: int) -> None:
        self._visitor_id = visitor_id
        self._erasures = erasures
        self._newest: deque[Event] = deque(maxlen=max(keep, KEPT))
        self._seen: set[str] = set()
        self.by_type = Counter[str]()
        self.clicked: dict[str, list[str]] = {}  # recommendation_id → products, in the order of the clicks
        self.twice = self.erased = self.unreadable = 0

    def take(self, message: PastMessage) -> None:
        """One message under the visitor's key."""
        event = _event(message.value())
        if event is None or event.visitor_id != self._visitor_id:
            self.unreadable += 1
        elif self._erasures.leave_out(
            self._visitor_id, event.occurred_at, event.received_at, message.timestamp()[1]
        ):
            self.erased += 1
        elif event.event_id in self._seen:
            self.twice += 1
        else:
            self._add(event)

    def _add(self, event: Event) -> None:
        self._seen.add(event.event_id)
        self._newest.append(event)
        self.by_type[event.type] += 1
        if event.recommendation_id:
            self.clicked.setdefault(event.recommendation_id, []).extend(event.products())

    def newest(self, count: int) -> list[Event]:
        """By when they happened, the newest first."""
        return sorted(self._newest, key=lambda event: (event.occurred_at, event.event_id))[::-1][:count]

    def find(self, event_id: str) -> Event | None:
        """One of the newest by its id."""
        return next((event for event in self._newest if event.event_id == event_id), None)


class PastRows:
    """The rows that were shown to one visitor."""

    def __init__(self, visitor_id: str, erasures: Erasures, clicked: dict[str, list[str]], keep: int) -> None:
        self._visitor_id = visitor_id
        self._erasures = erasures
        self._clicked = clicked
        self._newest: deque[Shown] = deque(maxlen=keep)
        self.by_kind = Counter[str]()
        self.by_source = Counter[str]()
        self.by_fallback = Counter[str]()
        self.clicks = self.erased = self.unreadable = 0

    def take(self, message: PastMessage) -> None:
        """One message under the visitor's key."""
        try:
            row = impressions.decode(message.value() or b"")
        except msgspec.MsgspecError:
            self.unreadable += 1
            return
        if row.visitor_id != self._visitor_id:
            self.unreadable += 1
        elif self._erasures.leave_out(self._visitor_id, row.shown_at, message.timestamp()[1]):
            self.erased += 1
        else:
            self._add(row)

    def _add(self, row: Shown) -> None:
        self._newest.append(row)
        self.by_kind[row.kind] += 1
        self.by_source.update(item.source for item in row.items)
        if row.fallback:
            self.by_fallback[row.fallback] += 1
        self.clicks += row.recommendation_id in self._clicked

    def newest(self) -> list[Shown]:
        """The newest first."""
        return sorted(self._newest, key=lambda row: (row.shown_at, row.recommendation_id))[::-1]


def _event(value: bytes | None) -> Event | None:
    try:
        return events.decode(value or b"")
    except msgspec.MsgspecError:
        return None
