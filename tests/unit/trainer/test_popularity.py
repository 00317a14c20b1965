"""The popularity that a model must beat, counted by hand."""

import pytest

from services.trainer import popularity
from services.trainer.cases import Case
from tests.support.histories import histories

FOUND = histories((1, "aab"), (2, "abc"), (3, "ca"), (4, "d"))  # a 4, b 2, c 2, d 1


def test_the_most_popular_come_first_and_ties_by_name() -> None:
    assert popularity.most_popular(FOUND) == ("a", "b", "c", "d")
    assert popularity.most_popular(FOUND, 2) == ("a", "b")
    assert popularity.most_popular(histories()) == ()


def test_everybody_gets_the_same_products() -> None:
    cases = [Case(("d",), "a"), Case(("d",), "c"), Case(("a",), "new"), Case(("a", "b"), "a")]
    found = popularity.measure_popularity(FOUND, cases)
    assert found.hr_20 == pytest.approx(3 / 4)
    assert found.mrr_20 == pytest.approx((1 + 1 / 3 + 0 + 1) / 4)
    assert (found.cases, found.coverage) == (4, 1.0)
    assert found.popularity_bias == pytest.approx(0.5)  # all four of four products


def test_no_cases_and_no_products_are_zero() -> None:
    found = popularity.measure_popularity(histories(), [])
    assert (found.hr_20, found.mrr_20, found.coverage, found.cases) == (0, 0, 0, 0)
