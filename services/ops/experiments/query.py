"""Reads an experiment's definition, who is who, what was done and what was shown, off the topics."""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
from confluent_kafka import Message

from schemas.experiments import Experiment
from schemas.topics import EVENTS, RECOMMENDATIONS, Topic
from schemas.unreadable import Unreadable
from services.errors import OperationFailed
from services.kafka.messages import EXPERIMENT, newest_of_topic, read_value
from services.kafka.ranges import RangeReader, open_reader
from services.ops.experiments import attribution
from services.ops.experiments.attribution import Attribution, Behaviour, Rows, ShownRow
from services.progress import Progress
from services.settings import ServiceSettings
from services.time_range import TimeRange
from services.visitors import erasure, identity_graph
from services.visitors.erasure import Erasures
from services.visitors.identity_graph import IdentityGraph


class ReportRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for. Times are Unix ms, None where the range is open."""

    experiment: str
    since: int | None = None
    until: int | None = None
    slot: str | None = None
    window_ms: int
    confidence: float


class Omissions(msgspec.Struct):
    """Messages that were left out."""

    no_events: int = 0
    no_impressions: int = 0
    erased: int = 0
    unreadable_erasures: int = 0
    unreadable_identities: int = 0


class UnknownExperiment(OperationFailed):
    """The topic has no such experiment."""


class NothingShown(OperationFailed):
    """No row of the experiment was shown in the range."""


EXPERIMENTS_SHOWN: Final = 20


def read_definitions(settings: ServiceSettings) -> dict[str, Experiment]:
    """All experiments that there are now, by name. Raises BrokerAway and TopicMissing."""
    with open_reader(settings) as reader:
        newest = newest_of_topic(reader, EXPERIMENT)
    return {name: each for name, each in newest.items() if not isinstance(each, Unreadable)}


def one(settings: ServiceSettings, name: str) -> Experiment:
    """The experiment of a name. Raises UnknownExperiment, BrokerAway, TopicMissing."""
    known = read_definitions(settings)
    if name in known:
        return known[name]
    names = ", ".join(list(known)[:EXPERIMENTS_SHOWN]) or "there are none"
    raise UnknownExperiment(f"no experiment is called {name!r}; known: {names}")


def read_joined(
    settings: ServiceSettings, question: ReportRequest, progress: Progress
) -> tuple[Attribution, Omissions]:
    """What was shown within the question's range, joined with what was done up to the window's length later.

    Events are read first, so that next to nothing needs to be kept of rows, of which there are many more than
    clicks. Raises NothingShown, BrokerAway, TopicMissing.
    """
    left = Omissions()
    shown = TimeRange(question.since, question.until)
    done = TimeRange(question.since, question.until and question.until + question.window_ms)
    with open_reader(settings) as reader:
        graph, left.unreadable_identities = identity_graph.read(reader, settings)
        erasures = erasure.read(reader).of_persons(graph)
        left.unreadable_erasures = erasures.unreadable
        behaviour = Behaviour()
        for batch in _batches(reader, EVENTS, done, progress):
            _take_events(batch, graph, erasures, behaviour, left)
        rows = Rows(question.experiment, graph, behaviour, question.slot)
        for batch in _batches(reader, RECOMMENDATIONS, shown, progress):
            rows.extend(list(_rows(batch, erasures, left)))
    if not len(rows):
        slot = f" in the slot {question.slot}" if question.slot else ""
        raise NothingShown(
            f"no row of the experiment {question.experiment}{slot} was shown from {shown}: "
            "choose other times with --from and --to, or see `experiment list` for when it runs"
        )
    return rows.attribute(question.window_ms), left


def _batches(
    reader: RangeReader, topic: Topic, times: TimeRange, progress: Progress
) -> Iterator[list[Message]]:
    spans = [span for span in reader.spans(topic, times) if len(span)]
    progress.stage(f"reading {topic.name}", sum(len(span) for span in spans))
    for batch in reader.read(spans):
        yield batch
        progress.advance(len(batch))


def _take_events(
    batch: Iterable[Message], graph: IdentityGraph, erasures: Erasures, behaviour: Behaviour, left: Omissions
) -> None:
    for message in batch:
        event = read_value(attribution.EVENT, message)
        if event is None:
            left.no_events += 1  # the live session does not take it either
            continue
        visitor_id = event.visitor_id
        sent_at = message.timestamp()[1]
        if erasures.leave_out(visitor_id, event.occurred_at, event.received_at, sent_at):
            left.erased += 1
        else:
            behaviour.add(graph.person(visitor_id), event)


def _rows(batch: Iterable[Message], erasures: Erasures, left: Omissions) -> Iterator[ShownRow]:
    for message in batch:
        row = read_value(attribution.ROW, message)
        if row is None:
            left.no_impressions += 1
            continue
        if erasures.leave_out(row.visitor_id, row.shown_at, message.timestamp()[1]):
            left.erased += 1
        else:
            yield row
