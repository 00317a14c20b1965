"""Where a key lies, and that only its messages are found, on the partition that holds it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from schemas.topics import EVENTS, Topic
from services.kafka import ranges
from services.kafka.ranges import PastMessage, Span
from services.time_range import TimeRange


@dataclass(frozen=True)
class Letter:
    """A message in memory."""

    name: bytes | None
    at: int
    text: bytes | None = b"{}"

    def topic(self) -> str:
        return EVENTS.name

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return 0

    def key(self) -> bytes | None:
        return self.name

    def value(self) -> bytes | None:
        return self.text

    def timestamp(self) -> tuple[int, int]:
        return 1, self.at

    def headers(self) -> object:
        return []


class Shelf:
    """A topic in memory: messages by partition; remembers which partitions were read."""

    def __init__(self, partitions: Sequence[Sequence[Letter]]) -> None:
        self.partitions = partitions
        self.read_of: set[int] = set()

    def spans(self, topic: Topic, _times: TimeRange = TimeRange()) -> list[Span]:  # noqa: B008 - frozen
        return [Span(topic.name, number, 0, len(each)) for number, each in enumerate(self.partitions)]

    def read(self, spans: Sequence[Span]) -> Iterator[Sequence[PastMessage]]:
        for span in spans:
            self.read_of.add(span.partition)
            for start in range(0, len(span), 3):
                yield self.partitions[span.partition][start : start + 3]

    def close(self) -> None:
        pass


def filled(letters: Sequence[Letter], partitions: int) -> Shelf:
    shelves: list[list[Letter]] = [[] for _ in range(partitions)]
    for letter in letters:
        shelves[ranges.partition_of(letter.name or b"", partitions)].append(letter)
    return Shelf(shelves)


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


KEYS = st.sampled_from([b"a", b"b", b"c", b"visitor-1", b"visitor-2"])
LETTERS = st.lists(st.builds(Letter, KEYS, st.integers(0, 100)), max_size=60)


@given(LETTERS, st.sets(KEYS, min_size=1), st.integers(1, 8))
def test_all_messages_of_the_keys_are_found_in_their_order_and_no_others(
    letters: list[Letter], keys: set[bytes], partitions: int
) -> None:
    shelf = filled(letters, partitions)
    found = list(ranges.of_keys(shelf, EVENTS, keys))
    for key in keys:
        assert [each for each in found if each.key() == key] == [each for each in letters if each.name == key]
    assert {each.key() for each in found} <= keys
    assert shelf.read_of <= {ranges.partition_of(key, partitions) for key in keys}


@given(LETTERS, st.integers(2, 8))
def test_messages_from_before_a_topic_got_more_partitions_are_found_everywhere(
    letters: list[Letter], partitions: int
) -> None:
    before = filled(letters, 1).partitions
    shelf = Shelf([*before, *([] for _ in range(partitions - 1))])
    found = list(ranges.of_keys(shelf, EVENTS, [b"visitor-1"], everywhere=True))
    assert found == [each for each in letters if each.name == b"visitor-1"]


def test_the_newest_is_the_last_of_its_partition_a_tombstone_too() -> None:
    shelf = filled([Letter(b"a", 5), Letter(b"b", 1), Letter(b"a", 3), Letter(b"b", 2, None)], 1)
    found = ranges.newest_of_keys(shelf, EVENTS, [b"a", b"b", b"c"])
    assert {key: (each.timestamp()[1], each.value()) for key, each in found.items()} == {
        b"a": (3, b"{}"),
        b"b": (2, None),
    }


def test_the_newest_of_several_partitions_is_that_of_the_latest_time() -> None:
    shelf = Shelf([[Letter(b"a", 9)], [Letter(b"a", 3)]])
    assert ranges.newest_of_keys(shelf, EVENTS, [b"a"], everywhere=True)[b"a"].timestamp()[1] == 9
