"""A topic's range into an archive: what is not there yet, without erased visitors, all of it or nothing."""

import fcntl
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path

import msgspec

from schemas.topics import EVENTS, Topic
from services.endings import CannotBeDone
from services.history.archive_manifest import (
    IS_EXPORT_ID,
    ArchiveRefused,
    Covered,
    ExportManifest,
    Interval,
    Source,
    covered,
    totals,
    without,
)
from services.history.archive_store import ArchiveStore
from services.history.archive_visitors import event_fields, leaves_out
from services.history.erased import Erasures
from services.history.past import HistoryReader, PastMessage, Span
from services.history.progress import Progress
from services.history.timerange import TimeRange
from services.model.folders import scratch
from services.ops.archives.parts import Parts

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
class Exported:
    """A new part of an archive (None: there was nothing new), and what the archive had before."""

    made: ExportManifest | None
    location: str | None
    before: Sequence[ExportManifest]
    already: int
    strays: int


def export(
    readers: Readers, store: ArchiveStore, topic: Topic, times: TimeRange, *,
    source: Source, erasures: Erasures, datadir: Path, now_ms: int, progress: Progress,
) -> Exported:  # fmt: skip
    """Puts what a topic holds of a range into an archive, but for what the archive has already.

    One manifest is written when everything else is in its place. Raises ArchiveRefused for an archive of
    another topic, StoreFailed, BrokerAway, and CannotBeDone while another export into it runs here.
    """
    with _alone(datadir, store, topic) as unfinished:
        before = store.manifests(topic)
        _require_same(source, before, store.url)
        unfinished.clear_away(store, topic, before)
        with readers() as reader:
            spans = [span for span in reader.spans(topic, times) if len(span)]
        fresh = missing(spans, covered(before))
        already = sum(map(len, spans)) - sum(len(span) for turn in fresh for span in turn)
        strays = len(store.strays(topic, before))
        if not fresh:
            return Exported(None, None, before, already, strays)
        store.require_writable(topic)
        export_id = f"{datetime.fromtimestamp(now_ms / 1000, UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        unfinished.note(export_id)
        try:
            made = _written(
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
        return Exported(made, location, before, already, strays)


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


def _written(
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
                        erased += _taken(batch, topic, erasures, parts)
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
        covered=tuple(Covered(span.partition, span.start, span.end) for turn in turns for span in turn),
        files=files,
        count=count,
        digest=digest,
        erased=erased,
    )


def _taken(batch: Iterable[PastMessage], topic: Topic, erasures: Erasures, parts: Parts) -> int:
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


class _Unfinished:
    """The id of the export that runs, on this machine's disk: what a killed one has left is found by it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def note(self, export_id: str) -> None:
        self._path.write_text(export_id)

    def clear_away(self, store: ArchiveStore, topic: Topic, manifests: Sequence[ExportManifest]) -> None:
        killed = self._path.read_text() if self._path.exists() else ""
        if IS_EXPORT_ID.fullmatch(killed) and killed not in {each.export_id for each in manifests}:
            store.withdraw(topic, killed)
        self.note("")


@contextmanager
def _alone(datadir: Path, store: ArchiveStore, topic: Topic) -> Iterator[_Unfinished]:
    """Raises CannotBeDone where another process of this machine exports the topic into the archive."""
    folder = datadir / "exports"
    folder.mkdir(parents=True, exist_ok=True)
    name = blake2b(f"{store.location}\n{topic.name}".encode(), digest_size=12).hexdigest()
    with (folder / f"{name}.lock").open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotBeDone(
                f"another export of {topic.name} into {store.url} is under way: let it end first"
            ) from None
        yield _Unfinished(folder / f"{name}.id")
