"""Reads an archive of a topic as if it were the topic: the same spans, the same messages, the same order."""

import heapq
from bisect import bisect_left
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import gettempdir
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.topics import TOPICS, Topic
from services.archive.digest import Digest
from services.archive.manifest import (
    ArchivedFile,
    ArchiveRefused,
    ExportManifest,
    Piece,
    intervals_of,
    pieces,
)
from services.archive.rows import MESSAGE_COLUMNS, ArchivedMessage, messages
from services.archive.store import ArchiveStore
from services.files import scratch
from services.kafka.ranges import Span
from services.time_range import TimeRange

__all__ = ["ArchiveReader", "ArchiveRefused", "open_archive"]

BATCH: Final = 5_000  # messages at once of a partition; eight partitions have some 25 MB of them
LAST: Final = 1 << 63  # behind every offset
NAMES: Final = {topic.name: topic for topic in TOPICS}

Batch = list[ArchivedMessage]
Batches = Generator[Batch, None, None]
OpenParts = tuple[int, int, Batch, Batches]  # what goes first, whose it is, the next batch, and all others


class ArchiveReader:
    """A HistoryReader of one archive. Every file is verified before anything of it is handed out.

    Spans bear the topic's name without a prefix, whatever it was exported from. Raises ArchiveRefused for
    what is not as its manifest says, StoreFailed for a store that does not answer.
    """

    def __init__(self, store: ArchiveStore, folder: Path) -> None:
        """`folder` holds, for the time being, files that lie elsewhere."""
        self._store = store
        self._folder = folder
        self._manifests: dict[str, list[ExportManifest]] = {}

    @property
    def url(self) -> str:
        """Where the archive lies."""
        return self._store.url

    @property
    def location(self) -> str:
        """Its whole address, however it was named."""
        return self._store.location

    def close(self) -> None:
        """Holds nothing open between two readings."""

    def manifests(self, topic: Topic) -> list[ExportManifest]:
        """The exports that the archive had of a topic when it was first asked, the oldest first."""
        if topic.name not in self._manifests:
            self._manifests[topic.name] = self._store.manifests(topic)
        return self._manifests[topic.name]

    def holds(self, topic: Topic) -> bool:
        """Whether there is any export of the topic."""
        return bool(self.manifests(topic))

    def spans(self, topic: Topic, times: TimeRange = TimeRange()) -> list[Span]:  # noqa: B008 - it is frozen
        """The offsets of a topic's messages in a range of time, by partition, as the broker would tell them.

        From the first message not older than `since` up to the first not older than `until`. A span may pass
        over offsets that were never exported. Raises ArchiveRefused where there is no export of the topic.
        """
        if not self.holds(topic):
            raise ArchiveRefused(f"{self.url} holds no export of the topic {topic.name}")
        found: list[Span] = []
        for partition, intervals in sorted(intervals_of(self.manifests(topic)).items()):
            low, high = min(start for start, _ in intervals), max(end for _, end in intervals)
            parts = pieces(self.manifests(topic), partition, (low, high))
            start = low if times.since is None else self._first(topic, parts, times.since, high)
            end = high if times.until is None else self._first(topic, parts, times.until, high)
            found.append(Span(topic.name, partition, start, end))
        return found

    def pieces(self, spans: Sequence[Span]) -> list[Piece]:
        """What of which files there is in one topic's spans."""
        found = [self._pieces(span) for span in spans if len(span)]
        return [piece for of_span in found for piece in of_span]

    def read(self, spans: Sequence[Span]) -> Iterator[Batch]:
        """The messages of one topic's spans, in batches, each partition in its order.

        Of the partitions' next batches the one that begins earliest comes first, so that days go by together.
        """
        with ExitStack() as stack:
            waiting: list[OpenParts] = []
            for number, span in enumerate(spans):
                if len(span):
                    batches = self._of_partition(NAMES[span.topic], self._pieces(span))
                    stack.callback(batches.close)
                    _wait(waiting, number, batches)
            while waiting:
                _, number, batch, batches = heapq.heappop(waiting)
                yield batch
                _wait(waiting, number, batches)

    def digest_of(self, spans: Sequence[Span]) -> Digest:
        """Count and digest that the manifests promise of one topic's spans.

        A file that lies in them with a part only is read whole, and held against its own digest: what is
        promised of all is promised of the part.
        """
        total = Digest()
        for span in spans:
            for piece in self._pieces(span):
                if piece.whole:
                    total.add_all(Digest.parse(piece.file.digest, piece.file.rows))
                else:
                    total.add_all(self._of_part(NAMES[span.topic], piece))
        return total

    def check(self, topic: Topic, file: ArchivedFile) -> None:
        """Verifies a file's bytes. Raises ArchiveRefused."""
        self._store.check(topic, file)

    def _pieces(self, span: Span) -> list[Piece]:
        return pieces(self.manifests(NAMES[span.topic]), span.partition, (span.start, span.end))

    def _of_part(self, topic: Topic, piece: Piece) -> Digest:
        part, whole = Digest(), Digest()
        for batch in self._batches(topic, piece.file):
            for message in batch:
                whole.add(message)
                if piece.holds(message.offset()):
                    part.add(message)
        if (str(whole), whole.count) != (piece.file.digest, piece.file.rows):
            where = self._store.display_name(topic, piece.file)
            raise ArchiveRefused(f"the messages in {where} are not those that its manifest counts")
        return part

    def _of_partition(self, topic: Topic, parts: Sequence[Piece]) -> Batches:
        """All batches of some pieces by their offsets; a file is opened when its turn has come.

        Where files of two days interleave, for some messages came late, each gives up to the other's next.
        """
        pending = list(reversed(parts))  # by first offsets, the last one first
        opened: list[OpenParts] = []
        with ExitStack() as stack:
            while pending or opened:
                while pending and (not opened or pending[-1].first <= opened[0][0]):
                    batches = self._piece_batches(topic, pending.pop())
                    stack.callback(batches.close)
                    _open(opened, len(pending), next(batches, []), batches)
                if not opened:
                    continue
                _, number, batch, batches = heapq.heappop(opened)
                until = min(opened[0][0] if opened else LAST, pending[-1].first if pending else LAST)
                end = max(1, bisect_left(batch, until, key=_offset))
                yield batch[:end]
                rest = batch[end:] or next(batches, [])
                _open(opened, number, rest, batches)

    def _piece_batches(self, topic: Topic, piece: Piece) -> Batches:
        """The batches of a piece, none empty."""
        for batch in self._batches(topic, piece.file):
            kept = batch if piece.whole else [each for each in batch if piece.holds(each.offset())]
            if kept:
                yield kept

    def _batches(self, topic: Topic, file: ArchivedFile) -> Batches:
        with self._open_file(topic, file) as parquet:
            for batch in parquet.iter_batches(BATCH, columns=MESSAGE_COLUMNS):
                yield messages(topic.name, batch)

    def _first(self, topic: Topic, parts: Sequence[Piece], time_ms: int, otherwise: int) -> int:
        """The least offset whose message is not older than a time. Only files that pass over it are read."""
        least = otherwise
        for piece in parts:
            if piece.first >= least:
                break
            if piece.file.earliest >= time_ms:
                least = piece.first
            elif piece.file.latest >= time_ms:
                least = min(least, self._first_within(topic, piece, time_ms, otherwise))
        return least

    def _first_within(self, topic: Topic, piece: Piece, time_ms: int, otherwise: int) -> int:
        with self._open_file(topic, piece.file) as parquet:
            for batch in parquet.iter_batches(BATCH, columns=["offset", "timestamp"]):
                times = batch.column("timestamp").cast(pa.int64()).to_pylist()
                for offset, at in zip(batch.column("offset").to_pylist(), times, strict=True):
                    if at >= time_ms and piece.holds(offset):
                        return int(offset)
        return otherwise

    @contextmanager
    def _open_file(self, topic: Topic, file: ArchivedFile) -> Iterator[Any]:
        with self._store.fetch(topic, file, self._folder) as path:
            try:
                with pq.ParquetFile(path) as parquet:
                    yield parquet
            except (pa.ArrowException, KeyError, OSError) as error:
                where = self._store.display_name(topic, file)
                raise ArchiveRefused(f"{where} cannot be read as an archive's file: {error}") from None


def _offset(message: ArchivedMessage) -> int:
    return message.offset()


def _wait(waiting: list[OpenParts], number: int, batches: Batches) -> None:
    batch = next(batches, None)
    if batch:
        heapq.heappush(waiting, (batch[0].timestamp()[1], number, batch, batches))


def _open(opened: list[OpenParts], number: int, batch: Batch, batches: Batches) -> None:
    if batch:
        heapq.heappush(opened, (batch[0].offset(), number, batch, batches))


@contextmanager
def open_archive(url: str) -> Iterator[ArchiveReader]:
    """A reader for the block. Raises StoreFailed for a URL that leads nowhere."""
    store = ArchiveStore(url)
    with scratch(Path(gettempdir()) / "eddy-archives") as folder:
        yield ArchiveReader(store, folder)
