"""The trainer's reading of history against a bare consumer: events a second off a real broker's topic.

Both read the same topic, with the same client settings; the bare one decodes nothing and keeps nothing.
"""

from collections.abc import Callable, Iterator
from statistics import median
from typing import Final

import msgspec
import numpy as np
from confluent_kafka import Consumer, Producer, TopicPartition
from ulid import ULID

from schemas import events
from schemas.events import Context, Event, EventType, Item
from schemas.topics import EVENTS
from services.clock import now_ms
from services.kafka.admin import create
from services.kafka.clients import Headers, client_config, producer_config
from services.model.session import TYPE_WEIGHTS
from services.progress import Silent
from services.settings import ServiceSettings
from services.time_range import TimeRange
from services.trainer import topic_history
from services.trainer.sessions import sessionise
from tests.benchmark.brokers import broker, put
from tests.benchmark.machine import Machine, this_machine
from tests.benchmark.stopwatch import time_call

ROUNDS: Final = 5
BATCH: Final = 5_000
SEED: Final = 7
EVENT_MS: Final = 40  # between events of the whole shop: 25 a second
# What shoppers do, by how often.
TYPES: Final[dict[EventType, float]] = {
    "view_item": 0.72,
    "view_item_list": 0.10,
    "add_to_cart": 0.07,
    "search": 0.05,
    "add_to_wishlist": 0.02,
    "purchase": 0.03,
    "remove_from_cart": 0.01,
}


class HistoryFigures(msgspec.Struct, frozen=True):
    """Medians of the rounds, which took turns."""

    machine: Machine
    events: int
    bytes_an_event: float
    bare_events_per_s: float
    history_events_per_s: float
    ratio: float
    rows: int
    sessions: int
    sessionised_rows_per_s: float


def measure(count: int, tell: Callable[[str], object]) -> HistoryFigures:
    """Fills a topic with `count` events, and reads it by turns. Blocks."""
    machine = this_machine()
    with broker() as running:
        settings = ServiceSettings(kafka_bootstrap=running.bootstrap)
        create(settings)
        tell(f"filling a topic with {count:,} events …")
        size = fill(settings, count)
        rates: dict[str, list[float]] = {"bare": [], "history": [], "sessionised": []}
        for number in range(ROUNDS):
            tell(f"reading it, round {number + 1} of {ROUNDS} …")
            rates["bare"].append(count / time_call(lambda: bare(settings, count))[0])
            seconds, found = time_call(
                lambda: topic_history.read(settings, TimeRange(), TYPE_WEIGHTS, Silent())
            )
            assert found.tally.messages == count
            assert found.tally.bad == 0
            rates["history"].append(count / seconds)
            seconds, histories = time_call(lambda: sessionise(found.events))  # noqa: B023 - called at once
            rates["sessionised"].append(len(found.events) / seconds)
    ratios = [ours / theirs for ours, theirs in zip(rates["history"], rates["bare"], strict=True)]
    return HistoryFigures(
        machine=machine,
        events=count,
        bytes_an_event=round(size / count, 1),
        bare_events_per_s=round(median(rates["bare"])),
        history_events_per_s=round(median(rates["history"])),
        ratio=round(median(ratios), 3),
        rows=len(found.events),
        sessions=histories.sessions,
        sessionised_rows_per_s=round(median(rates["sessionised"])),
    )


def bare(settings: ServiceSettings, count: int) -> None:
    """The loop of confluent-kafka's own documentation, in batches."""
    consumer = Consumer(
        client_config(settings)
        | {"group.id": "unused", "enable.auto.commit": False, "fetch.queue.backoff.ms": 5}
    )
    topic = settings.topic(EVENTS)
    consumer.assign([TopicPartition(topic, number, 0) for number in range(EVENTS.partitions)])
    received = 0
    while received < count:
        received += len(consumer.consume(BATCH, timeout=1))
    consumer.close()


def fill(settings: ServiceSettings, count: int) -> int:
    """Puts events on the topic as ingest does; returns their bytes."""
    producer = Producer(producer_config(settings, linger_ms=20, timeout_ms=60_000))
    topic, size = settings.topic(EVENTS), 0
    for event in shopping(count):
        value = events.encode(event)
        size += len(value)
        headers: Headers = [("accepted_at", str(event.received_at))]
        put(producer, topic, event.visitor_id.encode(), value, at=event.received_at or 0, headers=headers)
    assert producer.flush(60) == 0
    return size


def shopping(count: int) -> Iterator[Event]:
    """Events of a shop: many visitors who come for a few looks, few products that many look at."""
    rng = np.random.default_rng(SEED)
    # A visitor comes every twelve events or so, and is around for a while.
    visitors = [str(ULID.from_bytes(rng.bytes(16))) for _ in range(max(1, count // 12))]
    turn = np.linspace(0, len(visitors), count)
    who = (turn + rng.exponential(20.0, size=count)).astype(np.int64) % len(visitors)
    what = rng.zipf(1.2, size=(count, 3)) % 30_000
    kinds = rng.choice(len(TYPES), size=count, p=list(TYPES.values()))
    names = list(TYPES)
    begin = int(now_ms()) - count * EVENT_MS  # the broker deletes what is older than 30 days
    for number in range(count):
        at = begin + number * EVENT_MS
        yield _event(names[kinds[number]], visitors[who[number]], what[number].tolist(), at, rng)


def _event(type_: EventType, visitor: str, what: list[int], at: int, rng: np.random.Generator) -> Event:
    products = [f"sku-{number:06d}" for number in what]
    many = type_ in {"purchase", "view_item_list"}
    return Event(
        event_id=str(ULID.from_bytes(at.to_bytes(6) + rng.bytes(10))),
        type=type_,
        visitor_id=visitor,
        session_id=f"{visitor[-8:]}-1",
        occurred_at=at,
        received_at=at + 35,
        product_id=None if many or type_ == "search" else products[0],
        items=tuple(Item(product, quantity=1, price=49.9) for product in products) if many else (),
        query="a warm coat" if type_ == "search" else None,
        context=Context(
            page=f"/products/{products[0]}",
            referrer="https://www.example.com/",
            locale="en-GB",
            device="mobile",
        ),
    )
