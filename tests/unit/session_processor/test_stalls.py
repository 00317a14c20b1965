"""A partition with unread events that does not move is noticed; one that moves, or is read whole, is not."""

from hypothesis import given
from hypothesis import strategies as st

from services.session_processor.stalls import StalledPartition, StallWatch

Look = tuple[int, int]  # the next offset, and how much is unread


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=20))
def test_a_partition_stands_still_since_its_last_step(looks: list[Look]) -> None:
    watch = StallWatch()
    for now, (place, unread) in enumerate(looks):
        watch.look({5: place + unread}, {5: place}, float(now))
    steps = [
        now
        for now, (place, unread) in enumerate(looks)
        if unread == 0 or now == 0 or looks[now - 1][0] != place
    ]
    expected = len(looks) - 1 - steps[-1]
    assert watch.still == ({5: expected} if expected else {})


def test_a_partition_of_another_worker_is_none_of_ours_and_a_new_deal_begins_anew() -> None:
    watch = StallWatch()
    for now in range(3):
        watch.look({0: 9, 1: 9}, {0: 4, 1: 4}, float(now))
    watch.look({1: 9}, {0: 4, 1: 4}, 3.0)
    assert watch.still == {1: 3.0}
    watch.reset()
    assert not watch.still
    watch.look({1: 9}, {1: 4}, 4.0)
    assert not watch.still


def test_the_end_of_a_worker_says_what_waits() -> None:
    assert "at offset 4 for 30 s while 5 events wait" in str(StalledPartition(1, 4, 9, 30))
