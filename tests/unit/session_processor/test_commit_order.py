"""Within a partition: acknowledged in order, whatever is done first; a gap is noticed."""

import random
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.session_processor.commit_order import PartitionOrder, SkippedEvents


@given(st.lists(st.integers(0, 2), max_size=60), st.randoms(use_true_random=False))
def test_acknowledged_in_order_and_never_before_an_elder_is_done(
    partitions: list[int], chance: random.Random
) -> None:
    order, acknowledged = PartitionOrder(), list[tuple[int, int]]()
    offsets = dict.fromkeys(range(3), 0)
    under_way = []
    for partition in partitions:
        place = (partition, offsets[partition])
        offsets[partition] += 1
        under_way.append((place, order.track(*place, partial(acknowledged.append, place))))
    done: set[tuple[int, int]] = set()
    chance.shuffle(under_way)
    for place, taken in under_way:
        done.add(place)
        order.complete(taken)
        for partition in range(3):
            told = [offset for number, offset in acknowledged if number == partition]
            assert told == list(range(len(told)))
            assert (partition, len(told)) not in done
    assert len(acknowledged) == len(partitions)


def test_a_gap_is_noticed_and_says_where() -> None:
    order = PartitionOrder()
    order.track(4, 14, lambda: None)
    with pytest.raises(SkippedEvents, match=r"partition 4 .* offset 17, 15 was next"):
        order.track(4, 17, lambda: None)


def test_what_comes_again_is_taken_again() -> None:
    order = PartitionOrder()
    for offset in (7, 8, 9, 7, 8, 9, 10):
        order.track(0, offset, lambda: None)


def test_after_a_rebalance_a_partition_goes_on_where_it_was_said_to() -> None:
    order = PartitionOrder()
    order.track(0, 7, lambda: None)
    order.reset({0: 100, 1: 5})
    order.track(0, 100, lambda: None)
    with pytest.raises(SkippedEvents, match=r"partition 1 .* offset 6, 5 was next"):
        order.track(1, 6, lambda: None)


def test_a_gap_in_which_nothing_lies_is_passed_over() -> None:
    order = PartitionOrder()
    order.track(2, 7, lambda: None)
    order.skip(2, 9)
    order.track(2, 9, lambda: None)
    order.skip(2, 3)  # told late
    assert order.next_offsets == {2: 10}
