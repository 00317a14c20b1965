"""What a session keeps beside its events: purchases, searches, and what was shown. Pure."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from schemas.events import Event
from schemas.sessions import (
    KIND_OF,
    PURCHASE_BYTES,
    PURCHASES_MAX,
    SESSION_BYTES_MAX,
    Session,
    SessionEvent,
    SessionSearch,
    pack_purchases,
    purchase_digest,
)
from schemas.vectors import Layout
from services.model.session_impressions import impressions_of, merge_shown
from services.model.session_searches import merge_searches, searches_of

PURCHASE: Final = KIND_OF["purchase"]
COMPONENTS_MAX: Final = 1_000  # up to which a session has at most 12 KB
VECTORS_MAX: Final = 4  # of the session and its interests
SESSION_BYTES_BESIDE: Final = 6_075 + 2_048  # of the largest session, all but vectors and purchases


class SessionMemory(NamedTuple):
    """What a session keeps beside its events: see Session."""

    bought: bytes = b""
    searches: tuple[SessionSearch, ...] = ()
    shown: bytes = b""

    @classmethod
    def of(cls, session: Session) -> "SessionMemory":
        """As the session has it."""
        return cls(session.bought, session.searches, session.shown)


NOTHING: Final = SessionMemory()


def merge_memory(
    sessions: Sequence[Session], event: Event | None, arrived: Sequence[SessionEvent], layout: Layout
) -> SessionMemory:
    """What all these sessions and one more event, where there is one, come to."""
    told = searches_of(event) if event is not None else ()
    seen = impressions_of(event) if event is not None else {}
    is_purchase = event is not None and event.type == "purchase"
    is_one = len(sessions) == 1
    bought, searches, shown = SessionMemory.of(sessions[0]) if is_one else NOTHING
    if seen or not is_one:
        shown = merge_shown([*[session.shown_products for session in sessions], seen])
    if told or not is_one:
        searches = merge_searches([*[session.searches for session in sessions], told])
    if is_purchase or not bought:  # a session of a former release has them in its events only
        bought = merge_purchases(sessions, arrived, layout)
    return SessionMemory(bought, searches, shown)


def merge_purchases(sessions: Iterable[Session], arrived: Iterable[SessionEvent], layout: Layout) -> bytes:
    """`Session.bought` of all these together: of each product the last purchase, of these the newest.

    An entry that was once left out had newer ones of enough other products before it, and these stay: as with
    events, the order of arrival changes nothing.
    """
    newest: dict[int, int] = {}
    for purchases in (purchases_of(arrived), *map(all_purchases, sessions)):
        for digest, at in purchases.items():
            newest[digest] = max(at, newest.get(digest, 0))
    return pack_purchases(newest, purchases_max(layout))


def all_purchases(session: Session) -> dict[int, int]:
    """`Session.purchases`, also of a session of a release that kept them in the events only."""
    return session.purchases if session.bought else purchases_of(session.events)


def purchases_of(events: Iterable[SessionEvent]) -> dict[int, int]:
    """Digest → Unix time in s of the last purchase of each product."""
    found = sorted((each.occurred_at // 1000, each.product_id) for each in events if each.kind == PURCHASE)
    return {purchase_digest(product_id): at for at, product_id in found}


def purchases_max(layout: Layout) -> int:
    """How many purchases a session has beside the vectors of a layout: 256 up to 529 components.

    From there on fewer fit into the 12 KB, 20 beside 1,000 components. Wider ones do not fit anyway.
    """
    if layout.width > COMPONENTS_MAX:
        return PURCHASES_MAX
    room = SESSION_BYTES_MAX - SESSION_BYTES_BESIDE - VECTORS_MAX * layout.width
    return min(PURCHASES_MAX, room // PURCHASE_BYTES)
