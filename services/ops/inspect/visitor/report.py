"""All that is told of a visitor, for machines; times are Unix ms."""

from typing import Final

import msgspec

from schemas.events import EventType
from schemas.live import SlotKind, Source
from services.model.interests import InterestInWords, ProductName, event_words


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One visitor. `unasked` are sentences on what could not be found out."""

    visitor_id: str
    since: int | None
    until: int | None
    user_id: str | None
    user_since: int | None
    person: "tuple[Member, ...]"
    erased_until: int | None
    events: "Events"
    session: "SessionNow | None"
    shown: "Rows"
    profile: object | None
    unasked: tuple[str, ...] = ()


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """Another visitor, or the user, who is this person; what its own session remembers."""

    visitor_id: str
    events: int
    last_event_at: int | None


class Events(msgspec.Struct, frozen=True, kw_only=True):
    """What the visitor did in the range: counts of all, and the newest first. `twice` came more than once."""

    total: int
    by_type: dict[str, int]
    newest: "tuple[VisitorEvent, ...]"
    twice: int
    erased: int
    unreadable: int


class VisitorEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event. `recommendation_id`: the row that was clicked."""

    event_id: str
    type: EventType
    occurred_at: int
    products: tuple[ProductName, ...]
    query: str | None
    list_id: str | None
    recommendation_id: str | None
    value: float | None
    currency: str | None


class SessionNow(msgspec.Struct, frozen=True, kw_only=True):
    """The session as it lies on `sessions`; the newest event first. `missing`: products without a vector.

    `shown` is how many products it remembers from rows that the visitor saw.
    """

    published_at: int
    caused_by: str | None
    layout: str
    events: "tuple[SessionEntry, ...]"
    visits: "tuple[Visit, ...]"
    missing: tuple[ProductName, ...]
    interests: tuple[InterestInWords, ...]
    searches: "tuple[SearchEntry, ...]" = ()
    shown: int = 0


class SearchEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A search that the session remembers; its words may be cut."""

    words: str
    occurred_at: int


class SessionEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An event that the session remembers."""

    type: EventType
    product: ProductName
    occurred_at: int


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """Events without a long silence between them."""

    began_at: int
    ended_at: int
    events: int


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """What was shown in the range: counts of all rows and items, and the newest rows first."""

    total: int
    by_kind: dict[str, int]
    by_source: dict[str, int]
    by_fallback: dict[str, int]
    clicked: int
    newest: "tuple[Row, ...]"
    erased: int
    unreadable: int


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One row. `because` tells `caused_by` in words; `clicked` are products that the visitor took from it."""

    recommendation_id: str
    shown_at: int
    slot: str
    kind: SlotKind
    about: ProductName | None
    query: str | None
    items: "tuple[Item, ...]"
    caused_by: str | None
    because: str | None
    models: dict[str, str]
    experiments: dict[str, str]
    fallback: str | None
    clicked: tuple[str, ...]


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One product of a row, in its order."""

    product: ProductName
    score: float
    source: Source


PRODUCTS_SHOWN: Final = 3


def describe_event(event: VisitorEvent) -> str:
    """A whole event: what was done, with what."""
    parts = [event_words(event.type)]
    if event.query:
        parts.append(f"“{event.query}”")
    if event.products:
        parts.append(list_names(event.products))
    if event.value is not None:
        parts.append(f"for {event.value:g} {event.currency or ''}".rstrip())
    return " ".join(parts)


def list_names(products: tuple[ProductName, ...]) -> str:
    """The first few products by name."""
    more = len(products) - PRODUCTS_SHOWN
    return ", ".join(map(str, products[:PRODUCTS_SHOWN])) + (f" and {more} more" if more > 0 else "")
