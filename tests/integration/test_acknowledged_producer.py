"""The acknowledged producer returns when the broker has the messages, and otherwise says so in time."""

import asyncio
import time
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition

from schemas.topics import PRODUCTS, PRODUCTS_DLQ
from services.kafka.clients import (
    AcknowledgedProducer,
    ClientConfig,
    NotDelivered,
    OutgoingMessage,
    producer_config,
)
from services.settings import ServiceSettings
from tests.support.kafka import limit_size, read_topic
from tests.support.machine import free_ports
from tests.support.patience import patiently

Make = Callable[[ClientConfig], AcknowledgedProducer]


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes producers that are closed at the end."""
    made: list[AcknowledgedProducer] = []

    def produce(config: ClientConfig) -> AcknowledgedProducer:
        made.append(AcknowledgedProducer(config))
        return made[-1]

    yield produce
    for producer in made:
        producer.close(timeout_s=0.1)


@pytest.fixture
def away() -> ClientConfig:
    """A producer's configuration for a broker that is not there."""
    [nobody] = free_ports(1)
    settings = ServiceSettings(kafka_bootstrap=f"127.0.0.1:{nobody}")
    return producer_config(settings, linger_ms=0, timeout_ms=500)


def on_broker(settings: ServiceSettings, topic: str, count: int) -> list[tuple[bytes | None, bytes | None]]:
    consumer = Consumer({"bootstrap.servers": settings.kafka_bootstrap, "group.id": "unused"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found = consumer.consume(count, timeout=10)
    consumer.close()
    return [(_bytes(message.key()), _bytes(message.value())) for message in found]


def _bytes(text: str | bytes | None) -> bytes | None:
    return text.encode() if isinstance(text, str) else text


async def test_what_was_sent_is_there_in_its_order(kafka: ServiceSettings, make: Make) -> None:
    producer = make(producer_config(kafka, linger_ms=0, timeout_ms=10_000))
    sent: list[OutgoingMessage] = [(b"k", str(number).encode(), []) for number in range(1_000)]
    sent.append((b"k", None, []))
    topic = kafka.topic(PRODUCTS_DLQ)
    await producer.send_all(topic, sent)
    assert on_broker(kafka, topic, len(sent)) == [(key, value) for key, value, _ in sent]


async def test_nothing_to_send_is_done_at_once(away: ClientConfig, make: Make) -> None:
    await make(away).send_all("anything", [])


async def test_many_callers_wait_each_for_their_own(kafka: ServiceSettings, make: Make) -> None:
    producer = make(producer_config(kafka, linger_ms=0, timeout_ms=10_000))
    topic = kafka.topic(PRODUCTS_DLQ)
    await asyncio.gather(*(producer.send_all(topic, [(None, b"x", [])]) for _ in range(200)))
    assert len(on_broker(kafka, topic, 200)) == 200


async def test_without_a_broker_it_gives_up_in_time(away: ClientConfig, make: Make) -> None:
    started = time.monotonic()
    with pytest.raises(NotDelivered):
        await make(away).send_all("anything", [(b"k", b"v", [])])
    assert time.monotonic() - started < 1


async def test_a_full_buffer_is_refused_at_once(away: ClientConfig, make: Make) -> None:
    producer = make(away | {"queue.buffering.max.messages": 10})
    started = time.monotonic()
    with pytest.raises(NotDelivered, match="full"):
        await producer.send_all("anything", [(b"k", b"v", [])] * 11)
    assert time.monotonic() - started < 0.4


async def test_a_message_larger_than_allowed_is_refused(kafka: ServiceSettings, make: Make) -> None:
    producer = make(producer_config(kafka, linger_ms=0, timeout_ms=10_000))
    with pytest.raises(NotDelivered, match="too large"):
        await producer.send_all(kafka.topic(PRODUCTS), [(b"k", b"x" * 2_000_000, [])])


def test_topics_are_those_on_the_broker(kafka: ServiceSettings, away: ClientConfig, make: Make) -> None:
    producer = make(producer_config(kafka, linger_ms=0, timeout_ms=10_000))
    assert kafka.topic(PRODUCTS) in producer.topics(timeout_s=5)
    with pytest.raises(KafkaException):
        make(away).topics(timeout_s=0.2)


@patiently(20, despite=TimeoutError)
async def provoke_refusal(producer: AcknowledgedProducer, topic: str, size: int) -> None:
    """Raises NotDelivered, as soon as the broker goes by its new limit."""
    await producer.send_all(topic, [(b"other", bytes(size), [])])
    raise TimeoutError


async def test_what_the_broker_never_takes_is_told_by_its_place_and_all_else_is_written(
    kafka: ServiceSettings, make: Make
) -> None:
    """The others would be refused with it: the broker judges the batch that they are in."""
    limit_size(kafka, PRODUCTS_DLQ, 20_000)
    topic = kafka.topic(PRODUCTS_DLQ)
    producer = make(producer_config(kafka, linger_ms=50, timeout_ms=10_000))
    with pytest.raises(NotDelivered, match="too large"):
        await provoke_refusal(producer, topic, 30_000)
    sizes = [5_000, 30_000, 5_000, 5_000, 2_000_000, 5_000, 5_000]
    with pytest.raises(NotDelivered, match="5 of 7 messages are written") as caught:
        await producer.send_all(topic, [(b"k", bytes(size), []) for size in sizes])
    assert caught.value.refused.keys() == {1, 4}
    assert all("too large" in why for why in caught.value.refused.values())
    assert caught.value.is_final
    written = [message for message in read_topic(kafka, PRODUCTS_DLQ) if message.key() == b"k"]
    assert [len(message.value() or b"") for message in written] == [5_000] * 5


async def test_what_may_arrive_later_is_not_told_as_final(away: ClientConfig, make: Make) -> None:
    with pytest.raises(NotDelivered) as caught:
        await make(away).send_all("anything", [(b"k", b"v", []), (b"k", bytes(2_000_000), [])])
    assert not caught.value.is_final
