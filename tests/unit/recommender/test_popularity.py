"""What counts as popular: each event once, halved with its age, whatever the order of arrival."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.sessions import KIND_OF, SessionEvent
from services.model.session import Tuning
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
