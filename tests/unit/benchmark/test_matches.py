"""Which push shows which event: named, coalesced into a later one, or lost; and what is counted from when."""

import msgspec
import numpy as np
import pytest

from schemas.live import Recommendations, Timing
from tests.benchmark.matches import STAGES, growth_s, latencies, match_pushes, stages
from tests.benchmark.recording import Push, Recording, SentEvent
from tests.benchmark.spread import Spread
from tests.benchmark.window import Window

UNIX_S = 1_700_000_000.0  # perf_counter's 0 in these tests


def send(visitor: int, event_id: str, due: float, late: float = 0.0) -> SentEvent:
    return SentEvent(visitor, event_id, due, due + late, due + late + 0.002, 202)


def message(caused_by: str | None, at: float) -> bytes:
    """A push as the recommender encodes it."""
    timing = Timing(
        pushed_at=(UNIX_S + at) * 1000 - 1,
        accepted_at=(UNIX_S + at) * 1000 - 9,
        folded_at=(UNIX_S + at) * 1000 - 4,
    )
    return msgspec.json.encode(
        Recommendations(
            slot="for_you", seq=1, items=(), models={"text": "m"}, caused_by=caused_by, timing=timing
        )
    )


def push(visitor: int, caused_by: str, at: float) -> Push:
    found = Push.of(visitor, at, message(caused_by, at))
    assert found is not None
    return found


def recording(*events: SentEvent, pushes: list[Push], ended: float = 10.0) -> Recording:
    return Recording(3.0, 0.0, ended, UNIX_S, events, pushes, 0)


def test_a_push_is_read_without_parsing_its_items() -> None:
    found = push(3, "e1", 1.0)
    assert (found.visitor, found.caused_by) == (3, "e1")
    assert found.timing.pushed_at == pytest.approx((UNIX_S + 1) * 1000 - 1)


def test_a_row_that_no_event_caused_is_none_of_ours() -> None:
    assert Push.of(1, 1.0, message(None, 1.0)) is None


def test_an_event_counts_at_the_first_push_that_names_it() -> None:
    found = match_pushes([send(0, "a", 0.0)], [push(0, "a", 0.5), push(0, "a", 0.9)])
    assert found.at.tolist() == [0.5]
    assert found.named.all()


def test_an_unnamed_event_counts_at_the_first_push_of_a_later_one() -> None:
    events = [send(0, "a", 0.0), send(0, "b", 0.1), send(0, "c", 0.2)]
    found = match_pushes(events, [push(0, "b", 0.5), push(0, "c", 0.6)])
    assert found.at.tolist() == [0.5, 0.5, 0.6]
    assert found.named.tolist() == [False, True, True]


def test_what_an_earlier_event_or_another_visitor_caused_shows_nothing() -> None:
    events = [send(0, "a", 0.0), send(0, "b", 0.1), send(1, "c", 0.2)]
    found = match_pushes(events, [push(0, "a", 0.5), push(1, "c", 0.6)])
    assert found.lost.tolist() == [False, True, False]


def test_later_is_what_was_sent_later_not_what_was_due_later() -> None:
    events = [send(0, "a", 0.0, late=0.5), send(0, "b", 0.1)]
    found = match_pushes(events, [push(0, "b", 0.3)])
    assert found.lost.tolist() == [True, False]


def test_what_the_session_holds_in_the_end_was_in_its_last_row_whichever_event_that_names() -> None:
    events = [send(0, "a", 0.0), send(0, "b", 0.1), send(0, "c", 0.2), send(1, "d", 0.3)]
    pushes = [push(0, "a", 0.5), push(0, "b", 0.6)]
    assert match_pushes(events, pushes).lost.tolist() == [False, False, True, True]
    found = match_pushes(events, pushes, {"c", "d"})
    assert found.at.tolist()[:3] == [0.5, 0.6, 0.6]
    assert found.lost.tolist() == [False, False, False, True]  # nothing was ever shown to the other visitor


def test_time_counts_from_when_the_post_was_due_and_a_lost_event_waits_to_the_end() -> None:
    late = recording(send(0, "a", 1.0, late=0.4), send(0, "b", 2.0), pushes=[push(0, "a", 1.5)])
    found = match_pushes(late.events, late.pushes)
    assert latencies(late, found).tolist() == [0.5, 8.0]


def test_the_stages_of_a_way_add_up_to_the_whole() -> None:
    one = recording(send(0, "a", 1.0, late=0.001), pushes=[push(0, "a", 1.02)])
    found = match_pushes(one.events, one.pushes)
    parts = stages(one, found)
    assert tuple(parts) == STAGES
    assert sum(float(part[0]) for part in parts.values()) == pytest.approx(0.02, abs=1e-5)
    assert parts["generator late"][0] == pytest.approx(0.001)
    assert parts["folded"][0] == pytest.approx(0.005, abs=1e-5)


def test_nothing_was_pushed() -> None:
    silent = recording(send(0, "a", 1.0), pushes=[])
    window = Window.of(1, silent, {})
    assert window.lost == 1
    assert window.stages["folded"] == Spread(0, 0.0, 0.0, 0.0, 0.0)
    assert "on no page" in str(window.not_held_because)


def even(rate: int, waits: np.ndarray) -> Recording:
    """Events of one visitor each, evenly over 3 s."""
    times = np.arange(3 * rate) / rate
    events = [send(number, f"e{number}", float(at)) for number, at in enumerate(times)]
    pushes = [
        push(number, f"e{number}", float(at + wait))
        for number, (at, wait) in enumerate(zip(times, waits, strict=True))
    ]
    return recording(*events, pushes=pushes)


def test_a_rate_is_held_where_the_wait_stays_the_same() -> None:
    steady = Window.of(20, even(20, np.full(60, 0.02)), {})
    assert steady.not_held_because is None
    assert steady.event_to_push.p50 == pytest.approx(20, abs=0.01)
    assert (steady.sent, steady.accepted, steady.coalesced, steady.lost) == (60, 60, 0, 0)


def test_a_growing_wait_is_a_growing_backlog() -> None:
    growing = even(20, np.linspace(0.0, 0.3, 60))
    assert growth_s(growing, np.linspace(0.0, 0.3, 60)) == pytest.approx(0.2, abs=0.01)
    assert "backlog grew" in str(Window.of(20, growing, {}).not_held_because)


def test_a_refused_event_means_that_the_rate_was_not_held() -> None:
    refused = even(20, np.full(60, 0.02))
    refused.events[7].status = 503
    assert "1 of 60 events were not answered 202" in str(Window.of(20, refused, {}).not_held_because)
