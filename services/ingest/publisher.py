"""Puts accepted and refused entries on their topics, and returns when Kafka has them all."""

import asyncio
from collections.abc import Sequence
from time import perf_counter
from typing import Final

from schemas import deadletters, events, identities, products
from schemas.events import Event
from schemas.products import Product
from schemas.topics import EVENTS, EVENTS_DLQ, IDENTITIES, PRODUCTS
from services.ingest.batches import Rejected
from services.ingest.joins import Join, WrittenJoins
from services.ingest.metrics import Metrics
from services.kafka import AcknowledgedProducer, NotDelivered, OutgoingMessage
from services.problems import BrokerAway
from services.settings import ServiceSettings

ACCEPTED_AT: Final = "accepted_at"  # header of `events`: Unix ms, when ingest took the event


class Publisher:
    """The four topics that ingest writes. Every method raises BrokerAway unless all was acknowledged."""

    def __init__(self, producer: AcknowledgedProducer, settings: ServiceSettings, metrics: Metrics) -> None:
        self._producer = producer
        self._metrics = metrics
        self._events = settings.topic(EVENTS)
        self._dead_letters = settings.topic(EVENTS_DLQ)
        self._products = settings.topic(PRODUCTS)
        self._identities = settings.topic(IDENTITIES)
        self._written = WrittenJoins()

    async def take_events(
        self,
        accepted: Sequence[Event],
        rejected: Sequence[Rejected],
        *,
        at: int,
        source: str,
        joins: Sequence[Join] = (),
    ) -> None:
        """Events to `events`, refused ones as they came to `events.dlq`, new joins to `identities`.

        `at` is Unix ms.
        """
        missing = self._written.missing(joins)
        stamp: OutgoingMessage = (None, None, [(ACCEPTED_AT, str(at))])
        await self._acknowledged(
            (
                self._events,
                [(event.visitor_id.encode(), events.encode(event), stamp[2]) for event in accepted],
            ),
            (self._dead_letters, [dead_letter(each, at=at, source=source) for each in rejected]),
            (self._identities, [(each.visitor_id.encode(), identities.encode(each), []) for each in missing]),
        )
        self._written.remember(missing)
        self._metrics.identities_written.inc(len(missing))
        self._metrics.events_accepted.inc(len(accepted))
        for each in rejected:
            self._metrics.events_rejected.labels(each.stage).inc()

    async def take_products(self, accepted: Sequence[Product]) -> None:
        """Products to `products`."""
        await self._acknowledged(
            (
                self._products,
                [(product.product_id.encode(), products.encode(product), []) for product in accepted],
            )
        )
        self._metrics.products_accepted.inc(len(accepted))

    async def delete_product(self, product_id: str) -> None:
        """A tombstone to `products`."""
        await self._acknowledged((self._products, [(product_id.encode(), None, [])]))
        self._metrics.products_deleted.inc()

    async def _acknowledged(self, *sends: tuple[str, Sequence[OutgoingMessage]]) -> None:
        started = perf_counter()
        try:
            await asyncio.gather(*(self._producer.send_all(*send) for send in sends if send[1]))
        except NotDelivered as error:
            raise BrokerAway(str(error)) from error
        self._metrics.acknowledged.observe(perf_counter() - started)


def dead_letter(refused: Rejected, *, at: int, source: str) -> OutgoingMessage:
    """A refused entry as it came, without a key (it has none that could be trusted)."""
    headers = deadletters.headers(
        reason=refused.reason, service="ingest", stage=refused.stage, source=source, failed_at=at
    )
    return None, refused.raw, [*headers]
