"""Puts accepted and refused entries on their topics, and returns when Kafka has them all."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from time import perf_counter
from typing import Final

import structlog

from schemas import deadletters, events, identities, products
from schemas.events import Event
from schemas.products import Product
from schemas.topics import EVENTS, EVENTS_DLQ, IDENTITIES, PRODUCTS
from services.ingest.metrics import Metrics
from services.ingest.segment.identity import IdentityLink, PublishedLinks
from services.ingest.validation import Provenance, Rejected
from services.kafka.clients import AcknowledgedProducer, Headers, NotDelivered, OutgoingMessage
from services.refusals import RefusalSampler
from services.settings import ServiceSettings
from services.web.problems import BrokerAway, RefusedByKafka

log = structlog.get_logger()

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
        self._written = PublishedLinks()
        self._refusals = RefusalSampler()

    async def take_events(
        self,
        accepted: Sequence[Event],
        rejected: Sequence[Rejected],
        way: Provenance,
        joins: Sequence[IdentityLink] = (),
    ) -> None:
        """Events to `events`, refused ones as they came to `events.dlq`, new joins to `identities`."""
        refused = [(each, way) for each in rejected]
        await self.take_requeued(accepted, refused, joins, at=way.received_at)

    async def take_requeued(
        self,
        accepted: Sequence[Event],
        refused: Sequence[tuple[Rejected, Provenance]],
        joins: Sequence[IdentityLink],
        *,
        at: int,
    ) -> None:
        """The same for entries that came each on its own way, maybe long before `at` (Unix ms): now."""
        missing = self._written.missing(joins)
        stamp: OutgoingMessage = (None, None, [(ACCEPTED_AT, str(at))])
        await self._send(
            (
                self._events,
                [(event.visitor_id.encode(), events.encode(event), stamp[2]) for event in accepted],
            ),
            (self._dead_letters, list(self._letters(refused, at))),
            (self._identities, [(each.visitor_id.encode(), identities.encode(each), []) for each in missing]),
        )
        self._written.remember(missing)
        self._metrics.identities_written.inc(len(missing))
        self._metrics.events_accepted.inc(len(accepted))
        for rejected, _ in refused:
            self._metrics.events_rejected.labels(rejected.stage).inc()

    def _letters(self, refused: Iterable[tuple[Rejected, Provenance]], at: int) -> Iterator[OutgoingMessage]:
        """One for each refusal but for those that repeat others; what was put back always has one again."""
        for rejected, way in refused:
            count = self._refusals.sample(*refusal(rejected, way)) if way.attempts == 1 else 1
            if count:
                yield dead_letter(rejected, way, at=at, count=count)
            else:
                self._metrics.repeated.inc()

    def forget(self, visitor_ids: Iterable[str]) -> None:
        """These visitors were erased: who they are is written again when it is said again."""
        self._written.forget(visitor_ids)

    async def take_products(self, accepted: Sequence[Product]) -> None:
        """Products to `products`."""
        await self._send(
            (
                self._products,
                [(product.product_id.encode(), products.encode(product), []) for product in accepted],
            )
        )
        self._metrics.products_accepted.inc(len(accepted))

    async def delete_product(self, product_id: str) -> None:
        """A tombstone to `products`."""
        await self._send((self._products, [(product_id.encode(), None, [])]))
        self._metrics.products_deleted.inc()

    async def _send(self, *sends: tuple[str, Sequence[OutgoingMessage]]) -> None:
        started = perf_counter()
        all_sends = (self._producer.send_all(*send) for send in sends)
        failures = await asyncio.gather(*all_sends, return_exceptions=True)
        if any(failures):
            self._refusals.reset()  # nobody knows which letters are there
        self._metrics.acknowledged.observe(perf_counter() - started)
        undelivered = [each for each in failures if each is not None]
        for error in undelivered:
            if not isinstance(error, NotDelivered):
                raise error
            if not error.is_final:
                raise BrokerAway(str(error)) from error
        for (topic, _), failure in zip(sends, failures, strict=True):
            if isinstance(failure, NotDelivered) and topic not in {self._events, self._products}:
                log.warning("Kafka refuses messages for good", topic=topic, reason=str(failure))
            elif isinstance(failure, NotDelivered):
                raise RefusedByKafka(failure.refused) from failure


def refusal(refused: Rejected, way: Provenance) -> tuple[bytes | str | None, ...]:
    """By what identical refusals are known."""
    frame = None if way.frame is None else deadletters.encode_frame(way.frame)
    return refused.raw, refused.stage, refused.reason, way.path, way.sender, frame


def dead_letter(refused: Rejected, way: Provenance, *, at: int, count: int = 1) -> OutgoingMessage:
    """An entry refused `at` (Unix ms), as it came, without a key (it has none that could be trusted)."""
    _, raw, told = deadletters.letter(
        None,
        refused.raw,
        reason=refused.reason,
        service="ingest",
        stage=refused.stage,
        source=way.path,
        failed_at=at,
        attempts=way.attempts,
        count=count,
    )
    headers: Headers = [*told]
    if way.received_at != at:
        headers.append((deadletters.RECEIVED_AT, str(way.received_at)))
    if way.sender is not None:
        headers.append((deadletters.SENDER, way.sender))
    if way.frame is not None:
        headers.append((deadletters.FRAME, deadletters.encode_frame(way.frame)))
    return None, raw, headers
