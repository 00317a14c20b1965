"""What one session processor folds a second, the CPU time that an event costs it, and its latency by rate.

First a topic that was filled before, read at full speed; beside it the bare way of the same bytes (aiokafka
reads each event, librdkafka writes two messages as large as a session), so that a slow machine is seen. Then
events at each rate: from an event's sending to its session on `sessions`.

A process of its own, since it starts others: `python -m tests.benchmark.session_worker --events 60000`.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import aiokafka
import msgspec
import numpy as np
import psutil
import typer
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from ulid import ULID

from infra.stack.broker import ROOT
from schemas import events, products
from schemas.events import Event
from schemas.sessions import ACCEPTED_AT
from schemas.topics import EVENTS, EVENTS_DLQ, RECOMMENDATIONS, SESSIONS
from services.clock import now_ms
from services.kafka.admin import create
from services.kafka.clients import Headers, client_config, producer_config
from services.ops.settings import OpsSettings
from tests.benchmark import standin_vectors
from tests.benchmark.arrivals import poisson
from tests.benchmark.brokers import broker, put
from tests.benchmark.machine import Machine, this_machine
from tests.benchmark.spread import Spread
from tests.benchmark.usage import cpu_s
from tests.support.machine import free_ports

SEED: Final = 7
VISITORS: Final = 200
VISIT: Final = 8  # events of a visitor of the filled topic, in the mean
EVENT_MS: Final = 40  # between them: 25 a second
BARE_BYTES: Final = 2_000  # a session after some eight events
PATIENCE_S: Final = 60.0
WARM_UP_S: Final = 2.0


class FullSpeed(msgspec.Struct, frozen=True):
    """A filled topic; times from the first event read to the last one written and acknowledged."""

    events_per_s: int
    cpu_ms: float
    broker_cpu_ms: float


class Paced(msgspec.Struct, frozen=True):
    """Events at a rate: ms from sending to the session's arrival, and CPU ms an event."""

    rate: int
    latency: Spread
    cpu_ms: float
    broker_cpu_ms: float


class SessionWorkerFigures(msgspec.Struct, frozen=True):
    """`ratio` is the CPU time of an event beside that of the bare way, in the same run."""

    machine: Machine
    events: int
    folded: FullSpeed
    bare: FullSpeed
    ratio: float
    paced: list[Paced]


def measure(
    count: int, rates: list[int], seconds: float, tell: Callable[[str], object]
) -> SessionWorkerFigures:
    """All of it over a broker of its own. `seconds`: how long each rate is kept up."""
    machine = this_machine()
    with broker() as running_broker, tempfile.TemporaryDirectory() as folder:
        settings = OpsSettings(kafka_bootstrap=running_broker.bootstrap, ops_datadir=Path(folder) / "ops")
        create(settings)
        catalogue = Path(folder) / "catalogue"
        standin_vectors.publish(settings, catalogue)
        ids = [
            products.decode(each).product_id
            for each in (catalogue / "products.jsonl").read_bytes().splitlines()
        ]
        tell(f"filling a topic with {count:,} events …")
        _fill(settings, ids, count)
        java = _listening(running_broker.bootstrap)
        bare = _bare(settings, count, java)
        tell("folding it …")
        with _reader(settings) as arrived, _worker(settings, Path(folder)) as worker:
            folded = _fold_all(arrived, count, worker, java)
            tell(f"{folded}, bare {bare}")
            paced = []
            for rate in rates:
                tell(f"{rate} events a second …")
                _pace(settings, ids, rate, WARM_UP_S, arrived, worker, java)
                paced.append(_pace(settings, ids, rate, seconds, arrived, worker, java))
                tell(str(paced[-1]))
    return SessionWorkerFigures(machine, count, folded, bare, round(folded.cpu_ms / bare.cpu_ms, 2), paced)


class Arrivals:
    """What came on `sessions`: when, and the time from sending."""

    def __init__(self) -> None:
        self.count = 0
        self.first = self.last = 0.0
        self.took: list[float] = []

    def note(self, accepted_at: str | bytes) -> None:
        """One session more."""
        self.last = time.perf_counter()
        self.first = self.first if self.count else self.last
        self.count += 1
        if accepted_at:
            self.took.append((time.time() * 1000 - float(accepted_at)) / 1000)

    def wait(self, count: int) -> None:
        """Until so many have come."""
        until = time.perf_counter() + PATIENCE_S
        while self.count < count:
            assert time.perf_counter() < until, f"{self.count} of {count} sessions came"
            time.sleep(0.01)


def _fold_all(arrived: Arrivals, count: int, worker: psutil.Process, java: psutil.Process) -> FullSpeed:
    arrived.wait(1)
    before, broker_before, began = cpu_s(worker), cpu_s(java), arrived.count
    started = time.perf_counter()
    arrived.wait(count)
    took, folded = time.perf_counter() - started, count - began
    return FullSpeed(
        round(folded / took),
        round((cpu_s(worker) - before) * 1000 / folded, 4),
        round((cpu_s(java) - broker_before) * 1000 / folded, 4),
    )


def _pace(  # noqa: PLR0917
    settings: OpsSettings,
    ids: list[str],
    rate: int,
    seconds: float,
    arrived: Arrivals,
    worker: psutil.Process,
    java: psutil.Process,
) -> Paced:
    rng = np.random.default_rng(SEED)
    producer = Producer(producer_config(settings, linger_ms=0, timeout_ms=60_000))
    producer.list_topics(timeout=10)
    visitors = [str(ULID.from_bytes(rng.bytes(16))) for _ in range(VISITORS)]
    due = poisson(rate, seconds, rng)
    who, what = rng.integers(0, VISITORS, len(due)), rng.integers(0, len(ids), len(due))
    start, expected = len(arrived.took), arrived.count + len(due)
    before, broker_before, began = cpu_s(worker), cpu_s(java), time.perf_counter()
    for number, at in enumerate(due.tolist()):
        while (wait := began + at - time.perf_counter()) > 0:
            time.sleep(wait)
        now = now_ms()
        event = _view(visitors[int(who[number])], ids[int(what[number])], int(now), rng)
        headers: Headers = [(ACCEPTED_AT, f"{now:.3f}".encode())]
        put(
            producer, settings.topic(EVENTS), event.visitor_id.encode(), events.encode(event), headers=headers
        )
    producer.flush(10)
    arrived.wait(expected)
    worker_s, java_s = cpu_s(worker) - before, cpu_s(java) - broker_before
    return Paced(
        rate,
        Spread.of(np.array(arrived.took[start:])),
        round(worker_s * 1000 / len(due), 4),
        round(java_s * 1000 / len(due), 4),
    )


def _bare(settings: OpsSettings, count: int, java: psutil.Process) -> FullSpeed:
    """In this process."""

    async def read_and_write() -> None:
        consumer = aiokafka.AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap)
        await consumer.start()
        topic = settings.topic(EVENTS)
        partitions = [aiokafka.TopicPartition(topic, number) for number in range(EVENTS.partitions)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        producer = Producer(producer_config(settings, linger_ms=0, timeout_ms=60_000))
        value, seen = os.urandom(BARE_BYTES), 0
        while seen < count:
            for messages in (await consumer.getmany(timeout_ms=1000)).values():
                for message in messages:
                    for target in (EVENTS_DLQ, RECOMMENDATIONS):
                        put(producer, settings.topic(target), message.key, value)
                seen += len(messages)
        producer.flush(60)
        await consumer.stop()

    process = psutil.Process()
    before, broker_before, started = cpu_s(process), cpu_s(java), time.perf_counter()
    asyncio.run(read_and_write())
    took = time.perf_counter() - started
    return FullSpeed(
        round(count / took),
        round((cpu_s(process) - before) * 1000 / count, 4),
        round((cpu_s(java) - broker_before) * 1000 / count, 4),
    )


def _fill(settings: OpsSettings, ids: list[str], count: int) -> None:
    """Each event gives a session: all are views, of eight a visitor in the mean."""
    rng = np.random.default_rng(SEED)
    producer = Producer(producer_config(settings, linger_ms=20, timeout_ms=60_000))
    visitors = [str(ULID.from_bytes(rng.bytes(16))) for _ in range(max(1, count // VISIT))]
    who, what = rng.integers(0, len(visitors), count), rng.integers(0, len(ids), count)
    begin = int(now_ms()) - count * EVENT_MS
    for number in range(count):
        event = _view(visitors[int(who[number])], ids[int(what[number])], begin + number * EVENT_MS, rng)
        put(producer, settings.topic(EVENTS), event.visitor_id.encode(), events.encode(event))
    assert producer.flush(60) == 0


def _view(visitor_id: str, product_id: str, at: int, rng: np.random.Generator) -> Event:
    return Event(
        event_id=str(ULID.from_bytes(at.to_bytes(6) + rng.bytes(10))),
        type="view_item",
        visitor_id=visitor_id,
        occurred_at=at,
        received_at=at,
        product_id=product_id,
    )


@contextmanager
def _worker(settings: OpsSettings, folder: Path) -> Iterator[psutil.Process]:
    log = (ROOT / "build" / "session-worker.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "services.session_processor"],
        cwd=ROOT,
        env=os.environ
        | {
            "EDDY_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
            "EDDY_SESSION_PROCESSOR_PORT": str(free_ports(1)[0]),
            "EDDY_SESSION_PROCESSOR_DATADIR": str(folder / "faust"),
        },
        stdout=log,
        stderr=log,
    )
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()
        log.close()


@contextmanager
def _reader(settings: OpsSettings) -> Iterator[Arrivals]:
    consumer = Consumer(
        client_config(settings)
        | {"group.id": "unused", "enable.auto.commit": False, "fetch.queue.backoff.ms": 5}
    )
    topic = settings.topic(SESSIONS)
    consumer.assign(
        [TopicPartition(topic, number, OFFSET_BEGINNING) for number in range(SESSIONS.partitions)]
    )
    arrived, stopping = Arrivals(), threading.Event()

    def read() -> None:
        while not stopping.is_set():
            for message in consumer.consume(1_000, 0.002):
                if message.error() is None:
                    found = dict(message.headers() or [])
                    arrived.note(found.get(ACCEPTED_AT) or b"")

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        yield arrived
    finally:
        stopping.set()
        thread.join()
        consumer.close()


def _listening(bootstrap: str) -> psutil.Process:
    """The broker's process: a child of this one that listens there."""
    port = int(bootstrap.rpartition(":")[2])
    return next(
        each
        for each in psutil.Process().children(recursive=True)
        if any(held.laddr and held.laddr.port == port for held in each.net_connections("tcp"))
    )


def main(
    count: Annotated[int, typer.Option("--events", min=1_000, help="events of the filled topic")] = 60_000,
    rates: Annotated[str, typer.Option(help="events a second, comma-separated")] = "100,300,1000",
    seconds: Annotated[float, typer.Option(help="how long each rate is kept up")] = 15.0,
) -> None:
    """Prints the figures as JSON."""
    chosen = [int(each) for each in rates.split(",") if each]
    figures = measure(count, chosen, seconds, lambda what: typer.echo(what, err=True))
    typer.echo(msgspec.json.format(msgspec.json.encode(figures)).decode())


if __name__ == "__main__":
    typer.run(main)
