"""Candidates of one order become lists that take turns: an interest's, and that of all else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.recommender.pipeline.behaviour_candidates import by_interest
from services.recommender.pipeline.candidate_list import CandidateList
from services.recommender.pipeline.diversity import quotas

SHELVES = ("Shoes", "Lamps", "Tents", "Hats")


def split(
    names: str, shares: list[float], shelves: list[str], interests: dict[str, float], k: int
) -> tuple[list[list[str]], list[CandidateList], list[float]]:
    """The names in each list, the lists, and their weights."""
    candidates = CandidateList(np.arange(len(names), dtype=np.int32), np.array(shares, dtype=np.float32))
    codes = np.array([SHELVES.index(shelf) for shelf in shelves], dtype=np.int32)
    wanted = [(SHELVES.index(shelf), weight) for shelf, weight in interests.items()]
    lists, weights = by_interest(candidates, codes, wanted, k)
    return [[names[number] for number in each.numbers] for each in lists], lists, weights


def test_a_candidate_goes_to_the_interest_of_its_category() -> None:
    shelves = ["Lamps", "Hats", "Shoes", "Tents"]
    names, lists, weights = split("abcd", [0.4, 0.3, 0.2, 0.1], shelves, {"Shoes": 0.75, "Lamps": 0.25}, 5)
    assert names == [["c"], ["a"], ["b", "d"]]
    assert lists[0].scores[0] == pytest.approx(0.2)
    assert weights == pytest.approx([0.75 * 0.6, 0.25 * 0.6, 0.4])


def test_without_interests_there_is_one_list() -> None:
    names, _, weights = split("ab", [0.5, 0.5], ["Hats", "Shoes"], {}, 5)
    assert names == [["a", "b"]]
    assert weights == pytest.approx([1])


def test_no_candidates_make_empty_lists() -> None:
    assert split("", [], [], {"Shoes": 1.0}, 5)[0] == [[], []]


@given(st.lists(st.sampled_from(SHELVES), min_size=1, max_size=80), st.integers(1, 12))
def test_lists_keep_the_order_and_are_as_long_as_their_weight_needs(shelves: list[str], k: int) -> None:
    names = "".join(map(chr, range(32, 32 + len(shelves))))
    shares = [1 / len(names)] * len(names)
    found, _, weights = split(names, shares, shelves, {"Shoes": 0.6, "Lamps": 0.4}, k)
    assert sum(weights) == pytest.approx(1)
    for each, most in zip(found, quotas(weights, k), strict=True):
        assert each == sorted(each)
        assert len(each) <= most
