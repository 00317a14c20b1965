"""The only place that builds the recommender's parts: index, readers, rows, HTTP API and live sockets."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import structlog
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from services import problems
from services.health_routes import health_routes
from services.kafka import client_config
from services.openapi import MsgspecApi
from services.qdrant import ProductCollection, connect
from services.recommender.answers import Recommended
from services.recommender.catalogue import Catalogue
from services.recommender.credentials import Doorkeeper
from services.recommender.edge import EdgeIndex
from services.recommender.feeds import Feeds
from services.recommender.generations import Generations
from services.recommender.hub import Hub
from services.recommender.latest_visits import LatestVisits
from services.recommender.live_learning import LiveLearning
from services.recommender.live_routes import live_routes
from services.recommender.metrics import Metrics
from services.recommender.ranking import Rules
from services.recommender.recommendation_routes import recommendation_routes
from services.recommender.remembered import RememberedIndex
from services.recommender.rows import RowMaker
from services.recommender.server import ServerIndex
from services.recommender.sessions import Sessions
from services.recommender.settings import RecommenderSettings
from services.recommender.subscriber import Subscriber
from services.recommender.vector_index import VectorIndex
from services.replica import VectorReplica
from services.tokens import TokenSigner

log = structlog.get_logger()

BEHAVIOUR: Final = "behaviour"  # among the models that answers name: the trainer's
REMOTE_ROWS: Final = 16  # rows that wait for a Qdrant server at a time; in process, one after the other


def create_app(settings: RecommenderSettings) -> FastAPI:
    """The HTTP API and the live sockets; their state is read from Kafka. Call it in the loop that serves."""
    layout, metrics = settings.layout, Metrics()
    catalogue, replica = Catalogue(), VectorReplica(layout)
    sessions, hub = Sessions(layout, settings.sessions_max), Hub(metrics)
    index = create_index(settings)
    turns = asyncio.Semaphore(REMOTE_ROWS if index.remote else 1)
    rules = Rules(k=0, diversity=settings.diversity, brand_max=settings.brand_max)
    generations = Generations(settings.recommender_models, metrics)
    live = LiveLearning(
        generations,
        LatestVisits(settings.live_visitors_max, settings.tuning),
        metrics,
        every_s=settings.live_learning_s,
        visitors_max=settings.live_visitors_max,
    )
    rows = RowMaker(
        catalogue,
        index,
        replica,
        layout=layout,
        tuning=settings.tuning,
        rules=rules,
        model=lambda: generations.model,
        metrics=metrics,
    )
    feeds = Feeds(
        settings,
        client_config(settings),
        catalogue=catalogue,
        index=index,
        replica=replica,
        sessions=sessions,
        generations=generations,
        live=live,
        hub=hub,
        metrics=metrics,
        on_failure=_end_process,
    )
    door = Doorkeeper(TokenSigner(settings.token_secret), settings.api_key)

    def waiting_for() -> str | None:
        return feeds.waiting_for

    def models(version: str | None) -> dict[str, str]:
        return feeds.models | {BEHAVIOUR: version} if version else feeds.models

    def subscriber(visitor_id: str) -> Subscriber:
        return Subscriber(
            visitor_id,
            rows=rows,
            sessions=sessions,
            models=models,
            metrics=metrics,
            turns=turns,
            on_shown=hub.shown,
        )

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        feeding = asyncio.create_task(feeds.run())
        feeding.add_done_callback(_end_after)
        try:
            yield
        finally:
            feeding.cancel()
            with suppress(asyncio.CancelledError, Exception):  # a reader's failure is logged already
                await feeding
            index.close()

    app = MsgspecApi(
        "Eddy recommender",
        "Rows of products for visitors, for products and for everyone; live at WS /v1/live.",
        [Recommended],
        lifespan,
    )
    app.include_router(
        recommendation_routes(
            door, rows, catalogue=catalogue, sessions=sessions, models=models, waiting_for=waiting_for
        )
    )
    app.include_router(
        live_routes(
            door,
            hub,
            subscriber,
            waiting_for=waiting_for,
            metrics=metrics,
            slow_reader_s=settings.slow_reader_s,
        )
    )
    app.include_router(health_routes(waiting_for, metrics.registry, lambda: {"products": len(replica)}))
    problems.install(app, lambda status: metrics.problems.labels(str(status)).inc())
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.origins,
        allow_methods=["GET"],
        expose_headers=["Retry-After"],
        max_age=86_400,
    )
    return app


def create_index(settings: RecommenderSettings) -> VectorIndex:
    """A Qdrant server's collection where one is given, else qdrant-edge in this process."""
    if settings.qdrant_url is None:
        return RememberedIndex(EdgeIndex(settings.layout, settings.index_folder))
    name = settings.topic_prefix + settings.qdrant_collection
    return ServerIndex(ProductCollection(connect(settings), name, settings.layout))


def _end_after(feeding: "asyncio.Task[None]") -> None:
    if not feeding.cancelled() and (error := feeding.exception()):
        _end_process(error)


def _end_process(error: BaseException) -> None:
    """Ends the service in order; the supervisor starts it anew. Called in a reader's thread, too."""
    log.critical("nothing more is read from Kafka, the recommender ends", error=str(error))
    os.kill(os.getpid(), signal.SIGTERM)
