"""What a slot of a page asks for, and what a request of one row does."""

from dataclasses import replace
from typing import Final

from schemas.live import Slot
from services.recommender.joined import JoinedSessions
from services.recommender.rows.asking import Asked
from services.recommender.search.searches import Search, Searcher
from services.recommender.vector_index import AVAILABLE, Where

SHOWN: Final = Where(availability=AVAILABLE)  # what a page gets without asking for more


class Asks:
    """Puts together what rows are made from, as it is known when it is called."""

    def __init__(self, sessions: JoinedSessions, searcher: Searcher) -> None:
        self._sessions = sessions
        self._searcher = searcher

    async def search(self, slot: Slot) -> Search | None:
        """What a slot's words ask for; may wait for the network. None for a slot that is no search."""
        return await self._searcher.search(slot.query or "") if slot.kind == "search" else None

    def by_slot(self, visitor_id: str, slot: Slot, search: Search | None) -> Asked:
        """A live slot of a visitor."""
        category = (slot.category or "").rstrip("/")
        where = replace(SHOWN, category=frozenset({category})) if category else SHOWN
        is_own = slot.kind == "for_you"
        return Asked(
            kind=slot.kind,
            k=slot.k,
            where=where if search is None else search.narrowed(where),
            slot=slot.name,
            visitor_id=visitor_id,
            session=self._sessions.session(visitor_id),
            product_id=slot.product_id,
            product_ids=slot.product_ids,
            search=search,
            without_seen=is_own,
            without_bought=is_own,
        )
