"""A replay into a shadow at full speed: events a second that one session processor folds, of a real broker.

Beside it the bare way of the same bytes: one process that reads each event and writes two messages as large
as a session, as the processor does for its table and for `sessions`, without decoding or folding anything.
A process of its own, since the replay starts others: `python -m tests.benchmark.replay --events 60000`.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Annotated, Final

import msgspec
import numpy as np
import typer
from confluent_kafka import Consumer, Producer, TopicPartition
from ulid import ULID

from schemas import events, products, vectors
from schemas.events import Event
from schemas.topics import EVENTS, EVENTS_DLQ, RECOMMENDATIONS
from services.clock import now_ms
from services.kafka.admin import create
from services.kafka.clients import Headers, client_config, producer_config
from services.kafka.ranges import open_reader
from services.ops.replay import run
from services.ops.replay import source as feeding
from services.ops.replay.figures import ReplayReport
from services.ops.replay.source import ReplayRequest
from services.ops.settings import OpsSettings
from services.progress import Silent
from tests.benchmark import standin_vectors
from tests.benchmark.brokers import broker, put
from tests.benchmark.history import TYPES
from tests.benchmark.machine import Machine, this_machine
from tests.benchmark.stopwatch import time_call

SEED: Final = 7
VISIT: Final = 8  # events of a visitor, in the mean
EVENT_MS: Final = 40  # between events of the whole shop: 25 a second
BATCH: Final = 5_000


class ReplayFigures(msgspec.Struct, frozen=True):
    """`bare` is reading each event and writing two messages of `session_bytes`, the mean of this run."""

    machine: Machine
    events: int
    visitors: int
    events_per_s: float
    bare_events_per_s: float
    ratio: float
    session_bytes: float
    digest: str


def measure(count: int, tell: Callable[[str], object], workers: int = 1) -> ReplayFigures:
    """Fills a topic with `count` events of the demo catalogue, replays it, and measures the bare way."""
    machine = this_machine()
    with broker() as running_broker, tempfile.TemporaryDirectory() as folder:
        settings = OpsSettings(kafka_bootstrap=running_broker.bootstrap, ops_datadir=Path(folder) / "ops")
        create(settings)
        tell("publishing the demo catalogue with made-up vectors …")
        catalogue = Path(folder) / "catalogue"
        standin_vectors.publish(settings, catalogue)
        lines = (catalogue / "products.jsonl").read_bytes().splitlines()
        tell(f"filling a topic with {count:,} events …")
        fill(settings, [products.decode(line).product_id for line in lines], count)
        tell("replaying it …")
        made = replay_topic(settings, workers)
        size = _session_bytes(settings)
        tell("reading and writing as many bytes, bare …")
        seconds, _ = time_call(lambda: bare(settings, count, round(size)))
    return ReplayFigures(
        machine=machine,
        events=made.fed.events,
        visitors=made.fed.visitors,
        events_per_s=round(made.fed.events_per_s),
        bare_events_per_s=round(count / seconds),
        ratio=round(made.fed.events_per_s * seconds / count, 3),
        session_bytes=round(size),
        digest=made.sessions.digest if made.sessions else "",
    )


def replay_topic(settings: OpsSettings, workers: int) -> ReplayReport:
    """The whole topic through a shadow."""
    question = ReplayRequest(prefix="shadow", workers=workers, cases=0)
    source = feeding.source(settings, question)
    return run.in_shadow(settings, question, source, Silent(), take_over=False, on_left=print)


def fill(settings: OpsSettings, product_ids: list[str], count: int) -> None:
    """Visits side by side, each among products that lie near each other in the catalogue."""
    rng = np.random.default_rng(SEED)
    producer = Producer(producer_config(settings, linger_ms=20, timeout_ms=60_000))
    begin = int(now_ms()) - count * EVENT_MS
    visitors = [str(ULID.from_bytes(rng.bytes(16))) for _ in range(max(1, count // VISIT))]
    shelves = rng.integers(0, len(product_ids), len(visitors))
    who = rng.integers(0, len(visitors), count)
    types = rng.choice(list(TYPES), count, p=list(TYPES.values()))
    near = rng.integers(0, 40, count)
    for number in range(count):
        at, visitor = begin + number * EVENT_MS, int(who[number])
        product_id = product_ids[(int(shelves[visitor]) + int(near[number])) % len(product_ids)]
        event = Event(
            event_id=str(ULID.from_bytes(at.to_bytes(6) + rng.bytes(10))),
            type=str(types[number]),  # type: ignore[arg-type]
            visitor_id=visitors[visitor],
            occurred_at=at,
            received_at=at + 15,
            product_id=product_id,
        )
        headers: Headers = [("accepted_at", str(at).encode())]
        put(
            producer,
            settings.topic(EVENTS),
            event.visitor_id.encode(),
            events.encode(event),
            at=at,
            headers=headers,
        )
    assert producer.flush(60) == 0


def bare(settings: OpsSettings, count: int, size: int) -> None:
    """Reads every event once and writes `size` bytes to two other topics for each, acknowledged."""
    consumer = Consumer(
        client_config(settings)
        | {"group.id": "bare", "enable.auto.commit": False, "fetch.queue.backoff.ms": 5}
    )
    consumer.assign(
        [TopicPartition(settings.topic(EVENTS), number, 0) for number in range(EVENTS.partitions)]
    )
    producer = Producer(producer_config(settings, linger_ms=0, timeout_ms=60_000))
    value, seen = bytes(size), 0
    targets = [settings.topic(EVENTS_DLQ), settings.topic(RECOMMENDATIONS)]
    while seen < count:
        for message in consumer.consume(BATCH, 1.0):
            assert message.error() is None
            seen += 1
            for target in targets:
                put(producer, target, message.key() or b"", value, headers=[("accepted_at", b"0")])
    consumer.close()
    assert producer.flush(60) == 0


def _session_bytes(settings: OpsSettings) -> float:
    """What a session takes after so many events: measured by folding some here."""
    from schemas.sessions import Session, encode  # noqa: PLC0415
    from schemas.topics import PRODUCT_VECTORS  # noqa: PLC0415
    from services.model.session import Tuning, fold  # noqa: PLC0415
    from services.vector_replica import VectorReplica  # noqa: PLC0415

    replica, known, sizes = VectorReplica(settings.layout), dict[str, Session](), []
    with open_reader(settings) as reader:
        for batch in reader.read(reader.spans(PRODUCT_VECTORS)):
            for message in batch:
                replica.apply((message.key() or b"").decode(), vectors.decode(message.value() or b""))
        for batch in reader.read(reader.spans(EVENTS)[:1]):
            for message in batch[:2_000]:
                event = events.decode(message.value() or b"")
                before = known.get(event.visitor_id, Session(event.visitor_id))
                after = known[event.visitor_id] = fold(before, event, replica, settings.layout, Tuning())
                sizes.append(len(encode(after)))
    return mean(sizes)


def main(
    count: Annotated[int, typer.Option("--events", min=1_000, help="events to replay")] = 60_000,
    workers: Annotated[int, typer.Option(min=1, help="session processors")] = 1,
) -> None:
    """Prints the figures as JSON."""
    figures = measure(count, lambda what: typer.echo(what, err=True), workers)
    typer.echo(msgspec.json.encode(figures).decode())


if __name__ == "__main__":
    typer.run(main)
