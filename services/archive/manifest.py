"""What an archive says of itself: one manifest an export, written when all its files are there."""

import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Final

import msgspec

from schemas.topics import TOPICS, Topic
from schemas.unreadable import Unreadable, read
from services.archive.digest import Digest
from services.errors import OperationFailed

FORMAT: Final = 1
# What a topic keeps for ever is a state, not a history, and an old copy read back would undo what has changed
# since; what is kept for a while is what an archive is for.
ARCHIVED: Final = tuple(topic for topic in TOPICS if topic.cleanup == "delete")

Hex64 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
Hex32 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}$")]
Count = Annotated[int, msgspec.Meta(ge=0)]
# Names go into paths: nothing may lead out of the archive.
Name = Annotated[str, msgspec.Meta(pattern=r"^day=\d{4}-\d{2}-\d{2}/part-[0-9A-Za-z-]{1,80}\.parquet$")]
ExportId = Annotated[str, msgspec.Meta(pattern=r"^\d{8}T\d{6}Z-[0-9a-f]{4,16}$")]

IS_EXPORT_ID: Final = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{4,16}")


class ArchiveRefused(OperationFailed):
    """What lies there is no archive, or not as its manifests say; the text names the file and what to do."""


class ArchivedFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file: messages of one day and partition, by their offsets; `first` and `last` are among them.

    `earliest` and `latest` are the least and greatest timestamp (Unix ms); `digest` is of its messages,
    `sha256` of its bytes.
    """

    name: Name
    partition: Count
    rows: Annotated[int, msgspec.Meta(ge=1)]
    size: Count
    sha256: Hex64
    digest: Hex32
    first: Count
    last: Count
    earliest: int
    latest: int


class CoveredRange(msgspec.Struct, frozen=True):
    """Offsets `start` ≤ o < `end` of a partition, of which the export has all that there was."""

    partition: Count
    start: Count
    end: Count


class Source(msgspec.Struct, frozen=True):
    """The topic that was read: its full name, and the id by which Kafka tells it from one made anew."""

    topic: str
    topic_id: str


class ExportManifest(msgspec.Struct, frozen=True, kw_only=True):
    """One export. `since` and `until` (Unix ms) are what was asked for; `erased` messages were left out."""

    export_id: ExportId
    topic: str
    source: Source
    exported_at: int
    since: int | None
    until: int | None
    covered: tuple[CoveredRange, ...]
    files: tuple[ArchivedFile, ...]
    count: Count
    digest: Hex32
    erased: Count
    format: int = FORMAT


_decode = msgspec.json.Decoder(ExportManifest).decode


def encode_export(manifest: ExportManifest) -> bytes:
    """As indented JSON, for people too."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def parse_export(raw: bytes, path: str, topic: Topic) -> ExportManifest:
    """The manifest at a path. Raises ArchiveRefused for what is none, or does not agree with itself."""
    try:
        found = read(_decode, raw)
    except Unreadable as error:
        raise ArchiveRefused(f"{path} is no manifest of an export: {error}") from None
    if found.format != FORMAT:
        raise ArchiveRefused(f"{path} has format {found.format}; this version reads {FORMAT}: update Eddy")
    if found.topic != topic.name:
        raise ArchiveRefused(f"{path} is of the topic {found.topic}, and lies under {topic.name}")
    if (found.count, found.digest) != totals(found.files):
        raise ArchiveRefused(f"{path} does not agree with itself: its files have another count or digest")
    return found


def totals(files: Iterable[ArchivedFile]) -> tuple[int, str]:
    """Count and digest of all the messages in some files."""
    total = Digest()
    for file in files:
        total.add_all(Digest.parse(file.digest, file.rows))
    return total.count, str(total)


Interval = tuple[int, int]  # offsets start ≤ o < end


def without(interval: Interval, taken: Iterable[Interval]) -> list[Interval]:
    """What is left of an interval where others are taken away, ascending; they may overlap each other."""
    left, (start, end) = [], interval
    for since, until in sorted(taken):
        if since > start:
            left.append((start, min(since, end)))
        start = max(start, until)
        if start >= end:
            break
    if start < end:
        left.append((start, end))
    return [(since, until) for since, until in left if since < until]


class Piece(msgspec.Struct, frozen=True):
    """Of a file, the messages that count: those with offsets in `intervals` (ascending, none empty)."""

    file: ArchivedFile
    intervals: tuple[Interval, ...]

    @property
    def first(self) -> int:
        """No offset that counts lies before it."""
        return max(self.file.first, self.intervals[0][0])

    @property
    def whole(self) -> bool:
        """Whether all of the file's messages count."""
        return any(start <= self.file.first and self.file.last < end for start, end in self.intervals)

    def holds(self, offset: int) -> bool:
        """Whether an offset of the file counts."""
        return any(start <= offset < end for start, end in self.intervals)


def pieces(manifests: Sequence[ExportManifest], partition: int, within: Interval) -> list[Piece]:
    """What is to be read of a partition, by first offsets. What two exports have is the older one's.

    One process after another exports only what is missing; two at the same time may overlap.
    """
    found: list[Piece] = []
    taken: list[Interval] = []
    for manifest in sorted(manifests, key=lambda manifest: manifest.export_id):
        mine = [(each.start, each.end) for each in manifest.covered if each.partition == partition]
        for file in manifest.files:
            if file.partition != partition:
                continue
            lies = (max(file.first, within[0]), min(file.last + 1, within[1]))
            counts = without(lies, taken) if lies[0] < lies[1] else []
            if counts:
                found.append(Piece(file, tuple(counts)))
        taken += mine
    return sorted(found, key=lambda piece: piece.first)


def intervals_of(manifests: Iterable[ExportManifest]) -> dict[int, list[Interval]]:
    """The offsets that exports have, by partition; they may overlap."""
    found: dict[int, list[Interval]] = {}
    for manifest in manifests:
        for each in manifest.covered:
            found.setdefault(each.partition, []).append((each.start, each.end))
    return found
