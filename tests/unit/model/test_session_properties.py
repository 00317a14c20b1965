"""Nothing but the set of events matters: not their order, not repetition, not when products became known."""

import struct
from functools import partial
from itertools import pairwise
from random import Random

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.events import Event, Item
from schemas.sessions import (
    KINDS,
    SESSION_BYTES_MAX,
    SESSION_EVENTS_MAX,
    SESSION_GAP_MS,
    Session,
    encode,
    purchase_digest,
)
from schemas.vectors import Layout
from services.model.session import (
    Tuning,
    compute_session,
    fold,
    merge_events,
    signals,
)
from services.model.session_memory import SessionMemory, merge_memory, merge_purchases, purchases_max
from services.vector_replica import VectorReplica
from tests.support import sessions
from tests.support.examples import examples
from tests.support.sessions import DAY, LAYOUT, VECTORS, content, event, product, unpack_direction

# Here an id comes back with another time, type or product, and what is true then is true of all events.
# Clicks that give way are looked at in test_session_clicks.
TUNING = Tuning(clicks_give_way=False)
fold_all = partial(sessions.fold_all, tuning=TUNING)

PRODUCTS = 20
UNKNOWN = 6  # ids p20 … p25 have no vector at first

# Close together, around the gap between visits, and around what is forgotten: times that matter.
times = st.one_of(
    st.integers(0, 4 * SESSION_GAP_MS),
    st.integers(0, 80).map(lambda gaps: gaps * SESSION_GAP_MS),
    st.integers(0, 45 * DAY),
)


EVENT_BYTES = 8
EDGES = tuple(
    at + near for at in (1, SESSION_GAP_MS, 2 * SESSION_GAP_MS, 30 * DAY, 45 * DAY) for near in (-1, 0, 1)
)


def read_event(drawn: bytes) -> Event:
    """An event out of 8 bytes: which it is, of which product and type, and one of the times that matter."""
    number, product_number, kind, which, place = struct.unpack("<BBBBI", drawn)
    at = (
        place % (4 * SESSION_GAP_MS + 1),
        place % 81 * SESSION_GAP_MS,
        place % (45 * DAY + 1),
        EDGES[place % len(EDGES)],
    )[which % 4]
    found = event(number % 121, at, f"p{product_number % (PRODUCTS + UNKNOWN)}", KINDS[kind % len(KINDS)])
    if found.type == "search":
        return msgspec.structs.replace(found, query=f"boots {number % 5}")
    return msgspec.structs.replace(found, recommendation_id="r") if found.type == "view_item_list" else found


AGAIN = 245  # from this first byte on, an event is one of those before


def read_events(drawn: bytes) -> list[Event]:
    found: list[Event] = []
    for at in range(0, len(drawn), EVENT_BYTES):
        first, second = drawn[at : at + 2]
        is_again = first >= AGAIN and found
        found.append(found[second % len(found)] if is_again else read_event(drawn[at : at + EVENT_BYTES]))
    return found


# One draw for all of a visitor's events: a hundred draws of events took most of the time of these tests.
events = st.binary(min_size=EVENT_BYTES, max_size=EVENT_BYTES).map(read_event)
many = (
    st.one_of(st.integers(0, 10), st.integers(0, 100), st.integers(70, 150))
    .flatmap(lambda count: st.binary(min_size=EVENT_BYTES * count, max_size=EVENT_BYTES * count))
    .map(read_events)
)
seeds = st.integers(0, 1 << 32)


@given(many, seeds)
@examples(150)
def test_order_and_duplicates_change_no_byte(sent: list[Event], seed: int) -> None:
    shuffled = sent + sent[: len(sent) // 2]
    Random(seed).shuffle(shuffled)
    assert encode(fold_all(shuffled)) == encode(fold_all(sent))


@given(many, st.lists(st.tuples(events, times), max_size=20), seeds)
@examples(100)
def test_a_duplicate_with_another_time_counts_once_whichever_comes_first(
    sent: list[Event], repeated: list[tuple[Event, int]], seed: int
) -> None:
    again = [msgspec.structs.replace(each, occurred_at=at) for each, at in repeated]
    both = [*sent, *(each for each, _ in repeated), *again]
    shuffled = [*both, *again]
    Random(seed).shuffle(shuffled)
    assert encode(fold_all(shuffled)) == encode(fold_all(both))


@given(many, st.lists(st.integers(0, 150), max_size=6), seeds)
@examples(100)
def test_any_split_into_batches_changes_no_byte(sent: list[Event], cuts: list[int], seed: int) -> None:
    """Each batch arrives in an order of its own, and twice, for its sender had no answer; between two batches
    the worker starts anew and has only what it stored."""
    expected = fold_all(sent)
    bounds = [0, *sorted(cuts), len(sent)]
    session = Session("v")
    for start, end in pairwise(bounds):
        batch = sent[start:end] * 2
        Random(seed).shuffle(batch)
        for each in batch:
            session = fold(session, each, VECTORS, LAYOUT, TUNING)
    assert encode(session) == encode(expected)


@given(many)
@examples(50)
def test_all_at_once_is_the_same_as_one_by_one(sent: list[Event]) -> None:
    at_once = merge_events((), [], TUNING)
    for each in sent:
        at_once = merge_events(at_once, signals(each, TUNING), TUNING)
    session = fold_all(sent)
    assert session.events == at_once
    bought = merge_purchases((), [entry for each in sent for entry in signals(each, TUNING)], LAYOUT)
    if at_once:
        memory = SessionMemory.of(session)._replace(bought=bought)
        whole = compute_session("v", at_once, VECTORS, LAYOUT, TUNING, memory=memory)
        assert encode(whole) == encode(session)


@given(many, st.lists(st.integers(0, 150), min_size=UNKNOWN, max_size=UNKNOWN), seeds)
@examples(100)
def test_products_may_become_known_at_any_time(sent: list[Event], moments: list[int], seed: int) -> None:
    """A product that gets its vector joins the session at once, as the session processor does it."""
    vectors, session = VectorReplica(LAYOUT), Session("v")
    for number in range(PRODUCTS):
        vectors.put(product(number), content(number))
    coming = {PRODUCTS + number: moment for number, moment in enumerate(moments)}

    def arrive(now: int) -> Session:
        after = session
        for number in [number for number, moment in coming.items() if moment <= now]:
            del coming[number]
            vectors.put(product(number), content(number))
            if f"p{number}" in after.missing_products:
                memory = SessionMemory.of(after)
                after = compute_session("v", after.events, vectors, LAYOUT, TUNING, memory=memory)
        return after

    shuffled = [*sent]
    Random(seed).shuffle(shuffled)
    for index, each in enumerate(shuffled):
        session = fold(arrive(index), each, vectors, LAYOUT, TUNING)
    session = arrive(1000)
    assert session.missing == ()
    assert encode(session) == encode(fold_all(sent, vectors))


@given(many)
@examples(50)
def test_what_is_remembered_is_the_newest_and_not_too_old(sent: list[Event]) -> None:
    kept = fold_all(sent).events
    every = {(entry.identity, entry.product_id): entry for each in sent for entry in signals(each, TUNING)}
    for each in sent:
        for entry in signals(each, TUNING):
            key = (entry.identity, entry.product_id)
            every[key] = max(every[key], entry)
    newest = sorted(every.values())[-SESSION_EVENTS_MAX:]
    assert list(kept) == [each for each in newest if each.occurred_at >= newest[-1].occurred_at - 30 * DAY]


@given(many.filter(bool))
@examples(50)
def test_every_segment_has_length_one_or_zero(sent: list[Event]) -> None:
    session = fold_all(sent)
    for packed in (session.vector, *(interest.vector for interest in session.interests)):
        if packed:
            vector = unpack_direction(packed)
            lengths = np.array([np.linalg.norm(vector[span]) for span in LAYOUT.slices.values()])
            assert np.all((abs(lengths - 1) < 1e-6) | (lengths == 0))


@given(many)
@examples(50)
def test_interests_are_at_most_three_and_share_the_visit(sent: list[Event]) -> None:
    session = fold_all(sent)
    assert len(session.interests) <= 3
    assert len({interest.category for interest in session.interests}) == len(session.interests)
    assert all(interest.weight > 0 for interest in session.interests)
    if session.interests:
        assert sum(interest.weight for interest in session.interests) == pytest.approx(1, abs=1e-5)


WIDE = Layout.of(484, 192)
assert WIDE.width == 1000
ids = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=128)
words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=100)


@given(
    st.lists(
        st.one_of(st.uuids().map(str), st.text("0123456789ABCDEFGHJKMNPQRSTVWXYZ", min_size=26, max_size=26)),
        min_size=1,
        max_size=64,
        unique=True,
    ),
    st.lists(ids, min_size=1, max_size=64, unique=True),
    st.lists(words, min_size=3, max_size=3),
    st.text("abcXYZ09_.:-", min_size=1, max_size=64),
    st.tuples(st.integers(1, 40 * 60_000), st.randoms(use_true_random=False)),
)
@example(
    [f"0000000{n:01x}-0000-4000-8000-{n:012d}" for n in range(64) if n < 16]
    + [f"ZZZZZZZZZZZZZZZZZZZZZZZZ{n:02d}" for n in range(48)],
    ["😀" * 125 + f"{n:03d}" for n in range(12)] + [f"{n:040d}" for n in range(52)],
    ["😀" * 100, "🪔" * 100, "⛺" * 100],
    "v" * 64,
    (1000, Random(1)),
)
@examples(30)
def test_a_session_never_needs_more_than_12_kb(
    event_ids: list[str],
    product_ids: list[str],
    categories: list[str],
    visitor: str,
    chance: tuple[int, Random],
) -> None:
    apart, random = chance
    vectors = VectorReplica(WIDE)
    for number, id_ in enumerate(product_ids):
        vectors.put(product(number, id_, categories[number % 3]), content(number, WIDE))
    session = Session(visitor)
    for number, event_id in enumerate(event_ids):
        sent = Event(
            event_id=event_id,
            type=random.choice(("remove_from_cart", "view_item", "purchase")),
            visitor_id=visitor,
            occurred_at=1_900_000_000_000 + number * apart,
            product_id=random.choice(product_ids) if random.random() < 0.9 else f"unknown {number}",
            items=tuple(Item(f"bought {number} {line}") for line in range(5)),
        )
        items = tuple(Item(f"shown {number} {line}") for line in range(12))
        seen = msgspec.structs.replace(
            sent, type="view_item_list", product_id=None, items=items, recommendation_id="r"
        )
        asked = msgspec.structs.replace(sent, type="search", query=(product_ids[0] + categories[0]) * 3)
        for each in (sent, seen, asked):
            session = fold(session, each, vectors, WIDE, Tuning())
            assert len(encode(session)) <= SESSION_BYTES_MAX


BUYERS = Layout.of(100, 28)
orders = st.builds(
    lambda number, at, products: msgspec.structs.replace(
        event(number, at, "p0", "purchase"),
        product_id=None,
        items=tuple(Item(f"p{each}") for each in products),
    ),
    st.integers(0, 40),
    times,
    st.lists(st.integers(0, 400), min_size=1, max_size=60, unique=True),
)


@given(st.lists(events | orders, max_size=40), seeds)
@examples(100)
def test_what_was_bought_is_remembered_whatever_comes_in_whatever_order(sent: list[Event], seed: int) -> None:
    """The last purchase of each product, of these the newest 256; duplicates and order change nothing."""
    newest: dict[str, int] = {}
    for each in sent:
        if each.type == "purchase":
            for product_id in each.products():
                newest[product_id] = max(each.occurred_at // 1000, newest.get(product_id, 0))
    ordered = sorted((at, purchase_digest(product_id)) for product_id, at in newest.items())
    expected = {digest: at for at, digest in ordered[-256:]}
    shuffled = sent + sent[: len(sent) // 2]
    Random(seed).shuffle(shuffled)
    first, second = fold_all(sent), fold_all(shuffled)
    assert first.purchases == second.purchases == expected
    assert first.bought == second.bought


@given(st.lists(events | orders, max_size=30), st.integers(0, 30))
@examples(50)
def test_visitors_of_a_person_have_bought_together_what_one_would_have(sent: list[Event], cut: int) -> None:
    parts = [fold_all(sent[:cut]), fold_all(sent[cut:])]
    assert merge_memory(parts, None, (), LAYOUT).bought == fold_all(sent).bought


def test_a_session_of_a_former_release_learns_its_purchases_from_its_events() -> None:
    known = fold_all([event(1, 0, "p1", "purchase"), event(2, 1, "p2")])
    former = msgspec.structs.replace(known, bought=b"")
    assert fold(former, event(2, 1, "p2"), VECTORS, LAYOUT, TUNING) == known


def test_wide_vectors_leave_room_for_fewer_purchases() -> None:
    assert [purchases_max(each) for each in (BUYERS, Layout.of(384, 64), WIDE, Layout.of(768, 512))] == [
        256,
        198,
        20,
        256,
    ]
