"""The only place that builds ingest's clients: the producer, and the HTTP API around it."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from confluent_kafka import KafkaError
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from schemas.topics import ERASURES, EVENTS, EVENTS_DLQ, IDENTITIES, PRODUCTS
from services import problems
from services.admin_door import AdminDoor
from services.health_routes import health_routes
from services.ingest.credentials import Doorkeeper
from services.ingest.eraser import Eraser
from services.ingest.erasure_routes import erasure_routes
from services.ingest.event_routes import event_routes
from services.ingest.metrics import Metrics
from services.ingest.openapi import IngestApi
from services.ingest.product_routes import product_routes
from services.ingest.publisher import Publisher
from services.ingest.readiness import BrokerProbe
from services.ingest.segment_routes import segment_routes
from services.ingest.settings import IngestSettings
from services.ingest.visitor_routes import visitor_routes
from services.kafka import AcknowledgedProducer, ClientConfig, now_ms, producer_config
from services.tokens import TokenSigner

WRITTEN: Final = (EVENTS, EVENTS_DLQ, PRODUCTS, IDENTITIES, ERASURES)
# Beside ours, what SDKs of Segment and RudderStack send from browsers; the last two are not read.
HEADERS: Final = ("Authorization", "Content-Type", "Content-Encoding", "AnonymousId", "X-Retry-Count")


def create_app(settings: IngestSettings, clock: Callable[[], float] = now_ms) -> FastAPI:
    """The HTTP API, connected to Kafka; its lifespan's end waits for what is under way. `clock`: Unix ms."""
    metrics = Metrics()
    producer = AcknowledgedProducer(producer_settings(settings), on_fatal=_end_process)
    door = Doorkeeper(
        TokenSigner(settings.token_secret),
        settings.api_key,
        required=settings.auth == "required",
        write_key=settings.write_key,
    )
    probe = BrokerProbe(producer.topics, [settings.topic(each) for each in WRITTEN])
    publisher = Publisher(producer, settings, metrics)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        probing = asyncio.create_task(probe.run())
        try:
            yield
        finally:
            probing.cancel()
            with suppress(asyncio.CancelledError):
                await probing
            await asyncio.to_thread(producer.close)

    app = IngestApi(lifespan)
    app.include_router(visitor_routes(door, metrics))
    eraser = Eraser(producer, settings, metrics)
    app.include_router(erasure_routes(AdminDoor(settings.admin_key), eraser, publisher, clock))
    app.include_router(event_routes(door, publisher, metrics, clock))
    app.include_router(segment_routes(door, publisher, metrics, clock))
    app.include_router(product_routes(door, publisher, metrics))
    app.include_router(health_routes(lambda: probe.waiting_for, metrics.registry))
    problems.install(app, lambda status: metrics.problems.labels(str(status)).inc())
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.origins,
        allow_methods=["GET", "POST"],  # products are a back end's matter, not a page's
        allow_headers=HEADERS,
        expose_headers=["Retry-After"],
        max_age=86_400,
    )
    return app


def producer_settings(settings: IngestSettings) -> ClientConfig:
    """The producer's configuration."""
    config = producer_config(
        settings, linger_ms=settings.ingest_linger_ms, timeout_ms=settings.ingest_ack_timeout_ms
    )
    return config | {"queue.buffering.max.kbytes": settings.ingest_buffer_mb * 1024}


def _end_process(_error: KafkaError) -> None:
    """Ends the service in order: requests under way get their 503, the supervisor starts it anew."""
    os.kill(os.getpid(), signal.SIGTERM)
