"""The history of `events` by time range, as columns, without what erased visitors did."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

import msgspec

from schemas.topics import EVENTS
from services.history import erased
from services.history.erased import Erasures
from services.history.partitions import BoundedReader, reading
from services.history.past import PastMessage
from services.history.progress import Progress
from services.history.timerange import TimeRange
from services.settings import ServiceSettings
from services.trainer.columns import EventColumns, GrowingColumns, PastEvent


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
        erasures = erased.read(reader)
        columns, tally = GrowingColumns(types), Tally(unreadable_erasures=erasures.unreadable)
        spans = [span for span in reader.spans(EVENTS, times) if len(span)]
        if not spans:
            raise NothingToRead(_where_else(reader, settings, times))
        progress.stage("reading events", sum(len(span) for span in spans))
        for messages in reader.read(spans):
            columns.extend(_events(messages, erasures, tally))
            progress.advance(len(messages))
    return TopicHistory(columns.columns(), tally)


def _events(messages: Iterable[PastMessage], erasures: Erasures, tally: Tally) -> Iterator[PastEvent]:
    for message in messages:
        tally.messages += 1
        try:
            event = PastEvent.decode(message.value() or b"")
        except msgspec.MsgspecError:
            tally.bad += 1
            continue
        if message.key() != event.visitor_id.encode():  # the live session does not take it either
            tally.bad += 1
        elif erasures.leave_out(
            event.visitor_id, event.occurred_at, event.received_at, message.timestamp()[1]
        ):
            tally.erased += 1
        else:
            yield event


def _where_else(reader: BoundedReader, settings: ServiceSettings, times: TimeRange) -> str:
    name = settings.topic(EVENTS)
    count = sum(len(span) for span in reader.spans(EVENTS))
    if not count:
        return f"{name} holds no events"
    return f"{name} holds {count:,} events, but none that came in the range {times}"
