"""How soon a session processor takes over what another held when it was killed: so many sessions.

`python -m tests.benchmark.takeover --sessions 100000` starts two workers over twice as many sessions, kills
one, and waits until an event on each partition has its session. The group's own silence, after which a worker
is taken for dead (EDDY_SESSION_TIMEOUT_S), is told apart: it is the same with no session.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any, Final

import msgspec
import typer
from confluent_kafka import OFFSET_END, Consumer, Producer, TopicPartition
from confluent_kafka.admin import NewTopic
from ulid import ULID

from schemas import events, sessions
from schemas.events import Event
from schemas.sessions import Session
from schemas.topics import COMPACTION, EVENTS, SESSIONS
from services.clock import now_ms
from services.kafka.admin import KafkaAdmin, create
from services.kafka.clients import client_config, producer_config
from services.kafka.ranges import partition_of
from services.model.session import Tuning, fold
from services.settings import ServiceSettings
from tests.benchmark.brokers import broker, put
from tests.benchmark.machine import this_machine
from tests.support.services import RunningService, run_service
from tests.support.shop import CATALOGUE, COUNT, LAYOUT, replica

GROUP_SILENCE_S: Final = 3.0
CHANGELOG: Final = "session-processor-sessions-changelog"
CLICKS: Final = 5
TASTES: Final = 200  # different sessions; visitors take turns
PATIENCE_S: Final = 120.0


def measure(count: int) -> dict[str, Any]:
    """Takes over `count` sessions. Times in seconds."""
    machine = msgspec.to_builtins(this_machine())
    with broker() as running, tempfile.TemporaryDirectory() as folder:
        settings = ServiceSettings(kafka_bootstrap=running.bootstrap)
        create(settings)
        fill(settings, 2 * count)
        with _worker(settings, Path(folder), "a") as first, _worker(settings, Path(folder), "b") as second:
            wait_until_all_fold(settings, [first, second])
            alone = takeover_s(settings, first)
    return {
        "machine": machine,
        "figures": {
            "sessions": count,
            "taken_over_s": round(alone - GROUP_SILENCE_S, 1),
            "silence_s": GROUP_SILENCE_S,
        },
    }


def fill(settings: ServiceSettings, count: int) -> None:
    """So many visitors' sessions on the changelog of a session processor's table, as it would write them."""
    config = {"cleanup.policy": "compact", **COMPACTION}
    name = settings.topic_prefix + CHANGELOG
    KafkaAdmin(settings).create_topics([NewTopic(name, EVENTS.partitions, 1, config=config)])
    producer = Producer(producer_config(settings, linger_ms=5, timeout_ms=60_000))
    tastes = [*_tastes()]
    for number in range(count):
        visitor_id = f"v{number:07d}"
        session = msgspec.structs.replace(tastes[number % TASTES], visitor_id=visitor_id)
        put(producer, name, visitor_id.encode(), sessions.encode(session))
    producer.flush()


def _tastes() -> Iterator[Session]:
    vectors, now = replica(), int(now_ms())
    for taste in range(TASTES):
        session = Session("v")
        for click in range(CLICKS):
            event = Event(
                event_id=f"00000000-0000-4000-8000-{taste * CLICKS + click:012d}",
                type="view_item",
                visitor_id="v",
                occurred_at=now - 60_000 + 1_000 * click,
                product_id=f"p{(taste + click * 3) % COUNT}",
            )
            session = fold(session, event, vectors, LAYOUT, Tuning())
        yield session


def wait_until_all_fold(settings: ServiceSettings, workers: list[RunningService]) -> float:
    """Until an event on each partition has its session; the seconds that it took. All workers must live."""
    began = perf_counter()
    consumer = Consumer(client_config(settings) | {"group.id": "unused", "enable.auto.commit": False})
    name = settings.topic(SESSIONS)
    consumer.assign([TopicPartition(name, number, OFFSET_END) for number in range(SESSIONS.partitions)])
    consumer.poll(1.0)  # it is at the ends now: what comes from here on is told
    visitors = dict(_one_a_partition())
    producer = Producer(producer_config(settings, linger_ms=0, timeout_ms=60_000))
    for visitor_id in visitors.values():
        event = Event(
            event_id=str(ULID()),
            type="view_item",
            visitor_id=visitor_id,
            occurred_at=int(now_ms()),
            product_id=CATALOGUE[0].product_id,
        )
        producer.produce(settings.topic(EVENTS), events.encode(event), visitor_id.encode())
    producer.flush()
    missing = {each.encode() for each in visitors.values()}
    while missing:
        for each in workers:
            assert each.process.poll() is None, each.log.read_text()
        assert perf_counter() - began < PATIENCE_S, f"{len(missing)} sessions do not come"
        message = consumer.poll(0.2)
        if message is not None and message.error() is None:
            missing.discard(message.key() or b"")
    consumer.close()
    return perf_counter() - began


def takeover_s(settings: ServiceSettings, victim: RunningService) -> float:
    """Kills a worker; the seconds until every partition folds events again."""
    began = perf_counter()
    victim.kill()
    wait_until_all_fold(settings, [])
    return perf_counter() - began


def _one_a_partition() -> Iterator[tuple[int, str]]:
    """A visitor with a session for each partition."""
    found: set[int] = set()
    number = 0
    while len(found) < EVENTS.partitions:
        visitor_id = f"v{number:07d}"
        partition = partition_of(visitor_id.encode(), EVENTS.partitions)
        if partition not in found:
            found.add(partition)
            yield partition, visitor_id
        number += 1


@contextmanager
def _worker(settings: ServiceSettings, folder: Path, name: str) -> Iterator[RunningService]:
    own = {
        "EDDY_SESSION_PROCESSOR_DATADIR": str(folder / name),
        "EDDY_SESSION_TIMEOUT_S": f"{GROUP_SILENCE_S:g}",
        "OPENBLAS_NUM_THREADS": "1",
    }
    with run_service("session_processor", settings, folder / f"{name}.log", environment=own) as running:
        yield running


def main(
    sessions_: Annotated[int, typer.Option("--sessions", min=100, help="of the worker that dies")] = 100_000,
) -> None:
    """Prints the figures as JSON."""
    json.dump(measure(sessions_), sys.stdout, indent=2)


if __name__ == "__main__":
    typer.run(main)
