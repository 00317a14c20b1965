"""What the topics tell, applied in the loop: all that rows are made from."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from confluent_kafka import Message

from schemas.products import Product
from schemas.sessions import CLICKED_ROW, Session, SessionEvent
from schemas.topics import ERASURES
from schemas.vectors import Layout, ProductVectors, Vector, unpack
from services.kafka.messages import (
    EXPERIMENT,
    IDENTITY,
    PRODUCT,
    RELEASE,
    RULE,
    Decoded,
    MessageReader,
    header_text,
    headers_by_name,
    sessions_of,
    vectors_of,
)
from services.recommender.catalogue import Catalogue
from services.recommender.index.port import VectorIndex
from services.recommender.live.registry import SubscriptionRegistry
from services.recommender.live_learning import LiveLearning
from services.recommender.metrics import Metrics
from services.recommender.pipeline.experiments import ExperimentSchedule
from services.recommender.pipeline.merchandising import RuleSchedule
from services.recommender.popularity import Popularity
from services.recommender.serving_models import ModelRegistry
from services.recommender.shown_rows import ShownRows
from services.recommender.visitor_sessions import MergedSessions, PublishedSession, Sessions
from services.tracing.messages import follow_message
from services.tracing.port import NULL_TRACER, Tracer, run
from services.vector_replica import VectorReplica
from services.visitors.erasure import PendingErasures
from services.visitors.identity_graph import IdentityGraph

TRACE_MAX_MS: Final = 60_000  # between the session's writing and its reading: a start reads old ones
PRICES_AT_ONCE: Final = 64  # between two turns of the loop: many sales end at midnight


class State:
    """All that rows are made from. One method a topic; open pages are told of what concerns them.

    Messages that cannot be read are left out: the embedder writes those of `products` to products.dlq.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        index: VectorIndex,
        replica: VectorReplica,
        *,
        layout: Layout,
        sessions: Sessions,
        joined: MergedSessions,
        people: IdentityGraph,
        popularity: Popularity,
        rules: RuleSchedule,
        experiments: ExperimentSchedule,
        lines: ModelRegistry,
        live: LiveLearning,
        hub: SubscriptionRegistry,
        rows: ShownRows,
        metrics: Metrics,
        tracer: Tracer = NULL_TRACER,
    ) -> None:
        self._tracer = tracer
        self.catalogue = catalogue
        self.sessions = sessions
        self.lines = lines
        self._index = index
        self._replica = replica
        self._joined = joined
        self._people = people
        self._erasures = PendingErasures()
        self._popularity = popularity
        self._rules = rules
        self._experiments = experiments
        self._live = live
        self._hub = hub
        self._rows = rows
        self._metrics = metrics
        self._messages = MessageReader(metrics.unreadable)
        self._vectors, self._sessions = vectors_of(layout), sessions_of(layout)
        self.models: dict[str, str] = {}
        self.vectors_turn = asyncio.Lock()  # while it is held, index and replica stay as they are

    async def products(self, messages: list[Message]) -> None:
        """[products]"""
        for message in messages:
            read = self._messages.read(PRODUCT, message)
            if read is None:
                continue
            if self.catalogue.remove(read.key) if read.value is None else self.catalogue.put(read.value):
                self._hub.product_changed(read.key)
        self._metrics.products.set(len(self.catalogue))

    async def vectors(self, messages: list[Message]) -> None:
        """[product-vectors]"""
        newest = self._messages.newest(self._vectors, messages)
        async with self.vectors_turn:
            self._apply_vectors(newest)
        for each in newest:
            self._hub.product_changed(each.key)
        self._metrics.indexed.set(len(self._replica))

    async def change_prices(self) -> None:
        """Makes the price changes that are due, also in the index in process: else bounds would miss them."""
        changed = self.catalogue.change_prices()
        for start in range(0, len(changed), PRICES_AT_ONCE):
            some = changed[start : start + PRICES_AT_ONCE]
            if not self._index.remote:
                points = ((self.catalogue.get(each), self._replica.vector(each)) for each in some)
                async with self.vectors_turn:
                    self._index.upsert([(known, row) for known, row in points if known and row is not None])
            for each in some:
                self._hub.product_changed(each)
            await asyncio.sleep(0)

    def _apply_vectors(self, newest: Sequence[Decoded[ProductVectors]]) -> None:
        for each in newest:
            self._replica.apply(each.key, each.value)
        found = [each.value for each in newest if each.value is not None]
        if not self._index.remote:  # a server has them from the embedder
            self._index.remove([each.key for each in newest if each.value is None])
            self._index.upsert([self._point(vectors) for vectors in found])
        if found:
            self.models = found[-1].models

    def _point(self, vectors: ProductVectors) -> tuple[Product, Vector]:
        """A product may have changed since its vector was made: filters hold against what is known now."""
        known = self.catalogue.get(vectors.product.product_id)
        newer = known is not None and known.updated_at >= vectors.product.updated_at
        return (known if known is not None and newer else vectors.product), unpack(vectors.content)

    async def newest_sessions(self, messages: list[Message]) -> None:
        """[sessions]"""
        headers = {id(message): headers_by_name(message) for message in messages}
        for told in headers.values():  # also of those that a newer one replaces
            row = header_text(told, CLICKED_ROW)
            if row is not None:
                self._rows.click(row)
        for each in self._messages.newest(self._sessions, messages):
            message, told = each.message, headers[id(each.message)]
            span = follow_message(
                self._tracer,
                told,
                (str(message.topic()), message.partition() or 0, message.offset() or 0),
                written_at=message.timestamp()[1],
                within_ms=TRACE_MAX_MS,
            )
            if span is None:
                self._take_session(each, told)
            else:
                with run(span):
                    self._take_session(each, told, span.traceparent)
        self._metrics.sessions.set(len(self.sessions))
        self._metrics.sessions_bytes.set(self.sessions.bytes)

    def _take_session(
        self, each: Decoded[Session], headers: Mapping[str, bytes | None], traceparent: str | None = None
    ) -> None:
        self._erasures.confirm(each.key, headers)
        if each.value is None or each.raw is None:
            self._forget(each.key)
            return
        published = PublishedSession.of(each.raw, headers)
        if self._erasures.hide(each.key, published.folded_at):
            return
        self._live.put(each.key, each.raw)
        self._count(each.key, each.value.events)
        is_news = self.sessions.is_news(each.key, published, each.value)
        for _, rank in self.sessions.put(each.key, published, each.value):
            self._metrics.sessions_evicted.labels(rank.name.lower()).inc()
        if is_news:
            traced = published if traceparent is None else replace(published, traceparent=traceparent)
            self._tell(each.key, traced)

    async def newest_erasures(self, messages: list[Message]) -> None:
        """[erasures]: what is held of the visitors goes, whether or not a session processor runs."""
        unreadable = self._erasures.unreadable
        for message in messages:
            visitor_id = self._erasures.take(message)
            published = self.sessions.latest(visitor_id)
            if published is not None and self._erasures.hide(visitor_id, published.folded_at):
                self._forget(visitor_id)
            self._hub.visitor_erased(visitor_id)
        self._metrics.unreadable.labels(ERASURES.name).inc(self._erasures.unreadable - unreadable)
        self._metrics.sessions.set(len(self.sessions))

    def last_erasure(self, visitor_id: str) -> int | None:
        """Unix ms up to which a visitor is erased; None for one that is not."""
        return self._erasures.until.get(visitor_id)

    def _forget(self, visitor_id: str) -> None:
        """Open pages of somebody who was known show what a new visitor is shown."""
        was_known = self.sessions.latest(visitor_id) is not None
        self._live.put(visitor_id, None)
        self.sessions.remove(visitor_id)
        self._joined.remove(visitor_id)
        if was_known:
            self._tell(visitor_id, PublishedSession(b""))

    def _tell(self, visitor_id: str, published: PublishedSession) -> None:
        for member in self._people.members(visitor_id):
            self._hub.session_changed(member, published)

    def _count(self, visitor_id: str, events: Sequence[SessionEvent]) -> None:
        before = self.sessions.last_session(visitor_id)
        self._popularity.update(before.events if before else (), events)

    async def newest_identities(self, messages: list[Message]) -> None:
        """[identities]"""
        for each in self._messages.newest(IDENTITY, messages):
            identity = each.value
            if identity is not None and self._erasures.leave_out(each.key, identity.occurred_at):
                continue
            for member in self._people.put(each.key, identity):
                published = self.sessions.latest(member) or PublishedSession(b"")
                self._hub.session_changed(member, published)
        self._metrics.joined.set(len(self._people))
        self._metrics.joins_left_out.set(self._people.left_out)

    async def newest_releases(self, messages: list[Message]) -> None:
        """[models]"""
        for each in self._messages.newest(RELEASE, messages):
            self.lines.take_release(each.key, each.raw)

    async def newest_rules(self, messages: list[Message]) -> None:
        """[rules]: effective on open pages at once."""
        newest = self._messages.newest(RULE, messages)
        changed = [self._rules.put(each.key, each.value) for each in newest]
        if any(changed):
            self._hub.all_changed()

    async def newest_experiments(self, messages: list[Message]) -> None:
        """[experiments]"""
        newest = self._messages.newest(EXPERIMENT, messages)
        changed = [self._experiments.put(each.key, each.value) for each in newest]
        if any(changed):
            self.lines.follow(
                variant.model or ""
                for experiment in self._experiments.experiments
                for variant in experiment.variants
            )
            self._hub.all_changed()
