"""What an event counts: by type, rank and age in its visit; in the slow profile; in its interest."""

import numpy as np
import pytest

from schemas.sessions import SESSION_GAP_MS, SessionEvent
from services.model.session import Tuning, event_weights, likings, signals, slow_weights, visits, weigh
from tests.support.sessions import DAY, TUNING, event


def entries(*times: int) -> list[SessionEvent]:
    return [entry for number, at in enumerate(times) for entry in signals(event(number, at), TUNING)]


def test_thirty_minutes_of_silence_start_a_new_visit() -> None:
    events = entries(0, SESSION_GAP_MS, 2 * SESSION_GAP_MS + 1)
    assert visits(events, SESSION_GAP_MS) == [0, 2]


def test_a_shop_may_end_visits_sooner() -> None:
    assert visits(entries(0, 1000, 3000), gap_ms=1500) == [0, 2]


def test_weights_halve_by_rank_and_by_age() -> None:
    older, newest = event_weights(entries(0, int(TUNING.half_life_age_ms)), [0], TUNING)
    assert newest == 0.5
    assert older == pytest.approx(0.5 * 2 ** (-1 / TUNING.half_life_rank) / 2)


def test_rank_and_age_are_counted_within_a_visit() -> None:
    assert event_weights(entries(0, DAY), [0, 1], TUNING) == [0.5, 0.5]


def test_each_older_visit_counts_alike_in_the_slow_profile_whatever_its_length() -> None:
    events = entries(0, 1, 2, 2 * SESSION_GAP_MS, 4 * SESSION_GAP_MS)
    weights = event_weights(events, [0, 3, 4], TUNING)
    slow = slow_weights(events, [0, 3, 4], weights, TUNING)
    assert len(slow) == 4  # the current visit has no part in it
    assert sum(slow[:3]) == pytest.approx(slow[3], rel=0.01)
    assert sum(slow) == pytest.approx(TUNING.slow_weight)


def test_an_older_visit_counts_half_after_14_days_and_a_lonely_one_too() -> None:
    tuning = Tuning(idle_ms=100 * DAY)
    two, one = entries(0, 14 * DAY, 28 * DAY), entries(0, 28 * DAY)
    first, second = slow_weights(two, [0, 1, 2], [0.5, 0.5, 0.5], tuning)
    assert first == pytest.approx(second / 2)
    assert slow_weights(one, [0, 1], [0.5, 0.5], tuning)[0] == pytest.approx(tuning.slow_weight / 4)


def test_a_visit_of_unknown_products_takes_nothing_from_the_others() -> None:
    slow = slow_weights(entries(0, DAY, 2 * DAY), [0, 1, 2], [0.0, 0.5, 0.5], TUNING)
    assert slow[0] == 0
    assert slow[1] > 0.9 * TUNING.slow_weight


def test_the_newest_categories_that_weigh_more_than_nothing_are_liked() -> None:
    categories = ["older", "a", None, "b", "removed", "a"]
    liked = likings(1, categories, [9.0, 1.0, 7.0, 0.5, -0.5, 2.0], 2)
    assert liked == [("a", [5, 1], 5, round(3 / 3.5, 6)), ("b", [3], 3, round(0.5 / 3.5, 6))]


def test_of_equal_categories_the_first_in_the_alphabet_comes_first() -> None:
    liked = likings(0, ["b", "a"], [1.0, 1.0], 3)
    assert [liking.category for liking in liked] == ["a", "b"]


def test_an_event_counts_in_the_session_and_in_its_category() -> None:
    tuning = Tuning(half_life_rank=1e9, half_life_age_ms=1e15, interests_max=2)
    rows, liked = weigh(entries(0, 1, 2, 3), ["a", "b", "a", None], [3], tuning)
    assert [liking.category for liking in liked] == ["a", "b"]
    assert rows == pytest.approx(np.array([[0.5, 0.5, 0.5, 0], [0.5, 0, 0.5, 0], [0, 0.5, 0, 0]]))
    assert [liking.heaviest for liking in liked] == [2, 1]


def test_each_liking_has_its_part_of_the_older_visits() -> None:
    rows, liked = weigh(entries(0, DAY, DAY + 1), ["old", "a", "b"], [], TUNING)
    assert rows[0, 0] > 0
    for row, liking in zip(rows[1:], liked, strict=True):
        assert row[0] == pytest.approx(liking.share * rows[0, 0])
    assert [liking.heaviest for liking in liked] == [2, 1]
