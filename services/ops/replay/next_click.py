"""Next-click cases of replayed events: after which event a row is asked for, and what was clicked next. Pure.

A case is a click that a row could have foretold. The visitor's own row leaves out what the session holds
(services/recommender/rows), so the target is the next click on a product that the visitor has not looked at
before: going back to a known one is no case, for no pipeline could win it. The row is the one after the
newest event that a session remembers, and the click comes within the same visit.
"""

import heapq
from collections.abc import Collection
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from schemas.events import CLICKS, Event
from schemas.sessions import SESSION_EVENTS_MAX, identity
from services.model.session import TYPE_WEIGHTS

BOUGHT_MAX: Final = 500


@dataclass(frozen=True, slots=True, order=True)
class Case:
    """Which product does the visitor click on next? The row is asked for after the event `event_id`.

    `at` is when that event happened and `next_at` when the click on `target` did: Unix ms by the clock of
    the visitor's browser, as the events tell it.
    """

    visitor_id: str
    at: int
    event_id: str
    next_at: int
    target: str


@dataclass(slots=True)
class _Visitor:
    """`newest` is the newest event's place in the session's order; `event_id` None once a click followed."""

    newest: tuple[int, bytes] = (-1, b"")
    event_id: str | None = None
    at: int = 0
    product_ids: tuple[str, ...] = ()
    clicked: dict[str, Case] = field(default_factory=dict)  # target → its case, the newest 64
    seen: dict[str, int] = field(default_factory=dict)  # product → when last, of the newest 64 products


class CaseCollector:
    """Takes events; keeps each visitor's newest and what the visitor has seen, and at most `most` cases.

    Events of a visitor come as the topic has them. One that is older than what has come already was sent
    twice or is late: it begins and ends no case. `types` are the event types that sessions remember. Of more
    cases than `most` those with the smallest hashes of visitor and event stay, so the sample depends neither
    on how visitors are interleaved nor on when somebody asks. `found` counts all cases, `returns` the clicks
    that went back to a product that was seen before.

    Of the cases whose target its visitor bought later a sample of its own is kept, BOUGHT_MAX at most.
    """

    def __init__(self, most: int, gap_ms: int, types: Collection[str] = tuple(TYPE_WEIGHTS)) -> None:
        self._most = most
        self._gap_ms = gap_ms
        self._types = frozenset(types)
        self._visitors: dict[str, _Visitor] = {}
        self._names: dict[str, str] = {}  # one text a product, however many visitors have seen it
        self._sample = _Sample(most)
        self._bought = _Sample(min(most, BOUGHT_MAX))
        self.found = 0
        self.returns = 0

    def add(self, event: Event) -> None:
        """Takes the next event of the topic."""
        product_ids = tuple(self._names.setdefault(each, each) for each in event.products())
        is_remembered = event.type in self._types
        if not product_ids or not (is_remembered or event.type in CLICKS):
            return
        visitor = self._visitors.setdefault(event.visitor_id, _Visitor())
        place = (event.occurred_at, identity(event.event_id))
        if place > visitor.newest:
            visitor.newest = place
            if event.type in CLICKS:
                self._click(visitor, event, product_ids[0])
            if is_remembered:
                visitor.event_id, visitor.at = event.event_id, event.occurred_at
                visitor.product_ids = product_ids
        if event.type == "purchase":
            for product_id in product_ids:
                if (case := visitor.clicked.pop(product_id, None)) is not None:
                    self._bought.add(case)
        if is_remembered:
            _see(visitor.seen, product_ids, event.occurred_at)

    def cases(self) -> tuple[Case, ...]:
        """The sample, by visitor and time."""
        return self._sample.cases()

    def bought(self) -> tuple[Case, ...]:
        """Cases whose target was bought after it was clicked on, by visitor and time."""
        return self._bought.cases()

    def notes(self) -> tuple[str, ...]:
        """What a reader of figures about these cases has to know."""
        told = [
            "A case is a click on a product that the visitor had not looked at before, within "
            f"{self._gap_ms / 60_000:g} min of the event before it. Rows leave out what was seen, so "
            f"{self.returns:,} clicks that went back to a seen product are no cases."
        ]
        if self.found > len(self.cases()):
            told.append(f"{len(self.cases()):,} of {self.found:,} cases were drawn, by a hash of their ids.")
        return tuple(told)

    def _click(self, visitor: _Visitor, event: Event, target: str) -> None:
        """Ends the visitor's open case, unless it is one more click on the product just looked at."""
        event_id = visitor.event_id
        if event_id is None or target in visitor.product_ids:
            return
        visitor.event_id = None
        if event.occurred_at - visitor.at > self._gap_ms:
            return
        if target in visitor.seen:
            self.returns += 1
            return
        self.found += 1
        case = Case(event.visitor_id, visitor.at, event_id, event.occurred_at, target)
        self._sample.add(case)
        visitor.clicked[target] = case
        if len(visitor.clicked) > SESSION_EVENTS_MAX:
            del visitor.clicked[next(iter(visitor.clicked))]


class _Sample:
    """At most so many cases, those with the smallest hashes of visitor and event."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._heap: list[tuple[int, Case]] = []  # of negative hashes: the greatest hash comes first

    def add(self, case: Case) -> None:
        name = f"{case.visitor_id}\0{case.event_id}".encode()
        entry = (-int.from_bytes(blake2b(name, digest_size=8).digest()), case)
        if len(self._heap) < self._most:
            heapq.heappush(self._heap, entry)
        elif self._heap:
            heapq.heappushpop(self._heap, entry)

    def cases(self) -> tuple[Case, ...]:
        return tuple(sorted(case for _, case in self._heap))


def _see(seen: dict[str, int], product_ids: Collection[str], at: int) -> None:
    """Remembers products as a session does: the newest, whatever came twice or late."""
    for product_id in product_ids:
        seen[product_id] = max(seen.get(product_id, at), at)
    while len(seen) > SESSION_EVENTS_MAX:
        del seen[min(seen, key=lambda each: (seen[each], each))]
