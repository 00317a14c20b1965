"""From what was read of a visitor to what is told of it. Pure."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Self

from schemas.events import Event
from schemas.impressions import Shown
from schemas.products import Product
from schemas.sessions import Session, identity
from services.model.tuning import Tuning
from services.model.weights import visits
from services.ops.visitor.past import PastEvents, PastRows
from services.ops.visitor.report import (
    Deed,
    Events,
    InterestInWords,
    Item,
    Named,
    Remembered,
    Row,
    Rows,
    SessionNow,
    Visit,
)
from services.ops.visitor.words import deed, deed_in_words


class Names:
    """Products by name."""

    def __init__(self, products: Mapping[str, Product]) -> None:
        self._products = products

    def __call__(self, product_id: str) -> Named:
        product = self._products.get(product_id)
        return Named(product_id, product.name if product else None)

    def beside(self, others: Mapping[str, Product]) -> Self:
        """These, and others where these do not know a product."""
        return type(self)({**others, **self._products})


def products_of(events: list[Event], rows: list[Shown], session: Session | None) -> set[str]:
    """The ids of all products that are to be named."""
    found = {product_id for event in events for product_id in event.products()}
    found |= {item.product_id for row in rows for item in row.items}
    found |= {row.product_id for row in rows if row.product_id}
    return found | ({event.product_id for event in session.events} if session else set())


def events_told(past: PastEvents, count: int, name: Names) -> Events:
    """The events of the range."""
    return Events(
        total=past.by_type.total(),
        by_type=dict(past.by_type.most_common()),
        newest=tuple(deed_told(event, name) for event in past.newest(count)),
        twice=past.twice,
        erased=past.erased,
        unreadable=past.unreadable,
    )


def deed_told(event: Event, name: Names) -> Deed:
    """One event."""
    return Deed(
        event_id=event.event_id,
        type=event.type,
        occurred_at=event.occurred_at,
        products=tuple(map(name, event.products())),
        query=event.query,
        list_id=event.list_id,
        recommendation_id=event.recommendation_id,
        value=event.value,
        currency=event.currency,
    )


def session_told(
    session: Session,
    interests: tuple[InterestInWords, ...],
    name: Names,
    tuning: Tuning,
    *,
    published_at: int,
    caused_by: str | None,
) -> SessionNow:
    """The session's events, visits and interests."""
    remembered = tuple(
        Remembered(type=event.type, product=name(event.product_id), occurred_at=event.occurred_at)
        for event in session.events
    )
    starts = [*(visits(session.events, tuning.gap_ms) if session.events else []), len(session.events)]
    return SessionNow(
        published_at=published_at,
        caused_by=caused_by,
        layout=session.layout,
        events=remembered[::-1],
        visits=tuple(
            Visit(
                began_at=session.events[start].occurred_at,
                ended_at=session.events[end - 1].occurred_at,
                events=end - start,
            )
            for start, end in pairwise(starts)
        ),
        missing=tuple(name(each) for each in sorted(session.missing_products)),
        interests=interests,
    )


def rows_told(past: PastRows, events: PastEvents, session: Session | None, name: Names) -> Rows:
    """The rows of the range."""
    return Rows(
        total=past.by_kind.total(),
        by_kind=dict(past.by_kind.most_common()),
        by_source=dict(past.by_source.most_common()),
        by_fallback=dict(past.by_fallback.most_common()),
        clicked=past.clicks,
        newest=tuple(_row(row, events, session, name) for row in past.newest()),
        erased=past.erased,
        unreadable=past.unreadable,
    )


def _row(row: Shown, events: PastEvents, session: Session | None, name: Names) -> Row:
    return Row(
        recommendation_id=row.recommendation_id,
        shown_at=row.shown_at,
        slot=row.slot,
        kind=row.kind,
        about=name(row.product_id) if row.product_id else None,
        query=row.query,
        items=tuple(
            Item(product=name(item.product_id), score=item.score, source=item.source) for item in row.items
        ),
        caused_by=row.caused_by,
        because=because(row.caused_by, events, session, name) if row.caused_by else None,
        models=row.models,
        experiments=row.experiments,
        fallback=row.fallback,
        clicked=tuple(events.clicked.get(row.recommendation_id, ())),
    )


def because(event_id: str, events: PastEvents, session: Session | None, name: Names) -> str | None:
    """The event behind a row in words; None where neither the range nor the session has it."""
    event = events.find(event_id)
    if event is not None:
        return deed_in_words(deed_told(event, name))
    try:
        wanted = identity(event_id)
    except ValueError:
        return None
    for each in session.events if session else ():
        if each.identity == wanted:
            return f"{deed(each.type)} {name(each.product_id)}"
    return None
