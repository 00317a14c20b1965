"""Percentiles, the drawn schedule, and a profile's summary."""

import numpy as np
import pytest

from tests.benchmark.arrivals import poisson
from tests.benchmark.profiles import summary
from tests.benchmark.spread import Spread


def test_percentiles_are_numpys_in_milliseconds() -> None:
    assert Spread.of(np.arange(101) / 1000) == Spread(101, 50.0, 90.0, 99.0, 100.0)


def test_nothing_has_no_spread() -> None:
    assert Spread.of(np.zeros(0)) == Spread(0, 0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("rate", [1, 100, 1000])
def test_arrivals_are_independent_and_as_many_as_asked_for(rate: int) -> None:
    due = poisson(rate, 30, np.random.default_rng(1))
    assert len(due) == pytest.approx(30 * rate, abs=4 * (30 * rate) ** 0.5)
    assert (np.diff(due) > 0).all()
    assert due[0] > 0
    assert due[-1] < 30
    gaps = np.diff(due)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.5)  # of an exponential distribution they are equal


def test_a_profile_is_summed_by_function() -> None:
    told = summary("main;fold;sort 6\nmain;fold 2\nmain;fold;fold 2\n")
    alone, together = told.split("cumulative\n")
    assert " 60.0%  sort" in alone
    assert " 40.0%  fold" in alone
    assert "100.0%  fold" in together
    assert "100.0%  main" in together
