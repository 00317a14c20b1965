"""The time between events is kept, on an injected clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ops.replay.source import LOOK_EVERY_S, Pace
from tests.support.clock import Clock


def make_pace(speed: float | None, clock: Clock, looks: list[float] | None = None) -> Pace:
    seen = [] if looks is None else looks
    return Pace(speed, clock=clock, sleep=clock.sleep, meanwhile=lambda: seen.append(clock.now))


@given(
    times=st.lists(st.integers(0, 10_000_000), min_size=1).map(sorted),
    speed=st.floats(0.1, 1000),
)
def test_each_event_leaves_when_its_share_of_the_time_has_passed(times: list[int], speed: float) -> None:
    clock = Clock(100)
    pace = make_pace(speed, clock)

    for at in times:
        pace.wait_for(at)
        assert clock.now == pytest.approx(100 + (at - times[0]) / 1000 / speed)
    assert pace.late_p99_s == pytest.approx(0, abs=1e-3)


def test_what_is_late_delays_nothing_after_it() -> None:
    clock = Clock(100)
    pace = make_pace(1, clock)
    pace.wait_for(0)
    clock.now += 3  # the broker did not take it at once

    pace.wait_for(1_000)
    assert clock.now == 103
    pace.wait_for(5_000)

    assert clock.now == 105
    assert pace.late_p99_s == pytest.approx(2, rel=0.05)


def test_an_event_older_than_one_before_it_is_due_at_once() -> None:
    clock = Clock(100)
    pace = make_pace(1, clock)
    for at in (0, 4_000, 1_000):
        pace.wait_for(at)

    assert clock.now == 104


def test_who_is_fed_is_looked_at_while_nothing_is_due() -> None:
    clock, looks = Clock(100), list[float]()
    pace = make_pace(2, clock, looks)
    pace.wait_for(0)
    pace.wait_for(10_000)

    assert len(looks) == 5 / LOOK_EVERY_S


def test_at_full_speed_nothing_is_waited_for() -> None:
    clock = Clock(100)
    pace = make_pace(None, clock)
    for at in (0, 10_000_000):
        pace.wait_for(at)

    assert (clock.now, pace.late_p99_s, pace.is_max) == (100, None, True)
