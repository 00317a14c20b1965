"""From history to a topic `events`: what counts, in its order and when it is due."""

import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from schemas import sessions
from schemas.events import Event
from schemas.topics import EVENTS
from schemas.traces import TRACEPARENT
from services.errors import OperationFailed
from services.kafka.messages import EVENT, read_value
from services.kafka.ranges import (
    MessageHeaders,
    ReaderFactory,
    Span,
    TopicMessage,
    headers_of,
    merge_by_time,
    open_reader,
    partition_of,
)
from services.kafka.writer import open_writer
from services.progress import Progress
from services.settings import ServiceSettings
from services.time_range import TimeRange
from services.visitors import erasure
from services.visitors.erasure import Erasures

LOOK_EVERY_S: Final = 0.5  # while nothing is due: at the processes that are fed


class Pace:
    """Waits for what is due. A speed of None waits for nothing.

    Each time is counted from the first one, so that what was late once delays nothing after it. `meanwhile`
    is called at least twice a second of waiting.
    """

    def __init__(
        self,
        speed: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> None:
        self._speed = speed
        self._clock = clock
        self._sleep = sleep
        self._meanwhile = meanwhile
        self._first: tuple[float, int] | None = None  # the clock, and Unix ms
        self._newest = 0
        self._late = array("f")

    def wait_for(self, at: int) -> None:
        """Returns when an event of `at`, Unix ms, is due; one older than one before it is due at once."""
        if self._speed is None:
            return
        if self._first is None:
            self._first = self._clock(), at
        self._newest = max(self._newest, at)
        began, first = self._first
        due = began + (self._newest - first) / 1000 / self._speed
        while (left := due - self._clock()) > 0:
            self._sleep(min(left, LOOK_EVERY_S))
            self._meanwhile()
        self._late.append(-left)

    @property
    def is_max(self) -> bool:
        """Whether nothing is waited for."""
        return self._speed is None

    @property
    def late_p99_s(self) -> float | None:
        """What 99 % of the events were not later than; None where there was nothing to wait for."""
        return float(np.quantile(np.frombuffer(self._late, np.float32), 0.99)) if self._late else None


MASK = (1 << 64) - 1


class Seen:
    """A set that only grows, by hashes: of 10 million, two are taken for one with a chance of 3 in a million.

    Add first, ask afterwards.
    """

    def __init__(self) -> None:
        self._hashes = array("Q")

    def add(self, each: bytes) -> None:
        """Takes one; the same may come again."""
        self._hashes.append(hash(each) & MASK)

    @cached_property
    def _sorted(self) -> npt.NDArray[np.uint64]:
        return np.unique(np.frombuffer(self._hashes, np.uint64)) if self._hashes else np.empty(0, np.uint64)

    def __len__(self) -> int:
        return len(self._sorted)

    def __contains__(self, each: bytes) -> bool:
        sought = np.uint64(hash(each) & MASK)
        index = int(np.searchsorted(self._sorted, sought))
        return index < len(self._sorted) and bool(self._sorted[index] == sought)


SPEED_MAX: Final = 1_000_000.0
MAX: Final = "max"


class ReplayFailed(OperationFailed):
    """A replay that cannot be, or that broke off; the text says why, and what to do."""


class ReplayRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for. `speed` is how many seconds pass in one, None for as fast as it goes.

    `model` is NAME=VERSION as it was written, `settings` a TOML file of settings that are to differ.
    """

    times: TimeRange = TimeRange()
    speed: float | None = None
    prefix: str | None = None
    visitor_id: str | None = None
    archive: str | None = None
    model: str | None = None
    settings: Path | None = None
    workers: int = 1
    cases: int = 2_000
    k: int = 12

    @property
    def has_variant(self) -> bool:
        """Whether the shadow is not to be as live is."""
        return self.model is not None or self.settings is not None


def speed_of(text: str) -> float | None:
    """The speed that --speed names. Raises ReplayFailed."""
    if text.strip() == MAX:
        return None
    try:
        speed = float(text.strip().removesuffix("x"))
    except ValueError:
        speed = 0.0
    if not 0 < speed <= SPEED_MAX:
        raise ReplayFailed(f"--speed takes {MAX}, or a number such as 1 or 10 (times as fast): {text!r}")
    return speed


def format_speed(speed: float | None) -> str:
    """As the report tells it."""
    return MAX if speed is None else f"{speed:g}"


REPLAYED_FROM: Final = "replayed_from"  # header of a replayed event: topic/partition/offset
# A click of last week has no latency, and its trace is over.
LEFT_OFF: Final = frozenset({sessions.ACCEPTED_AT, REPLAYED_FROM, TRACEPARENT})
LOOK_EVERY: Final = 1_000  # events

OnEvent = Callable[[Event], object]


@dataclass(frozen=True, slots=True)
class Source:
    """Where events come from: the same messages whenever it is read."""

    opened: ReaderFactory
    spans: tuple[Span, ...]
    erasures: Erasures
    times: TimeRange
    visitor_id: str | None = None

    def __len__(self) -> int:
        """How many messages there are at most."""
        return sum(map(len, self.spans))

    def messages(self, *, in_order: bool) -> Iterator[TopicMessage]:
        """All of them, each partition in its order; `in_order`: in that of time over all partitions."""
        if in_order:
            yield from merge_by_time(self.opened, self.spans)
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

    def count_event(self, event: Event, at: int) -> None:
        """One event counts."""
        self.events += 1
        self.since = at if self.since is None else min(self.since, at)
        self.until = at if self.until is None else max(self.until, at)
        self.visitors.add(event.visitor_id.encode())
        self.identities.add(sessions.identity(event.event_id))


def source(settings: ServiceSettings, question: ReplayRequest) -> Source:
    """What there is to replay. Raises ReplayFailed where there is nothing, BrokerAway, TopicMissing."""
    with open_reader(settings) as reader:
        erasures = erasure.read(reader)
    opened: ReaderFactory = partial(open_reader, settings)
    if question.archive is not None:
        from services.archive.reader import open_archive  # noqa: PLC0415 - pyarrow takes a second

        opened = partial(open_archive, question.archive)
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


def sift(
    messages: Iterable[TopicMessage], source: Source, tally: Tally
) -> Iterator[tuple[TopicMessage, Event]]:
    """The messages that are events of the range, and nobody's who is erased; what is left out is counted."""
    sought = None if source.visitor_id is None else source.visitor_id.encode()
    for message in messages:
        at = message.timestamp()[1]
        if not within(at, source.times) or (sought is not None and message.key() != sought):
            continue
        event = read_value(EVENT, message)
        if event is None:
            tally.bad += 1
        elif source.erasures.leave_out(event.visitor_id, event.occurred_at, event.received_at, at):
            tally.erased += 1
        else:
            tally.count_event(event, at)
            yield message, event


def within(at: int, times: TimeRange) -> bool:
    """Whether a time lies in the range: what was replayed into a topic lies among much newer messages."""
    return (times.since is None or at >= times.since) and (times.until is None or at < times.until)


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
    messages = _count(source.messages(in_order=not pace.is_max), progress, every)
    with open_writer(target) as writer:
        for message, event in sift(messages, source, tally):
            at = message.timestamp()[1]
            pace.wait_for(at)
            writer.write(
                name, message.key(), message.value(), headers=replay_headers(message), timestamp=max(at, 1)
            )
            on_event(event)
            if tally.events % LOOK_EVERY == 0:
                meanwhile()
    if not tally.events:
        whose = f" of visitor {source.visitor_id}" if source.visitor_id else ""
        raise ReplayFailed(
            f"no event{whose} is left to replay of {len(source):,} messages: {tally.bad:,} are no events, "
            f"{tally.erased:,} are of erased visitors"
        )
    return tally


def _count(messages: Iterator[TopicMessage], progress: Progress, every: int) -> Iterator[TopicMessage]:
    count = 0
    for count, message in enumerate(messages, start=1):
        yield message
        if count % every == 0:
            progress.advance(every)
    progress.advance(count % every)


def replay_headers(message: TopicMessage) -> MessageHeaders:
    """A message's headers once it is replayed: where it lay; nothing that metrics of today would count."""
    place = f"{message.topic()}/{message.partition()}/{message.offset()}".encode()
    return [(name, value) for name, value in headers_of(message) if name not in LEFT_OFF] + [
        (REPLAYED_FROM, place)
    ]
