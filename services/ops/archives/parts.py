"""Writes messages as Parquet files, one a day and partition at a time, with bounded memory and disk."""

from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import file_digest
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq

from schemas.topics import Topic
from services.history.archive_digest import Content, Digest, content
from services.history.archive_manifest import ArchivedFile
from services.history.archive_rows import Rows, schema
from services.history.past import PastMessage
from services.history.past_events import PastEvent

DAY_MS: Final = 24 * 60 * 60 * 1000
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

    def add(self, offset: int, said: Content, event: PastEvent | None) -> None:
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

    def add(self, message: PastMessage, event: PastEvent | None = None) -> None:
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
            found = self._begun(*place)
        self._open[place] = found
        return found

    def _begun(self, partition: int, day: int) -> _Part:
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
