"""The history of `events` by time range, as columns, without what erased visitors did."""

from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import structlog

from schemas.sessions import KIND_OF, identity
from schemas.topics import EVENTS, RECOMMENDATIONS
from schemas.unreadable import Unreadable
from services.archive.history_events import HISTORY_EVENT, HistoryEvent
from services.archive.manifest import ArchiveRefused
from services.errors import OperationFailed
from services.kafka.clients import TopicMissing
from services.kafka.messages import IMPRESSION, decode
from services.kafka.ranges import HistoryReader, TopicMessage, open_reader
from services.model.propensity import RowEvents, SeenRow
from services.progress import Progress
from services.settings import ServiceSettings
from services.time_range import TimeRange
from services.visitors import erasure
from services.visitors.erasure import Erasures

log = structlog.get_logger()

# An identity has 16 or 17 bytes; with its length behind it no trailing zero is lost to numpy, and the order
# of the column is that of the identities.
ID_BYTES: Final = 18
ID: Final = np.dtype(f"S{ID_BYTES}")
SPARE: Final = 1.25


@dataclass(frozen=True, slots=True, eq=False)
class EventColumns:
    """A row for each product of each event, in the order they came, repetitions included.

    `visitors` and `items` (n,) int32 are places in `visitor_ids` and `product_ids`; `event_ids` (n,) are the
    ids' identities; `times` (n,) int64 are Unix ms (occurred_at); `types` (n,) uint8 are places in
    schemas.sessions.KINDS.
    """

    visitor_ids: Sequence[str]
    product_ids: Sequence[str]
    visitors: npt.NDArray[np.int32]
    event_ids: npt.NDArray[np.bytes_]
    items: npt.NDArray[np.int32]
    times: npt.NDArray[np.int64]
    types: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.times)


class GrowingColumns:
    """Takes events of the given types, and forgets all others and those without a product.

    With `most` it holds twice as many rows at a time: beyond that the oldest go, but for SPARE times as many
    as are wanted, so that none of the newest sessions lacks its beginning. `forgotten` counts them.
    """

    def __init__(self, types: Collection[str], most: int | None = None) -> None:
        self._most = most
        self.forgotten = 0
        self._kinds = {type_: kind for type_, kind in KIND_OF.items() if type_ in types}
        self._visitor_places: dict[str, int] = {}
        self._product_places: dict[str, int] = {}
        self._visitors = array("i")
        self._ids = bytearray()
        self._items = array("i")
        self._times = array("q")
        self._types = array("B")

    def __len__(self) -> int:
        return len(self._times)

    def extend(self, events: Iterable[HistoryEvent]) -> None:
        """Takes some more events."""
        visitor_places, product_places = self._visitor_places, self._product_places
        for event in events:
            kind = self._kinds.get(event.type)
            if kind is None:
                continue
            for product_id in event.products():
                self._visitors.append(visitor_places.setdefault(event.visitor_id, len(visitor_places)))
                self._ids += pack_id(event.event_id)
                self._items.append(product_places.setdefault(product_id, len(product_places)))
                self._times.append(event.occurred_at)
                self._types.append(kind)
        if self._most is not None and len(self) > 2 * self._most:
            self._forget_oldest(int(SPARE * self._most))

    def _forget_oldest(self, most: int) -> None:
        times = np.frombuffer(self._times, np.int64)
        stays = times >= np.partition(times, -most)[-most]
        ids = np.frombuffer(self._ids, ID)[stays].tobytes()
        self.forgotten += int(np.count_nonzero(~stays))
        self._visitors = array("i", np.frombuffer(self._visitors, np.int32)[stays].tobytes())
        self._items = array("i", np.frombuffer(self._items, np.int32)[stays].tobytes())
        self._types = array("B", np.frombuffer(self._types, np.uint8)[stays].tobytes())
        self._times = array("q", times[stays].tobytes())
        self._ids = bytearray(ids)

    def columns(self) -> EventColumns:
        """All that was taken, as arrays."""
        return EventColumns(
            tuple(self._visitor_places),
            tuple(self._product_places),
            _array(self._visitors, np.int32),
            _array(self._ids, ID),
            _array(self._items, np.int32),
            _array(self._times, np.int64),
            _array(self._types, np.uint8),
        )


def pack_id(event_id: str) -> bytes:
    """An event id as `EventColumns.event_ids` holds it."""
    number = identity(event_id)
    return number.ljust(ID_BYTES - 1, b"\0") + bytes([len(number)])


def _array(column: "array[int] | bytearray", kind: npt.DTypeLike) -> npt.NDArray[Any]:
    return np.frombuffer(column, dtype=kind).copy() if column else np.zeros(0, dtype=kind)


class NothingToRead(OperationFailed):
    """There are no events in the range; the text says where there are some."""


@dataclass
class Tally:
    """What became of the messages; `rows` are impressions, of which `rows_seen` were seen."""

    messages: int = 0
    bad: int = 0  # no event, or under another visitor's key
    erased: int = 0
    too_old: int = 0  # products of events beyond the newest so many
    unreadable_erasures: int = 0
    rows: int = 0
    rows_seen: int = 0
    sources: dict[str, int] = field(default_factory=dict)  # messages of the topic, and of each archive


@dataclass(frozen=True, slots=True)
class TopicHistory:
    """The events that count, the rows that visitors saw, and how many there were of all."""

    events: EventColumns
    rows: Sequence[SeenRow]
    tally: Tally


def read(
    settings: ServiceSettings,
    times: TimeRange,
    types: Collection[str],
    progress: Progress,
    archives: Sequence[str] = (),
    *,
    most: int | None = None,
    rows_most: int = 0,
) -> TopicHistory:
    """The events of the given types that the broker took in a range of time, up to where the topic ends now.

    Those in archives at these URLs, too: what an archive and the topic both have comes twice, as an event
    that was sent twice does. Of more than `most` the newest, and some that came before. `rows_most` is how
    many rows of `recommendations` are kept, the newest of those that were seen. `erasures` is read whole
    first. Messages that are no event are counted and left out. Raises NothingToRead, BrokerAway,
    TopicMissing, ArchiveRefused, StoreFailed.
    """
    with ExitStack() as stack:
        reader = stack.enter_context(open_reader(settings))
        erasures = erasure.read(reader)
        columns, tally = GrowingColumns(types, most), Tally(unreadable_erasures=erasures.unreadable)
        gathered = RowEvents(rows_most)
        sources: list[tuple[str, HistoryReader]] = [
            *((url, stack.enter_context(_open_archive(url))) for url in archives),
            (settings.topic(EVENTS), reader),
        ]
        spans = [[span for span in each.spans(EVENTS, times) if len(span)] for _, each in sources]
        if not any(spans):
            raise NothingToRead("; ".join(_where_else(each, name, times) for name, each in sources))
        for (name, each), found in zip(sources, spans, strict=True):
            before = tally.messages
            stage = f"reading events of {name}" if archives else "reading events"
            progress.stage(stage, sum(map(len, found)))
            for messages in each.read(found) if found else ():
                columns.extend(_take_rows(_events(messages, erasures, tally), gathered))
                progress.advance(len(messages))
            tally.sources[name] = tally.sources.get(name, 0) + tally.messages - before
        rows = NewestRows(rows_most)
        for name, each in sources if gathered else ():
            for messages in _read_rows(each, name, times, progress):
                rows.extend(_join_rows(messages, gathered, erasures, tally))
    tally.too_old, tally.rows_seen = columns.forgotten, len(rows.rows)
    return TopicHistory(columns.columns(), rows.rows, tally)


class NewestRows:
    """Rows that were seen, each once; beyond twice `most` the oldest go."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._rows: dict[str, SeenRow] = {}

    def extend(self, rows: Iterable[SeenRow]) -> None:
        """Takes some more."""
        for row in rows:
            self._rows[row.shown.recommendation_id] = row
        if len(self._rows) > 2 * self._most:
            self._rows = {row.shown.recommendation_id: row for row in self.rows}

    @property
    def rows(self) -> list[SeenRow]:
        """The newest, the oldest of them first."""
        ordered = sorted(
            self._rows.values(), key=lambda row: (row.shown.shown_at, row.shown.recommendation_id)
        )
        return ordered[-self._most :] if self._most else []


def _take_rows(events: Iterable[HistoryEvent], rows: RowEvents) -> Iterator[HistoryEvent]:
    for event in events:
        if event.recommendation_id is not None:
            rows.take(event)
        yield event


def _read_rows(
    reader: HistoryReader, name: str, times: TimeRange, progress: Progress
) -> Iterator[Sequence[TopicMessage]]:
    """Of an archive that has no export of the topic, nothing."""
    try:
        spans = [span for span in reader.spans(RECOMMENDATIONS, times) if len(span)]
    except (ArchiveRefused, TopicMissing) as error:
        log.info("no rows are learned from", source=name, reason=str(error))
        return
    progress.stage("reading rows", sum(map(len, spans)))
    for messages in reader.read(spans) if spans else ():
        yield messages
        progress.advance(len(messages))


def _join_rows(
    messages: Iterable[TopicMessage], gathered: RowEvents, erasures: Erasures, tally: Tally
) -> Iterator[SeenRow]:
    for message in messages:
        tally.rows += 1
        read = decode(IMPRESSION, message)
        if isinstance(read, Unreadable) or (shown := read.value) is None:
            tally.bad += 1
        elif erasures.leave_out(shown.visitor_id, shown.shown_at, message.timestamp()[1]):
            tally.erased += 1
        elif (row := gathered.join(shown)) is not None:
            yield row


def _open_archive(url: str) -> AbstractContextManager[HistoryReader]:
    from services.archive.reader import open_archive  # noqa: PLC0415 - pyarrow: who reads none waits not

    return open_archive(url)


def _events(messages: Iterable[TopicMessage], erasures: Erasures, tally: Tally) -> Iterator[HistoryEvent]:
    for message in messages:
        tally.messages += 1
        read = decode(HISTORY_EVENT, message)
        if isinstance(read, Unreadable) or (event := read.value) is None:
            tally.bad += 1  # the live session does not take it either
        elif erasures.leave_out(
            event.visitor_id, event.occurred_at, event.received_at, message.timestamp()[1]
        ):
            tally.erased += 1
        else:
            yield event


def _where_else(reader: HistoryReader, name: str, times: TimeRange) -> str:
    count = sum(len(span) for span in reader.spans(EVENTS))
    if not count:
        return f"{name} holds no events"
    return f"{name} holds {count:,} events, but none that came in the range {times}"
