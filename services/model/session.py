"""The session vector: a pure function of the newest 64 distinct events of a visitor.

No I/O and no wall clock: time is the events' own. Duplicates, lateness and order of arrival change nothing.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np

from schemas import directions
from schemas.events import Event
from schemas.sessions import (
    KIND_OF,
    PRODUCT_IDS_BYTES_MAX,
    SESSION_EVENTS_MAX,
    Interest,
    Session,
    SessionEvent,
    identity,
)
from schemas.vectors import Layout, Matrix
from services.model.tuning import Tuning
from services.model.weights import weighed
from services.replica import STEPS

# What float32 leaves of up to 64 addends that cancel each other out, beside the greatest of them.
ROUNDING: Final = np.float32(1e-5 * STEPS)


class ProductVectors(Protocol):
    """What fold needs to know about products; `services.replica.VectorReplica` knows it."""

    def matrix(self, product_ids: Sequence[str]) -> tuple[Matrix, list[bool]]:
        """(n, width) vectors in steps, `services.replica.STEPS` is 1, and which products have one."""

    def top_categories(self, product_ids: Sequence[str]) -> list[str | None]:
        """First step of each product's category path, None for products without a vector."""


def fold(session: Session, event: Event, vectors: ProductVectors, layout: Layout, tuning: Tuning) -> Session:
    """The session after one more event; the same object when the event is no news.

    A session of another form or layout is computed anew from its events, whatever the event.
    """
    events = remembered(session.events, signals(event, tuning), tuning)
    if events == session.events and (session.layout == directions.form(layout) or not events):
        return session
    return computed(session.visitor_id, events, vectors, layout, tuning)


def signals(event: Event, tuning: Tuning) -> list[SessionEvent]:
    """What of an event goes into the session: an entry a product, none for types without a weight."""
    if not tuning.type_weights.get(event.type):
        return []
    id_, kind = identity(event.event_id), KIND_OF[event.type]
    return [SessionEvent(event.occurred_at, id_, product_id, kind) for product_id in event.products()]


def remembered(
    known: tuple[SessionEvent, ...], arrived: list[SessionEvent], tuning: Tuning
) -> tuple[SessionEvent, ...]:
    """The newest distinct entries of both, oldest first: at most 64, and not older than `idle_ms`.

    Two messages may carry one event_id with different times (a clamped client clock, say). The greater entry
    counts, so that the outcome does not depend on which came first.
    """
    entries = list(known)
    for entry in sorted(arrived)[-SESSION_EVENTS_MAX:]:
        same = _same(entries, entry)
        if same is not None:
            if same >= entry:
                continue
            entries.remove(same)
        insort(entries, entry)
    return _newest(entries, tuning.idle_ms)


def _same(entries: list[SessionEvent], entry: SessionEvent) -> SessionEvent | None:
    """The same event of the same product, where it is known."""
    if entry.identity not in [each.identity for each in entries]:
        return None
    found = (each for each in entries if each.identity == entry.identity)
    return next((each for each in found if each.product_id == entry.product_id), None)


def _newest(entries: list[SessionEvent], idle_ms: int) -> tuple[SessionEvent, ...]:
    """What is kept of ordered entries: all from one of them on.

    Each bound speaks of what is newer than an entry, and that only grows. So an entry that was once left out
    would be left out whenever it came: keeping the newest depends on no order of arrival.
    """
    kept = entries[-SESSION_EVENTS_MAX:]
    if kept and kept[0].occurred_at < kept[-1].occurred_at - idle_ms:
        kept = kept[bisect_left(kept, kept[-1].occurred_at - idle_ms, key=lambda each: each.occurred_at) :]
    if len("".join([each.product_id for each in kept]).encode()) > PRODUCT_IDS_BYTES_MAX:
        sizes = np.cumsum([len(each.product_id.encode()) for each in reversed(kept)])
        fitting = int(np.searchsorted(sizes, PRODUCT_IDS_BYTES_MAX, side="right"))
        kept = kept[-max(fitting, 1) :]
    return tuple(kept)


def computed(
    visitor_id: str,
    events: tuple[SessionEvent, ...],
    vectors: ProductVectors,
    layout: Layout,
    tuning: Tuning,
) -> Session:
    """The session of these events, which are in order: its vectors, interests and slow profile."""
    form, products = directions.form(layout), [entry.product_id for entry in events]
    rows, known = vectors.matrix(products)
    missing = () if all(known) else tuple([index for index, there in enumerate(known) if not there])
    if len(missing) == len(events):
        return Session(visitor_id, events, form, missing=missing)

    counts = weighed(events, vectors.top_categories(products), missing, tuning)
    least = ROUNDING * np.abs(counts.rows).max(axis=1, keepdims=True)
    vector, *others = directions.pack(counts.rows @ rows, layout, least)
    interests = [
        Interest(liking.category, liking.share, packed, liking.heaviest)
        for liking, packed in zip(counts.likings, others, strict=True)
    ]
    return Session(visitor_id, events, form, vector if any(vector) else b"", tuple(interests), missing)
