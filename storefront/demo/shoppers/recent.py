"""Simulated visits as events of the last hours. Pure."""

from collections.abc import Iterable, Iterator
from typing import Final
from uuid import UUID, uuid5

from schemas.events import Event
from storefront.demo.shoppers.visits import Visit

NAMESPACE: Final = UUID("3f0d9f0e-6c5f-4f0a-9a53-0f6a3f6f1f3b")
HOUR_MS: Final = 60 * 60 * 1000


def recent(visits: Iterable[Visit], now: int, hours: float) -> Iterator[Event]:
    """Each visit as it is, begun within so many hours before `now` (Unix ms), all in the order of time.

    Ids follow from who did what when in the simulation: the same visits are the same events.
    """
    found = [visit for visit in visits if visit.steps]
    begins = sorted(range(len(found)), key=lambda number: found[number].steps[0].at)
    between = hours * HOUR_MS / max(1, len(found))
    moved: list[tuple[int, Event]] = []
    for place, number in enumerate(begins):
        visit = found[number]
        begin = now - round(hours * HOUR_MS) + round(place * between)
        for step in visit.steps:
            at = begin + step.at - visit.steps[0].at
            name = f"{visit.visitor_id} {step.at} {step.type} {step.product_id}"
            event = Event(
                event_id=str(uuid5(NAMESPACE, name)),
                type=step.type,
                visitor_id=visit.visitor_id,
                occurred_at=min(at, now),
                product_id=step.product_id,
            )
            moved.append((event.occurred_at, event))
    yield from (event for _, event in sorted(moved, key=lambda each: each[0]))
