"""The newest session of each visitor, as it came from [sessions]; the least used are forgotten first."""

from collections.abc import Mapping
from dataclasses import dataclass

from cachetools import LRUCache

from schemas.directions import form
from schemas.sessions import ACCEPTED_AT, CAUSED_BY, FOLDED_AT, Session, decode
from schemas.vectors import Layout


@dataclass(frozen=True, slots=True)
class Published:
    """A session's bytes, and what its message told of the event that led to it; times are Unix ms."""

    raw: bytes
    caused_by: str | None = None
    accepted_at: float | None = None
    folded_at: float | None = None

    @classmethod
    def of(cls, raw: bytes, headers: Mapping[str, bytes]) -> "Published":
        """From the value and headers of one message."""
        caused_by = headers.get(CAUSED_BY, b"").decode()
        return cls(raw, caused_by or None, _time(headers, ACCEPTED_AT), _time(headers, FOLDED_AT))


class Sessions:
    """visitor_id → what was published last. Decoded only when somebody looks: most visitors have left."""

    def __init__(self, layout: Layout, most: int) -> None:
        self._form = form(layout)
        self._published: LRUCache[str, Published] = LRUCache(most)

    def __len__(self) -> int:
        return len(self._published)

    def put(self, visitor_id: str, published: Published) -> None:
        """Takes a newer session."""
        self._published[visitor_id] = published

    def remove(self, visitor_id: str) -> None:
        """Forgets a visitor."""
        self._published.pop(visitor_id, None)

    def published(self, visitor_id: str) -> Published | None:
        """The newest message about a visitor, or None."""
        return self._published.get(visitor_id)

    def session(self, visitor_id: str) -> Session | None:
        """The newest session, or None for a visitor without one, or with vectors of another form or layout.

        The session processor computes such a session anew at the visitor's next event.
        """
        published = self.published(visitor_id)
        if published is None:
            return None
        session = decode(published.raw)
        return session if session.layout == self._form else None


def _time(headers: Mapping[str, bytes], name: str) -> float | None:
    value = headers.get(name)
    return float(value) if value else None
