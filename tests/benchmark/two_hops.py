"""The bare baseline: Kafka alone, two hops, as an event takes them; nothing is decoded, folded or ranked.

Producer → [one topic] → a thread that sends on → [another topic] → a thread that notes the arrival; with the
services' own client settings, messages as long as theirs, and all sends acknowledged and idempotent.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter
from typing import Final
from uuid import uuid4

import numpy as np
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from schemas.topics import durability
from services.kafka.clients import client_config, producer_config
from services.settings import ServiceSettings
from tests.benchmark.arrivals import poisson
from tests.benchmark.load import Tell
from tests.benchmark.spread import Seconds, Spread

PARTITIONS: Final = 8  # as `events` and `sessions` have
EVENT_BYTES: Final = 250
SESSION_BYTES: Final = 9_000  # a session of 64 events with three interests
DRAIN_S: Final = 10.0
WARM_UP_S: Final = 1.0
VISITORS: Final = 200

Take = Callable[[Message], object]


def measure(settings: ServiceSettings, rate: int, seconds: float, tell: Tell, *, replicas: int = 1) -> Spread:
    """Times from when an event was due to its arrival after two hops. Blocks."""
    with _topics(settings, replicas) as (first, second):
        forward = _producer(settings)
        filling = os.urandom(SESSION_BYTES)
        arrived: dict[bytes, float] = {}

        def send_on(message: Message) -> None:
            forward.produce(second, (message.value() or b"")[:8] + filling, message.key())
            forward.poll(0)

        def note(message: Message) -> None:
            arrived[(message.value() or b"")[:8]] = perf_counter()

        with _reading(settings, first, send_on), _reading(settings, second, note):
            producer = _producer(settings)
            _wait(arrived, _send(producer, first, rate, WARM_UP_S, lambda _: None))
            arrived.clear()
            due = _send(producer, first, rate, seconds, tell)
            ended = _wait(arrived, due)
            forward.flush(DRAIN_S)
    return Spread.of(np.array([arrived.get(_id(number), ended) - at for number, at in enumerate(due)]))


def _wait(arrived: Mapping[bytes, float], due: Seconds) -> float:
    """Until all have arrived, or it is time to give up; returns when that was."""
    until = perf_counter() + DRAIN_S
    while len(arrived) < len(due) and perf_counter() < until:
        time.sleep(0.01)
    return perf_counter()


def _send(producer: Producer, topic: str, rate: int, seconds: float, tell: Tell) -> Seconds:
    """Sends on schedule; returns when each message was due."""
    rng = np.random.default_rng(7)
    began = perf_counter() + 0.05
    due = poisson(rate, seconds, rng) + began
    filling, told = os.urandom(EVENT_BYTES - 8), 0.0
    for number, at in enumerate(due.tolist()):
        while (wait := at - perf_counter()) > 0:
            time.sleep(wait)
        producer.produce(topic, _id(number) + filling, b"visitor-%d" % rng.integers(VISITORS))
        producer.poll(0)
        if at - told >= 1:
            told = at
            tell(at - began)
    producer.flush(DRAIN_S)
    return due


def _id(number: int) -> bytes:
    return number.to_bytes(8, "big")


def _producer(settings: ServiceSettings) -> Producer:
    return Producer(producer_config(settings, linger_ms=0, timeout_ms=10_000))


@contextmanager
def _topics(settings: ServiceSettings, replicas: int) -> Iterator[tuple[str, str]]:
    """Two topics of our own, gone afterwards."""
    admin = AdminClient(client_config(settings))
    names = [f"benchmark.{uuid4().hex[:8]}.{hop}" for hop in ("first", "second")]
    topics = [NewTopic(name, PARTITIONS, replicas, config=durability(replicas)) for name in names]
    for made in admin.create_topics(topics).values():
        made.result()
    try:
        yield names[0], names[1]
    finally:
        for gone in admin.delete_topics(names).values():
            gone.result()


@contextmanager
def _reading(settings: ServiceSettings, topic: str, take: Take) -> Iterator[None]:
    """A thread that reads a topic."""
    consumer = Consumer(
        client_config(settings)
        | {"group.id": "unused", "enable.auto.commit": False, "fetch.queue.backoff.ms": 5}
    )
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in range(PARTITIONS)])
    stopping = threading.Event()

    def read() -> None:
        while not stopping.is_set():
            message = consumer.poll(0.1)
            if message is not None and message.error() is None:
                take(message)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
        consumer.close()
