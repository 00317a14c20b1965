"""Messages as rows of Parquet files, and back, byte for byte."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

import msgspec
import pyarrow as pa

from schemas.events import Millis
from schemas.topics import EVENTS, EVENTS_DLQ, RECOMMENDATIONS, Topic
from schemas.unreadable import Unreadable, read
from services.archive.digest import Content
from services.archive.history_events import HistoryEvent, decode
from services.kafka.ranges import MessageHeaders, TopicMessage
from services.visitors.erasure import Erasures

CREATE_TIME: Final = 1  # confluent_kafka's number for a timestamp that the sender gave
ROW_BYTES: Final = 300  # what a row takes in memory beside key and value, about

TIME: Final = pa.timestamp("ms", "UTC")
HEADER: Final = pa.struct([("name", pa.string()), ("value", pa.binary())])
MESSAGE_FIELDS: Final = (
    pa.field("partition", pa.int32(), nullable=False),
    pa.field("offset", pa.int64(), nullable=False),
    pa.field("timestamp", TIME, nullable=False),
    pa.field("key", pa.binary()),
    pa.field("value", pa.binary()),
    pa.field("headers", pa.list_(HEADER), nullable=False),
)
# For those who query: null where a message is no event.
EVENT_FIELDS: Final = (
    pa.field("event_id", pa.string()),
    pa.field("type", pa.string()),
    pa.field("visitor_id", pa.string()),
    pa.field("product_ids", pa.list_(pa.string())),
    pa.field("occurred_at", TIME),
)
MESSAGE_COLUMNS: Final = [field.name for field in MESSAGE_FIELDS]


def schema(topic: Topic) -> pa.Schema:
    """The columns of a topic's files."""
    return pa.schema([*MESSAGE_FIELDS, *(EVENT_FIELDS if topic == EVENTS else ())])


class Rows:
    """Rows of one partition that wait to be written; `size` is about what they take in memory, in bytes."""

    def __init__(self, topic: Topic, partition: int) -> None:
        self._topic = topic
        self._partition = partition
        self.clear()

    def __len__(self) -> int:
        return len(self._offsets)

    def clear(self) -> None:
        """Forgets them."""
        self.size = 0
        self._offsets: list[int] = []
        self._times: list[int] = []
        self._keys: list[bytes | None] = []
        self._values: list[bytes | None] = []
        self._header_ends = [0]
        self._header_names: list[str] = []
        self._header_values: list[bytes | None] = []
        self._events: list[HistoryEvent | None] = []

    def add(self, offset: int, said: Content, event: HistoryEvent | None) -> None:
        """One more: where it lies, what it says, and what that means where it is an event."""
        key, value, timestamp, headers = said
        self._offsets.append(offset)
        self._times.append(timestamp)
        self._keys.append(key)
        self._values.append(value)
        for name, given in headers:
            self._header_names.append(name)
            self._header_values.append(given)
        self._header_ends.append(len(self._header_names))
        self._events.append(event)
        self.size += ROW_BYTES + len(key or b"") + len(value or b"")

    def batch(self) -> pa.RecordBatch:
        """All of them, as the topic's columns."""
        names = pa.array(self._header_names, pa.string())
        said = pa.array(self._header_values, pa.binary())
        headers = pa.ListArray.from_arrays(
            pa.array(self._header_ends, pa.int32()),
            pa.StructArray.from_arrays([names, said], fields=list(HEADER)),
        )
        columns = [
            pa.array([self._partition] * len(self), pa.int32()),
            pa.array(self._offsets, pa.int64()),
            pa.array(self._times, pa.int64()).cast(TIME),
            pa.array(self._keys, pa.binary()),
            pa.array(self._values, pa.binary()),
            headers,
            *(_event_columns(self._events) if self._topic == EVENTS else ()),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=schema(self._topic))


def _event_columns(events: Sequence[HistoryEvent | None]) -> Iterator[pa.Array]:
    yield pa.array([event and event.event_id for event in events], pa.string())
    yield pa.array([event and event.type for event in events], pa.string())
    yield pa.array([event and event.visitor_id for event in events], pa.string())
    yield pa.array([event and event.products() for event in events], pa.list_(pa.string()))
    yield pa.array([event and event.occurred_at for event in events], pa.int64()).cast(TIME)


class ArchivedMessage:
    """One message of an archive; read as confluent_kafka.Message is. Its topic has no prefix."""

    __slots__ = ("_headers", "_key", "_offset", "_partition", "_time", "_topic", "_value")

    def __init__(  # noqa: PLR0917 - made a million times
        self,
        topic: str,
        partition: int,
        offset: int,
        time: int,
        key: bytes | None,
        value: bytes | None,
        headers: MessageHeaders,
    ) -> None:
        self._topic = topic
        self._partition = partition
        self._offset = offset
        self._time = time
        self._key = key
        self._value = value
        self._headers = headers

    def topic(self) -> str:
        """The topic's name in schemas.topics."""
        return self._topic

    def partition(self) -> int:
        """The partition that it lay on."""
        return self._partition

    def offset(self) -> int:
        """Its place there."""
        return self._offset

    def key(self) -> bytes | None:
        """The key's bytes."""
        return self._key

    def value(self) -> bytes | None:
        """The value's bytes; None for a tombstone."""
        return self._value

    def timestamp(self) -> tuple[int, int]:
        """Kind and Unix ms."""
        return CREATE_TIME, self._time

    def headers(self) -> MessageHeaders:
        """Names and values, in their order."""
        return self._headers

    def __repr__(self) -> str:
        return f"ArchivedMessage({self._topic}/{self._partition}/{self._offset})"


def messages(topic: str, batch: pa.RecordBatch) -> list[ArchivedMessage]:
    """The messages of some rows, in their order."""
    columns: dict[str, Any] = {name: batch.column(name) for name in MESSAGE_COLUMNS}
    rows = zip(
        columns["partition"].to_pylist(),
        columns["offset"].to_pylist(),
        columns["timestamp"].cast(pa.int64()).to_pylist(),
        columns["key"].to_pylist(),
        columns["value"].to_pylist(),
        _headers(columns["headers"]),
        strict=True,
    )
    return [ArchivedMessage(topic, *row) for row in rows]


def _headers(column: pa.ListArray) -> Iterator[MessageHeaders]:
    """Column by column: a dictionary for each header of a million messages takes longer than all the rest."""
    ends = column.offsets.to_pylist()
    flat = column.values
    pairs = list(zip(flat.field("name").to_pylist(), flat.field("value").to_pylist(), strict=True))
    for start, end in pairwise(ends):
        yield pairs[start:end]


OF_VISITORS: Final = frozenset({EVENTS.name, EVENTS_DLQ.name, RECOMMENDATIONS.name})


class _Stamps(msgspec.Struct, frozen=True, gc=False):
    """Of anything that a visitor did or was shown; a dead letter may have no more than a name."""

    visitor_id: str
    occurred_at: Millis | None = None
    received_at: Millis | None = None
    shown_at: Millis | None = None


class _VisitorNames(msgspec.Struct, frozen=True, gc=False):
    visitor_id: str


_decode_stamps = msgspec.json.Decoder(_Stamps).decode
_decode_names = msgspec.json.Decoder(_VisitorNames).decode


def event_fields(value: bytes | None) -> HistoryEvent | None:
    """The fields of a message on `events`; None for what is no event."""
    try:
        return decode(value or b"")
    except Unreadable:
        return None


def leaves_out(
    erasures: Erasures, topic: Topic, message: TopicMessage, event: HistoryEvent | None = None
) -> bool:
    """Whether a message is of a visitor who is to be forgotten: by its key, or by what it says."""
    if not erasures.until or topic.name not in OF_VISITORS:
        return False
    names, stamps = _read_stamps(message.value(), event)
    names.add((message.key() or b"").decode("utf-8", "replace"))
    stamps.append(max(0, message.timestamp()[1]))
    return any(erasures.leave_out(name, *stamps) for name in names)


def _read_stamps(value: bytes | None, event: HistoryEvent | None) -> tuple[set[str], list[int | None]]:
    if event is not None:
        return {event.visitor_id}, [event.occurred_at, event.received_at]
    try:
        found = read(_decode_stamps, value or b"")
    except Unreadable:
        try:
            return {read(_decode_names, value or b"").visitor_id}, []
        except Unreadable:
            return set(), []
    return {found.visitor_id}, [found.occurred_at, found.received_at, found.shown_at]
