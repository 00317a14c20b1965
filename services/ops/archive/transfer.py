"""An export and an import, put together: broker, erasures, archive, journal, and the report."""

import time
from contextlib import ExitStack
from functools import partial

from schemas.topics import Topic
from services.archive import exporter, importer
from services.archive.exporter import ExportReport, source_of
from services.archive.importer import ImportJournal, ImportReport, ImportRun
from services.archive.reader import open_archive
from services.archive.store import ArchiveStore
from services.clock import now_ms
from services.errors import UsageError
from services.kafka.clients import TopicMissing
from services.kafka.ranges import open_reader
from services.kafka.writer import open_writer
from services.ops.archive import render
from services.ops.settings import OpsSettings
from services.progress import Progress
from services.time_range import TimeRange
from services.visitors import erasure
from services.visitors.erasure import Erasures


def export_range(  # noqa: PLR0917 - what an export is about
    settings: OpsSettings, url: str, topic: Topic, times: TimeRange, now_ms: int, progress: Progress
) -> ExportReport:
    """Puts a topic's range into the archive at a URL. Raises what exporting.export does, and TopicMissing."""
    began = time.monotonic()
    store = ArchiveStore(url)
    source = source_of(settings, topic)
    with open_reader(settings) as reader:
        erasures = erasure.read(reader)
    exported = exporter.export(
        partial(open_reader, settings), store, topic, times,
        source=source, erasures=erasures, datadir=settings.ops_datadir, now_ms=now_ms, progress=progress,
    )  # fmt: skip
    return render.of_export(exported, store.url, source.topic, erasures, time.monotonic() - began)


def import_range(  # noqa: PLR0917 - what an import is about
    settings: OpsSettings, target: OpsSettings, url: str, topic: Topic, times: TimeRange, progress: Progress,
    *, anew: bool = False,
) -> ImportReport:  # fmt: skip
    """Writes the range that the archive at a URL has of a topic to the target's topic of that name.

    `settings` and `target` differ in the prefix at most: who is erased under either is left out. Raises
    ArchiveRefused, StoreFailed, UsageError, BrokerAway, TopicMissing and NotDelivered.
    """
    began = time.monotonic()
    to = source_of(target, topic)
    with ExitStack() as stack:
        archive = stack.enter_context(open_archive(url))
        spans = [span for span in archive.spans(topic, times) if len(span)]
        if not spans:
            raise UsageError(f"{archive.url} holds nothing of {topic.name} from {times}")
        exports = [each.export_id for each in archive.manifests(topic)]
        about = f"{archive.location} {topic.name} {exports} {times.since}-{times.until} > {to.topic_id}"
        journal = stack.enter_context(ImportJournal(settings.ops_datadir / "imports", about, anew=anew))
        promised = importer.verify(archive, topic, spans, progress)
        erasures = _erasures(settings, target)
        reached = journal.load()
        with open_writer(target) as writer:
            state = ImportRun(topic, to.topic, erasures, writer, reached)
            importer.transfer(archive, spans, state, journal, progress)
        journal.remove()
        return ImportReport(
            url=archive.url,
            topic=to.topic,
            archive_messages=promised.count,
            archive_digest=str(promised),
            read=state.read.count,
            digest=str(state.read),
            written=state.written.count,
            written_digest=str(state.written),
            erased=state.erased,
            unreadable_erasures=erasures.unreadable,
            resumed_at=reached.written,
            agrees=state.read == promised and state.written.count + state.erased == promised.count,
            past_retention=render.past_retention(topic, archive.pieces(spans), now_ms()),
            seconds=round(time.monotonic() - began, 2),
        )


def _erasures(own: OpsSettings, target: OpsSettings) -> Erasures:
    """Who is erased here, and who where it is written to: a shadow may know of nobody."""
    with open_reader(own) as reader:
        found = erasure.read(reader)
    if target.topic_prefix == own.topic_prefix:
        return found
    try:
        with open_reader(target) as reader:
            theirs = erasure.read(reader)
    except TopicMissing:  # a target may have no more than the topic that is written
        return found
    for visitor_id, until in theirs.until.items():
        found.until[visitor_id] = max(until, found.until.get(visitor_id, 0))
    found.unreadable += theirs.unreadable
    return found
