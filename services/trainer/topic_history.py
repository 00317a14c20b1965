"""The history of `events` by time range, as columns, without what erased visitors did."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import msgspec
from confluent_kafka import Message

from schemas import erasures
from schemas.topics import ERASURES, EVENTS
from services.settings import ServiceSettings
from services.trainer.columns import EventColumns, GrowingColumns, PastEvent
from services.trainer.partitions import BoundedReader, reading
from services.trainer.progress import Progress
from services.trainer.timerange import TimeRange

Erased = Mapping[str, int]  # visitor → Unix ms up to which all is left out


class NothingToRead(Exception):
    """There are no events in the range; the text says where there are some."""


@dataclass
class Tally:
    """What became of the messages."""

    messages: int = 0
    bad: int = 0  # no event, or under another visitor's key
    erased: int = 0
    unreadable_erasures: int = 0


@dataclass(frozen=True, slots=True)
class TopicHistory:
    """The events that count, and how many there were of all."""

    events: EventColumns
    tally: Tally


def read(
    settings: ServiceSettings, times: TimeRange, types: Collection[str], progress: Progress
) -> TopicHistory:
    """The events of the given types that the broker took in a range of time, up to where the topic ends now.

    `erasures` is read whole first. Messages that are no event are counted and left out. Raises NothingToRead,
    BrokerAway, TopicMissing.
    """
    with reading(settings) as reader:
        columns, tally = GrowingColumns(types), Tally()
        erased = _erased(reader, tally)
        spans = [span for span in reader.spans(EVENTS, times) if len(span)]
        if not spans:
            raise NothingToRead(_where_else(reader, settings, times))
        progress.stage("reading events", sum(len(span) for span in spans))
        for messages in reader.read(spans):
            columns.extend(_events(messages, erased, tally))
            progress.advance(len(messages))
    return TopicHistory(columns.columns(), tally)


def _events(messages: Iterable[Message], erased: Erased, tally: Tally) -> Iterator[PastEvent]:
    for message in messages:
        tally.messages += 1
        try:
            event = PastEvent.decode(message.value() or b"")
        except msgspec.MsgspecError:
            tally.bad += 1
            continue
        if message.key() != event.visitor_id.encode():  # the live session does not take it either
            tally.bad += 1
        elif event.visitor_id in erased and _first_seen(event, message) <= erased[event.visitor_id]:
            tally.erased += 1
        else:
            yield event


def _first_seen(event: PastEvent, message: Message) -> int:
    """The earliest of an event's stamps: a clock that runs ahead saves nothing from erasure."""
    stamps = (event.occurred_at, event.received_at, message.timestamp()[1])
    return min(stamp for stamp in stamps if stamp is not None and stamp >= 0)


def _erased(reader: BoundedReader, tally: Tally) -> dict[str, int]:
    """All visitors that are to be forgotten. An erasure that cannot be read counts up to when it was sent."""
    found: dict[str, int] = {}
    for messages in reader.read(reader.spans(ERASURES)):
        for message in messages:
            visitor_id = (message.key() or b"").decode("ascii", "replace")
            value = message.value()
            if value is None:  # it was taken back
                found.pop(visitor_id, None)
                continue
            try:
                erased_at = erasures.decode(value).erased_at
            except msgspec.MsgspecError:
                tally.unreadable_erasures += 1
                erased_at = int(message.timestamp()[1])
            found[visitor_id] = max(found.get(visitor_id, 0), erased_at)
    return found


def _where_else(reader: BoundedReader, settings: ServiceSettings, times: TimeRange) -> str:
    name = settings.topic(EVENTS)
    count = sum(len(span) for span in reader.spans(EVENTS))
    if not count:
        return f"{name} holds no events"
    return f"{name} holds {count:,} events, but none that came in the range {times}"
