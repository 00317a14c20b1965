"""The session vector: what counts, how much, and that nothing but the set of events matters."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events import Event, Item
from schemas.products import Product
from schemas.sessions import SESSION_EVENTS_MAX, SESSION_GAP_MS, Session, encode
from schemas.vectors import Layout, unpack
from services.replica import VectorReplica
from services.session_processor.session import computed, event_weights, fold, signals, visits
from services.session_processor.tuning import Tuning

LAYOUT = Layout.of(text_width=8, image_width=4)
TUNING = Tuning()
MINUTE = 60_000
CATEGORIES = ("Shoes", "Lamps", "Tents", "Hats")


def product(number: int) -> Product:
    return Product(
        product_id=f"p{number}",
        name=f"Product {number}",
        price=1.0,
        currency="EUR",
        availability="in_stock",
        updated_at=0,
        category=(CATEGORIES[number % len(CATEGORIES)], "Some"),
    )


def replica(count: int = 20) -> VectorReplica:
    vectors = VectorReplica(LAYOUT)
    for number in range(count):
        raw = np.random.default_rng(number).normal(size=LAYOUT.width)
        vectors.put(product(number), LAYOUT.normalised(raw).astype(np.float16))
    return vectors


VECTORS = replica()


def event(number: int, at: int, product_id: str = "p1", type_: str = "view_item") -> Event:
    return Event(
        event_id=f"00000000-0000-4000-8000-{number:012d}",
        type=type_,  # type: ignore[arg-type]
        visitor_id="v",
        occurred_at=at,
        product_id=product_id,
    )


def folded(events: list[Event], vectors: VectorReplica = VECTORS) -> Session:
    session = Session("v")
    for each in events:
        session = fold(session, each, vectors, LAYOUT, TUNING)
    return session


def cosine(session: Session, product_id: str) -> float:
    vector = VECTORS.vector(product_id)
    assert vector is not None
    return float(unpack(session.vector) @ vector) / len(LAYOUT.widths)


a_type = st.sampled_from([*TUNING.type_weights, "search", "view_item_list"])
an_event = st.builds(
    event,
    st.integers(0, 120),
    st.integers(0, 4 * SESSION_GAP_MS),
    st.integers(0, 25).map(lambda number: f"p{number}"),
    a_type,
)


@given(st.lists(an_event, max_size=150), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_order_and_duplicates_change_no_byte(events: list[Event], random: object) -> None:
    shuffled = events + events[: len(events) // 2]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert encode(folded(shuffled)) == encode(folded(events))


@given(st.lists(an_event, max_size=150))
@settings(max_examples=50, deadline=None)
def test_a_recomputation_from_the_remembered_events_gives_the_same_bytes(events: list[Event]) -> None:
    session = folded(events)
    again = computed("v", session.events, VECTORS, LAYOUT, TUNING)
    assert not events or not session.events or encode(again) == encode(session)


@given(st.lists(an_event, min_size=1, max_size=100))
@settings(max_examples=50, deadline=None)
def test_every_segment_has_length_one_or_zero(events: list[Event]) -> None:
    session = folded(events)
    for raw in (session.vector, *(interest.vector for interest in session.interests)):
        if raw:
            lengths = np.array([np.linalg.norm(unpack(raw)[span]) for span in LAYOUT.slices.values()])
            assert np.all((abs(lengths - 1) < 0.01) | (lengths == 0))


def test_a_known_event_is_no_news() -> None:
    session = folded([event(1, 0)])
    assert fold(session, event(1, 0), VECTORS, LAYOUT, TUNING) is session


def test_only_the_newest_64_are_remembered_whenever_they_come() -> None:
    events = [event(number, number * 1000) for number in range(100)]
    session = folded(events[50:] + events[:50])
    assert len(session.events) == SESSION_EVENTS_MAX
    assert session.events[0].occurred_at == 36_000


def test_an_id_seen_with_two_times_counts_once_with_the_later() -> None:
    early, late = event(1, 0), event(1, MINUTE)
    assert folded([early, late]) == folded([late, early])
    assert [entry.occurred_at for entry in folded([late, early]).events] == [MINUTE]


def test_the_newest_view_counts_most() -> None:
    session = folded([event(1, 0, "p1"), event(2, MINUTE, "p2")])
    assert cosine(session, "p2") > cosine(session, "p1") > 0


def test_a_purchase_counts_more_than_a_view_at_the_same_time() -> None:
    session = folded([event(1, 0, "p1", "purchase"), event(2, 0, "p2", "view_item")])
    assert cosine(session, "p1") > cosine(session, "p2")


def test_a_removal_takes_away() -> None:
    with_it = folded([event(1, 0, "p1"), event(2, 1, "p2")])
    without = folded([event(1, 0, "p1"), event(2, 1, "p2"), event(3, 2, "p1", "remove_from_cart")])
    assert cosine(without, "p1") < cosine(with_it, "p1")


def test_weights_halve_by_rank_and_by_age() -> None:
    apart = int(TUNING.half_life_age_ms)
    entries = [entry for each in (event(1, 0), event(2, apart)) for entry in signals(each, TUNING)]
    older, newest = event_weights(tuple(entries), TUNING)
    assert newest == 0.5
    assert older == pytest.approx(0.5 * 2 ** (-1 / TUNING.half_life_rank) / 2)


def test_thirty_minutes_of_silence_start_a_new_visit() -> None:
    events = folded([event(1, 0), event(2, SESSION_GAP_MS), event(3, 2 * SESSION_GAP_MS + 1)]).events
    assert visits(events) == [slice(0, 2), slice(2, 3)]


def test_older_visits_warm_the_next_one_a_little() -> None:
    cold = folded([event(2, 10 * SESSION_GAP_MS, "p2")])
    warm = folded([event(1, 0, "p1"), event(2, 10 * SESSION_GAP_MS, "p2")])
    assert cosine(cold, "p1") < cosine(warm, "p1") < cosine(warm, "p2")


def test_interests_are_the_newest_three_categories_and_weigh_one_together() -> None:
    session = folded([event(number, number * MINUTE, f"p{number}") for number in range(4)])
    assert {interest.category for interest in session.interests} == {"Lamps", "Tents", "Hats"}
    assert sum(interest.weight for interest in session.interests) == pytest.approx(1, abs=1e-5)
    heaviest = session.interests[0]
    assert heaviest.category == "Hats"
    assert session.events[heaviest.event].product_id == "p3"


def test_an_event_of_an_unknown_product_is_kept_and_named() -> None:
    session = folded([event(1, 0, "p1"), event(2, 1, "later")])
    assert session.missing == ("later",)
    vectors = replica()
    vectors.put(msgspec_replace(product(3), "later"), np.ones(LAYOUT.width, dtype=np.float16))
    joined = computed("v", session.events, vectors, LAYOUT, TUNING)
    assert joined.missing == ()
    assert joined.vector != session.vector


def msgspec_replace(of: Product, product_id: str) -> Product:
    return Product(
        product_id=product_id,
        name=of.name,
        price=of.price,
        currency=of.currency,
        availability=of.availability,
        updated_at=0,
        category=of.category,
    )


def test_an_order_of_several_items_is_an_entry_a_product() -> None:
    order = Event(
        event_id="00000000-0000-4000-8000-000000000001",
        type="purchase",
        visitor_id="v",
        occurred_at=1,
        items=(Item("p1"), Item("p2"), Item("p1")),
    )
    assert [entry.product_id for entry in folded([order, order]).events] == ["p1", "p2"]


def test_a_search_is_no_signal() -> None:
    assert folded([event(1, 0, type_="search")]) == Session("v")


def test_a_full_session_of_the_demo_layout_stays_below_10_kb() -> None:
    layout = Layout.of(384, 64)
    vectors = VectorReplica(layout)
    for number in range(64):
        vectors.put(product(number), np.ones(layout.width, dtype=np.float16))
    session = Session("a-visitor-with-a-uuid-of-36-characters")
    for number in range(64):
        session = fold(session, event(number, number * 10 * MINUTE, f"p{number}"), vectors, layout, TUNING)
    assert len(session.interests) == 3
    assert len(encode(session)) < 10_240
