"""The messages of a few keys, found among all others of a topic by comparing bytes; nothing is decoded."""

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from aiokafka.partitioner import murmur2

from schemas.topics import Topic
from services.history.past import HistoryReader, PastMessage, Span
from services.history.progress import Progress, Silent
from services.history.timerange import TimeRange

POSITIVE: Final = 0x7FFFFFFF


def partition_of(key: bytes, partitions: int) -> int:
    """Where all producers here put a key: murmur2, as Java's clients have it (librdkafka: murmur2_random)."""
    return int(murmur2(key) & POSITIVE) % partitions


def of_keys(
    reader: HistoryReader,
    topic: Topic,
    keys: Collection[bytes],
    times: TimeRange = TimeRange(),  # noqa: B008 - it is frozen
    progress: Progress = Silent(),  # noqa: B008 - it holds nothing
    *,
    everywhere: bool = False,
) -> Iterator[PastMessage]:
    """The messages of these keys, each partition in its order; the other partitions are not read.

    `everywhere` reads them all: what was written before a topic got more partitions lies on others than its
    key's. The reader must know all partitions of the topic, as that of a broker does.
    """
    spans = reader.spans(topic, times)
    wanted = spans if everywhere else _holding(keys, spans)
    progress.stage(f"looking through {topic.name}", sum(map(len, wanted)))
    sought = frozenset(keys)
    for messages in reader.read(wanted):
        yield from [message for message in messages if message.key() in sought]
        progress.advance(len(messages))


def newest(
    reader: HistoryReader, topic: Topic, keys: Collection[bytes], *, everywhere: bool = False
) -> dict[bytes, PastMessage]:
    """The last message of each key that has any; a tombstone is one. By time where `everywhere` is set."""
    found: dict[bytes, PastMessage] = {}
    for message in of_keys(reader, topic, keys, everywhere=everywhere):
        key = message.key() or b""
        if key not in found or not everywhere or message.timestamp()[1] >= found[key].timestamp()[1]:
            found[key] = message
    return found


def _holding(keys: Collection[bytes], spans: Sequence[Span]) -> list[Span]:
    holding = {partition_of(key, len(spans)) for key in keys}
    return [span for span in spans if span.partition in holding]
