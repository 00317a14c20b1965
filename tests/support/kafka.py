"""Kafka in tests: all messages of a topic, and messages put there with times as told."""

import time
from collections.abc import Iterable, Sequence
from typing import Final
from uuid import uuid4

from confluent_kafka import OFFSET_END, Consumer, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from infra.stack.broker import Broker
from schemas import erasures
from schemas.erasures import Erasure
from schemas.events import Event, Item, encode
from schemas.topics import ERASURES, EVENTS, Topic
from services.kafka.admin import KafkaAdmin, create
from services.kafka.clients import ClientConfig, producer_config
from services.settings import ServiceSettings
from tests.support.patience import patiently

# Properties of a broker that a test kills and starts again: for so long a controller takes the one that was
# killed for alive, and lets no other of its number in; by default nine seconds.
QUICKLY_BACK: Final = "broker.session.timeout.ms=2000\nbroker.heartbeat.interval.ms=500\n"


@patiently(30, despite=KafkaException)
def wait_for_broker(bootstrap: str) -> None:
    AdminClient({"bootstrap.servers": bootstrap, "log_level": 0}).list_topics(timeout=2)


def create_topics(broker: Broker) -> ServiceSettings:
    """Settings of a fresh set of topics on a running broker."""
    settings = ServiceSettings(kafka_bootstrap=broker.bootstrap, topic_prefix=f"t{uuid4().hex[:8]}.")
    create(settings)
    return settings


def quick_config(settings: ServiceSettings, *, linger_ms: float) -> ClientConfig:
    """A producer whose first message does not wait half a second for the number of an idempotent one.

    One request at a time keeps the order all the same.
    """
    return producer_config(settings, linger_ms=linger_ms, timeout_ms=10_000) | {
        "enable.idempotence": False,
        "max.in.flight.requests.per.connection": 1,
    }


def delete_topics(settings: ServiceSettings, *topics: Topic) -> None:
    KafkaAdmin(settings).delete_topics([settings.topic(each) for each in topics], gone_within_s=20)


def make_anew(settings: ServiceSettings, *topics: Topic) -> None:
    """Deleted, and there again with nothing on them."""
    delete_topics(settings, *topics)
    create(settings)


def forget_records(settings: ServiceSettings, topic: Topic, partitions: Iterable[int] | None = None) -> None:
    """All that lies on a topic, or in these partitions, is gone; its offsets go on."""
    name = settings.topic(topic)
    if topic.cleanup == "compact":  # only what may be deleted can be
        KafkaAdmin(settings).set_config(name, "cleanup.policy", "compact,delete")
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap, "log_level": 0})
    numbers = range(topic.partitions) if partitions is None else partitions
    ends = [TopicPartition(name, number, OFFSET_END) for number in numbers]

    @patiently(90)
    def forget() -> None:  # a broker hears of the other policy a moment later
        for done in admin.delete_records(ends).values():
            done.result(30)

    forget()


def read_topic(settings: ServiceSettings, topic: Topic) -> list[Message]:
    """All that lies on a topic now, each partition in its order. Fails when a part does not come."""
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka_bootstrap,
            "group.id": "unused",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 5,  # by default each look at a topic takes 0.5 s, and tests look often
            "fetch.queue.backoff.ms": 5,
            "fetch.error.backoff.ms": 20,  # a topic that was made just now has no leader for a moment
        }
    )
    name = settings.topic(topic)
    places = [TopicPartition(name, number, 0) for number in range(topic.partitions)]
    consumer.assign(places)
    found: list[Message] = []
    ended: set[int] = set()
    while len(ended) < len(places):
        message = consumer.poll(10)
        assert message is not None, (
            f"{name}: nothing more came, {len(ended)} of {len(places)} partitions were read whole"
        )
        if message.error():
            ended.add(int(message.partition() or 0))
        else:
            found.append(message)
    consumer.close()
    return found


HOUR = 60 * 60 * 1000


NOON = int(time.time() * 1000) - 200 * HOUR  # the broker deletes what is older than 30 days


class TopicWriter:
    """Puts messages on topics, with the broker's times as told."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._producer = Producer(quick_config(settings, linger_ms=5))
        self._number = 0

    def event(
        self,
        product: str | None = "p",
        *,
        visitor: str = "v",
        at: int = NOON,
        occurred_at: int | None = None,
        received_at: int | None = None,
        type_: str = "view_item",
        items: Sequence[str] = (),
        row: str | None = None,
    ) -> Event:
        """One event that the broker took at `at`; it happened then, where nothing else is said."""
        self._number += 1
        made = Event(
            event_id=f"00000000-0000-4000-8000-{self._number:012d}",
            type=type_,  # type: ignore[arg-type]
            visitor_id=visitor,
            occurred_at=at if occurred_at is None else occurred_at,
            received_at=received_at,
            product_id=None if items else product,
            items=tuple(map(Item, items)),
            recommendation_id=row,
        )
        self.raw(EVENTS, visitor, encode(made), at)
        return made

    def erasure(self, visitor: str, at: int) -> None:
        """The visitor is to be forgotten up to then."""
        self.raw(ERASURES, visitor, erasures.encode(Erasure(visitor, at)), at)

    def raw(self, topic: Topic, key: str, value: bytes | None, at: int = NOON) -> None:
        """Any message."""
        self._producer.produce(self._settings.topic(topic), value, key.encode(), timestamp=at)
        self._producer.poll(0)

    def flush(self) -> None:
        """All of it is on the broker."""
        assert self._producer.flush(20) == 0


def limit_size(settings: ServiceSettings, topic: Topic, most: int) -> None:
    """The topic takes batches of at most so many bytes."""
    KafkaAdmin(settings).set_config(settings.topic(topic), "max.message.bytes", str(most))
