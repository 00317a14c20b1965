"""What counts as popular: each event once, halved with its age, whatever the order of arrival."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.sessions import KIND_OF, SessionEvent
from services.model.session import Tuning, merge_events
from services.recommender.popularity import Popularity

HALF_LIFE = 1000.0
WEIGHTS = Tuning().kind_weights


def popularity() -> Popularity:
    return Popularity(HALF_LIFE, WEIGHTS)


def event(number: int, at: int, product_id: str = "a", type_: str = "purchase") -> SessionEvent:
    return SessionEvent(at, bytes([number] * 16), product_id, KIND_OF[type_])  # type: ignore[index]


def test_an_event_counts_half_after_each_half_life() -> None:
    counted = popularity()
    assert counted.update([], [event(1, 5000)])
    assert counted.counts(5000) == {"a": 1.0}
    assert counted.counts(6000) == pytest.approx({"a": 0.5})
    assert counted.counts(8000) == pytest.approx({"a": 0.125})


def test_events_of_different_ages_add_up() -> None:
    counted = popularity()
    counted.update([], [event(1, 1000), event(2, 2000)])
    assert counted.counts(3000) == pytest.approx({"a": 0.25 + 0.5})


def test_types_weigh_as_in_sessions_and_what_is_taken_out_of_a_cart_stays_as_popular() -> None:
    counted = popularity()
    counted.update([], [event(1, 0, "seen", "view_item"), event(2, 0, "put", "add_to_cart")])
    assert counted.counts(0) == pytest.approx({"seen": 0.5, "put": 0.7})
    taken = [event(2, 0, "put", "add_to_cart"), event(3, 1, "put", "remove_from_cart")]
    assert counted.update(taken[:1], taken)
    assert counted.counts(0)["put"] == pytest.approx(0.7)
    only = popularity()
    only.update([], [event(1, 0, "x", "remove_from_cart")])
    assert only.counts(0) == {}


def test_an_event_of_several_products_counts_for_each() -> None:
    counted = popularity()
    counted.update([], [event(1, 0, "a"), event(1, 0, "b")])
    assert counted.counts(0) == {"a": 1.0, "b": 1.0}


def test_what_was_counted_is_not_counted_again_and_what_is_forgotten_stays() -> None:
    counted = popularity()
    first, second, third = event(1, 0), event(2, 0), event(3, 0)
    counted.update([], [first, second])
    assert not counted.update([first, second], [first, second])
    assert counted.update([first, second], [second, third])
    assert counted.counts(0) == {"a": 3.0}
    assert not counted.update([second, third], [])
    # The same event told with another time is the same event.
    assert not counted.update([third], [event(3, 500)])


def click(number: int, at: int, product_id: str = "a") -> SessionEvent:
    return event(number, at, product_id, "select_item")


def view(number: int, at: int, product_id: str = "a") -> SessionEvent:
    return event(number, at, product_id, "view_item")


def test_a_click_counts_at_once_and_the_view_that_follows_takes_its_place() -> None:
    counted = popularity()
    other = view(1, 0, "b")
    assert counted.update([other], [other, click(2, 1000)])
    assert counted.counts(1000)["a"] == pytest.approx(0.5)
    assert counted.update([other, click(2, 1000)], [other, view(3, 2000)])
    assert counted.counts(2000)["a"] == pytest.approx(0.5)
    assert not counted.update([other, view(3, 2000)], [other, view(3, 2000)])
    assert counted.counts(2000)["a"] == pytest.approx(0.5)


def test_the_click_that_gave_way_may_be_the_oldest_of_its_session() -> None:
    counted = popularity()
    counted.update([], [click(1, 0), view(2, 10, "b")])
    counted.update([click(1, 0), view(2, 10, "b")], [view(2, 10, "b"), view(3, 1000)])
    assert counted.counts(1000)["a"] == pytest.approx(0.5)


def test_a_click_that_was_forgotten_stays_counted() -> None:
    counted = popularity()
    counted.update([], [click(1, 0), view(2, 0, "b")])
    counted.update([click(1, 0), view(2, 0, "b")], [view(2, 0, "b"), view(3, 0, "c")])
    assert counted.counts(0)["a"] == pytest.approx(0.5)


def test_clicks_that_count_nothing_or_beside_their_views_are_not_taken_back() -> None:
    left_out = Popularity(HALF_LIFE, Tuning({"select_item": 0.0, "view_item": 0.5}).kind_weights)
    beside = Popularity(HALF_LIFE, WEIGHTS, clicks_give_way=False)
    for counted in (left_out, beside):
        counted.update([], [click(1, 0)])
        counted.update([click(1, 0)], [click(1, 0), view(2, 0)])
        counted.update([click(1, 0), view(2, 0)], [view(2, 0), view(3, 0, "b")])
    assert left_out.counts(0) == pytest.approx({"a": 0.5, "b": 0.5})
    assert beside.counts(0) == pytest.approx({"a": 1.0, "b": 0.5})


@given(
    st.lists(
        st.tuples(
            st.integers(0, 20_000),
            st.sampled_from("abc"),
            st.sampled_from(["select_item", "select_item", "view_item", "purchase"]),
        ),
        max_size=20,
    )
)
def test_in_the_end_what_gave_way_is_not_counted_whichever_came_first(
    done: list[tuple[int, str, str]],
) -> None:
    counted, known = popularity(), tuple[SessionEvent, ...](())
    arrived = [event(number, at, product_id, type_) for number, (at, product_id, type_) in enumerate(done)]
    for each in arrived:
        after = merge_events(known, [each], Tuning())
        counted.update(known, after)
        known = after
    expected: dict[str, float] = {}
    for each in known:  # less than a session holds
        age = 30_000 - each.occurred_at
        mass = WEIGHTS[each.kind] * 2 ** (-age / HALF_LIFE)
        expected[each.product_id] = expected.get(each.product_id, 0.0) + mass
    assert counted.counts(30_000) == pytest.approx(expected)


def test_a_clock_that_is_behind_the_events_does_not_blow_them_up() -> None:
    counted = popularity()
    counted.update([], [event(1, 10_000_000)])
    assert counted.counts(0) == {"a": 1.0}


def test_the_very_old_is_nothing_beside_the_new_and_breaks_nothing() -> None:
    counted = popularity()
    counted.update([], [event(1, 0)])
    counted.update([], [event(2, 2**52)])
    assert counted.counts(2**52) == {"a": 1.0}
    assert counted.counts(2**53)["a"] == pytest.approx(0.0)


events = st.lists(
    st.builds(
        event,
        st.integers(0, 255),
        st.integers(0, 20_000),
        st.sampled_from("abc"),
        st.sampled_from(["view_item", "add_to_cart", "remove_from_cart", "purchase"]),
    ),
    max_size=20,
    unique_by=lambda each: (each.identity, each.product_id),
)


@given(events, st.data())
def test_order_of_arrival_and_duplicates_change_nothing(
    told: list[SessionEvent], data: st.DataObject
) -> None:
    at_once, one_by_one = popularity(), popularity()
    at_once.update([], told)
    known: list[SessionEvent] = []
    for each in data.draw(st.permutations([*told, *told[::2]])):
        after = [*known, each] if each not in known else known
        one_by_one.update(known, after)
        known = after
    expected: dict[str, float] = {}
    for each in told:
        if (weight := WEIGHTS[each.kind]) > 0:
            age = 30_000 - each.occurred_at
            expected[each.product_id] = expected.get(each.product_id, 0.0) + weight * 2 ** (-age / HALF_LIFE)
    assert at_once.counts(30_000) == pytest.approx(expected)
    assert one_by_one.counts(30_000) == pytest.approx(expected)
