"""Messages and histories in memory, for what reads them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from schemas.topics import Topic
from services.kafka.ranges import PastHeaders, Span
from services.time_range import TimeRange

EVERYTHING = TimeRange()


@dataclass(frozen=True)
class Message:
    """One message of some topic."""

    its_key: str
    its_value: bytes | None
    its_headers: PastHeaders = field(default_factory=list)
    at: int = 0

    def topic(self) -> str | None:
        return None

    def partition(self) -> int | None:
        return 0

    def offset(self) -> int | None:
        return 0

    def key(self) -> bytes | None:
        return self.its_key.encode()

    def value(self) -> bytes | None:
        return self.its_value

    def timestamp(self) -> tuple[int, int]:
        return 1, self.at

    def headers(self) -> object:
        return self.its_headers


class History:
    """Topics by name, each one partition; a range of time is held against when the broker took a message."""

    def __init__(self, **topics: Sequence[Message]) -> None:
        self._topics = topics
        self._times = EVERYTHING

    def spans(self, topic: Topic, times: TimeRange = EVERYTHING) -> list[Span]:
        self._times = times
        return [Span(topic.name, 0, 0, len(self._topics.get(topic.name, ())))]

    def read(self, spans: Sequence[Span]) -> Iterator[Sequence[Message]]:
        since, until = self._times.since or 0, self._times.until
        for span in spans:
            for message in self._topics.get(span.topic, ()):
                if since <= message.at and (until is None or message.at < until):
                    yield [message]

    def close(self) -> None:
        """Nothing is open."""
