"""The index of past sessions: what is found, newest first, and what is counted."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.model.session_index import PER, SessionIndex, build_index, extend_index
from tests.support.session_indexes import PRODUCTS, histories, index_of


def sessions_of(index: SessionIndex, product: int) -> list[int]:
    places = index.places[index.place_starts[product] : index.place_starts[product + 1]]
    return [int(index.session_of[place]) for place in places]


@given(histories, st.integers(1, 5))
def test_a_products_newest_sessions_are_found_newest_first(sessions: list[list[int]], newest: int) -> None:
    index = index_of(sessions, newest)
    for product in range(PRODUCTS):
        with_it = [number for number, session in enumerate(sessions) if product in session]
        assert sessions_of(index, product) == with_it[::-1][:newest]


@given(histories)
def test_a_place_is_the_products_last_in_its_session(sessions: list[list[int]]) -> None:
    index = index_of(sessions)
    for product in range(PRODUCTS):
        for place in index.places[index.place_starts[product] : index.place_starts[product + 1]]:
            session = index.session_of[place]
            later = index.items[place + 1 : index.starts[session + 1]]
            assert index.items[place] == product
            assert product not in later


@given(histories)
def test_counts_are_per_ten_thousand_sessions(sessions: list[list[int]]) -> None:
    index = index_of(sessions)
    for product in range(PRODUCTS):
        assert index.support[product] == sum(product in session for session in sessions)
        events = sum(session.count(product) for session in sessions)
        assert np.isclose(index.popularity[product], events * PER / len(sessions))
        assert index.trend[product] <= index.season[product] <= index.popularity[product]


def test_what_nobody_clicked_is_there_and_empty() -> None:
    index = index_of([[0, 1]])
    assert index.products == PRODUCTS
    assert sessions_of(index, 5) == []
    assert (index.support[5], index.last[5], index.first[5]) == (0, -1, 1)


def test_no_sessions_are_an_index_too() -> None:
    index = build_index(np.empty(0, np.int32), np.zeros(1, np.int64), 0, 10)
    assert (index.sessions, index.products) == (0, 0)


def test_it_travels_as_arrays() -> None:
    index = index_of([[0, 1], [1, 2, 1]])
    again = SessionIndex.of(index.arrays())
    assert all(np.array_equal(one, other) for one, other in zip(index, again, strict=True))


@given(histories, histories, st.integers(1, 5))
def test_extended_is_what_all_sessions_together_give(
    old: list[list[int]], new: list[list[int]], newest: int
) -> None:
    grown, whole = extend_index(index_of(old), new, newest), index_of(old + new, newest)
    assert all(np.array_equal(one, other) for one, other in zip(grown, whole, strict=True))
