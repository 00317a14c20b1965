"""Candidates of one order become lists that take turns: an interest's, and that of all else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.recommender.pipeline.behaviour_candidates import by_interest
from services.recommender.pipeline.diversity import quotas

SHELVES = ("Shoes", "Lamps", "Tents", "Hats")


def test_a_candidate_goes_to_the_interest_of_its_category() -> None:
    shares = np.array([0.4, 0.3, 0.2, 0.1], dtype=np.float32)
    lists, weights = by_interest(
        "abcd", shares, ["Lamps", "Hats", "Shoes", ""], {"Shoes": 0.75, "Lamps": 0.25}, 5
    )
    assert [[hit.product_id for hit in each] for each in lists] == [["c"], ["a"], ["b", "d"]]
    assert lists[0][0].score == pytest.approx(0.2)
    assert weights == pytest.approx([0.75 * 0.6, 0.25 * 0.6, 0.4])


def test_without_interests_there_is_one_list() -> None:
    lists, weights = by_interest("ab", np.array([0.5, 0.5], dtype=np.float32), ["Hats", "Shoes"], {}, 5)
    assert [[hit.product_id for hit in each] for each in lists] == [["a", "b"]]
    assert weights == pytest.approx([1])


def test_no_candidates_make_empty_lists() -> None:
    lists, _ = by_interest([], np.empty(0, dtype=np.float32), [], {"Shoes": 1.0}, 5)
    assert lists == [[], []]


@given(st.lists(st.sampled_from(SHELVES), min_size=1, max_size=80), st.integers(1, 12))
def test_lists_keep_the_order_and_are_as_long_as_their_weight_needs(shelves: list[str], k: int) -> None:
    ids = [str(number) for number in range(len(shelves))]
    shares = np.full(len(ids), 1 / len(ids), dtype=np.float32)
    lists, weights = by_interest(ids, shares, shelves, {"Shoes": 0.6, "Lamps": 0.4}, k)
    assert sum(weights) == pytest.approx(1)
    for found, most in zip(lists, quotas(weights, k), strict=True):
        places = [int(hit.product_id) for hit in found]
        assert places == sorted(places)
        assert len(places) <= most
