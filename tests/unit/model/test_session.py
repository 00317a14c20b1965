"""The session vector: what counts, how much, and for how long."""

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from schemas.directions import form
from schemas.events import Event, Item
from schemas.sessions import KINDS, PRODUCT_IDS_BYTES_MAX, SESSION_EVENTS_MAX, SESSION_GAP_MS, Session, encode
from schemas.vectors import Layout, Matrix
from services.model.session import Tuning, compute_session, fold
from services.vector_replica import VectorReplica
from tests.support.sessions import (
    DAY,
    LAYOUT,
    MINUTE,
    TUNING,
    VECTORS,
    content,
    cosine,
    event,
    fold_all,
    product,
    replica,
    unpack_direction,
)


def test_a_known_event_is_no_news() -> None:
    session = fold_all([event(1, 0)])
    assert fold(session, event(1, 0), VECTORS, LAYOUT, TUNING) is session


def test_only_the_newest_64_are_remembered_whenever_they_come() -> None:
    events = [event(number, number * 1000) for number in range(100)]
    session = fold_all(events[50:] + events[:50])
    assert len(session.events) == SESSION_EVENTS_MAX
    assert session.events[0].occurred_at == 36_000


def test_an_event_older_than_64_others_is_no_news() -> None:
    session = fold_all([event(number, 1000 + number) for number in range(64)])
    assert fold(session, event(99, 0), VECTORS, LAYOUT, TUNING) is session


def test_an_id_seen_with_two_times_counts_once_with_the_later() -> None:
    early, late = event(1, 0), event(1, MINUTE)
    assert fold_all([early, late]) == fold_all([late, early])
    assert [entry.occurred_at for entry in fold_all([late, early]).events] == [MINUTE]


def test_an_id_in_capitals_is_the_same_id() -> None:
    small = msgspec.structs.replace(event(1, 0), event_id="0a000000-0000-4000-8000-00000000000f")
    capitals = msgspec.structs.replace(small, event_id=small.event_id.upper())
    assert len(fold_all([small, capitals]).events) == 1


def test_the_newest_view_counts_most() -> None:
    session = fold_all([event(1, 0, "p1"), event(2, MINUTE, "p2")])
    assert cosine(session.vector, "p2") > cosine(session.vector, "p1") > 0


def test_a_purchase_counts_more_than_a_view_at_the_same_time() -> None:
    session = fold_all([event(1, 0, "p1", "purchase"), event(2, 0, "p2", "view_item")])
    assert cosine(session.vector, "p1") > cosine(session.vector, "p2")


def test_a_removal_takes_away() -> None:
    with_it = fold_all([event(1, 0, "p1"), event(2, 1, "p2")])
    without = fold_all([event(1, 0, "p1"), event(2, 1, "p2"), event(3, 2, "p1", "remove_from_cart")])
    assert cosine(without.vector, "p1") < cosine(with_it.vector, "p1")


def test_what_cancels_itself_out_points_nowhere() -> None:
    weights = {
        "view_item": 0.1,
        "add_to_cart": 0.2,
        "remove_from_cart": -0.3,
    }  # in binary not quite 0 together
    tuning = Tuning(weights, half_life_rank=1e9, half_life_age_ms=1e12)
    events = [event(number, 0, "p1", type_) for number, type_ in enumerate(KINDS) if type_ in weights]
    session = fold_all(events, tuning=tuning)
    assert len(session.events) == 3
    assert session.vector == b""


def test_a_shop_may_weigh_other_types() -> None:
    listed = event(1, 0, type_="view_item_list")
    assert fold_all([listed]) == Session("v")
    assert fold_all([listed], tuning=Tuning({"view_item_list": 0.1})).vector != b""


def test_a_late_event_between_two_visits_joins_them() -> None:
    first, bridge, last = event(1, 0, "p1"), event(2, 25 * MINUTE, "p2"), event(3, 50 * MINUTE, "p3")
    apart = fold_all([first, last])
    joined = fold_all([first, last, bridge])
    assert {interest.category for interest in apart.interests} == {"Hats"}
    assert {interest.category for interest in joined.interests} == {"Lamps", "Tents", "Hats"}
    assert joined == fold_all([first, bridge, last])


def test_an_event_older_than_all_others_only_warms() -> None:
    session = fold_all([event(2, 100 * MINUTE, "p2"), event(1, 0, "p1")])
    assert [entry.product_id for entry in session.events] == ["p1", "p2"]
    assert {interest.category for interest in session.interests} == {"Tents"}
    assert cosine(session.vector, "p2") > 2 * cosine(session.vector, "p1") > 0


def test_a_new_visit_has_interests_of_its_own() -> None:
    before = fold_all([event(1, 0, "p1")])
    after = fold_all([event(1, 0, "p1"), event(2, SESSION_GAP_MS + 1, "p2")])
    assert [interest.category for interest in before.interests] == ["Lamps"]
    assert [interest.category for interest in after.interests] == ["Tents"]


def test_older_visits_warm_the_next_one_a_little() -> None:
    cold = fold_all([event(2, 10 * SESSION_GAP_MS, "p2")])
    warm = fold_all([event(1, 0, "p1"), event(2, 10 * SESSION_GAP_MS, "p2")])
    [interest] = warm.interests
    for vector in (warm.vector, interest.vector):  # rows are made from the interests
        assert cosine(cold.vector, "p1") < cosine(vector, "p1") < cosine(vector, "p2")


def test_the_warmth_fades_as_the_visit_goes_on() -> None:
    history = [event(1, 0, "p1")]
    visit = [event(10 + number, 2 * SESSION_GAP_MS + number * MINUTE, "p2") for number in range(5)]
    first, last = fold_all(history + visit[:1]), fold_all(history + visit)
    assert cosine(last.vector, "p1") < cosine(first.vector, "p1")


def test_the_older_a_visit_the_less_it_warms() -> None:
    fresh = fold_all([event(1, 0, "p1"), event(2, DAY, "p2")])
    faded = fold_all([event(1, 0, "p1"), event(2, 15 * DAY, "p2")])
    assert cosine(faded.vector, "p1") < cosine(fresh.vector, "p1")


def test_older_visits_speak_where_the_new_one_cannot_yet() -> None:
    session = fold_all([event(1, 0, "p1"), event(2, DAY, "unknown")])
    assert session.interests == ()
    assert cosine(session.vector, "p1") > 0.99


def test_a_visit_of_unknown_products_takes_nothing_from_the_others() -> None:
    known = [event(1, 0, "p1"), event(2, 2 * DAY, "p2")]
    unknown = event(3, DAY, "unknown")
    assert fold_all([*known, unknown]).vector == fold_all(known).vector


def test_what_lies_30_days_back_is_forgotten() -> None:
    events = [event(1, 0, "p1"), event(2, 1, "p2"), event(3, 30 * DAY, "p3"), event(4, 30 * DAY + 1, "p3")]
    assert [entry.product_id for entry in fold_all(events[:3]).events] == ["p1", "p2", "p3"]
    assert [entry.product_id for entry in fold_all(events).events] == ["p2", "p3", "p3"]
    assert fold_all(events) == fold_all(events[::-1])


def test_interests_are_the_newest_three_categories_and_weigh_one_together() -> None:
    session = fold_all([event(number, number * MINUTE, f"p{number}") for number in range(4)])
    assert {interest.category for interest in session.interests} == {"Lamps", "Tents", "Hats"}
    assert sum(interest.weight for interest in session.interests) == pytest.approx(1, abs=1e-5)
    heaviest = session.interests[0]
    assert heaviest.category == "Hats"
    assert session.events[heaviest.event].product_id == "p3"


def test_a_category_of_which_only_removals_speak_is_no_interest_and_takes_no_place() -> None:
    events = [event(number, number * MINUTE, f"p{number}") for number in range(3)]
    session = fold_all([*events, event(9, 4 * MINUTE, "p3", "remove_from_cart")])
    assert {interest.category for interest in session.interests} == {"Shoes", "Lamps", "Tents"}


def test_an_interest_points_to_the_products_of_its_category() -> None:
    session = fold_all([event(1, 0, "p1"), event(2, 1, "p2")])
    lamps = next(interest for interest in session.interests if interest.category == "Lamps")
    assert cosine(lamps.vector, "p1") > 0.99


def test_an_event_of_an_unknown_product_is_kept_and_joins_with_its_vector() -> None:
    session = fold_all([event(1, 0, "p1"), event(2, 1, "later"), event(3, 2, "later")])
    assert session.missing == (1, 2)
    assert session.missing_products == {"later"}
    vectors = replica()
    vectors.put(product(3, "later"), content(3))
    joined = compute_session("v", session.events, vectors, LAYOUT, TUNING)
    assert joined.missing == ()
    assert joined.vector != session.vector
    assert joined == fold_all([event(1, 0, "p1"), event(2, 1, "later"), event(3, 2, "later")], vectors)


def test_a_session_of_another_layout_is_computed_anew_by_any_event() -> None:
    events = [event(1, 0, "p1"), event(2, MINUTE, "p2")]
    former = msgspec.structs.replace(fold_all(events), layout="v0/other", vector=b"x", interests=())
    assert fold(former, events[0], VECTORS, LAYOUT, TUNING) == fold_all(events)
    assert fold_all(events).layout == form(LAYOUT)


def test_an_order_of_several_items_is_an_entry_a_product() -> None:
    order = Event(
        event_id="00000000-0000-4000-8000-000000000001",
        type="purchase",
        visitor_id="v",
        occurred_at=1,
        items=(Item("p1"), Item("p2"), Item("p1")),
    )
    assert [entry.product_id for entry in fold_all([order, order]).events] == ["p1", "p2"]


def test_of_a_huge_order_64_products_are_remembered() -> None:
    items = tuple(Item(f"p{number:04d}") for number in range(1500))
    order = msgspec.structs.replace(event(1, 1, type_="purchase"), product_id=None, items=items)
    assert [entry.product_id for entry in fold_all([order]).events] == [
        f"p{n:04d}" for n in range(1436, 1500)
    ]


def test_long_product_ids_leave_fewer_events_but_always_the_newest() -> None:
    events = [event(number, number, "ß" * 120 + f"{number:08d}") for number in range(64)]
    session = fold_all(events)
    assert len(session.events) == PRODUCT_IDS_BYTES_MAX // 248
    assert session.events[-1].occurred_at == 63
    assert session == fold_all(events[::-1])


def test_a_search_without_words_is_no_signal() -> None:
    assert fold_all([event(1, 0, type_="search")]) == Session("v")


@pytest.mark.parametrize("categories", [("Lamps", "Tents", "Shoes"), ("A" * 200, "B" * 200, "C" * 200)])
def test_a_full_session_of_1000_components_stays_below_12_kb(categories: tuple[str, str, str]) -> None:
    layout = Layout.of(484, 192)
    assert layout.width == 1000
    vectors = VectorReplica(layout)
    ids = [f"{number:024d}" for number in range(64)]
    for number, id_ in enumerate(ids):
        vectors.put(product(number, id_, categories[number % 3]), content(number, layout))
    visitor = "f7a3b1de-6c1d-4d8e-9f53-5a8a3f3f3c11"
    session = Session(visitor)
    for number, id_ in enumerate(ids):
        session = fold(session, event(number, number * 10 * MINUTE, id_), vectors, layout, TUNING)
    assert len(session.events) == SESSION_EVENTS_MAX
    assert len(session.interests) == 3
    assert len(encode(session)) < 8_500
    for packed in (session.vector, *(interest.vector for interest in session.interests)):
        lengths = [np.linalg.norm(unpack_direction(packed, layout)[span]) for span in layout.slices.values()]
        assert np.allclose(lengths, 1)


def test_the_arrangement_in_memory_changes_no_byte() -> None:
    class Shifted(VectorReplica):
        """Rows that begin at an odd address of memory."""

        def matrix(self, product_ids: Sequence[str]) -> tuple[Matrix, list[bool]]:
            rows, known = super().matrix(product_ids)
            room = np.empty(rows.size + 1, dtype=np.float32)
            shifted = room[1:].reshape(rows.shape)
            shifted[:] = rows
            return shifted, known

    vectors = Shifted(LAYOUT)
    for number in range(20):
        vectors.put(product(number), content(number))
    for count in range(1, 40, 3):
        events = [event(number, number * MINUTE, f"p{number % 20}") for number in range(count)]
        assert encode(fold_all(events, vectors)) == encode(fold_all(events))
