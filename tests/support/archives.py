"""Archives in memory, made of messages that no broker has seen."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from uuid import uuid4

from schemas.topics import EVENTS, Topic
from services.archive.exporter import ExportResult, export
from services.archive.manifest import ExportManifest, Source
from services.archive.rows import ArchivedMessage
from services.archive.store import ArchiveStore
from services.kafka.ranges import Span
from services.progress import Silent
from services.time_range import TimeRange
from services.visitors.erasure import Erasures

DAY = 24 * 60 * 60 * 1000
NOON = 1_793_534_400_000  # 2026-11-01T12:00:00Z
SOURCE = Source("shop.events", "an id of Kafka's")
ALL = TimeRange()


class Topics:
    """A HistoryReader of messages in memory, which answers as a broker does: the yardstick."""

    def __init__(self, messages: Sequence[ArchivedMessage]) -> None:
        self.messages = list(messages)

    def spans(self, topic: Topic, times: TimeRange = ALL) -> list[Span]:
        """By partition; a partition ends behind its last message."""
        found = []
        for partition in sorted({each.partition() for each in self.messages}):
            mine = [each for each in self.messages if each.partition() == partition]
            high = max(each.offset() for each in mine) + 1
            start = 0 if times.since is None else self._first(mine, times.since, high)
            end = high if times.until is None else self._first(mine, times.until, high)
            found.append(Span(topic.name, partition, start, end))
        return found

    def read(self, spans: Sequence[Span]) -> Iterator[Sequence[ArchivedMessage]]:
        """Three at a time, by turns."""
        wanted = {span.partition: span for span in spans}
        within = [
            each
            for each in sorted(self.messages, key=ArchivedMessage.offset)
            if each.partition() in wanted
            and wanted[each.partition()].start <= each.offset() < wanted[each.partition()].end
        ]
        for start in range(0, len(within), 3):
            yield within[start : start + 3]

    def close(self) -> None:
        """Nothing to close."""

    @staticmethod
    def _first(messages: Sequence[ArchivedMessage], time_ms: int, high: int) -> int:
        return min((each.offset() for each in messages if each.timestamp()[1] >= time_ms), default=high)


def message(
    partition: int = 0,
    offset: int = 0,
    at: int = NOON,
    *,
    key: bytes | None = b"v",
    value: bytes | None = b"{}",
    headers: Sequence[tuple[str, bytes | None]] = (),
    topic: Topic = EVENTS,
) -> ArchivedMessage:
    """One message."""
    return ArchivedMessage(topic.name, partition, offset, at, key, value, list(headers))


def empty_archive() -> str:
    """The URL of an empty archive."""
    return f"memory://{uuid4().hex}"


_made = 0


def export_messages(
    url: str,
    messages: Sequence[ArchivedMessage],
    folder: Path,
    *,
    times: TimeRange = ALL,
    erasures: Erasures | None = None,
    topic: Topic = EVENTS,
    source: Source = SOURCE,
) -> ExportResult:
    """Exports a topic that holds these messages, each time a second later."""
    global _made  # noqa: PLW0603 - exports of one second are told apart by chance alone
    _made += 1
    return export(
        lambda: closing(Topics(messages)), ArchiveStore(url), topic, times,
        source=source, erasures=erasures or Erasures(), datadir=folder, now_ms=NOON + _made * 1000,
        progress=Silent(),
    )  # fmt: skip


def manifest_of(export: ExportResult) -> ExportManifest:
    """The manifest of an export that found something new."""
    assert export.made is not None
    return export.made
