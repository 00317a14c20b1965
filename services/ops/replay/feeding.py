"""From history to a topic `events`: what counts, in its order and when it is due."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Final

import msgspec

from schemas import sessions
from schemas.events import Event, decode
from schemas.topics import EVENTS
from services.history import erased
from services.history.erased import Erasures
from services.history.in_time import Opened, in_time
from services.history.lookup import partition_of
from services.history.partitions import reading
from services.history.past import HistoryReader, PastHeaders, PastMessage, Span, headers_of
from services.history.progress import Progress
from services.history.timerange import TimeRange
from services.history.writing import writing
from services.ops.replay.pacing import Pace
from services.ops.replay.question import Question, ReplayFailed
from services.ops.replay.seen import Seen
from services.settings import ServiceSettings

REPLAYED_FROM: Final = "replayed_from"  # header of a replayed event: topic/partition/offset
LEFT_OFF: Final = frozenset({sessions.ACCEPTED_AT, REPLAYED_FROM})  # a click of last week has no latency
LOOK_EVERY: Final = 1_000  # events

OnEvent = Callable[[Event], object]


@dataclass(frozen=True, slots=True)
class Source:
    """Where events come from: the same messages whenever it is read."""

    opened: Opened
    spans: tuple[Span, ...]
    erasures: Erasures
    times: TimeRange
    visitor_id: str | None = None

    def __len__(self) -> int:
        """How many messages there are at most."""
        return sum(map(len, self.spans))

    def messages(self, *, in_order: bool) -> Iterator[PastMessage]:
        """All of them, each partition in its order; `in_order`: in that of time over all partitions."""
        if in_order:
            yield from in_time(self.opened, self.spans)
            return
        with self.opened() as reader:
            for messages in reader.read(self.spans):
                yield from messages


@dataclass(slots=True)
class Tally:
    """What became of the messages. Times are those at which the broker took the events, Unix ms."""

    events: int = 0
    bad: int = 0
    erased: int = 0
    since: int | None = None
    until: int | None = None
    visitors: Seen = field(default_factory=Seen)
    identities: Seen = field(default_factory=Seen)

    def fed(self, event: Event, at: int) -> None:
        """One event counts."""
        self.events += 1
        self.since = at if self.since is None else min(self.since, at)
        self.until = at if self.until is None else max(self.until, at)
        self.visitors.add(event.visitor_id.encode())
        self.identities.add(sessions.identity(event.event_id))


def source(settings: ServiceSettings, question: Question) -> Source:
    """What there is to replay. Raises ReplayFailed where there is nothing, BrokerAway, TopicMissing."""
    with reading(settings) as reader:
        erasures = erased.read(reader)
    opened = _opened(settings, question.archive)
    with opened() as history:
        found = history.spans(EVENTS, question.times)
        everything = [] if any(map(len, found)) else history.spans(EVENTS)
    if question.visitor_id is not None and question.archive is None:
        wanted = partition_of(question.visitor_id.encode(), len(found))
        found = [span for span in found if span.partition == wanted]
    if not any(map(len, found)):
        where = question.archive or settings.topic(EVENTS)
        count = sum(map(len, everything))
        raise ReplayFailed(
            f"{where} holds no events from {question.times}"
            + (f", {count:,} of other times" if count else "")
        )
    return Source(opened, tuple(found), erasures, question.times, question.visitor_id)


def _opened(settings: ServiceSettings, archive: str | None) -> Opened:
    if archive is None:
        return lambda: _broker(settings)
    from services.history.archive import reading_archive  # noqa: PLC0415 - pyarrow takes a second

    def opened() -> AbstractContextManager[HistoryReader]:
        return reading_archive(archive)

    return opened


@contextmanager
def _broker(settings: ServiceSettings) -> Iterator[HistoryReader]:
    with reading(settings) as reader:
        yield reader


def sifted(
    messages: Iterable[PastMessage], source: Source, tally: Tally
) -> Iterator[tuple[PastMessage, Event]]:
    """The messages that are events of the range, and nobody's who is erased; what is left out is counted."""
    sought = None if source.visitor_id is None else source.visitor_id.encode()
    for message in messages:
        at = message.timestamp()[1]
        if not within(at, source.times) or (sought is not None and message.key() != sought):
            continue
        event = _event(message)
        if event is None:
            tally.bad += 1
        elif source.erasures.leave_out(event.visitor_id, event.occurred_at, event.received_at, at):
            tally.erased += 1
        else:
            tally.fed(event, at)
            yield message, event


def within(at: int, times: TimeRange) -> bool:
    """Whether a time lies in the range: what was replayed into a topic lies among much newer messages."""
    return (times.since is None or at >= times.since) and (times.until is None or at < times.until)


def _event(message: PastMessage) -> Event | None:
    """As the session processor judges: no event, or one under another visitor's key, is none."""
    try:
        event = decode(message.value() or b"")
    except msgspec.MsgspecError:
        return None
    return event if message.key() == event.visitor_id.encode() else None


def feed(
    source: Source,
    target: ServiceSettings,
    pace: Pace,
    progress: Progress,
    *,
    on_event: OnEvent,
    meanwhile: Callable[[], object],
) -> Tally:
    """Writes the events to the `events` of `target` when they are due; returns when the broker has them.

    `on_event` is told of each, `meanwhile` is called now and then. Raises ReplayFailed where no event is
    left, NotDelivered.
    """
    tally, name = Tally(), target.topic(EVENTS)
    every = LOOK_EVERY if pace.is_max else 1
    messages = _counted(source.messages(in_order=not pace.is_max), progress, every)
    with writing(target) as writer:
        for message, event in sifted(messages, source, tally):
            at = message.timestamp()[1]
            pace.wait_for(at)
            writer.write(
                name, message.key(), message.value(), headers=replayed(message), timestamp=max(at, 1)
            )
            on_event(event)
            if tally.events % LOOK_EVERY == 0:
                meanwhile()
    if not tally.events:
        raise ReplayFailed(_nothing_left(source, tally))
    return tally


def _counted(messages: Iterator[PastMessage], progress: Progress, every: int) -> Iterator[PastMessage]:
    count = 0
    for count, message in enumerate(messages, start=1):
        yield message
        if count % every == 0:
            progress.advance(every)
    progress.advance(count % every)


def _nothing_left(source: Source, tally: Tally) -> str:
    whose = f" of visitor {source.visitor_id}" if source.visitor_id else ""
    return (
        f"no event{whose} is left to replay of {len(source):,} messages: {tally.bad:,} are no events, "
        f"{tally.erased:,} are of erased visitors"
    )


def replayed(message: PastMessage) -> PastHeaders:
    """A message's headers once it is replayed: where it lay; nothing that metrics of today would count."""
    place = f"{message.topic()}/{message.partition()}/{message.offset()}".encode()
    return [(name, value) for name, value in headers_of(message) if name not in LEFT_OFF] + [
        (REPLAYED_FROM, place)
    ]
