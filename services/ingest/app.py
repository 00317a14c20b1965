"""The only place that builds ingest's clients: the producer, and the HTTP API around it."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Final

from confluent_kafka import KafkaException, Message
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from schemas.events import MAX_BATCH_EVENTS
from schemas.topics import ERASURES, EVENTS, EVENTS_DLQ, IDENTITIES, PRODUCTS
from schemas.traces import TRACEPARENT, TRACESTATE
from services.clock import now_ms
from services.ingest.events import event_routes
from services.ingest.keyed_facts import OF_IDENTITIES, OF_PRODUCTS, KeyedFacts, Mender
from services.ingest.metrics import Metrics
from services.ingest.openapi import IngestApi
from services.ingest.products import product_routes
from services.ingest.publisher import Publisher
from services.ingest.segment.identity import IdentityPolicy
from services.ingest.segment_api import segment_routes
from services.ingest.settings import IngestSettings
from services.ingest.visitors import ErasureWriter, erasure_routes, visitor_routes
from services.kafka.clients import (
    AcknowledgedProducer,
    ClientConfig,
    TopicMissing,
    TopicReader,
    client_config,
    producer_config,
)
from services.kafka.topic_watch import ShapeSource
from services.tracing.tracers import create_tracer
from services.visitors.erasure import Erasures
from services.visitors.identity_graph import PlaceholderIds
from services.web import problems
from services.web.auth import TOKEN_HEADER, AdminAuth, TokenSigner, UserSigner, VisitorAuth
from services.web.health import health_routes
from services.web.origins import AllowedOrigins
from services.web.rates import Quota, RateLimits, RateMiddleware

READY_EVERY_S: Final = 5.0
WAITING_EVERY_S: Final = 0.5
ASK_S: Final = 1.0

TopicsOnBroker = Callable[[float], set[str]]  # blocks up to so many seconds; raises KafkaException


class BrokerProbe:
    """Asks for the topics every few seconds; `waiting_for` is the last answer and never blocks."""

    def __init__(self, topics_on_broker: TopicsOnBroker, needed: Collection[str]) -> None:
        self._topics_on_broker = topics_on_broker
        self._needed = needed
        self.waiting_for: str | None = "the first answer of Kafka"
        self.found = asyncio.Event()  # all topics, once

    async def run(self) -> None:
        """Asks until it is cancelled."""
        while True:
            self.waiting_for = await asyncio.to_thread(self._ask)
            if self.waiting_for is None:
                self.found.set()
            await asyncio.sleep(WAITING_EVERY_S if self.waiting_for else READY_EVERY_S)

    def _ask(self) -> str | None:
        try:
            present = self._topics_on_broker(ASK_S)
        except KafkaException as error:
            return f"Kafka: {error.args[0].str()}"
        missing = sorted(set(self._needed) - present)
        return str(TopicMissing(missing[0])) if missing else None


class FactReader:
    """Reads the keyed facts that ingest writes, whole and then on, once their topics are there."""

    def __init__(self, settings: IngestSettings, probe: BrokerProbe) -> None:
        self._settings = settings
        self._probe = probe
        self.products, self.identities = KeyedFacts(OF_PRODUCTS), KeyedFacts(OF_IDENTITIES)
        self.all = (self.products, self.identities)
        self._reader: TopicReader | None = None

    @property
    def waiting_for(self) -> str | None:
        """What is still to be read, also of a topic that was made anew."""
        is_caught_up = self._reader is not None and self._reader.caught_up
        return None if is_caught_up else "what lies on products and identities"

    async def run(self, shapes: ShapeSource) -> None:
        """Reads until it is cancelled."""
        await self._probe.found.wait()
        by_topic = {self._settings.topic(each.kind.topic): each for each in self.all}

        def take(messages: list[Message]) -> None:
            for message in messages:
                by_topic[str(message.topic())].take(message)

        self._reader = TopicReader(
            client_config(self._settings),
            [*by_topic],
            take,
            _end_process,
            held=lambda: ((topic, key) for topic, facts in by_topic.items() for key in facts.list_keys()),
            outdates=True,
        )
        self._reader.start(shapes)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.to_thread(self._reader.stop)


WRITTEN: Final = (EVENTS, EVENTS_DLQ, PRODUCTS, IDENTITIES, ERASURES)
READ: Final = (PRODUCTS, IDENTITIES, ERASURES)
# Beside ours, what SDKs of Segment and RudderStack send from browsers; only the first line is read.
HEADERS: Final = (
    *(TOKEN_HEADER, "Authorization", "Content-Type", "Content-Encoding"),
    *("AnonymousId", "SentAt", "X-Retry-Count", "Rsa-Recovered", "Rsa-Retry-Attempt", "Rsa-Retry-Reason"),
    *("Rsa-Since-First-Attempt", "Rsa-Since-Last-Attempt"),
    *(TRACEPARENT, TRACESTATE),
)


def create_app(settings: IngestSettings, clock: Callable[[], float] = now_ms) -> FastAPI:
    """The HTTP API, connected to Kafka; its lifespan's end waits for what is under way. `clock`: Unix ms."""
    metrics = Metrics()
    tracer = create_tracer(settings, "ingest")
    producer = AcknowledgedProducer(producer_settings(settings), on_fatal=_end_process)
    erasures = Erasures()
    reader = erasures_reader(settings, erasures)
    door = VisitorAuth(
        TokenSigner(
            settings.token_secret,
            settings.topic_prefix,
            erasures.until.get,
            also=settings.token_secret_also,
        ),
        settings.api_key,
        required=settings.auth == "required",
        write_key=settings.write_key,
        also=settings.api_key_also,
        also_write_key=settings.write_key_also,
    )
    admin = AdminAuth(settings.admin_key, also=settings.admin_key_also)
    probe = BrokerProbe(producer.topics, [settings.topic(each) for each in WRITTEN])
    facts = FactReader(settings, probe)
    publisher = Publisher(
        producer,
        settings,
        metrics,
        product_facts=facts.products,
        identity_facts=facts.identities,
        is_caught_up=lambda: facts.waiting_for is None,
        quota=Quota("tenant_events", "events", settings.tenant_events_per_s, least=MAX_BATCH_EVENTS),
    )
    menders = [Mender(each, producer, settings, metrics) for each in facts.all]

    def waiting_for() -> str | None:
        erasures_missing = None if reader.caught_up else "the topic erasures"
        return probe.waiting_for or erasures_missing or facts.waiting_for

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        shapes = ShapeSource(client_config(settings), [settings.topic(each) for each in READ])
        running = [
            probe.run(),
            facts.run(shapes),
            *(mender.run() for mender in menders),
            _start_after(probe, reader, shapes),
        ]
        tasks = [asyncio.create_task(each) for each in running]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.to_thread(reader.stop)
            await asyncio.to_thread(producer.close)
            await asyncio.to_thread(tracer.close)

    app = IngestApi(lifespan)
    app.include_router(visitor_routes(door, metrics))
    eraser = ErasureWriter(producer, settings, metrics)
    app.include_router(erasure_routes(admin, door, eraser, publisher, clock))
    app.include_router(event_routes(door, publisher, metrics, clock, tracer))
    policy = IdentityPolicy(
        PlaceholderIds(settings.placeholders),
        UserSigner(settings.identity_key, also=settings.identity_key_also),
    )
    app.include_router(segment_routes(door, publisher, metrics, clock, policy, tracer=tracer))
    app.include_router(product_routes(door, publisher, metrics, clock))
    app.include_router(
        health_routes(
            waiting_for,
            {settings.tenant: metrics.registry},
            # What was acknowledged is only known of this place: loads that go on later ask for it.
            lambda: {"cluster": f"{producer.cluster_id or ''}/{settings.topic_prefix}"},
        )
    )
    problems.install(app, lambda status: metrics.problems.labels(str(status)).inc())
    rates = RateLimits(settings, settings.back_end_keys, (settings.write_key, settings.write_key_also))
    app.state.waiting_for = waiting_for
    app.state.registry = metrics.registry
    app.state.on_refused = lambda limit: metrics.refused.labels(limit).inc()
    app.add_middleware(RateMiddleware, limits=rates, on_refused=app.state.on_refused)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.origins,
        allow_methods=["GET", "HEAD", "POST"],  # products are a back end's matter, not a page's
        allow_headers=HEADERS,
        expose_headers=["Retry-After"],
        max_age=86_400,
    )
    app.add_middleware(
        AllowedOrigins,
        origins=settings.origins,
        on_problem=lambda status: metrics.problems.labels(str(status)).inc(),
    )
    return app


async def _start_after(probe: BrokerProbe, reader: TopicReader, shapes: ShapeSource) -> None:
    """Starts the reader once its topic is there."""
    await probe.found.wait()
    reader.start(shapes)


def erasures_reader(settings: IngestSettings, erasures: Erasures) -> TopicReader:
    """Keeps up with who is erased: tokens from before are refused, by every ingest process alike."""

    def take(messages: list[Message]) -> None:
        for message in messages:
            erasures.take(message)

    return TopicReader(client_config(settings), [settings.topic(ERASURES)], take, _end_process)


def producer_settings(settings: IngestSettings) -> ClientConfig:
    """The producer's configuration."""
    config = producer_config(
        settings, linger_ms=settings.ingest_linger_ms, timeout_ms=settings.ingest_ack_timeout_ms
    )
    return config | {"queue.buffering.max.kbytes": settings.ingest_buffer_mb * 1024}


def _end_process(_error: object) -> None:
    """Ends the service in order: requests under way get their 503, the supervisor starts it anew."""
    os.kill(os.getpid(), signal.SIGTERM)
