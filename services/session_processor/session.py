"""The session vector: a pure function of the newest 64 distinct events of a visitor.

No I/O and no wall clock: time is the events' own. Duplicates, lateness and order of arrival change nothing.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from schemas.events import Event
from schemas.sessions import SESSION_EVENTS_MAX, SESSION_GAP_MS, Interest, Session, SessionEvent
from schemas.vectors import Layout, pack
from services.session_processor.tuning import Tuning

Matrix = npt.NDArray[np.float64]


class ProductVectors(Protocol):
    """What fold needs to know about products; `services.replica.VectorReplica` knows it."""

    def matrix(self, product_ids: Sequence[str]) -> tuple[npt.NDArray[np.float16], list[bool]]:
        """(n, width) vectors, and which products have one."""

    def top_category(self, product_id: str) -> str | None:
        """First step of the category path."""


def fold(session: Session, event: Event, vectors: ProductVectors, layout: Layout, tuning: Tuning) -> Session:
    """The session after one more event; the same object when the event is no news."""
    events = remembered(session.events, signals(event, tuning))
    if events == session.events:
        return session
    return computed(session.visitor_id, events, vectors, layout, tuning)


def signals(event: Event, tuning: Tuning) -> list[SessionEvent]:
    """What of an event goes into the session: an entry a product, none for types without a weight."""
    if not tuning.type_weights.get(event.type):
        return []
    return [
        SessionEvent(event.occurred_at, event.event_id, product_id, event.type)
        for product_id in event.products()
    ]


def remembered(known: tuple[SessionEvent, ...], arrived: list[SessionEvent]) -> tuple[SessionEvent, ...]:
    """The newest 64 distinct entries of both, oldest first.

    Two messages may carry one event_id with different times (a clamped client clock, say). The greater entry
    counts, so that the outcome does not depend on which came first.
    """
    entries = {(entry.event_id, entry.product_id): entry for entry in known}
    for entry in arrived:
        key = (entry.event_id, entry.product_id)
        entries[key] = max(entry, entries.get(key, entry))
    return tuple(sorted(entries.values())[-SESSION_EVENTS_MAX:])


def computed(
    visitor_id: str,
    events: tuple[SessionEvent, ...],
    vectors: ProductVectors,
    layout: Layout,
    tuning: Tuning,
) -> Session:
    """The session of these events, which are in order: its vectors, interests and slow profile."""
    if not events:
        return Session(visitor_id, layout=layout.id)
    products = [entry.product_id for entry in events]
    rows, known = vectors.matrix(products)
    missing = tuple(sorted({product for product, there in zip(products, known, strict=True) if not there}))
    if not any(known):
        return Session(visitor_id, events, layout.id, missing=missing)

    spans = visits(events)
    current = spans[-1]
    weights = np.zeros(len(events))
    weights[current] = event_weights(events[current], tuning)
    weights[np.logical_not(known)] = 0.0
    categories = current_categories(events, current, known, vectors, tuning.interests_max)

    slow = slow_profile(rows, events, spans, layout, tuning)
    coefficients = np.array([weights, *(np.where(mask, weights, 0.0) for mask in categories.values())])
    sums = coefficients @ rows.astype(np.float64)
    sums[0] += tuning.slow_weight * slow
    units = layout.normalised(sums)
    return Session(
        visitor_id,
        events,
        layout.id,
        pack(units[0]),
        _interests(list(categories), coefficients[1:], units[1:]),
        missing,
    )


def visits(events: tuple[SessionEvent, ...]) -> list[slice]:
    """The visits among the events, oldest first: 30 min without an event ends one (GA's convention)."""
    times = np.array([entry.occurred_at for entry in events])
    starts = [0, *(np.flatnonzero(np.diff(times) > SESSION_GAP_MS) + 1).tolist()]
    return [slice(start, end) for start, end in zip(starts, [*starts[1:], len(events)], strict=True)]


def event_weights(events: tuple[SessionEvent, ...], tuning: Tuning) -> Matrix:
    """(n,) type_weight · 2^(−rank / h_n) · 2^(−(t_last − t) / h_t), rank from the newest (DESIGN §4)."""
    times = np.array([entry.occurred_at for entry in events], dtype=np.float64)
    ranks = np.arange(len(events) - 1, -1, -1, dtype=np.float64)
    types = np.array([tuning.type_weights.get(entry.type, 0.0) for entry in events])
    decay = ranks / tuning.half_life_rank + (times[-1] - times) / tuning.half_life_age_ms
    weights: Matrix = types * np.exp2(-decay)
    return weights


def current_categories(
    events: tuple[SessionEvent, ...],
    current: slice,
    known: list[bool],
    vectors: ProductVectors,
    most: int,
) -> dict[str, npt.NDArray[np.bool_]]:
    """The newest top-level categories of the current visit, newest first, each with a mask of its events."""
    masks: dict[str, npt.NDArray[np.bool_]] = {}
    for index in reversed(range(current.start, current.stop)):
        category = vectors.top_category(events[index].product_id) if known[index] else None
        if category is None or (category not in masks and len(masks) == most):
            continue
        masks.setdefault(category, np.zeros(len(events), dtype=np.bool_))[index] = True
    return masks


def slow_profile(
    rows: npt.NDArray[np.float16],
    events: tuple[SessionEvent, ...],
    spans: list[slice],
    layout: Layout,
    tuning: Tuning,
) -> Matrix:
    """(width,) the older visits' vectors, each counting half as much every 14 days; zeros without any."""
    older = spans[:-1]
    if not older:
        return np.zeros(layout.width)
    last = events[-1].occurred_at
    sums = np.stack([event_weights(events[span], tuning) @ rows[span].astype(np.float64) for span in older])
    ages = np.array([last - events[span.stop - 1].occurred_at for span in older], dtype=np.float64)
    return layout.normalised(np.exp2(-ages / tuning.half_life_slow_ms) @ layout.normalised(sums))


def _interests(categories: list[str], coefficients: Matrix, units: Matrix) -> tuple[Interest, ...]:
    """One interest a category that weighs more than nothing, heaviest first; weights sum to 1."""
    masses = coefficients.sum(axis=1)
    total = float(masses[masses > 0].sum())
    found = [
        Interest(category, round(float(mass) / total, 6), pack(unit), _heaviest(row))
        for category, mass, unit, row in zip(categories, masses, units, coefficients, strict=True)
        if mass > 0
    ]
    return tuple(sorted(found, key=lambda interest: (-interest.weight, interest.category)))


def _heaviest(weights: Matrix) -> int:
    """Index of the greatest weight; of equal ones the newest."""
    return len(weights) - 1 - int(np.argmax(weights[::-1]))
