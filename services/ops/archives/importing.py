"""An archive's range back onto a topic: verified first, then written as it was, and counted."""

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import msgspec

from schemas.topics import Topic
from services.history.archive import ArchiveReader
from services.history.archive_digest import Digest, content, hashed
from services.history.archive_visitors import leaves_out
from services.history.erased import Erasures
from services.history.past import PastHeaders, PastMessage, Span
from services.history.progress import Progress
from services.ops.archives.journal import ImportJournal, Reached

KEEP_EVERY: Final = 25_000  # messages, and then the broker has all: some 30 ms to wait


class ImportReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an import came to.

    `archive_messages` and `archive_digest` are what the manifests promise of the range, `read` and `digest`
    what was read; they must be the same. `written` (with its own digest) is what the broker has acknowledged:
    all but the `erased`. `resumed_at` of them an import before this one, which was stopped, had written.
    """

    url: str
    topic: str
    archive_messages: int
    archive_digest: str
    read: int
    digest: str
    written: int
    written_digest: str
    erased: int
    unreadable_erasures: int
    resumed_at: int
    agrees: bool
    past_retention: int
    seconds: float


class Writer(Protocol):
    """services.history.writing.BulkWriter."""

    acknowledged: int

    def write(
        self, topic: str, key: bytes | None, value: bytes | None, *,
        headers: PastHeaders | None = None, timestamp: int = 0,
    ) -> None:  # fmt: skip
        """Hands one message over."""

    def finish(self) -> None:
        """Returns once the broker has every message."""


class Importing:
    """One import under way: what was read and written, and how far that reaches."""

    def __init__(
        self, topic: Topic, target: str, erasures: Erasures, writer: Writer, reached: Reached
    ) -> None:
        """`target` is the full name of the topic that is written to."""
        self._topic = topic
        self._target = target
        self._erasures = erasures
        self._writer = writer
        self._offsets = dict(reached.offsets)
        self.read = reached.read_so_far
        self.written = reached.written_so_far
        self.erased = reached.erased

    def take(self, batch: Iterable[PastMessage]) -> None:
        """Writes a batch, but for what erased visitors did."""
        for message in batch:
            said = content(message)
            number = hashed(*said)
            self.read.include_hash(number)
            self._offsets[message.partition() or 0] = (message.offset() or 0) + 1
            if leaves_out(self._erasures, self._topic, message):
                self.erased += 1
                continue
            key, value, timestamp, headers = said
            self._writer.write(self._target, key, value, headers=headers, timestamp=timestamp)
            self.written.include_hash(number)

    def reached(self) -> Reached:
        """Waits until the broker has all; then this is how far it is."""
        self._writer.finish()
        return Reached(
            offsets=dict(self._offsets),
            read=self.read.count,
            read_digest=str(self.read),
            written=self.written.count,
            written_digest=str(self.written),
            erased=self.erased,
        )


def verify(reader: ArchiveReader, topic: Topic, spans: Sequence[Span], progress: Progress) -> Digest:
    """Reads every byte of the files that spans lie in; returns what is promised of them.

    Nothing is written before: half of a spoiled archive is on no topic. Raises ArchiveRefused.
    """
    files = {piece.file.name: piece.file for piece in reader.pieces(spans)}
    progress.stage("verifying files", len(files))
    for file in files.values():
        reader.check(topic, file)
        progress.advance()
    return reader.exported(spans)


def transfer(  # noqa: PLR0917 - what takes part in an import
    reader: ArchiveReader, spans: Sequence[Span], importing: Importing, journal: ImportJournal,
    progress: Progress, keep_every: int = KEEP_EVERY,
) -> None:  # fmt: skip
    """Writes what the spans hold, and keeps how far that is. Returns when the broker has all."""
    reached = journal.reached()
    left = [
        Span(each.topic, each.partition, max(each.start, reached.offsets.get(each.partition, 0)), each.end)
        for each in spans
    ]
    progress.stage("importing", sum(map(len, left)))
    kept = importing.read.count
    for batch in reader.read(left):
        importing.take(batch)
        progress.advance(len(batch))
        if importing.read.count - kept >= keep_every:
            journal.keep(importing.reached())
            kept = importing.read.count
    journal.keep(importing.reached())
