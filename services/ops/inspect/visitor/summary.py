"""From what was read of a visitor to what is told of it. Pure."""

from collections import Counter, deque
from collections.abc import Mapping
from itertools import pairwise
from typing import Final, Self

from schemas.events import Event
from schemas.impressions import Shown
from schemas.products import Product
from schemas.sessions import Session, identity
from services.kafka.messages import EVENT, IMPRESSION, read_value
from services.kafka.ranges import TopicMessage
from services.model.interests import InterestInWords, ProductName, event_words
from services.model.session import Tuning, visits
from services.ops.inspect.visitor.report import (
    Events,
    Item,
    Row,
    Rows,
    SearchEntry,
    SessionEntry,
    SessionNow,
    Visit,
    VisitorEvent,
    describe_event,
)
from services.visitors.erasure import Erasures

KEPT: Final = 5_000  # events: what a row was caused by is looked for among them


class VisitorHistory:
    """The events of one visitor, each once."""

    def __init__(self, visitor_id: str, erasures: Erasures, keep: int) -> None:
        self._visitor_id = visitor_id
        self._erasures = erasures
        self._newest: deque[Event] = deque(maxlen=max(keep, KEPT))
        self._seen: set[str] = set()
        self.by_type = Counter[str]()
        self.clicked: dict[str, list[str]] = {}  # recommendation_id → products, in the order of the clicks
        self.twice = self.erased = self.unreadable = 0

    def take(self, message: TopicMessage) -> None:
        """One message under the visitor's key."""
        event = read_value(EVENT, message)
        if event is None:
            self.unreadable += 1
            return
        times = event.occurred_at, event.received_at, message.timestamp()[1]
        if event.visitor_id != self._visitor_id:
            self.unreadable += 1
        elif self._erasures.leave_out(self._visitor_id, *times):
            self.erased += 1
        elif event.event_id in self._seen:
            self.twice += 1
        else:
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


class ShownRows:
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

    def take(self, message: TopicMessage) -> None:
        """One message under the visitor's key."""
        row = read_value(IMPRESSION, message)
        if row is None or row.visitor_id != self._visitor_id:
            self.unreadable += 1
        elif self._erasures.leave_out(self._visitor_id, row.shown_at, message.timestamp()[1]):
            self.erased += 1
        else:
            self._newest.append(row)
            self.by_kind[row.kind] += 1
            self.by_source.update(item.source for item in row.items)
            if row.fallback:
                self.by_fallback[row.fallback] += 1
            self.clicks += row.recommendation_id in self._clicked

    def newest(self) -> list[Shown]:
        """The newest first."""
        return sorted(self._newest, key=lambda row: (row.shown_at, row.recommendation_id))[::-1]


class Names:
    """Products by name."""

    def __init__(self, products: Mapping[str, Product]) -> None:
        self._products = products

    def __call__(self, product_id: str) -> ProductName:
        product = self._products.get(product_id)
        return ProductName(product_id, product.name if product else None)

    def beside(self, others: Mapping[str, Product]) -> Self:
        """These, and others where these do not know a product."""
        return type(self)({**others, **self._products})


def products_of(events: list[Event], rows: list[Shown], session: Session | None) -> set[str]:
    """The ids of all products that are to be named."""
    found = {product_id for event in events for product_id in event.products()}
    found |= {item.product_id for row in rows for item in row.items}
    found |= {row.product_id for row in rows if row.product_id}
    return found | ({event.product_id for event in session.events} if session else set())


def describe_events(past: VisitorHistory, count: int, name: Names) -> Events:
    """The events of the range."""
    return Events(
        total=past.by_type.total(),
        by_type=dict(past.by_type.most_common()),
        newest=tuple(describe_deed(event, name) for event in past.newest(count)),
        twice=past.twice,
        erased=past.erased,
        unreadable=past.unreadable,
    )


def describe_deed(event: Event, name: Names) -> VisitorEvent:
    """One event."""
    return VisitorEvent(
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


def describe_session(
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
        SessionEntry(type=event.type, product=name(event.product_id), occurred_at=event.occurred_at)
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
        searches=tuple(
            SearchEntry(words=each.words, occurred_at=each.occurred_at) for each in reversed(session.searches)
        ),
        shown=len(session.shown_products),
    )


def describe_rows(past: ShownRows, events: VisitorHistory, session: Session | None, name: Names) -> Rows:
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


def _row(row: Shown, events: VisitorHistory, session: Session | None, name: Names) -> Row:
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


def because(event_id: str, events: VisitorHistory, session: Session | None, name: Names) -> str | None:
    """The event behind a row in words; None where neither the range nor the session has it."""
    event = events.find(event_id)
    if event is not None:
        return describe_event(describe_deed(event, name))
    try:
        wanted = identity(event_id)
    except ValueError:
        return None
    for each in session.events if session else ():
        if each.identity == wanted:
            return f"{event_words(each.type)} {name(each.product_id)}"
    for search in session.searches if session else ():
        if search.identity == wanted:
            return f'{event_words("search")} "{search.words}"'
    return None
