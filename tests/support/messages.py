"""Messages in memory, and histories of them that are read as a broker's are."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from schemas import events
from schemas.events import Event, EventType
from schemas.topics import Topic
from services.kafka.ranges import MessageHeaders, Span
from services.time_range import TimeRange

EVERYTHING = TimeRange()


class StoredMessage:
    """A message that lies on a topic; read as confluent_kafka.Message is. `at`: Unix ms."""

    def __init__(
        self,
        key: bytes | None,
        value: bytes | None,
        headers: MessageHeaders | None = None,
        *,
        at: int = 0,
        topic: str | None = None,
        partition: int = 0,
        offset: int = 0,
    ) -> None:
        self._key, self._value, self._headers = key, value, headers or []
        self._topic, self._partition, self._offset = topic, partition, offset
        self.at = at

    def topic(self) -> str | None:
        return self._topic

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes | None:
        return self._key

    def value(self) -> bytes | None:
        return self._value

    def timestamp(self) -> tuple[int, int]:
        return 1, self.at

    def headers(self) -> MessageHeaders:
        return self._headers


class PartitionReader:
    """A HistoryReader of one topic's partitions, in batches of two; `partitions_read` are those asked for."""

    def __init__(self, partitions: Sequence[Sequence[StoredMessage]]) -> None:
        self._partitions = partitions
        self.partitions_read: set[int] = set()

    def spans(self, topic: Topic, _times: TimeRange = EVERYTHING) -> list[Span]:
        return [Span(topic.name, number, 0, len(each)) for number, each in enumerate(self._partitions)]

    def read(self, spans: Sequence[Span]) -> Iterator[Sequence[StoredMessage]]:
        for span in spans:
            self.partitions_read.add(span.partition)
            messages = self._partitions[span.partition][span.start : span.end]
            for start in range(0, len(messages), 2):
                yield messages[start : start + 2]

    def close(self) -> None:
        """Nothing is open."""


@contextmanager
def open_partitions(partitions: Sequence[Sequence[StoredMessage]]) -> Iterator[PartitionReader]:
    """Where a reader is opened and closed again."""
    yield PartitionReader(partitions)


class TopicReader:
    """A HistoryReader of topics by name, each one partition, message by message.

    A range of time is held against when the broker took a message.
    """

    def __init__(self, **topics: Sequence[StoredMessage]) -> None:
        self._topics = topics
        self._times = EVERYTHING

    def spans(self, topic: Topic, times: TimeRange = EVERYTHING) -> list[Span]:
        self._times = times
        return [Span(topic.name, 0, 0, len(self._topics.get(topic.name, ())))]

    def read(self, spans: Sequence[Span]) -> Iterator[Sequence[StoredMessage]]:
        since, until = self._times.since or 0, self._times.until
        for span in spans:
            for message in self._topics.get(span.topic, ()):
                if since <= message.at and (until is None or message.at < until):
                    yield [message]

    def close(self) -> None:
        """Nothing is open."""


def view(visitor_id: str, number: int, at: int, type_: EventType = "view_item") -> Event:
    """A visitor's event number so and so, at Unix ms `at`."""
    return Event(
        event_id=f"00000000-0000-4000-8000-{number:012d}",
        type=type_,
        visitor_id=visitor_id,
        occurred_at=at,
        product_id="p1",
    )


def store(event: Event, at: int | None = None) -> StoredMessage:
    """The event as it lies on its topic, taken by the broker when it happened or `at` Unix ms."""
    return StoredMessage(
        event.visitor_id.encode(), events.encode(event), at=event.occurred_at if at is None else at
    )
