"""The session: a pure function of the newest 64 distinct events of a visitor, and of what is kept beside.

No I/O and no wall clock: time is the events' own. Duplicates, lateness and order of arrival change nothing.
"""

from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, pairwise
from math import exp2
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from schemas import directions
from schemas.events import EVENT_TYPES, Event
from schemas.sessions import (
    KIND_OF,
    KINDS,
    PRODUCT_IDS_BYTES_MAX,
    SESSION_EVENTS_MAX,
    SESSION_GAP_MS,
    SHOWN_BYTES,
    Interest,
    Session,
    SessionEvent,
    identity,
)
from schemas.times import DAY_MS
from schemas.vectors import Layout, Matrix
from services.model.session_impressions import impressions_of
from services.model.session_memory import NOTHING, SessionMemory, merge_memory
from services.model.session_searches import searches_of
from services.vector_replica import STEPS

MINUTE_MS: Final = 60 * 1000

_WEIGHTS: Final = [
    (kind.weight < 0, kind.weight, -KIND_OF[type_], type_)
    for type_, kind in EVENT_TYPES.items()
    if kind.weight is not None
]
# The weakest sign first, what speaks against a product last: the setting's documented default.
TYPE_WEIGHTS: Final[Mapping[str, float]] = MappingProxyType(
    {type_: weight for _, weight, _, type_ in sorted(_WEIGHTS)}
)


@dataclass(frozen=True)
class Tuning:
    """The settings of one shop. An event type without a weight is no signal and is not remembered.

    `half_life_rank` is in events, all other times in ms. A visit ends after `gap_ms` without an event.
    `slow_weight` is what the profile of older visits counts beside the current one, where a purchase is 1.
    What lies `idle_ms` before the newest event is forgotten, and a visitor who was idle for so long with it.
    Where `clicks_give_way`, a select_item is remembered only as long as it is the newest event of its
    product: it counts at once, and the view_item that follows is the same interest, not a second one.
    """

    type_weights: Mapping[str, float] = field(default_factory=lambda: TYPE_WEIGHTS)
    half_life_rank: float = 6.0
    half_life_age_ms: float = 60.0 * MINUTE_MS
    half_life_slow_ms: float = 14.0 * DAY_MS
    slow_weight: float = 0.15
    gap_ms: int = SESSION_GAP_MS
    idle_ms: int = 30 * DAY_MS
    interests_max: int = 3
    clicks_give_way: bool = True

    @cached_property
    def kind_weights(self) -> tuple[float, ...]:
        """The weight of each of KINDS, 0 for those without."""
        return tuple(self.type_weights.get(type_, 0.0) for type_ in KINDS)


Rows = npt.NDArray[np.float32]


class Liking(NamedTuple):
    """A top-level category of the current visit.

    `events` are the indices of its events, newest first, and `heaviest` of the one that counts most; of all
    likings' weight it has the part `share`.
    """

    category: str
    events: list[int]
    heaviest: int
    share: float


class Counts(NamedTuple):
    """(1 + likings, n) what each event counts in the session's vector, and then in that of each liking."""

    rows: Rows
    likings: list[Liking]


def weigh(
    events: Sequence[SessionEvent],
    categories: Sequence[str | None],
    missing: Sequence[int],
    tuning: Tuning,
) -> Counts:
    """What the events of a session count, given the top-level category of each one's product.

    `missing` are the indices of events whose product has no vector: they count nothing, and their category is
    None.
    """
    starts = visits(events, tuning.gap_ms)
    weights = event_weights(events, starts, tuning)
    for index in missing:
        weights[index] = 0.0
    slow, start = slow_weights(events, starts, weights, tuning), starts[-1]
    liked = likings(start, categories, weights, tuning.interests_max)
    rows = [slow + weights[start:]]
    for _, indices, _, share in liked:
        # Each liking has its part of the slow profile: what is known of taste warms all of them alike.
        row = [share * each for each in slow] + [0.0] * (len(events) - start)
        for index in indices:
            row[index] = weights[index]
        rows.append(row)
    counts = np.fromiter(chain.from_iterable(rows), np.float32, len(rows) * len(events))
    return Counts(counts.reshape(len(rows), -1), liked)


def visits(events: Sequence[SessionEvent], gap_ms: int) -> list[int]:
    """Where each visit begins, oldest first: the indices of its first event.

    More than `gap_ms` without an event ends a visit.
    """
    times = [entry.occurred_at for entry in events]
    return [0, *[index for index in range(1, len(times)) if times[index] - times[index - 1] > gap_ms]]


def event_weights(events: Sequence[SessionEvent], starts: Sequence[int], tuning: Tuning) -> list[float]:
    """type_weight · 2^(−rank / h_n) · 2^(−(t_last − t) / h_t), each event within its visit (DESIGN §4).

    The rank is counted from the visit's newest event.
    """
    of_kind, per_rank, per_ms = tuning.kind_weights, 1 / tuning.half_life_rank, 1 / tuning.half_life_age_ms
    ends, end, ended, weights = iter([*starts[1:], len(events)]), 0, 0, []
    for index, entry in enumerate(events):
        if index == end:  # a visit begins
            end = next(ends)
            ended = events[end - 1].occurred_at
        decay = (end - 1 - index) * per_rank + (ended - entry.occurred_at) * per_ms
        weights.append(of_kind[entry.kind] * exp2(-decay))
    return weights


def slow_weights(
    events: Sequence[SessionEvent], starts: Sequence[int], weights: Sequence[float], tuning: Tuning
) -> list[float]:
    """What each event of the older visits counts in their profile, given what it counts in its own visit.

    A visit counts as the weighted mean of its products, and half as much every 14 days. The profile is the
    mean of the visits, or less where all are old: then it warms the current visit less.
    """
    now, per_ms = events[-1].occurred_at, 1 / tuning.half_life_slow_ms
    slow: list[float] = []
    total = 0.0
    for start, end in pairwise(starts):
        within = weights[start:end]
        mass = sum(map(abs, within)) if len(within) > 1 else abs(within[0])
        count = exp2((events[end - 1].occurred_at - now) * per_ms) if mass > 0 else 0.0
        total += count
        share = count / (mass or 1.0)
        for weight in within:
            slow.append(weight * share)
    scale = tuning.slow_weight / max(total, 1.0)
    return [each * scale for each in slow]


def likings(
    start: int, categories: Sequence[str | None], weights: Sequence[float], most: int
) -> list[Liking]:
    """The newest categories of the visit from `start` on that weigh more than nothing, heaviest first."""
    found: dict[str, list[int]] = {}
    for index in range(len(categories) - 1, start - 1, -1):
        category = categories[index]
        if category in found:
            found[category].append(index)
        elif category is not None:
            found[category] = [index]
    counted = {name: [weights[index] for index in indices] for name, indices in found.items()}
    newest = [(-mass, name) for name, each in counted.items() if (mass := sum(each)) > 0][:most]
    total = sum([mass for mass, _ in newest])
    return [
        Liking(name, found[name], found[name][_greatest(counted[name])], round(mass / total, 6))
        for mass, name in sorted(newest)
    ]


def _greatest(numbers: list[float]) -> int:
    return numbers.index(max(numbers))


# What float32 leaves of up to 64 addends that cancel each other out, beside the greatest of them.
ROUNDING: Final = np.float32(1e-5 * STEPS)


class ProductVectors(Protocol):
    """What fold needs to know about products; `services.vector_replica.VectorReplica` knows it."""

    def matrix(self, product_ids: Sequence[str]) -> tuple[Matrix, list[bool]]:
        """(n, width) vectors in steps, `services.vector_replica.STEPS` is 1, and which products have one."""

    def top_categories(self, product_ids: Sequence[str]) -> list[str | None]:
        """First step of each product's category path, None for products without a vector."""


def fold(session: Session, event: Event, vectors: ProductVectors, layout: Layout, tuning: Tuning) -> Session:
    """The session after one more event; the same object when the event is no news.

    A session of another form or layout is computed anew from its events, whatever the event.
    """
    arrived = signals(event, tuning)
    events = merge_events(session.events, arrived, tuning)
    memory = merge_memory([session], event, arrived, layout)
    is_current = session.layout == directions.form(layout)
    if events == session.events:
        if memory == SessionMemory.of(session) and (is_current or not events):
            return session
        if is_current:
            return msgspec.structs.replace(session, **memory._asdict())
    return compute_session(session.visitor_id, events, vectors, layout, tuning, memory=memory)


def last_seen(session: Session) -> int | None:
    """Unix ms of the newest that a session remembers; None for one that remembers nothing."""
    newest = [each[-1].occurred_at for each in (session.events, session.searches) if each]
    if session.shown:
        newest.append(1000 * int.from_bytes(session.shown[-SHOWN_BYTES:][:4]))
    return max(newest, default=None)


def is_over(session: Session, event: Event, tuning: Tuning) -> bool:
    """Whether the visitor was idle for so long before the event that all is forgotten, purchases too."""
    seen = last_seen(session)
    return seen is not None and seen < event.occurred_at - tuning.idle_ms


def is_remembered(event: Event, tuning: Tuning) -> bool:
    """Whether anything of an event goes into the session."""
    is_signal = tuning.type_weights.get(event.type) and event.products()
    return bool(is_signal or searches_of(event) or impressions_of(event))


def is_quiet(event: Event, tuning: Tuning) -> bool:
    """Whether one that is remembered is no reason to make rows anew: they would change for being seen."""
    return event.type != "search" and not tuning.type_weights.get(event.type)


def signals(event: Event, tuning: Tuning) -> list[SessionEvent]:
    """What of an event goes into the session: an entry a product, none for types without a weight."""
    if not tuning.type_weights.get(event.type):
        return []
    id_, kind = identity(event.event_id), KIND_OF[event.type]
    return [SessionEvent(event.occurred_at, id_, product_id, kind) for product_id in event.products()]


SELECT_ITEM: Final = KIND_OF["select_item"]


def merge_events(
    known: tuple[SessionEvent, ...], arrived: list[SessionEvent], tuning: Tuning
) -> tuple[SessionEvent, ...]:
    """The newest distinct entries of both, oldest first: at most 64, and not older than `idle_ms`.

    Two messages may carry one event_id with different times (a clamped client clock, say). The greater entry
    counts, so that the outcome does not depend on which came first.
    """
    entries = list(known)
    newer = sorted(arrived)
    if len(newer) > SESSION_EVENTS_MAX and tuning.clicks_give_way:
        newer = leave_out_clicks(newer)
    for entry in newer[-SESSION_EVENTS_MAX:]:
        same = _same(entries, entry)
        if same is not None:
            if same >= entry:
                continue
            entries.remove(same)
        insort(entries, entry)
    return _newest(leave_out_clicks(entries) if tuning.clicks_give_way else entries, tuning.idle_ms)


def leave_out_clicks(entries: list[SessionEvent]) -> list[SessionEvent]:
    """Of entries in order all but each select_item that has a newer entry of its product after it.

    An entry that arrives takes the place of one click at most, for of its product only the newest entry can
    be one. So the number of those newer than any other never falls, and what `_newest` once left out stays
    out. A bound in seconds would break that: a view would take the place of several clicks, and there would
    be room again for an event that was forgotten. (An id that comes back with another time can do so anyway.)
    """
    if SELECT_ITEM not in [each.kind for each in entries]:
        return entries
    newest = {each.product_id: each for each in entries}
    return [each for each in entries if each.kind != SELECT_ITEM or newest[each.product_id] is each]


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


def compute_session(
    visitor_id: str,
    events: tuple[SessionEvent, ...],
    vectors: ProductVectors,
    layout: Layout,
    tuning: Tuning,
    *,
    memory: SessionMemory = NOTHING,
) -> Session:
    """The session of these events, which are in order: its vectors, interests and slow profile."""
    form, products = directions.form(layout), [entry.product_id for entry in events]
    if not events:
        return Session(visitor_id, layout=form, **memory._asdict())
    rows, known = vectors.matrix(products)
    missing = () if all(known) else tuple([index for index, there in enumerate(known) if not there])
    if len(missing) == len(events):
        return Session(visitor_id, events, form, missing=missing, **memory._asdict())

    counts = weigh(events, vectors.top_categories(products), missing, tuning)
    least = ROUNDING * np.abs(counts.rows).max(axis=1, keepdims=True)
    vector, *others = directions.pack(counts.rows @ rows, layout, least)
    interests = [
        Interest(liking.category, liking.share, packed, liking.heaviest)
        for liking, packed in zip(counts.likings, others, strict=True)
    ]
    packed = vector if any(vector) else b""
    return Session(visitor_id, events, form, packed, tuple(interests), missing, *memory)
