"""The only place that builds the recommender's parts: state, readers, rows, searches, HTTP API, sockets."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final

import httpx
import structlog
from fastapi import APIRouter, FastAPI
from starlette.middleware.cors import CORSMiddleware

from schemas import objectives
from schemas.topics import RECOMMENDATIONS
from services.clock import now_ms
from services.files import disk_usage
from services.kafka.clients import AcknowledgedProducer, client_config, producer_config
from services.product_numbers import ProductNumbers
from services.recommender import topic_feeds
from services.recommender.api import admin_bodies as admin_answers
from services.recommender.api import page as page_answers
from services.recommender.api.admin import Publisher, admin_routes
from services.recommender.api.page import page_routes
from services.recommender.api.parameters import weight_names
from services.recommender.api.profile import CatalogueVectors, Profile, profile_routes
from services.recommender.api.recommendations import (
    SEARCH,
    Found,
    Recommended,
    RequestHandler,
    recommendation_routes,
)
from services.recommender.catalogue import Catalogue
from services.recommender.count_check import CountCheck
from services.recommender.impressions import Impressions
from services.recommender.index.cached import CachedIndex
from services.recommender.index.graph import GraphBuilder
from services.recommender.index.port import RemoteIndex, VectorIndex
from services.recommender.index.qdrant_edge import EdgeIndex
from services.recommender.live.connection import LIVE, live_routes
from services.recommender.live.protocol import LiveSubscription
from services.recommender.live.registry import SubscriptionRegistry
from services.recommender.live_learning import LatestVisits, LiveLearning
from services.recommender.metrics import Metrics
from services.recommender.pipeline.diversity import RowLimits
from services.recommender.pipeline.experiments import (
    AS_EVERYONE,
    Assignment,
    ExperimentSchedule,
    combine_variants,
)
from services.recommender.pipeline.merchandising import ActiveRules, RuleSchedule
from services.recommender.pipeline.pipeline import RecommendationPipeline
from services.recommender.pipeline.request import RequestBuilder
from services.recommender.popularity import Popularity
from services.recommender.search.language_model import LanguageModel
from services.recommender.search.query_vectors import WordVectorClient
from services.recommender.search.search import FallbackInterpreter, Searcher
from services.recommender.search.vocabulary import Vocabularies
from services.recommender.serving_models import ModelRegistry, ServedModel
from services.recommender.settings import RecommenderSettings
from services.recommender.snapshot import Snapshots
from services.recommender.state import State
from services.recommender.topic_feeds import Feeds
from services.recommender.visitor_sessions import MergedSessions, Sessions
from services.tracing.tracers import create_tracer
from services.vector_replica import VectorReplica
from services.visitors.identity_graph import IdentityGraph
from services.web import problems
from services.web.auth import TOKEN_HEADER, AdminAuth, ReaderAuth, TokenSigner
from services.web.health import health_routes
from services.web.openapi import MsgspecApi
from services.web.origins import AllowedOrigins
from services.web.rates import Quota, RateLimits, RateMiddleware

log = structlog.get_logger()

BEHAVIOUR: Final = "behaviour"  # among the models that answers name: the trainer's
REMOTE_ROWS: Final = 16  # rows that wait for a Qdrant server at a time; in process, one after the other
# Impressions wait for each other, and nobody for them: a request for each costs the broker, and this process
# when it is answered, as much as one for all.
IMPRESSIONS_LINGER_MS: Final = 100.0
ACKNOWLEDGED_WITHIN_MS: Final = 1500
INDEX, SNAPSHOTS = "index", "snapshots"  # folders in EDDY_RECOMMENDER_DATADIR
MEASURED_EVERY_S: Final = 60.0

Clock = Callable[[], float]  # Unix ms


def create_app(settings: RecommenderSettings, clock: Clock = now_ms) -> FastAPI:
    """The HTTP API and the live sockets; their state is read from Kafka. Call it in the loop that serves."""
    parts = Parts(settings, clock)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        feeding = asyncio.create_task(parts.feeds.run())
        feeding.add_done_callback(_end_after)
        try:
            yield
        finally:
            feeding.cancel()
            with suppress(asyncio.CancelledError, Exception):  # a reader's failure is logged already
                await feeding
            await parts.close()

    app = MsgspecApi(
        "Eddy recommender",
        "Rows of products for visitors, about products, for words and for everyone; live at WS /v1/live.",
        [Recommended, Found, Profile, *page_answers.STRUCTS, *admin_answers.STRUCTS],
        lifespan,
    )
    for router in parts.routers():
        app.include_router(router)
    problems.install(app, lambda status: parts.metrics.problems.labels(str(status)).inc())
    rates = RateLimits(
        settings,
        settings.back_end_keys,
        quotas={
            LIVE: Quota("tenant_sockets", "live sockets", settings.tenant_sockets_per_s),
            SEARCH: Quota("tenant_searches", "searches", settings.tenant_searches_per_s),
        },
    )
    app.state.on_refused = lambda limit: parts.metrics.refused.labels(limit).inc()
    app.state.waiting_for = lambda: parts.feeds.waiting_for
    app.state.registry = parts.metrics.registry
    app.add_middleware(RateMiddleware, limits=rates, on_refused=app.state.on_refused)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.origins,
        allow_methods=["GET", "POST"],  # rules and experiments are a back end's matter, not a page's
        allow_headers=[TOKEN_HEADER, "Content-Type"],
        expose_headers=["Retry-After"],
        max_age=86_400,
    )
    app.add_middleware(
        AllowedOrigins,
        origins=settings.origins,
        on_problem=lambda status: parts.metrics.problems.labels(str(status)).inc(),
    )
    return app


class Parts:
    """What one recommender holds, put together; nothing is connected to before `feeds.run`."""

    def __init__(self, settings: RecommenderSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self.metrics = Metrics()
        self._tracer = create_tracer(settings, "recommender")
        layout, tuning = settings.layout, settings.tuning
        numbers = ProductNumbers()
        self._catalogue, self._replica = Catalogue(numbers, clock), VectorReplica(layout, numbers)
        self._people = IdentityGraph.of(settings)
        self._rules, self._experiments = RuleSchedule(), ExperimentSchedule()
        self._popularity = Popularity(
            settings.popular_half_life_ms, tuning.kind_weights, clicks_give_way=tuning.clicks_give_way
        )
        self._hub = SubscriptionRegistry(self.metrics)
        self._alone = Sessions(
            layout,
            settings.sessions_max,
            settings.sessions_mb << 20,
            is_open=lambda visitor_id: bool(self._hub.of_visitor(visitor_id)),
        )
        self._sessions = MergedSessions(self._alone, self._people, self._replica, layout, tuning)
        self._edge = None if settings.qdrant_url else EdgeIndex(layout, settings.datadir / INDEX, numbers)
        self._index = create_index(settings, self._edge)
        self._create_models()
        self._create_writers()
        self._create_searcher()
        self._rows = RecommendationPipeline(
            self._catalogue,
            self._index,
            self._replica,
            layout=layout,
            tuning=tuning,
            rules=RowLimits(k=0, diversity=settings.diversity, brand_max=settings.brand_max),
            model=self._lines.model,
            metrics=self.metrics,
            treatment=self._assignment,
            in_force=self._active_rules,
            clock=clock,
            objective=objectives.parse(settings.objective),
            explores=settings.explore_share if settings.impressions else 0.0,
        )
        self._asks = RequestBuilder(self._sessions, self._searcher, self._clock)
        self._turns = asyncio.Semaphore(REMOTE_ROWS if self._index.remote else 1)
        self._create_feeds()

    def _create_models(self) -> None:
        settings = self._settings
        follow = partial(ServedModel, settings.modelsdir, self.metrics)
        own = follow(settings.model_name)
        self._lines = ModelRegistry(settings.model_name, own, follow)
        self._live = LiveLearning(
            own,
            LatestVisits(settings.live_visitors_max, settings.tuning),
            self.metrics,
            every_s=settings.live_learning_s,
            visitors_max=settings.live_visitors_max,
        )

    def _create_writers(self) -> None:
        self._producer = self._create_producer(linger_ms=0)
        self._publisher = Publisher(self._producer, self._settings)
        self._recorder = self._create_producer(linger_ms=IMPRESSIONS_LINGER_MS)
        self._impressions = Impressions(
            self._recorder if self._settings.impressions else None,
            self._settings.topic(RECOMMENDATIONS),
            self.metrics,
            self._clock,
        )

    def _create_producer(self, linger_ms: float) -> AcknowledgedProducer:
        config = producer_config(self._settings, linger_ms=linger_ms, timeout_ms=ACKNOWLEDGED_WITHIN_MS)
        return AcknowledgedProducer(config, on_fatal=_end_process)

    def _create_searcher(self) -> None:
        settings = self._settings
        self._words = WordVectorClient(
            settings.embedder_url,
            settings.layout,
            timeout_s=settings.words_timeout_s,
            client=httpx.AsyncClient(trust_env=False),
            away=self.metrics.words_away,
            seconds=self.metrics.words,
        )
        self._vocabularies = Vocabularies(self._catalogue)
        understanding = FallbackInterpreter(
            vocabulary=lambda: self._vocabularies.newest,
            clock=time.monotonic,
            model=self._create_language_model(),
            failed=lambda reason: log.warning(
                "the language model does not answer, a parser does", reason=reason
            ),
        )
        self._searcher = Searcher(understanding, self._words, lambda: self._vocabularies.newest)

    def _create_language_model(self) -> LanguageModel | None:
        settings = self._settings
        self._http = httpx.AsyncClient()  # to the outside; the embedder is asked past any proxy
        if not settings.nlq_url:
            return None
        key = settings.nlq_key.get_secret_value() if settings.nlq_key else None
        return LanguageModel(
            url=settings.nlq_url,
            key=key,
            model=settings.nlq_model,
            timeout_s=settings.nlq_timeout_s,
            client=self._http,
        )

    def _create_feeds(self) -> None:
        self._state = State(
            self._catalogue,
            self._index,
            self._replica,
            layout=self._settings.layout,
            sessions=self._alone,
            joined=self._sessions,
            people=self._people,
            popularity=self._popularity,
            rules=self._rules,
            experiments=self._experiments,
            lines=self._lines,
            live=self._live,
            hub=self._hub,
            rows=self._impressions.rows,
            metrics=self.metrics,
            tracer=self._tracer,
        )
        snapshots = Snapshots(
            self._settings.datadir / SNAPSHOTS,
            self._state,
            self._catalogue,
            self._replica,
            self._edge,
            layout=self._settings.layout,
            prefix=self._settings.topic_prefix,
            products_min=self._settings.snapshot_products,
            metrics=self.metrics,
        )
        changes = (self._rules.next_change, self._experiments.next_change)
        self.feeds = Feeds(
            self._settings,
            client_config(self._settings),
            self._state,
            snapshots,
            before=self._first_done,
            beside=(
                self._live.run,
                self._vocabularies.run,
                self._keep_graph,
                self._check_counts,
                self._measure_disk,
                partial(topic_feeds.watch, changes, self._hub, self._clock),
                partial(topic_feeds.change_prices, self._state),
                partial(
                    topic_feeds.count,
                    self._popularity,
                    self._catalogue,
                    self._hub,
                    self._clock,
                    self._lines,
                ),
            ),
            on_failure=_end_process,
        )

    async def _first_done(self) -> None:
        await self._live.once()
        await self._vocabularies.renew()
        self._index.optimise()

    async def _keep_graph(self) -> None:
        if self._edge is not None:
            await GraphBuilder(self._edge, self._state.vectors_turn, self.metrics).run()

    async def _measure_disk(self) -> None:
        own = [self._settings.datadir / each for each in (INDEX, SNAPSHOTS)]
        while True:
            self.metrics.disk.set(await asyncio.to_thread(disk_usage, *own))
            await asyncio.sleep(MEASURED_EVERY_S)

    async def _check_counts(self) -> None:
        if isinstance(self._index, RemoteIndex):
            await CountCheck(self._catalogue, self._replica, self._index, self.metrics).run()

    def _assignment(self, visitor_id: str | None) -> Assignment:
        if visitor_id is None:
            return AS_EVERYONE
        return combine_variants(self._experiments.variants_of(visitor_id, self._clock()))

    def _active_rules(self, slot: str, kind: str) -> ActiveRules:
        return self._rules.active_rules(slot, kind, self._clock())

    def _waiting_for(self) -> str | None:
        return self.feeds.waiting_for

    def _models(self, version: str | None) -> dict[str, str]:
        return self._state.models | ({BEHAVIOUR: version} if version else {})

    def _subscription(self, visitor_id: str) -> LiveSubscription:
        return LiveSubscription(
            visitor_id,
            rows=self._rows,
            asks=self._asks,
            sessions=self._sessions,
            impressions=self._impressions,
            models=self._models,
            metrics=self.metrics,
            turns=self._turns,
            on_shown=self._hub.record_row,
            siblings=self._hub.of_visitor,
            lock=self._hub.lock(visitor_id),
            tracer=self._tracer,
        )

    def routers(self) -> Iterator[APIRouter]:
        """All routes."""
        settings = self._settings
        signer = TokenSigner(
            settings.token_secret,
            settings.topic_prefix,
            self._state.last_erasure,
            also=settings.token_secret_also,
        )
        door = ReaderAuth(signer, settings.api_key, also=settings.api_key_also)
        answerer = RequestHandler(
            door,
            self._rows,
            sessions=self._sessions,
            impressions=self._impressions,
            models=self._models,
            waiting_for=self._waiting_for,
            metrics=self.metrics,
        )
        yield recommendation_routes(answerer, self._catalogue, self._searcher, self._asks)
        yield page_routes(door, answerer, self._rows, self._asks)
        yield profile_routes(
            door,
            self._sessions,
            self._people,
            self._catalogue,
            vectors=CatalogueVectors(self._catalogue, self._replica, settings.layout),
            tuning=settings.tuning,
            treatment=self._assignment,
            waiting_for=self._waiting_for,
        )
        yield live_routes(
            door,
            self._hub,
            self._subscription,
            metrics=self.metrics,
            slow_reader_s=settings.slow_reader_s,
        )
        yield admin_routes(
            AdminAuth(settings.admin_key, also=settings.admin_key_also),
            self._rules,
            self._experiments,
            self._publisher.publish,
            catalogue=self._catalogue,
            clock=self._clock,
            waiting_for=self._waiting_for,
            weight_names=weight_names(),
        )
        yield health_routes(
            self._waiting_for,
            {settings.tenant: self.metrics.registry},
            lambda: {"products": len(self._replica)},
        )

    async def close(self) -> None:
        """Waits for what is on its way to Kafka, and lets go of everything."""
        await self._words.close()
        await self._http.aclose()
        for producer in (self._producer, self._recorder):
            await asyncio.to_thread(producer.close)
        if isinstance(self._index, RemoteIndex):
            await self._index.hang_up()
        self._index.close()
        await asyncio.to_thread(self._tracer.close)


def create_index(settings: RecommenderSettings, edge: EdgeIndex | None) -> VectorIndex:
    """The one in this process, or the collection of a Qdrant server."""
    if edge is not None:
        return CachedIndex(edge)
    from services.qdrant import connect_in_loop, product_collection  # noqa: PLC0415 - qdrant-client: a second
    from services.qdrant_failures import FAILURES, describe  # noqa: PLC0415
    from services.recommender.index.qdrant_server import SearchTuning, ServerIndex  # noqa: PLC0415

    try:
        collection = product_collection(settings)
    except FAILURES as error:
        raise SystemExit(f"the recommender does not start: {describe(error)}") from None
    return ServerIndex(collection, connect_in_loop(settings), SearchTuning.of(settings))


def _end_after(feeding: "asyncio.Task[None]") -> None:
    if not feeding.cancelled() and (error := feeding.exception()):
        _end_process(error)


def _end_process(error: object) -> None:
    """Ends the service in order; the supervisor starts it anew. Called in a reader's thread, too."""
    log.critical("the recommender ends: Kafka is not read or not written any more", error=str(error))
    os.kill(os.getpid(), signal.SIGTERM)
