"""Messages of the past, and who reads them, without a broker."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from schemas import events
from schemas.events import Event, EventType
from schemas.topics import Topic
from services.kafka.ranges import PastHeaders, Span
from services.time_range import TimeRange


@dataclass(frozen=True)
class Message:
    """One message; also a PastMessage."""

    at: int
    body: bytes | None = b""
    name: bytes | None = b"v"
    part: int = 0
    place: int = 0
    heads: PastHeaders = field(default_factory=list)

    def topic(self) -> str:
        return "events"

    def partition(self) -> int:
        return self.part

    def offset(self) -> int:
        return self.place

    def key(self) -> bytes | None:
        return self.name

    def value(self) -> bytes | None:
        return self.body

    def timestamp(self) -> tuple[int, int]:
        return 1, self.at

    def headers(self) -> object:
        return self.heads


def event(visitor_id: str, number: int, at: int, type_: EventType = "view_item") -> Event:
    return Event(
        event_id=f"00000000-0000-4000-8000-{number:012d}",
        type=type_,
        visitor_id=visitor_id,
        occurred_at=at,
        product_id="p1",
    )


def message(made: Event, at: int | None = None) -> Message:
    return Message(made.occurred_at if at is None else at, events.encode(made), made.visitor_id.encode())


class Reader:
    """A HistoryReader of lists of messages, in batches of two."""

    def __init__(self, partitions: Sequence[Sequence[Message]]) -> None:
        self._partitions = partitions

    def spans(self, topic: Topic, _times: TimeRange = TimeRange()) -> list[Span]:  # noqa: B008
        return [Span(topic.name, number, 0, len(each)) for number, each in enumerate(self._partitions)]

    def read(self, spans: Sequence[Span]) -> Iterator[Sequence[Message]]:
        for span in spans:
            found = self._partitions[span.partition][span.start : span.end]
            for start in range(0, len(found), 2):
                yield found[start : start + 2]

    def close(self) -> None: ...


@contextmanager
def reading(partitions: Sequence[Sequence[Message]]) -> Iterator[Reader]:
    yield Reader(partitions)
