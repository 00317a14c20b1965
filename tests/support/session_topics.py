"""The session processor's topics, seen from outside."""

import asyncio
from collections.abc import Iterable
from uuid import uuid4

import numpy as np
from confluent_kafka import Consumer, Message, TopicPartition

from schemas import events, sessions, vectors
from schemas.events import Event
from schemas.products import Product
from schemas.sessions import Session
from schemas.topics import EVENTS, EVENTS_DLQ, PRODUCT_VECTORS, SESSIONS, Topic
from schemas.vectors import Layout, ProductVectors
from services.kafka.clients import AcknowledgedProducer, OutgoingMessage, client_config
from services.model.session import Tuning, fold
from services.settings import ServiceSettings
from services.vector_replica import VectorReplica
from tests.support.kafka import quick_config, read_topic

LAYOUT = Layout.of(384, 64)


WITHIN_S = 30


class SessionTopics:
    """The worker's topics, seen from outside."""

    def __init__(self, settings: ServiceSettings) -> None:
        self.settings = settings
        self.vectors = VectorReplica(LAYOUT)
        self._producer = AcknowledgedProducer(quick_config(settings, linger_ms=0))

    def send(self, topic: Topic, found: Iterable[tuple[bytes | None, bytes | None]]) -> None:
        outgoing: list[OutgoingMessage] = [(key, value, []) for key, value in found]
        asyncio.run(self._producer.send_all(self.settings.topic(topic), outgoing))

    def send_events(self, *sent: Event) -> None:
        self.send(EVENTS, [(event.visitor_id.encode(), events.encode(event)) for event in sent])

    def put_product(self, number: int) -> None:
        """Gives a product a vector, here and on the topic."""
        product = Product(
            product_id=f"p{number}",
            name=f"Product {number}",
            price=1.0,
            currency="EUR",
            availability="in_stock",
            updated_at=1,
            category=(("Shoes", "Lamps", "Tents")[number % 3],),
        )
        content = LAYOUT.normalise(np.random.default_rng(number).normal(size=LAYOUT.width))
        message = ProductVectors(
            product=product, layout=LAYOUT.id, content=vectors.pack(content), hashes={}, models={}
        )
        self.vectors.apply(product.product_id, message)
        self.send(PRODUCT_VECTORS, [(product.product_id.encode(), vectors.encode(message))])

    def read_published(self, visitor_id: str) -> list[Message]:
        return [each for each in read_topic(self.settings, SESSIONS) if each.key() == visitor_id.encode()]

    def dead_letters(self, holding: bytes) -> list[Message]:
        return [each for each in read_topic(self.settings, EVENTS_DLQ) if holding in (each.value() or b"")]

    def offline(self, sent: Iterable[Event]) -> bytes:
        """What fold makes of one visitor's events, without Kafka."""
        session: Session | None = None
        for event in sent:
            before = session or Session(event.visitor_id)
            session = fold(before, event, self.vectors, LAYOUT, Tuning())
        assert session is not None
        return sessions.encode(session)


def newest_in_table(kafka: ServiceSettings, group: str) -> dict[str, bytes | None]:
    """Each visitor's session in the table of a group."""
    consumer = Consumer(client_config(kafka) | {"group.id": "unused", "enable.partition.eof": True})
    name = f"{kafka.topic_prefix}{group}-sessions-changelog"
    partitions = consumer.list_topics(name, timeout=10).topics[name].partitions
    consumer.assign([TopicPartition(name, number, 0) for number in partitions])
    found: dict[str, bytes | None] = {}
    ended = 0
    while ended < len(partitions):
        message = consumer.poll(10)
        assert message is not None
        if message.error() is not None:
            ended += 1
        else:
            found[(message.key() or b"").decode()] = message.value()
    consumer.close()
    return found


def view(visitor_id: str, at: int, product: int, type_: events.EventType = "view_item") -> Event:
    return Event(
        event_id=str(uuid4()),
        type=type_,
        visitor_id=visitor_id,
        occurred_at=1_700_000_000_000 + at * 1000,
        product_id=f"p{product}",
    )
