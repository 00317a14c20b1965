"""Which partition an event has to lie on, and which of those that lie elsewhere are history."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.topics import EVENTS
from services.kafka.ranges import partition_of
from services.session_processor.dead_letters import BadEvent, check_place

KEYS = st.text(min_size=1, max_size=40).map(str.encode)
COUNTS = st.integers(EVENTS.partitions, 64)


@given(KEYS, COUNTS)
def test_the_partition_of_the_key_is_the_place_of_an_event(key: bytes, partitions: int) -> None:
    assert check_place(key, partition_of(key, partitions), partitions)


@given(KEYS, COUNTS, st.data())
def test_only_where_partitions_were_added_an_earlier_place_is_history(
    key: bytes, partitions: int, data: st.DataObject
) -> None:
    partition = data.draw(st.integers(0, partitions - 1))
    belongs, belonged = partition_of(key, partitions), partition_of(key, EVENTS.partitions)
    if partition == belongs:
        assert check_place(key, partition, partitions)
    elif partition == belonged and partitions > EVENTS.partitions:
        assert not check_place(key, partition, partitions)
    else:
        with pytest.raises(BadEvent, match="set partitioner=murmur2_random in its producer"):
            check_place(key, partition, partitions)
