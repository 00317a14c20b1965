"""What lies behind: a message of a topic, or of an archive of one, and who reads either."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from schemas.topics import Topic
from services.history.timerange import TimeRange

PastHeaders = list[tuple[str, bytes | None]]


class PastMessage(Protocol):
    """One message, read as confluent_kafka.Message is; it has no error."""

    def topic(self) -> str | None:
        """The topic's full name."""

    def partition(self) -> int | None:
        """The partition that it lies or lay on."""

    def offset(self) -> int | None:
        """Its place there."""

    def key(self) -> bytes | None:
        """The key's bytes."""

    def value(self) -> bytes | None:
        """The value's bytes; None for a tombstone."""

    def timestamp(self) -> tuple[int, int]:
        """Kind and Unix ms."""

    def headers(self) -> object:
        """Names and values, as `headers_of` reads them."""


def headers_of(message: PastMessage) -> PastHeaders:
    """The names and values of a message's headers, in their order."""
    return cast(PastHeaders, message.headers() or [])


@dataclass(frozen=True, slots=True)
class Span:
    """The offsets `start` ≤ o < `end` of one partition; some may be gone, compacted away."""

    topic: str
    partition: int
    start: int
    end: int

    def __len__(self) -> int:
        return max(0, self.end - self.start)


class HistoryReader(Protocol):
    """Reads ranges of topics: from the broker, or from an archive as if it were the topic."""

    def spans(self, topic: Topic, times: TimeRange = ...) -> list[Span]:
        """What there is of a topic in a range of time, by partition."""

    def read(self, spans: Sequence[Span]) -> Iterator[Sequence[PastMessage]]:
        """The messages of one topic's spans, in batches, each partition in its order."""

    def close(self) -> None:
        """Lets go of connections and files."""
