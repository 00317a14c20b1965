"""The report of an experiment: messages a second read off a real broker's topics and joined."""

import resource
from collections.abc import Callable
from statistics import median
from typing import Final

import msgspec
import numpy as np
from confluent_kafka import Producer
from ulid import ULID

from schemas import events, impressions
from schemas.events import Context, Event, Item
from schemas.experiments import Experiment, Variant
from schemas.impressions import Shown, ShownItem
from schemas.topics import EVENTS, RECOMMENDATIONS
from services.clock import now_ms
from services.kafka.admin import create
from services.kafka.clients import producer_config
from services.ops.experiments import query
from services.ops.experiments.attribution import WINDOW_MS
from services.ops.experiments.query import Omissions, ReportRequest
from services.ops.experiments.report import report
from services.progress import Silent
from services.settings import ServiceSettings
from tests.benchmark.brokers import broker, put
from tests.benchmark.machine import Machine, this_machine
from tests.benchmark.stopwatch import time_call

ROUNDS: Final = 3
SEED: Final = 7
PRODUCTS: Final = 12  # a row
EXPERIMENT: Final = Experiment(
    name="less-brand", variants=(Variant(name="as-is", share=0.5), Variant(name="less", share=0.5))
)
QUESTION: Final = ReportRequest(experiment=EXPERIMENT.name, window_ms=WINDOW_MS, confidence=0.95)


class ReportFigures(msgspec.Struct, frozen=True):
    """Medians of the rounds. Half of the messages are impressions of 12 products, half events."""

    machine: Machine
    messages: int
    visitors: int
    joined_messages_per_s: float
    statistics_s: float
    peak_mb: float


def measure(count: int, tell: Callable[[str], object]) -> ReportFigures:
    """Fills both topics with `count` messages in all, and reports on them. Blocks."""
    machine = this_machine()
    with broker() as running:
        settings = ServiceSettings(kafka_bootstrap=running.bootstrap)
        create(settings)
        tell(f"filling two topics with {count:,} messages …")
        fill(settings, count // 2)
        rates, drawing = [], []
        for number in range(ROUNDS):
            tell(f"reading and joining, round {number + 1} of {ROUNDS} …")
            seconds, (joined, left) = time_call(lambda: query.read_joined(settings, QUESTION, Silent()))
            assert left == Omissions()
            assert joined.shown.sum() == count // 2
            rates.append(count / seconds)
            drawn = time_call(lambda: report(QUESTION, EXPERIMENT, joined, left, int(now_ms())))  # noqa: B023
            drawing.append(drawn[0])
    return ReportFigures(
        machine=machine,
        messages=count,
        visitors=len(joined),
        joined_messages_per_s=round(median(rates)),
        statistics_s=round(median(drawing), 2),
        peak_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    )


def fill(settings: ServiceSettings, rows: int) -> None:
    """As many rows as events: of the events 6 % are clicks on a row, 3 % purchases, the others neither."""
    rng = np.random.default_rng(SEED)
    producer = Producer(producer_config(settings, linger_ms=20, timeout_ms=60_000))
    begin = int(now_ms()) - rows * 40
    visitors = [str(ULID.from_bytes(rng.bytes(16))) for _ in range(max(1, rows // 12))]
    who, what = rng.integers(0, len(visitors), rows), rng.integers(0, 30_000, (rows, PRODUCTS))
    kinds = rng.random(rows)
    for number in range(rows):
        visitor, at = visitors[who[number]], begin + number * 40
        products = [f"sku-{each:06d}" for each in what[number].tolist()]
        name = str(ULID.from_bytes(at.to_bytes(6) + rng.bytes(10)))
        row = _row(name, visitor, products, at)
        put(producer, settings.topic(RECOMMENDATIONS), visitor.encode(), impressions.encode(row), at=at)
        event_id = str(ULID.from_bytes(at.to_bytes(6) + rng.bytes(10)))
        event = _event(event_id, float(kinds[number]), row)
        put(producer, settings.topic(EVENTS), visitor.encode(), events.encode(event), at=at)
    assert producer.flush(60) == 0


def _row(name: str, visitor: str, products: list[str], at: int) -> Shown:
    variant = EXPERIMENT.variant_of(visitor)
    return Shown(
        recommendation_id=name,
        visitor_id=visitor,
        slot="for_you",
        kind="for_you",
        shown_at=at,
        items=tuple(ShownItem(product_id=each, score=1.25, source="behaviour") for each in products),
        models={"behaviour": "20260101-000000"},
        experiments={EXPERIMENT.name: variant.name} if variant else {},
    )


def _event(event_id: str, kind: float, row: Shown) -> Event:
    bought, clicked = 0.06 <= kind < 0.09, kind < 0.06
    products = [item.product_id for item in row.items]
    return Event(
        event_id=event_id,
        type="select_item" if clicked else "purchase" if bought else "view_item",
        visitor_id=row.visitor_id,
        occurred_at=row.shown_at + 20,
        received_at=row.shown_at + 35,
        product_id=None if bought else products[0],
        items=tuple(Item(each, quantity=1, price=49.9) for each in products[:2]) if bought else (),
        currency="EUR" if bought else None,
        recommendation_id=row.recommendation_id if clicked else None,
        context=Context(page=f"/products/{products[0]}", locale="en-GB", device="mobile"),
    )
