"""Where a key lies, and that only its messages are found, on the partition that holds it."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from schemas.topics import EVENTS
from services.kafka import ranges
from tests.support.messages import PartitionReader, StoredMessage


def spread(messages: Sequence[StoredMessage], partitions: int) -> list[list[StoredMessage]]:
    """The messages on the partitions that their keys belong to."""
    lying: list[list[StoredMessage]] = [[] for _ in range(partitions)]
    for message in messages:
        lying[ranges.partition_of(message.key() or b"", partitions)].append(message)
    return lying


def test_keys_lie_where_java_puts_them() -> None:
    # UtilsTest.testMurmur2 of Apache Kafka: murmur2 of these, made positive.
    told = {
        b"21": -973932308,
        b"foobar": -790332482,
        b"a-little-bit-long-string": -985981536,
        b"a-little-bit-longer-string": -1486304829,
        b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
        b"abc": 479470107,
    }
    for key, hashed in told.items():
        for partitions in (1, 4, 8, 12):
            assert ranges.partition_of(key, partitions) == (hashed & 0x7FFFFFFF) % partitions


def lying(key: bytes, at: int, value: bytes | None = b"{}") -> StoredMessage:
    return StoredMessage(key, value, at=at, topic=EVENTS.name)


KEYS = st.sampled_from([b"a", b"b", b"c", b"visitor-1", b"visitor-2"])
MESSAGES = st.lists(st.builds(lying, KEYS, st.integers(0, 100)), max_size=60)


@given(MESSAGES, st.sets(KEYS, min_size=1), st.integers(1, 8))
def test_all_messages_of_the_keys_are_found_in_their_order_and_no_others(
    messages: list[StoredMessage], keys: set[bytes], partitions: int
) -> None:
    reader = PartitionReader(spread(messages, partitions))
    found = list(ranges.of_keys(reader, EVENTS, keys))
    for key in keys:
        assert [each for each in found if each.key() == key] == [
            each for each in messages if each.key() == key
        ]
    assert {each.key() for each in found} <= keys
    assert reader.partitions_read <= {ranges.partition_of(key, partitions) for key in keys}


@given(MESSAGES, st.integers(2, 8))
def test_messages_from_before_a_topic_got_more_partitions_are_found_everywhere(
    messages: list[StoredMessage], partitions: int
) -> None:
    before = spread(messages, 1)
    reader = PartitionReader([*before, *([] for _ in range(partitions - 1))])
    found = list(ranges.of_keys(reader, EVENTS, [b"visitor-1"], everywhere=True))
    assert found == [each for each in messages if each.key() == b"visitor-1"]


def test_the_newest_is_the_last_of_its_partition_a_tombstone_too() -> None:
    messages = [lying(b"a", 5), lying(b"b", 1), lying(b"a", 3), lying(b"b", 2, None)]
    reader = PartitionReader([messages])
    found = ranges.newest_of_keys(reader, EVENTS, [b"a", b"b", b"c"])
    assert {key: (each.timestamp()[1], each.value()) for key, each in found.items()} == {
        b"a": (3, b"{}"),
        b"b": (2, None),
    }


def test_the_newest_of_several_partitions_is_that_of_the_latest_time() -> None:
    reader = PartitionReader([[lying(b"a", 9)], [lying(b"a", 3)]])
    assert ranges.newest_of_keys(reader, EVENTS, [b"a"], everywhere=True)[b"a"].timestamp()[1] == 9
