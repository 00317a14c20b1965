"""What Kafka tells the recommender: [products], [product-vectors], [sessions] and [models], in the loop."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Final, cast

import msgspec
import structlog
from confluent_kafka import Message

from schemas import products
from schemas.products import Product
from schemas.topics import MODELS, PRODUCT_VECTORS, PRODUCTS, SESSIONS
from schemas.vectors import ProductVectors, Vector, unpack
from services.kafka import ClientConfig, TopicReader
from services.model.warming import warm
from services.recommender.catalogue import Catalogue
from services.recommender.generations import Generations
from services.recommender.hub import Hub
from services.recommender.live_learning import LiveLearning
from services.recommender.metrics import Metrics
from services.recommender.sessions import Published, Sessions
from services.recommender.settings import RecommenderSettings
from services.recommender.vector_index import VectorIndex
from services.replica import VectorReplica

log = structlog.get_logger()

SLICE: Final = 64  # messages between two turns of the loop: about 3 ms of upserts


Take = Callable[[list[Message]], Coroutine[None, None, None]]


class Feeds:
    """Four whole-topic readers. A reader waits for the loop, so a burst piles up in Kafka, not in memory."""

    def __init__(
        self,
        settings: RecommenderSettings,
        config: ClientConfig,
        *,
        catalogue: Catalogue,
        index: VectorIndex,
        replica: VectorReplica,
        sessions: Sessions,
        generations: Generations,
        live: LiveLearning,
        hub: Hub,
        metrics: Metrics,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._catalogue = catalogue
        self._index = index
        self._replica = replica
        self._sessions = sessions
        self._generations = generations
        self._live = live
        self._model_name = settings.model_name
        self._hub = hub
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self.models: dict[str, str] = {}
        takers = {
            PRODUCTS: by_slices(self._products),
            PRODUCT_VECTORS: by_slices(self._vectors),
            SESSIONS: self._newest_sessions,
            MODELS: self._newest_release,
        }
        self._readers = {
            topic.name: TopicReader(config, [settings.topic(topic)], self._in_loop(take), on_failure)
            for topic, take in takers.items()
        }
        self.waiting_for: str | None = "the first messages of Kafka"

    async def run(self) -> None:
        """Reads until cancelled; `waiting_for` is None once all that lay on the topics is applied.

        By then the newest model serves, or is refused, and no code is left to be compiled.
        """
        warming = asyncio.create_task(asyncio.to_thread(warm))
        for reader in self._readers.values():
            reader.start()
        try:
            for name, reader in self._readers.items():
                self.waiting_for = f"the topic {name}"
                while not await asyncio.to_thread(reader.wait_until_caught_up, 0.5):
                    pass
            self.waiting_for = "compiled code"
            await warming
            self.waiting_for = "the model"
            await self._generations.settled()
            await self._live.once()
            self._index.optimise()
            gc.collect()
            gc.freeze()  # what was read at the start stays: a full collection over it takes 16 ms
            self.waiting_for = None
            model = self._generations.model
            log.info(
                "caught up",
                products=len(self._catalogue),
                sessions=len(self._sessions),
                model=model.version if model else "none",
            )
            await self._live.run()
            await asyncio.Event().wait()
        finally:
            for reader in self._readers.values():
                await asyncio.to_thread(reader.stop)
            await self._generations.close()

    def _in_loop(self, take: Take) -> Callable[[list[Message]], None]:
        def hand_over(messages: list[Message]) -> None:
            asyncio.run_coroutine_threadsafe(take(messages), self._loop).result()

        return hand_over

    async def _products(self, messages: list[Message]) -> None:
        for message in messages:
            product_id, value = _key(message), message.value()
            changed = (
                self._catalogue.remove(product_id)
                if value is None
                else (product := _product(value)) is not None and self._catalogue.put(product)
            )
            if changed:
                self._hub.product_changed(product_id)
        self._metrics.products.set(len(self._catalogue))

    async def _vectors(self, messages: list[Message]) -> None:
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
        known = self._catalogue.get(vectors.product.product_id)
        newer = known is not None and known.updated_at > vectors.product.updated_at
        return (known if known is not None and newer else vectors.product), unpack(vectors.content)

    async def _newest_sessions(self, messages: list[Message]) -> None:
        newest = {_key(message): message for message in messages}
        for visitor_id, message in newest.items():
            value = message.value()
            if value is None:
                self._sessions.remove(visitor_id)
                self._live.put(visitor_id, None)
                continue
            published = Published.of(value, dict(cast("list[tuple[str, bytes]]", message.headers() or [])))
            self._sessions.put(visitor_id, published)
            self._live.put(visitor_id, value)
            self._hub.session_changed(visitor_id, published)
        self._metrics.sessions.set(len(self._sessions))

    async def _newest_release(self, messages: list[Message]) -> None:
        releases = [message.value() for message in messages if _key(message) == self._model_name]
        if releases:
            self._generations.follow(releases[-1])


def by_slices(take: Take) -> Take:
    """In parts, with a turn of the loop between them."""

    async def sliced(messages: list[Message]) -> None:
        for start in range(0, len(messages), SLICE):
            await take(messages[start : start + SLICE])
            await asyncio.sleep(0)

    return sliced


def _key(message: Message) -> str:
    return (message.key() or b"").decode()


def _product(value: bytes) -> Product | None:
    try:
        return products.decode(value)
    except msgspec.MsgspecError as error:
        log.warning("no product, left out; the embedder writes it to products.dlq", error=str(error))
        return None
