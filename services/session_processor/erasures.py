"""Up to when which visitors are forgotten, and which of their events came later. Pure but for a timer."""

import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from cachetools import TTLCache

from schemas.events import Event
from schemas.sessions import (
    PURCHASES_MAX,
    Session,
    SessionEvent,
    SessionSearch,
    identity,
    pack_purchases,
    pack_shown,
)
from services.model.session_memory import all_purchases, purchases_of
from services.visitors.erasure import Erasures, earliest

# An erasure and the event after it come by two topics: whichever is read first, so much later both are.
ARRIVALS_S: Final = 60.0
ARRIVALS_MAX: Final = 20_000


class ArrivalErasures(Erasures):
    """Erasures, and when the newest events arrived: a session keeps only the events' own time."""

    def __init__(self, timer: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._arrived: TTLCache[tuple[str, bytes], int] = TTLCache(ARRIVALS_MAX, ARRIVALS_S, timer)

    def leave_out_event(self, event: Event, sent_at: int) -> bool:
        """Whether an event that is about to be folded is of before its visitor's erasure; `sent_at`: Unix ms.

        An erasure may yet come that was written before this event: when it came is remembered for a while.
        """
        stamp = earliest(event.occurred_at, event.received_at, sent_at)
        until = self.until.get(event.visitor_id)
        if until is not None and stamp <= until:
            return True
        self._arrived[event.visitor_id, identity(event.event_id)] = stamp
        return False

    def keep(self, session: Session, *, by_own_time: bool = False) -> Session:
        """What of a session came after its visitor's erasure; the same object where that is all of it.

        An event that did not arrive lately is of before an erasure that has just been written. With an older
        one, such as a recovered session may meet, the event's own time decides; so it does of purchases and
        of what was shown. The vectors are still those of all events.
        """
        until = self.until.get(session.visitor_id)
        if until is None:
            return session

        def came_later(event: SessionEvent | SessionSearch) -> bool:
            stamp = self._arrived.get((session.visitor_id, event.identity))
            if stamp is None:
                return by_own_time and event.occurred_at > until
            return stamp > until

        events = tuple(filter(came_later, session.events))
        shown = {digest: each for digest, each in session.shown_products.items() if each.at * 1000 > until}
        kept = msgspec.structs.replace(
            session,
            events=events,
            bought=self._keep_purchases(session, events, until) if session.bought else b"",
            searches=tuple(filter(came_later, session.searches)),
            shown=pack_shown(shown),
        )
        return session if kept == session else kept

    def _keep_purchases(self, session: Session, kept: Sequence[SessionEvent], until: int) -> bytes:
        """`Session.bought` when of its events these are kept; the purchases of others go with them.

        What was bought before the events begin goes by its own time.
        """
        gone = purchases_of(set(session.events) - set(kept)).keys()
        stays = {
            digest: at
            for digest, at in all_purchases(session).items()
            if digest not in gone and at * 1000 > until
        }
        return pack_purchases(stays | purchases_of(kept), PURCHASES_MAX)
