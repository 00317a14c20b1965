"""An archive's range back onto a topic: verified first, then written as it was, and counted."""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from hashlib import blake2b
from pathlib import Path
from typing import Final, Protocol, Self

import msgspec

from schemas.topics import Topic
from schemas.unreadable import Unreadable, read
from services.archive.digest import Digest, content, hash_message
from services.archive.reader import ArchiveReader
from services.archive.rows import leaves_out
from services.errors import OperationFailed
from services.files import lock, write_atomically
from services.kafka.ranges import MessageHeaders, Span, TopicMessage
from services.progress import Progress
from services.visitors.erasure import Erasures


class ImportPosition(msgspec.Struct, frozen=True, kw_only=True):
    """All before these offsets is on the broker, or was left out; counts and digests are of what that was."""

    offsets: dict[int, int] = {}
    read: int = 0
    read_digest: str = "0"
    written: int = 0
    written_digest: str = "0"
    erased: int = 0

    @property
    def read_so_far(self) -> Digest:
        """Of all messages that were read."""
        return Digest.parse(self.read_digest, self.read)

    @property
    def written_so_far(self) -> Digest:
        """Of those that were written."""
        return Digest.parse(self.written_digest, self.written)


class _JournalRecord(msgspec.Struct, frozen=True):
    about: str
    reached: ImportPosition


_records = msgspec.json.Decoder(_JournalRecord)


class ImportJournal:
    """Of one import: what, from where, to where. Used in a `with`; holds a lock as long as it is open."""

    def __init__(self, folder: Path, about: str, *, anew: bool = False) -> None:
        """`about` names archive, range and target. Raises OperationFailed while the same import runs."""
        self._path = folder / f"{blake2b(about.encode(), digest_size=12).hexdigest()}.json"
        self._about = about
        self._open = ExitStack()
        refusal = OperationFailed("the same import is under way: let it end first")
        self._open.enter_context(lock(self._path.with_suffix(".lock"), lambda _holder: refusal))
        if anew:
            self.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def load(self) -> ImportPosition:
        """How far the import has come; nowhere, where nothing is kept or what is kept is none of it."""
        try:
            kept = read(_records.decode, self._path.read_bytes())
        except (FileNotFoundError, Unreadable):
            return ImportPosition()
        return kept.reached if kept.about == self._about else ImportPosition()

    def keep(self, reached: ImportPosition) -> None:
        """Replaces what was kept, in one step."""
        write_atomically(self._path, msgspec.json.encode(_JournalRecord(self._about, reached)))

    def remove(self) -> None:
        """Forgets all: the import is complete."""
        self._path.unlink(missing_ok=True)


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
    """services.kafka.writer.BulkWriter."""

    acknowledged: int

    def write(
        self, topic: str, key: bytes | None, value: bytes | None, *,
        headers: MessageHeaders | None = None, timestamp: int = 0,
    ) -> None:  # fmt: skip
        """Hands one message over."""

    def finish(self) -> None:
        """Returns once the broker has every message."""


class ImportRun:
    """One import under way: what was read and written, and how far that reaches."""

    def __init__(
        self, topic: Topic, target: str, erasures: Erasures, writer: Writer, reached: ImportPosition
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

    def take(self, batch: Iterable[TopicMessage]) -> None:
        """Writes a batch, but for what erased visitors did."""
        for message in batch:
            said = content(message)
            number = hash_message(*said)
            self.read.include_hash(number)
            self._offsets[message.partition() or 0] = (message.offset() or 0) + 1
            if leaves_out(self._erasures, self._topic, message):
                self.erased += 1
                continue
            key, value, timestamp, headers = said
            self._writer.write(self._target, key, value, headers=headers, timestamp=timestamp)
            self.written.include_hash(number)

    def flush(self) -> ImportPosition:
        """Waits until the broker has all; then this is how far it is."""
        self._writer.finish()
        return ImportPosition(
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
    return reader.digest_of(spans)


def transfer(  # noqa: PLR0917 - what takes part in an import
    reader: ArchiveReader, spans: Sequence[Span], importing: ImportRun, journal: ImportJournal,
    progress: Progress, keep_every: int = KEEP_EVERY,
) -> None:  # fmt: skip
    """Writes what the spans hold, and keeps how far that is. Returns when the broker has all."""
    reached = journal.load()
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
            journal.keep(importing.flush())
            kept = importing.read.count
    journal.keep(importing.flush())
