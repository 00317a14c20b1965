"""What the visitor has just searched for, as the rows of the following minutes take it up."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from schemas.sessions import SessionSearch
from services.model.session_searches import weigh_searches
from services.recommender.search.search import Search, Searcher
from services.recommender.visitor_sessions import MergedSessions

SEARCHES_MAX: Final = 2  # the newest: more would leave little of a row


@dataclass(frozen=True, slots=True)
class RecentSearch:
    """Words, what they ask for, and how much they still count: 1 at first, half after 5 minutes."""

    said: SessionSearch
    search: Search
    share: float


class RecentSearches:
    """Looks at a session's searches; their words may have to be turned into vectors by another service."""

    def __init__(self, sessions: MergedSessions, searcher: Searcher, clock: Callable[[], float]) -> None:
        """`clock`: Unix ms."""
        self._sessions = sessions
        self._searcher = searcher
        self._clock = clock

    async def find(self, visitor_id: str) -> tuple[RecentSearch, ...]:
        """The visitor's own, newest first, without those that mean nothing; may wait for the network.

        Others, of whom it is only claimed that they are the same person, may have searched for presents.
        """
        session = self._sessions.session(visitor_id, proven=True)
        if session is None or not session.searches:
            return ()
        found: list[RecentSearch] = []
        for said, share in weigh_searches(session.searches, int(self._clock()))[:SEARCHES_MAX]:
            search = await self._searcher.search(said.words)
            if not search.is_nonsense or search.named:
                found.append(RecentSearch(said, search, share))
        return tuple(found)
