"""Puts accepted and refused entries on their topics, and returns when Kafka has them all."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from time import perf_counter
from typing import Final

import structlog

from schemas import deadletters, events, identities, products
from schemas.events import Event
from schemas.products import Product
from schemas.topics import EVENTS, EVENTS_DLQ, IDENTITIES, PRODUCTS
from schemas.traces import TRACEPARENT
from services.ingest.keyed_facts import KeyedFacts, deletion, product_order
from services.ingest.metrics import Metrics
from services.ingest.segment.identity import IdentityLink, PublishedLinks
from services.ingest.validation import Outdated, Provenance, Rejected
from services.kafka.clients import AcknowledgedProducer, Headers, NotDelivered, OutgoingMessage
from services.refusals import RefusalSampler
from services.settings import ServiceSettings
from services.tracing.messages import begin_send
from services.tracing.port import Span, current_span, run
from services.web.problems import BrokerAway, RefusedByKafka
from services.web.rates import Quota

log = structlog.get_logger()

ACCEPTED_AT: Final = "accepted_at"  # header of `events`: Unix ms, when ingest took the event

FOLLOWED_MAX: Final = 16  # messages of one request: a trace of 2,500 events shows nobody anything

IN_BATCH: Final = "older than another entry of this batch"


@dataclass(frozen=True, slots=True)
class UnwrittenProducts:
    """Which of a batch are not written, by place: older than what is there, or refused by Kafka; and why."""

    ignored: Mapping[int, str]
    refused: Mapping[int, str]


class Publisher:
    """The four topics that ingest writes. Every method raises BrokerAway unless all was acknowledged.

    `is_caught_up`: whether the facts are all that lay on their topics. `quota`: of events, also of refused
    ones, which cost Kafka as much; beyond it QuotaExceeded is raised, and nothing is written.
    """

    def __init__(
        self,
        producer: AcknowledgedProducer,
        settings: ServiceSettings,
        metrics: Metrics,
        *,
        product_facts: KeyedFacts,
        identity_facts: KeyedFacts,
        is_caught_up: Callable[[], bool],
        quota: Quota,
    ) -> None:
        self._producer = producer
        self._metrics = metrics
        self._events = settings.topic(EVENTS)
        self._dead_letters = settings.topic(EVENTS_DLQ)
        self._products = settings.topic(PRODUCTS)
        self._identities = settings.topic(IDENTITIES)
        self._product_facts = product_facts
        self._identity_facts = identity_facts
        self._links = PublishedLinks(identity_facts)
        self._is_caught_up = is_caught_up
        self._refusals = RefusalSampler()
        self._quota = quota

    async def take_events(
        self,
        accepted: Sequence[Event],
        rejected: Sequence[Rejected],
        way: Provenance,
        joins: Sequence[IdentityLink] = (),
    ) -> list[Outdated]:
        """Events to `events`, refused ones as they came to `events.dlq`, new joins to `identities`.

        Answers the joins that are older than what is known.
        """
        refused = [(each, way) for each in rejected]
        try:
            return await self.take_requeued(accepted, refused, joins, at=way.received_at)
        except BrokerAway:
            self._metrics.events_turned_away.inc(len(accepted))
            raise

    async def take_requeued(
        self,
        accepted: Sequence[Event],
        refused: Sequence[tuple[Rejected, Provenance]],
        joins: Sequence[IdentityLink],
        *,
        at: int,
    ) -> list[Outdated]:
        """The same for entries that came each on its own way, maybe long before `at` (Unix ms): now."""
        if exceeded := self._quota.check(len(accepted) + len(refused)):
            self._metrics.refused.labels(exceeded.limit).inc()
            raise exceeded
        stamp: Headers = [(ACCEPTED_AT, str(at))]
        sends: list[tuple[str, list[OutgoingMessage]]] = [
            (self._events, [(each.visitor_id.encode(), events.encode(each), stamp) for each in accepted]),
            (self._dead_letters, list(self._letters(refused, at))),
        ]
        if (span := current_span()) is None:
            return await self._write(sends, accepted, refused, joins)
        with ExitStack() as ends:
            only = accepted[0].event_id if len(accepted) == 1 else None
            sends = [trace_send(span, ends, *sends[0], only), trace_send(span, ends, *sends[1])]
            return await self._write(sends, accepted, refused, joins)

    async def _write(
        self,
        sends: Sequence[tuple[str, list[OutgoingMessage]]],
        accepted: Sequence[Event],
        refused: Sequence[tuple[Rejected, Provenance]],
        joins: Sequence[IdentityLink],
    ) -> list[Outdated]:
        outdated = list[Outdated]()
        if joins:
            outdated = await self._send_with_joins(sends, joins)
        else:
            await self._send(*sends)
        self._metrics.events_accepted.inc(len(accepted))
        for rejected, _ in refused:
            self._metrics.events_rejected.labels(rejected.stage).inc()
        return outdated

    async def _send_with_joins(
        self, sends: Sequence[tuple[str, Sequence[OutgoingMessage]]], joins: Sequence[IdentityLink]
    ) -> list[Outdated]:
        self._require_facts()
        async with self._identity_facts.writing({each.identity.visitor_id.encode() for each in joins}):
            missing, outdated = self._links.missing(joins)
            written: list[OutgoingMessage] = [
                (each.visitor_id.encode(), identities.encode(each), []) for each in missing
            ]
            await self._send(*sends, (self._identities, written))
            self._links.remember(missing)
        self._metrics.identities_written.inc(len(missing))
        self._metrics.facts_outdated.labels(IDENTITIES.name).inc(len(outdated))
        return outdated

    def _letters(self, refused: Iterable[tuple[Rejected, Provenance]], at: int) -> Iterator[OutgoingMessage]:
        """One for each refusal but for those that repeat others; what was put back always has one again."""
        for rejected, way in refused:
            count = self._refusals.sample(*refusal(rejected, way)) if way.attempts == 1 else 1
            if count:
                yield dead_letter(rejected, way, at=at, count=count)
            else:
                self._metrics.repeated.inc()

    def forget(self, visitor_ids: Iterable[str], at: int) -> None:
        """These visitors were erased: who they are is written again when it is said again."""
        self._links.forget(visitor_ids, at)

    async def take_products(self, accepted: Sequence[Product]) -> UnwrittenProducts:
        """Products to `products`, but for those that are older than what is there.

        Of several entries about one product the newest counts, of equal ones the later.
        """
        self._require_facts()
        newest: dict[str, int] = {}
        for place, product in enumerate(accepted):
            other = newest.get(product.product_id)
            if other is None or product.updated_at >= accepted[other].updated_at:
                newest[product.product_id] = place
        ignored = {place: IN_BATCH for place, each in enumerate(accepted) if newest[each.product_id] != place}
        facts = self._product_facts
        async with facts.writing({product_id.encode() for product_id in newest}):
            for product_id, place in newest.items():
                if reason := facts.reason_to_ignore(product_id.encode(), product_order(accepted[place])):
                    ignored[place] = reason
            news = [place for place in range(len(accepted)) if place not in ignored]
            refused = await self._send_products([accepted[place] for place in news])
            refused = {news[place]: why for place, why in refused.items()}
            for place in news:
                if place not in refused:
                    facts.note(accepted[place].product_id.encode(), product_order(accepted[place]))
        self._metrics.products_accepted.inc(len(news) - len(refused))
        self._metrics.facts_outdated.labels(PRODUCTS.name).inc(len(ignored))
        return UnwrittenProducts(ignored, refused)

    async def _send_products(self, news: Sequence[Product]) -> Mapping[int, str]:
        """By their place, those that Kafka refuses for good, and why."""
        try:
            await self._send(
                (self._products, [(each.product_id.encode(), products.encode(each), []) for each in news])
            )
        except RefusedByKafka as refusal:
            return refusal.refused
        return {}

    async def delete_product(self, product_id: str, *, at: int | None, now: int) -> str | None:
        """A tombstone to `products`; why not, where the product is newer than `at` (Unix ms).

        Without a time the product is gone as of `now`, or just after it changed.
        """
        self._require_facts()
        key, facts = product_id.encode(), self._product_facts
        async with facts.writing({key}):
            if at is None:
                known = facts.newest(key)
                at = max(now, known[0] + 1) if known else now
            elif reason := facts.reason_to_ignore(key, (at, "", False)):
                self._metrics.facts_outdated.labels(PRODUCTS.name).inc()
                return reason
            await self._send((self._products, [deletion(key, at)]))
            facts.note(key, (at, "", False))
        self._metrics.products_deleted.inc()
        return None

    def _require_facts(self) -> None:
        """Before all was read nobody can tell what is older."""
        if not self._is_caught_up():
            raise BrokerAway("what lies on products and identities is being read")

    async def _send(self, *sends: tuple[str, Sequence[OutgoingMessage]]) -> None:
        started = perf_counter()
        sends = tuple(send for send in sends if send[1])
        failures = await self._attempt(sends)
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

    async def _attempt(
        self, sends: Sequence[tuple[str, Sequence[OutgoingMessage]]]
    ) -> Sequence[BaseException | None]:
        """What became of each: None where all is written."""
        if len(sends) != 1:
            all_sends = (self._producer.send_all(*send) for send in sends)
            return await asyncio.gather(*all_sends, return_exceptions=True)
        try:  # as mostly, and it needs no task of its own
            await self._producer.send_all(*sends[0])
        except Exception as error:  # noqa: BLE001 - the caller raises what is not about deliveries
            return [error]
        return [None]


def trace_send(
    span: Span, ends: ExitStack, topic: str, messages: list[OutgoingMessage], message_id: str | None = None
) -> tuple[str, list[OutgoingMessage]]:
    """The messages, of which the first few carry a span of their sending; it ends with `ends`."""
    if not messages:
        return topic, messages
    sent = begin_send(span, topic, message_id, count=len(messages))
    ends.enter_context(run(sent))
    follows = [
        (key, value, [*headers, (TRACEPARENT, sent.traceparent)])
        for key, value, headers in messages[:FOLLOWED_MAX]
    ]
    return topic, follows + messages[FOLLOWED_MAX:]


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
