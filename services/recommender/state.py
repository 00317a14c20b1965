"""What the topics tell, applied in the loop: all that rows are made from."""

from collections.abc import Callable, Iterable
from typing import TypeVar, cast

import msgspec
import structlog
from confluent_kafka import Message

from schemas import experiments, identities, products, rules, sessions
from schemas.products import Product
from schemas.vectors import ProductVectors, Vector, unpack
from services.recommender.catalogue import Catalogue
from services.recommender.index.port import VectorIndex
from services.recommender.live.registry import SubscriptionRegistry
from services.recommender.live_learning import LiveLearning
from services.recommender.metrics import Metrics
from services.recommender.pipeline.experiments import ExperimentSchedule
from services.recommender.pipeline.merchandising import RuleSchedule
from services.recommender.popularity import Popularity
from services.recommender.serving_models import ModelRegistry
from services.recommender.visitor_sessions import MergedSessions, PublishedSession, Sessions
from services.vector_replica import VectorReplica
from services.visitors.erasure import PendingErasures
from services.visitors.identity_graph import IdentityGraph

log = structlog.get_logger()

T = TypeVar("T")


class State:
    """All that rows are made from. One method a topic; open pages are told of what concerns them."""

    def __init__(
        self,
        catalogue: Catalogue,
        index: VectorIndex,
        replica: VectorReplica,
        *,
        sessions: Sessions,
        joined: MergedSessions,
        people: IdentityGraph,
        popularity: Popularity,
        rules: RuleSchedule,
        experiments: ExperimentSchedule,
        lines: ModelRegistry,
        live: LiveLearning,
        hub: SubscriptionRegistry,
        metrics: Metrics,
    ) -> None:
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
        self._metrics = metrics
        self.models: dict[str, str] = {}

    async def products(self, messages: list[Message]) -> None:
        """[products]"""
        for message in messages:
            product_id, value = _key(message), message.value()
            changed = (
                self.catalogue.remove(product_id)
                if value is None
                else (product := _product(message, value)) is not None and self.catalogue.put(product)
            )
            if changed:
                self._hub.product_changed(product_id)
        self._metrics.products.set(len(self.catalogue))

    async def vectors(self, messages: list[Message]) -> None:
        """[product-vectors]"""
        newest = {_key(message): message.value() for message in messages}
        applied = {product_id: self._replica.apply(product_id, value) for product_id, value in newest.items()}
        found = [vectors for vectors in applied.values() if vectors is not None]
        if not self._index.remote:  # a server has them from the embedder
            self._index.remove([product_id for product_id, vectors in applied.items() if vectors is None])
            self._index.upsert([self._point(vectors) for vectors in found])
        if found:
            self.models = found[-1].models
        for product_id in applied:
            self._hub.product_changed(product_id)
        self._metrics.indexed.set(len(self._replica))

    def _point(self, vectors: ProductVectors) -> tuple[Product, Vector]:
        """A product may have changed since its vector was made: filters hold against what is known now."""
        known = self.catalogue.get(vectors.product.product_id)
        newer = known is not None and known.updated_at > vectors.product.updated_at
        return (known if known is not None and newer else vectors.product), unpack(vectors.content)

    async def newest_sessions(self, messages: list[Message]) -> None:
        """[sessions]"""
        newest = {_key(message): message for message in messages}
        for visitor_id, message in newest.items():
            self._erasures.confirm(visitor_id, message)
            value = message.value()
            if value is None:
                self._forget(visitor_id)
                continue
            published = PublishedSession.of(
                value, dict(cast("list[tuple[str, bytes]]", message.headers() or []))
            )
            if self._erasures.hide(visitor_id, published.folded_at):
                continue
            self._live.put(visitor_id, value)
            self._count(visitor_id, value)
            self.sessions.put(visitor_id, published)
            self._tell(visitor_id, published)
        self._metrics.sessions.set(len(self.sessions))

    async def newest_erasures(self, messages: list[Message]) -> None:
        """[erasures]: what is held of the visitors goes, whether or not a session processor runs."""
        for message in messages:
            visitor_id = self._erasures.take(message)
            published = self.sessions.latest(visitor_id)
            if published is not None and self._erasures.hide(visitor_id, published.folded_at):
                self._forget(visitor_id)
        self._metrics.sessions.set(len(self.sessions))

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

    def _count(self, visitor_id: str, raw: bytes) -> None:
        before = self.sessions.latest(visitor_id)
        try:
            known = sessions.decode(before.raw).events if before else ()
            self._popularity.update(known, sessions.decode(raw).events)
        except msgspec.MsgspecError:
            return  # whoever shows the session's visitor something tells of it

    async def newest_identities(self, messages: list[Message]) -> None:
        """[identities]"""
        for visitor_id, identity in _newest(messages, identities.decode):
            if identity is not None and self._erasures.leave_out(visitor_id, identity.occurred_at):
                continue
            for member in self._people.put(visitor_id, identity):
                published = self.sessions.latest(member) or PublishedSession(b"")
                self._hub.session_changed(member, published)
        self._metrics.joined.set(len(self._people))

    async def newest_releases(self, messages: list[Message]) -> None:
        """[models]"""
        for name, value in {_key(message): message.value() for message in messages}.items():
            self.lines.take_release(name, value)

    async def newest_rules(self, messages: list[Message]) -> None:
        """[rules]: effective on open pages at once."""
        changed = [
            self._rules.put(rule_id, rule)
            for rule_id, rule in _newest(messages, lambda raw, _at: rules.decode(raw))
        ]
        if any(changed):
            self._hub.all_changed()

    async def newest_experiments(self, messages: list[Message]) -> None:
        """[experiments]"""
        changed = [
            self._experiments.put(name, each)
            for name, each in _newest(messages, lambda raw, _at: experiments.decode(raw))
        ]
        if any(changed):
            self.lines.follow(
                variant.model or ""
                for experiment in self._experiments.experiments
                for variant in experiment.variants
            )
            self._hub.all_changed()


def _newest(messages: list[Message], decode: Callable[[bytes, int], T]) -> Iterable[tuple[str, T | None]]:
    """The newest message of each key; one that cannot be read is told of and passed over.

    `decode` gets the value and when it was sent, Unix ms.
    """
    for key, message in {_key(message): message for message in messages}.items():
        value = message.value()
        if value is None:
            yield key, None
            continue
        try:
            yield key, decode(value, message.timestamp()[1])
        except msgspec.MsgspecError as error:
            log.error("a message that cannot be read is left out", key=key, error=str(error))


def _key(message: Message) -> str:
    return (message.key() or b"").decode()


def _product(message: Message, value: bytes) -> Product | None:
    try:
        return products.decode(value, message.timestamp()[1])
    except msgspec.MsgspecError as error:
        log.warning("no product, left out; the embedder writes it to products.dlq", error=str(error))
        return None
