"""A topic's range into an archive: what is not there yet, without erased visitors, all of it or nothing."""

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b, file_digest
from pathlib import Path
from typing import Final

import msgspec
import pyarrow.parquet as pq

from schemas.times import DAY_MS
from schemas.topics import EVENTS, Topic
from services.archive.digest import Content, Digest, content
from services.archive.history_events import HistoryEvent
from services.archive.manifest import (
    IS_EXPORT_ID,
    ArchivedFile,
    ArchiveRefused,
    CoveredRange,
    ExportManifest,
    Interval,
    Source,
    intervals_of,
    totals,
    without,
)
from services.archive.rows import Rows, event_fields, leaves_out, schema
from services.archive.store import ArchiveStore
from services.errors import OperationFailed
from services.files import lock, scratch, write_atomically
from services.kafka.admin import KafkaAdmin, require_broker
from services.kafka.ranges import ANSWER_S, HistoryReader, Span, TopicMessage
from services.progress import Progress
from services.settings import ServiceSettings
from services.time_range import TimeRange
from services.visitors.erasure import Erasures

GROUP_BYTES: Final = 16 * 1024 * 1024  # of one row group in memory: some 20,000 events
WAITING_BYTES: Final = 64 * 1024 * 1024  # of all rows that wait to be written
PART_ROWS: Final = 1_000_000  # a file is not to grow for ever: it is what is fetched and checked at once
OPEN_MAX: Final = 64  # a history whose days come in no order has many files begun

Put = Callable[[str, Path], object]


class _Part:
    """One file that is being written."""

    def __init__(self, path: Path, name: str, topic: Topic, partition: int) -> None:
        self._path = path
        self._name = name
        self._partition = partition
        self._writer = pq.ParquetWriter(
            path, schema(topic), compression="zstd", use_dictionary=["key", "type", "visitor_id"]
        )
        self.waiting = Rows(topic, partition)
        self.rows = 0
        self._digest = Digest()
        self._first = self._last = -1
        self._earliest = self._latest = 0

    def add(self, offset: int, said: Content, event: HistoryEvent | None) -> None:
        at = said[2]
        if self.rows == 0:
            self._first, self._earliest, self._latest = offset, at, at
        self._last = offset
        if at > self._latest:
            self._latest = at
        elif at < self._earliest:
            self._earliest = at
        self.rows += 1
        self._digest.include(said)
        self.waiting.add(offset, said, event)

    def flush(self) -> None:
        """Writes what waits as a row group."""
        if len(self.waiting):
            self._writer.write_batch(self.waiting.batch())
            self.waiting.clear()

    def close(self) -> ArchivedFile:
        self.flush()
        self._writer.close()
        with self._path.open("rb") as stream:
            sha256 = file_digest(stream, "sha256").hexdigest()
        return ArchivedFile(
            name=self._name,
            partition=self._partition,
            rows=self.rows,
            size=self._path.stat().st_size,
            sha256=sha256,
            digest=str(self._digest),
            first=self._first,
            last=self._last,
            earliest=self._earliest,
            latest=self._latest,
        )

    def put(self, put: Put) -> None:
        put(self._name, self._path)
        self._path.unlink()

    def drop(self) -> None:
        self._writer.close()


class Parts:
    """The files of one export. `put` takes each finished one; files that wait lie in a local folder."""

    def __init__(
        self, folder: Path, topic: Topic, export_id: str, put: Put, *, part_rows: int = PART_ROWS,
        waiting_bytes: int = WAITING_BYTES, open_max: int = OPEN_MAX,
    ) -> None:  # fmt: skip
        self._folder = folder
        self._topic = topic
        self._export_id = export_id
        self._put = put
        self._part_rows = part_rows
        self._waiting_max = waiting_bytes
        self._group_bytes = min(GROUP_BYTES, waiting_bytes)
        self._open_max = open_max
        self._open: dict[tuple[int, int], _Part] = {}  # the one that was written to last comes last
        self._waiting = 0
        self._made = 0
        self.files: list[ArchivedFile] = []

    def add(self, message: TopicMessage, event: HistoryEvent | None = None) -> None:
        """One more message; of each partition in the order of their offsets."""
        said = content(message)
        place = (message.partition() or 0, max(0, said[2]) // DAY_MS)
        part = self._part(place)
        before = part.waiting.size
        part.add(message.offset() or 0, said, event)
        self._waiting += part.waiting.size - before
        if part.rows >= self._part_rows:
            self._close(place)
        elif part.waiting.size >= self._group_bytes:
            self._flush(part)
        if self._waiting >= self._waiting_max:
            self._flush(max(self._open.values(), key=lambda each: each.waiting.size))

    def close(self) -> tuple[ArchivedFile, ...]:
        """Finishes all files; returns what there is of them."""
        for place in list(self._open):
            self._close(place)
        return tuple(sorted(self.files, key=lambda file: file.name))

    def drop(self) -> None:
        """Lets go of what is not finished."""
        for part in self._open.values():
            part.drop()
        self._open.clear()

    def _part(self, place: tuple[int, int]) -> _Part:
        found = self._open.pop(place, None)
        if found is None:
            if len(self._open) >= self._open_max:
                self._close(next(iter(self._open)))
            found = self._begin(*place)
        self._open[place] = found
        return found

    def _begin(self, partition: int, day: int) -> _Part:
        self._made += 1
        date = datetime.fromtimestamp(day * DAY_MS / 1000, UTC).date().isoformat()
        name = f"part-{self._export_id}-p{partition}-{self._made:05d}.parquet"
        return _Part(self._folder / name, f"day={date}/{name}", self._topic, partition)

    def _flush(self, part: _Part) -> None:
        self._waiting -= part.waiting.size
        part.flush()

    def _close(self, place: tuple[int, int]) -> None:
        part = self._open.pop(place)
        self._waiting -= part.waiting.size
        self.files.append(part.close())
        part.put(self._put)


Readers = Callable[[], AbstractContextManager[HistoryReader]]  # a new one for each reading of the topic


class ExportReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an export came to. `already` messages of the range, about, the archive had from exports before."""

    url: str
    topic: str
    export_id: str | None  # None: there was nothing new
    manifest: str | None
    messages: int
    digest: str
    files: int
    days: int
    bytes: int
    erased: int
    unreadable_erasures: int
    already: int
    strays: int
    archive_messages: int
    seconds: float


@dataclass(frozen=True, slots=True)
class ExportResult:
    """A new part of an archive (None: there was nothing new), and what the archive had before."""

    made: ExportManifest | None
    location: str | None
    before: Sequence[ExportManifest]
    already: int
    strays: int


def export(
    readers: Readers, store: ArchiveStore, topic: Topic, times: TimeRange, *,
    source: Source, erasures: Erasures, datadir: Path, now_ms: int, progress: Progress,
) -> ExportResult:  # fmt: skip
    """Puts what a topic holds of a range into an archive, but for what the archive has already.

    One manifest is written when everything else is in its place. Raises ArchiveRefused for an archive of
    another topic, StoreFailed, BrokerAway, and OperationFailed while another export into it runs here.
    """
    with _alone(datadir, store, topic) as unfinished:
        before = store.manifests(topic)
        _require_same(source, before, store.url)
        unfinished.clear_away(store, topic, before)
        with readers() as reader:
            spans = [span for span in reader.spans(topic, times) if len(span)]
        fresh = missing(spans, intervals_of(before))
        already = sum(map(len, spans)) - sum(len(span) for turn in fresh for span in turn)
        strays = len(store.strays(topic, before))
        if not fresh:
            return ExportResult(None, None, before, already, strays)
        store.require_writable(topic)
        export_id = f"{datetime.fromtimestamp(now_ms / 1000, UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        unfinished.note(export_id)
        try:
            made = _write_parts(
                readers, store, topic, times, fresh,
                source=source, erasures=erasures, datadir=datadir, export_id=export_id, now_ms=now_ms,
                progress=progress,
            )  # fmt: skip
            location = store.commit(topic, made)
        except BaseException:
            with suppress(Exception):  # what stays is no part of the archive, and the next export removes it
                store.withdraw(topic, export_id)
                unfinished.note("")
            raise
        unfinished.note("")
        return ExportResult(made, location, before, already, strays)


def missing(spans: Sequence[Span], taken: Mapping[int, Sequence[Interval]]) -> list[list[Span]]:
    """Of the spans, what is not taken, in turns that have at most one span of each partition."""
    turns: list[list[Span]] = []
    for span in spans:
        left = without((span.start, span.end), taken.get(span.partition, ()))
        for number, (start, end) in enumerate(left):
            if number == len(turns):
                turns.append([])
            turns[number].append(Span(span.topic, span.partition, start, end))
    return turns


def _write_parts(
    readers: Readers, store: ArchiveStore, topic: Topic, times: TimeRange,
    turns: Sequence[Sequence[Span]], *,
    source: Source, erasures: Erasures, datadir: Path, export_id: str, now_ms: int, progress: Progress,
) -> ExportManifest:  # fmt: skip
    progress.stage(f"exporting {topic.name}", sum(len(span) for turn in turns for span in turn))
    erased = 0
    with scratch(datadir) as folder:
        parts = Parts(folder, topic, export_id, lambda name, path: store.put(topic, name, path))
        try:
            for turn in turns:
                with readers() as reader:
                    for batch in reader.read(turn):
                        erased += _add_batch(batch, topic, erasures, parts)
                        progress.advance(len(batch))
            files = parts.close()
        finally:
            parts.drop()
    count, digest = totals(files)
    return ExportManifest(
        export_id=export_id,
        topic=topic.name,
        source=source,
        exported_at=now_ms,
        since=times.since,
        until=times.until,
        covered=tuple(CoveredRange(span.partition, span.start, span.end) for turn in turns for span in turn),
        files=files,
        count=count,
        digest=digest,
        erased=erased,
    )


def _add_batch(batch: Iterable[TopicMessage], topic: Topic, erasures: Erasures, parts: Parts) -> int:
    """Adds a batch to the files, but for what erased visitors did; returns how much that was."""
    erased, has_fields = 0, topic == EVENTS
    for message in batch:
        event = event_fields(message.value()) if has_fields else None
        if leaves_out(erasures, topic, message, event):
            erased += 1
        else:
            parts.add(message, event)
    return erased


def _require_same(source: Source, manifests: Sequence[ExportManifest], url: str) -> None:
    for manifest in manifests:
        if manifest.source.topic_id != source.topic_id:
            raise ArchiveRefused(
                f"{url} is of the topic {manifest.source.topic} with the id {manifest.source.topic_id}, and "
                f"{source.topic} has {source.topic_id}: their offsets tell nothing of each other. "
                "Export into another folder; readers take several archives"
            )


class _ExportMarker:
    """The id of the export that runs, on this machine's disk: what a killed one has left is found by it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def note(self, export_id: str) -> None:
        write_atomically(self._path, export_id.encode())

    def clear_away(self, store: ArchiveStore, topic: Topic, manifests: Sequence[ExportManifest]) -> None:
        killed = self._path.read_text() if self._path.exists() else ""
        if IS_EXPORT_ID.fullmatch(killed) and killed not in {each.export_id for each in manifests}:
            store.withdraw(topic, killed)
        self.note("")


@contextmanager
def _alone(datadir: Path, store: ArchiveStore, topic: Topic) -> Iterator[_ExportMarker]:
    """Raises OperationFailed where another process of this machine exports the topic into the archive."""
    folder = datadir / "exports"
    name = blake2b(f"{store.location}\n{topic.name}".encode(), digest_size=12).hexdigest()
    refusal = OperationFailed(
        f"another export of {topic.name} into {store.url} is under way: let it end first"
    )
    with lock(folder / f"{name}.lock", lambda _holder: refusal):
        yield _ExportMarker(folder / f"{name}.id")


def source_of(settings: ServiceSettings, topic: Topic) -> Source:
    """The topic's full name and Kafka's id of it (KIP-516). Raises BrokerAway, TopicMissing."""
    name = settings.topic(topic)
    with require_broker(settings):
        return Source(name, KafkaAdmin(settings, ANSWER_S).topic_id(name))
