"""The history of `events` by time range, as columns, without what erased visitors did."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field

import msgspec

from schemas.topics import EVENTS
from services.history import erased, past_events
from services.history.erased import Erasures
from services.history.partitions import reading
from services.history.past import HistoryReader, PastMessage
from services.history.past_events import PastEvent
from services.history.progress import Progress
from services.history.timerange import TimeRange
from services.settings import ServiceSettings
from services.trainer.columns import EventColumns, GrowingColumns


class NothingToRead(Exception):
    """There are no events in the range; the text says where there are some."""


@dataclass
class Tally:
    """What became of the messages."""

    messages: int = 0
    bad: int = 0  # no event, or under another visitor's key
    erased: int = 0
    unreadable_erasures: int = 0
    sources: dict[str, int] = field(default_factory=dict)  # messages of the topic, and of each archive


@dataclass(frozen=True, slots=True)
class TopicHistory:
    """The events that count, and how many there were of all."""

    events: EventColumns
    tally: Tally


def read(
    settings: ServiceSettings,
    times: TimeRange,
    types: Collection[str],
    progress: Progress,
    archives: Sequence[str] = (),
) -> TopicHistory:
    """The events of the given types that the broker took in a range of time, up to where the topic ends now.

    Those in archives at these URLs, too: what an archive and the topic both have comes twice, as an event
    that was sent twice does. `erasures` is read whole first. Messages that are no event are counted and left
    out. Raises NothingToRead, BrokerAway, TopicMissing, ArchiveRefused, StoreFailed.
    """
    with ExitStack() as stack:
        reader = stack.enter_context(reading(settings))
        erasures = erased.read(reader)
        columns, tally = GrowingColumns(types), Tally(unreadable_erasures=erasures.unreadable)
        sources: list[tuple[str, HistoryReader]] = [
            *((url, stack.enter_context(_reading_archive(url))) for url in archives),
            (settings.topic(EVENTS), reader),
        ]
        spans = [[span for span in each.spans(EVENTS, times) if len(span)] for _, each in sources]
        if not any(spans):
            raise NothingToRead("; ".join(_where_else(each, name, times) for name, each in sources))
        for (name, each), found in zip(sources, spans, strict=True):
            before = tally.messages
            stage = f"reading events of {name}" if archives else "reading events"
            progress.stage(stage, sum(map(len, found)))
            for messages in each.read(found) if found else ():
                columns.extend(_events(messages, erasures, tally))
                progress.advance(len(messages))
            tally.sources[name] = tally.sources.get(name, 0) + tally.messages - before
    return TopicHistory(columns.columns(), tally)


def _reading_archive(url: str) -> AbstractContextManager[HistoryReader]:
    from services.history.archive import reading_archive  # noqa: PLC0415 - pyarrow: who reads none waits not

    return reading_archive(url)


def _events(messages: Iterable[PastMessage], erasures: Erasures, tally: Tally) -> Iterator[PastEvent]:
    for message in messages:
        tally.messages += 1
        try:
            event = past_events.decode(message.value() or b"")
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


def _where_else(reader: HistoryReader, name: str, times: TimeRange) -> str:
    count = sum(len(span) for span in reader.spans(EVENTS))
    if not count:
        return f"{name} holds no events"
    return f"{name} holds {count:,} events, but none that came in the range {times}"
