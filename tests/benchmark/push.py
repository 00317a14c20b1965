"""A row for a visitor who has just clicked, beside the compiled part that every model of its kind needs.

`python -m tests.benchmark.push` prints the figures as JSON. No Kafka and no sockets: the thread's own CPU
time, from the decoded session to the bytes of the message. Everything else of the way is `live`'s to measure.
The large shop is measured twice: as it stands, and while a product changes between any two clicks.
"""

import asyncio
import gc
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec
import numpy as np

from schemas.events import Event
from schemas.live import Recommendations
from schemas.products import Product
from schemas.sessions import Session
from schemas.vectors import Layout, Vector
from services.model.artifact import load
from services.model.behaviour import Behaviour
from services.model.item2vec import Item2Vec, build_item2vec
from services.model.session import Tuning, fold
from services.model.session_index import build_index
from services.product_numbers import ProductNumbers
from services.recommender.catalogue import Catalogue
from services.recommender.index.cached import CachedIndex
from services.recommender.index.port import AVAILABLE, Hit, Where
from services.recommender.index.qdrant_edge import EdgeIndex
from services.recommender.metrics import Metrics
from services.recommender.pipeline.diversity import RowLimits
from services.recommender.pipeline.pipeline import RecommendationPipeline
from services.recommender.pipeline.request import RecommendationRequest
from services.settings import ServiceSettings
from services.vector_replica import VectorReplica
from storefront.demo.catalogue.generator import made
from storefront.demo.shoppers.shelf import Catalogue as DemoCatalogue
from storefront.demo.shoppers.shelf import behaviour_of
from tests.benchmark.fold import Microseconds
from tests.benchmark.standin_vectors import content_of

DEMO: Final = 2_400
LARGE: Final = 36_000  # products, as RetailRocket's histories have
PAST: Final = 60_000  # sessions of the large shop's model
SHELVES: Final = 300  # of the large shop
VISITORS: Final = 200
FIRST: Final = 25  # clicks of each before anything is measured
SETTLED: Final = 1_000  # changes, where there are any, before anything is measured
ROUNDS: Final = 5  # clicks of each that are
K: Final = 12
NEAR: Final = 0.8  # of the clicks lead to a product that goes with the one before
START_MS: Final = 1_700_000_000_000
SHOWN: Final = Where(availability=AVAILABLE)


class PushFigures(msgspec.Struct, frozen=True):
    """`rows` in full; `bare` are the model's candidates with their features and scores alone.

    `changes`: products that change between two rows. `questions` a row asks the index on the average.
    """

    products: int
    changes: int
    rows: Microseconds
    bare: Microseconds
    times_bare: float  # of all together
    questions: float


class CountingIndex(EdgeIndex):
    """Counts its questions."""

    questions = 0

    def nearest_many(self, queries: Sequence[Vector], k: int, where: Where) -> list[list[Hit]]:
        """One answer a query."""
        self.questions += len(queries)
        return super().nearest_many(queries, k, where)


class Shop:
    """Products with stand-in vectors, a model, and visitors who click."""

    def __init__(self, folder: Path, products: Sequence[Product], model: Behaviour, layout: Layout) -> None:
        numbers = ProductNumbers()
        self._random = np.random.default_rng(2)
        self._described = list(products)
        self._products = [each.product_id for each in products]
        self._model, self._layout, self._tuning = model, layout, Tuning()
        self._place = {product_id: place for place, product_id in enumerate(model.products)}
        self._replica, self._catalogue = VectorReplica(layout, numbers), Catalogue(numbers)
        self._asked = CountingIndex(layout, folder)
        self._index = CachedIndex(self._asked)
        for start in range(0, len(products), 1_000):
            self._put(products[start : start + 1_000])
        self._index.optimise()
        self._rows = RecommendationPipeline(
            self._catalogue,
            self._index,
            self._replica,
            layout=layout,
            tuning=self._tuning,
            rules=RowLimits(k=0, diversity=0.2, brand_max=3),
            model=lambda _line: model,
            metrics=Metrics(),
        )
        self._sessions = [Session(f"v{number}") for number in range(VISITORS)]

    def _put(self, products: Sequence[Product]) -> None:
        described = [(each, content_of(each, self._layout)) for each in products]
        for each, vector in described:
            self._catalogue.put(each)
            self._replica.put(each, vector.astype(np.float16))
        self._index.upsert(described)

    def _change(self) -> None:
        """A product has another price, and with it another vector."""
        at = int(self._random.integers(len(self._described)))
        known = self._described[at]
        price = round(known.price * self._random.uniform(0.8, 1.25), 2)
        self._described[at] = msgspec.structs.replace(known, price=price, updated_at=known.updated_at + 1)
        self._put([self._described[at]])

    async def measure(self, nearest: Item2Vec, changes: int = 0) -> PushFigures:
        """Every visitor clicks, one after the other, and has its row made."""
        for _ in range(FIRST):
            for visitor in range(VISITORS):
                self._click(visitor, nearest)
        for session in self._sessions:
            await self._push(session)
        for _ in range(SETTLED * changes):
            self._change()
        gc.collect()
        gc.freeze()  # as the service does once it has caught up
        rows, bare = [], []
        asked = self._asked.questions
        for _ in range(ROUNDS):
            for visitor in range(VISITORS):
                session = self._click(visitor, nearest)
                for _ in range(changes):
                    self._change()
                started = time.thread_time()
                await self._push(session)
                rows.append(time.thread_time() - started)
                started = time.thread_time()
                self._model.scores(self._model.candidates(session.events, self._tuning).features)
                bare.append(time.thread_time() - started)
        ratio = round(sum(rows) / sum(bare), 2)
        questions = round((self._asked.questions - asked) / len(rows), 2)
        return PushFigures(
            len(self._products), changes, Microseconds.of(rows), Microseconds.of(bare), ratio, questions
        )

    async def _push(self, session: Session) -> bytes:
        request = RecommendationRequest(
            "for_you", K, SHOWN, visitor_id=session.visitor_id, session=session, without_seen=True
        )
        found = await self._rows.run(request)
        return msgspec.json.encode(Recommendations(slot="for_you", seq=1, items=found.row, models={}))

    def _click(self, visitor: int, nearest: Item2Vec) -> Session:
        session = self._sessions[visitor]
        event = Event(
            event_id=str(UUID(bytes=self._random.bytes(16))),
            type="view_item",
            visitor_id=session.visitor_id,
            occurred_at=START_MS + 20_000 * len(session.events),
            product_id=self._next(session, nearest),
        )
        self._sessions[visitor] = fold(session, event, self._replica, self._layout, self._tuning)
        return self._sessions[visitor]

    def _next(self, session: Session, nearest: Item2Vec) -> str:
        last = self._place.get(session.events[-1].product_id) if session.events else None
        if last is None or self._random.random() > NEAR:
            return str(self._random.choice(self._products))
        return self._model.products[int(self._random.choice(nearest.nearest[last][:20]))]


def demo() -> tuple[list[Product], Behaviour, Item2Vec]:
    """The demo's catalogue and the model it ships."""
    found = behaviour_of(DemoCatalogue(DEMO))
    assert found is not None
    artifact = load(found[0])
    products = [each.product for each in made(DEMO, DemoCatalogue(DEMO).seed)]
    return products, Behaviour.of(artifact), Item2Vec.of(artifact.arrays)


def large() -> tuple[list[Product], Behaviour, Item2Vec]:
    """A shop of RetailRocket's size with a model of drawn sessions, each on one shelf; it fuses ranks."""
    random = np.random.default_rng(5)
    names = [f"p{number}" for number in range(LARGE)]
    products = [*map(_draw_product, range(LARGE))]
    lengths = random.integers(2, 9, size=PAST)
    shelves = np.repeat(random.integers(SHELVES, size=PAST), lengths)
    ranks = (LARGE // SHELVES * random.random(len(shelves)) ** 2).astype(np.int32)  # some sell much better
    items = (shelves + SHELVES * ranks).astype(np.int32)
    index = build_index(items, np.concatenate([[0], np.cumsum(lengths)]), LARGE, newest=1_000)
    centres = random.normal(size=(SHELVES, 40))[np.arange(LARGE) % SHELVES]
    vectors = (centres + 0.3 * random.normal(size=centres.shape)).astype(np.float32)
    item2vec = build_item2vec(vectors, vectors, k=100)
    return products, Behaviour("drawn", names, index, item2vec, None), item2vec


def _draw_product(number: int) -> Product:
    shelf = number % SHELVES
    return Product(
        product_id=f"p{number}",
        name=f"Product {number}",
        price=1.0 + number % 90,
        currency="EUR",
        availability="in_stock",
        updated_at=1,
        category=(f"Department {shelf % 12}", f"Shelf {shelf}"),
        brand=f"Brand {number % 400}",
        type=f"Type {shelf}",
        image_url=f"http://shop.example/{number}.webp",
        url=f"http://shop.example/{number}",
    )


def measure() -> Iterator[PushFigures]:
    """First the demo's shop, then the large one, and that again while its products change."""
    layout = ServiceSettings().layout
    for drawn, changes in ((demo, 0), (large, 0), (large, 1)):
        products, model, nearest = drawn()
        with tempfile.TemporaryDirectory() as folder:
            shop = Shop(Path(folder) / "index", products, model, layout)
            yield asyncio.run(shop.measure(nearest, changes))


if __name__ == "__main__":
    print(msgspec.json.format(msgspec.json.encode([*measure()])).decode())
