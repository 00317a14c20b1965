"""Intervals cover the truth as often as they say, an A/A test is quiet, and zeros make no trouble."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped]

from services.ops.experiments.statistics import (
    Count,
    Estimate,
    ratio,
    ratio_lift,
    sample_ratio,
    share,
    share_lift,
)
from services.ops.experiments.sums import GROUPS, Sums
from tests.support.examples import examples

SEEDS = range(60)


def rows_and_clicks(rng: np.random.Generator, people: int, click: float) -> Sums:
    """Everyone sees a number of rows, and clicks with a taste of their own, `click` in the mean."""
    shown = rng.integers(1, 12, people)
    taste = rng.beta(4 * click, 4 * (1 - click), people)
    return Sums(rng.binomial(shown, taste).astype(float), shown.astype(float))


def test_the_interval_of_a_share_covers_the_truth() -> None:
    rng = np.random.default_rng(1)
    found = [share(Count(int(rng.binomial(500, 0.07)), 500), 0.95) for _ in SEEDS]
    covering = sum(each.low <= 0.07 <= each.high for each in found if each.low and each.high)
    assert covering >= 52  # 57 expected; less than this comes once in 200


def test_the_interval_of_a_ratio_covers_the_truth_though_rows_of_a_person_depend_on_each_other() -> None:
    covering = naive = 0
    for seed in SEEDS:
        sums = rows_and_clicks(np.random.default_rng(seed), 150, 0.2)
        found = ratio(sums, 0.95)
        assert found.low is not None
        assert found.high is not None
        covering += found.low <= 0.2 <= found.high
        rows = stats.binomtest(int(sums.above.sum()), int(sums.below.sum())).proportion_ci(0.95, "wilson")
        naive += rows.low <= 0.2 <= rows.high
    assert covering >= 52
    assert naive < covering  # what rows as the unit would have claimed


def test_the_interval_of_a_lift_covers_the_truth() -> None:
    covering = 0
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        lift = ratio_lift(rows_and_clicks(rng, 150, 0.3), rows_and_clicks(rng, 150, 0.2), 0.95)
        assert lift.low is not None
        assert lift.high is not None
        covering += lift.low <= 0.5 <= lift.high
    assert covering >= 52


def test_an_a_a_test_is_seldom_significant() -> None:
    by_share = by_ratio = 0
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        ours, theirs = (rows_and_clicks(rng, 150, 0.2) for _ in range(2))
        by_ratio += ratio_lift(ours, theirs, 0.95).significant
        counts = [Count(int((each.above > 0).sum()), 150) for each in (ours, theirs)]
        by_share += share_lift(counts[0], counts[1], 0.95).significant
    assert by_share <= 8  # 3 expected
    assert by_ratio <= 8


def test_a_real_difference_is_found() -> None:
    rng = np.random.default_rng(3)
    lift = ratio_lift(rows_and_clicks(rng, 800, 0.3), rows_and_clicks(rng, 800, 0.2), 0.95)
    assert lift.significant
    assert lift.low is not None
    assert lift.low > 0
    shared = share_lift(Count(300, 1000), Count(200, 1000), 0.95)
    assert shared.significant
    assert shared.test == "chi-square"
    assert shared.value == pytest.approx(0.5)


def test_groups_of_persons_give_the_interval_of_persons() -> None:
    rng = np.random.default_rng(5)
    sums = rows_and_clicks(rng, 20 * GROUPS, 0.2)
    found = ratio(sums, 0.95)
    # The delta method: the variance of a ratio of means.
    residual = sums.above - sums.ratio * sums.below if sums.ratio else sums.above
    half = 1.96 * residual.std() / len(residual) ** 0.5 / sums.below.mean()
    assert found.low is not None
    assert found.high is not None
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.1)


@examples(20)
@given(st.permutations(range(40)))
def test_the_order_of_persons_changes_nothing(order: list[int]) -> None:
    sums = rows_and_clicks(np.random.default_rng(1), 40, 0.3)
    assert ratio(Sums(sums.above[order], sums.below[order]), 0.95) == ratio(sums, 0.95)


def test_a_share_of_nobody_is_not_told() -> None:
    assert share(Count(0, 0), 0.95) == Estimate(None)
    assert share_lift(Count(0, 0), Count(3, 9), 0.95).value is None
    assert share_lift(Count(3, 9), Count(0, 0), 0.95).p_value is None


def test_a_lift_over_nothing_is_not_told_but_tested() -> None:
    lift = share_lift(Count(12, 100), Count(0, 100), 0.95)
    assert (lift.value, lift.low, lift.high) == (None, None, None)
    assert lift.significant
    gone = share_lift(Count(0, 100), Count(12, 100), 0.95)
    assert gone.value == -1
    assert share_lift(Count(0, 100), Count(0, 100), 0.95).p_value == 1
    assert share_lift(Count(9, 9), Count(8, 8), 0.95).p_value == 1


def test_few_are_tested_exactly() -> None:
    lift = share_lift(Count(3, 20), Count(1, 20), 0.95)
    assert lift.test == "fisher"
    assert not lift.significant


def test_draws_of_next_to_nobody_are_not_told() -> None:
    few = Sums(np.array([1.0, 0, 0, 1]), np.full(4, 3.0))
    many = Sums(np.ones(9), np.full(9, 3.0))
    assert ratio(few, 0.95) == Estimate(2 / 12)
    lift = ratio_lift(few, many, 0.95)
    assert lift.value == pytest.approx(-0.5)
    assert (lift.low, lift.p_value, lift.significant) == (None, None, False)
    nothing = Sums(np.zeros(9), np.full(9, 3.0))
    assert ratio_lift(many, nothing, 0.95).value is None
    assert ratio(Sums(np.zeros(0), np.zeros(0)), 0.95) == Estimate(None)


def test_the_first_variants_empty_draws_leave_the_lift_open() -> None:
    rare = Sums(np.array([1.0] * 5 + [0.0] * 400), np.ones(405))
    lift = ratio_lift(Sums(np.ones(50), np.ones(50)), rare, 0.9999)
    assert lift.low is not None
    assert lift.high is None


def test_sizes_against_shares() -> None:
    even = {"one": 0.5, "two": 0.5}
    fine, broken = (
        sample_ratio({"one": 5_010, "two": 4_990}, even),
        sample_ratio({"one": 5_200, "two": 4_800}, even),
    )
    assert fine is not None
    assert fine > 0.5
    assert broken is not None
    assert broken < 0.001
    part = sample_ratio({"one": 100, "two": 300}, {"one": 0.1, "two": 0.3})
    assert part == pytest.approx(1)  # shares need not add up to 1
    assert sample_ratio({}, even) is None
    assert sample_ratio({"one": 4}, {"one": 0.5, "two": 0}) is None
