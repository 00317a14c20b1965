"""What of a visitor still lies on topics and in models, left out by every reader, and when it is gone."""

from collections.abc import Collection, Iterator
from typing import Final

import msgspec
from confluent_kafka import KafkaException

from schemas.times import DAY_MS
from schemas.topics import EVENTS, EVENTS_DLQ, RECOMMENDATIONS, SESSIONS, Topic
from services.kafka import ranges
from services.kafka.admin import KafkaAdmin
from services.kafka.ranges import RangeReader, TopicMessage
from services.model.artifact import ArtifactRefused
from services.model.store import ModelStore, StoreFailed
from services.ops.output import Column
from services.ops.settings import OpsSettings
from services.progress import Progress, track
from services.time_range import TimeRange, format_time


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One place where something of the visitor was.

    `removed` is what is gone now, `left_out` what nobody who reads it takes into account any more, and
    `gone_by` when that itself is gone; None where somebody has to do something for it, which `note` says.
    """

    where: str
    removed: str = ""
    left_out: str = ""
    gone_by: int | None = None
    note: str = ""


PLACES: Final[tuple[Column[Place], ...]] = (
    Column("where", lambda place: place.where),
    Column("removed now", lambda place: place.removed),
    Column("left out by every reader", lambda place: place.left_out),
    Column("gone by", lambda place: None if place.gone_by is None else format_time(place.gone_by)),
    Column("", lambda place: place.note),
)


class ErasureReport(msgspec.Struct, frozen=True, kw_only=True):
    """The report. `visitors` are all that are one person; `confirmed` after how many ms each was gone.

    What a session processor has not confirmed is `unconfirmed`: it is erased when one starts.
    """

    visitor_id: str
    visitors: tuple[str, ...]
    erased_at: int
    confirmed: dict[str, float]
    unconfirmed: tuple[str, ...]
    places: tuple[Place, ...]


ANSWER_S: Final = 10.0
NOBODY: Final = TimeRange(0, 0)


class RetentionSettings:
    """How long the broker keeps what lies on these topics; asked for once."""

    def __init__(self, settings: OpsSettings, *topics: Topic) -> None:
        self.settings = settings
        try:
            self._configs = KafkaAdmin(settings, ANSWER_S).configs([settings.topic(each) for each in topics])
        except KafkaException:
            self._configs = {}

    def ms(self, topic: Topic, name: str, otherwise: int) -> int:
        """A topic's setting as the broker has it, in ms; `otherwise` where it does not tell."""
        entry = self._configs.get(self.settings.topic(topic), {}).get(name)
        return otherwise if entry is None or entry.value is None else int(entry.value)


def places(
    settings: OpsSettings, reader: RangeReader, visitor_ids: Collection[str], progress: Progress, now: int
) -> Iterator[Place]:
    """Topic by topic, then models. `now` is Unix ms. Raises BrokerAway, TopicMissing."""
    keys = [each.encode() for each in visitor_ids]
    kept, done = RetentionSettings(settings, EVENTS, RECOMMENDATIONS, EVENTS_DLQ, SESSIONS), NOBODY
    for topic, what in ((EVENTS, "events"), (RECOMMENDATIONS, "impressions")):
        count, times = _count(ranges.of_keys(reader, topic, keys, progress=progress))
        if topic is EVENTS:
            done = times
        yield _ages_out(kept, topic, f"{count:,} {what}", times if count else None)
    letters, times = _count(_letters(reader, keys, progress))
    yield _ages_out(kept, EVENTS_DLQ, f"{letters:,} dead letters", times if letters else None)
    for name in (settings.topic(SESSIONS), "the changelog of session processors"):
        yield Place(
            where=name,
            left_out="what is older than the tombstone",
            gone_by=now + kept.ms(SESSIONS, "max.compaction.lag.ms", DAY_MS) + DAY_MS,
            note="when Kafka compacts the topic",
        )
    yield from _models(settings, done)
    yield Place(
        where="archives made by export",
        left_out="all of it, by whoever reads them here",
        note="export again to have files without it; delete copies that others have",
    )


def _count(messages: Iterator[TopicMessage]) -> tuple[int, TimeRange]:
    """How many, and the times of the first and the last."""
    stamps = [message.timestamp()[1] for message in messages]
    return len(stamps), TimeRange(min(stamps), max(stamps)) if stamps else NOBODY


def _letters(reader: RangeReader, keys: Collection[bytes], progress: Progress) -> Iterator[TopicMessage]:
    """Dead letters have no key that could be trusted: those whose bytes name a visitor."""
    spans = reader.spans(EVENTS_DLQ)
    quoted = [b'"%b"' % key for key in keys]
    stage = f"looking through {EVENTS_DLQ.name}"
    for message in track(reader.read(spans), progress, stage, sum(map(len, spans))):
        value = message.value() or b""
        if message.key() in keys or any(each in value for each in quoted):
            yield message


def _ages_out(kept: RetentionSettings, topic: Topic, left: str, times: TimeRange | None) -> Place:
    where = kept.settings.topic(topic)
    if times is None or times.until is None:
        return Place(where=where, left_out=left)
    retention = kept.ms(topic, "retention.ms", topic.retention_ms or -1)
    if retention < 0:
        return Place(where=where, left_out=left, note="the topic keeps messages for ever")
    segment = kept.ms(topic, "segment.ms", 0)  # a segment goes when its newest message may
    return Place(where=where, left_out=left, gone_by=times.until + retention + segment)


def _models(settings: OpsSettings, done: TimeRange) -> Iterator[Place]:
    where = f"models {settings.model_name}"
    try:
        store = ModelStore(settings.tenant_store, settings.model_name)
        learned = [version for version in store.versions() if _has_learned(store, version, done)]
    except StoreFailed as error:
        yield Place(where=where, note=f"not looked at: {error}")
        return
    if learned:
        yield Place(
            where=where,
            note=f"{', '.join(learned)} learned from visits then, without ids: train and release anew",
        )
    else:
        yield Place(where=where, left_out="none has learned from these events")


def _has_learned(store: ModelStore, version: str, done: TimeRange) -> bool:
    if done.since is None or done.until is None or done == NOBODY:
        return False
    try:
        manifest, _ = store.manifest(version)
    except ArtifactRefused:
        return False
    return manifest.data.since <= done.until and done.since <= manifest.data.until
