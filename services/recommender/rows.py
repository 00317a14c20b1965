"""Makes the rows: candidates from the index, filtered, ranked, diversified, explained, filled up."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from math import sqrt

import numpy as np
import structlog

from schemas.live import RecommendedItem, Source
from schemas.products import Product
from schemas.sessions import SESSION_EVENTS_MAX, Session
from schemas.vectors import Layout, Vector
from services.model import likeness, profiles
from services.model.behaviour import Behaviour
from services.model.tuning import Tuning
from services.recommender import explain
from services.recommender.blending import Blender
from services.recommender.catalogue import Catalogue
from services.recommender.metrics import Metrics
from services.recommender.ranking import Chosen, Rules, quotas, row
from services.recommender.vector_index import Hit, IndexAway, VectorIndex, Where
from services.replica import STEPS, VectorReplica

log = structlog.get_logger()

Row = tuple[RecommendedItem, ...]


@dataclass(frozen=True, slots=True)
class Made:
    """A row, and the version of the model that served when it was made; None for none."""

    row: Row
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Candidates:
    """What the index is asked for a session: a query an interest, and how much each counts."""

    queries: tuple[Vector, ...]
    weights: tuple[float, ...]


class RowMaker:
    """The pipeline of one shop. The only call that may leave this process is the index query.

    `model` gives the generation that serves now, `tuning` is what events count in it.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        index: VectorIndex,
        replica: VectorReplica,
        *,
        layout: Layout,
        tuning: Tuning,
        rules: Rules,
        model: Callable[[], Behaviour | None],
        metrics: Metrics,
    ) -> None:
        self._catalogue = catalogue
        self._index = index
        self._replica = replica
        self._layout = layout
        self._blender = Blender(catalogue, replica, layout, tuning)
        self._rules = rules
        self._model = model
        self._metrics = metrics

    async def for_you(self, session: Session | None, k: int, where: Where) -> Made:
        """For a visitor: what past sessions and its content say, without what the session has seen.

        Without a model that knows the session, near its interests; with neither, what is popular.
        """
        model = self._model()  # taken once: no row mixes generations, however often they are swapped
        seen = frozenset(event.product_id for event in session.events) if session else frozenset[str]()
        unseen = replace(where, exclude=where.exclude | seen)
        items: list[RecommendedItem] = []
        if session is not None:
            asked = interests(session, self._layout)
            found = await self._found(asked, k, unseen)
            items = self._learned(model, session, found, k, unseen) if model else []
            items = items or self._near(session, found, asked.weights, k)
        return Made(self._filled(items, k, unseen), model.version if model else None)

    def _near(
        self, session: Session, found: list[list[Hit]], weights: Sequence[float], k: int
    ) -> list[RecommendedItem]:
        return [
            self._item(chosen, "content", self._cause(session, chosen.origin))
            for chosen in self._ranked(found, weights, k)
        ]

    def _learned(
        self, model: Behaviour, session: Session, found: list[list[Hit]], k: int, where: Where
    ) -> list[RecommendedItem]:
        """The model's products and those found by content, as it ranks them; none where it has no witness."""
        origins = {hit.product_id: origin for origin, hits in enumerate(found) for hit in hits}
        blend = self._blender.blended(model, session, tuple(origins), k, where)
        beside = explain.beside(self._catalogue.get(blend.known) if blend.known else None)

        def labelled(chosen: Chosen) -> RecommendedItem:
            if chosen.product_id in blend.witnessed:
                return self._item(chosen, "behaviour", beside)
            if chosen.product_id in origins:
                return self._item(chosen, "content", self._cause(session, origins[chosen.product_id]))
            return self._item(chosen, "behaviour", explain.ALIKE)

        return [labelled(chosen) for chosen in self._ranked(blend.lists, blend.weights, k)]

    async def similar(self, product_id: str, k: int, where: Where) -> Row:
        """Like a product that has a vector; popular ones while it has none."""
        vector = self._replica.vector(product_id)
        others = replace(where, exclude=where.exclude | {product_id})
        if vector is None:
            return self.popular(k, others)
        query = self._layout.weighted(vector, profiles.SIMILAR)
        found = await self._found(Candidates((query,), (1.0,)), k, others)
        items = [
            self._item(chosen, "content", self._likeness(query, chosen.product_id))
            for chosen in self._ranked(found, [1.0], k)
        ]
        return self._filled(items, k, others)

    def popular(self, k: int, where: Where) -> Row:
        """What many look at."""
        found = self._catalogue.popular(k, where, self._rules.brand_max)
        return tuple(
            _shown(product, product.popularity or 0.0, "popular", explain.POPULAR) for product in found
        )

    async def _found(self, asked: Candidates, k: int, where: Where) -> list[list[Hit]]:
        """Candidates that may be shown at this very moment; none while the index is away.

        What was seen or excluded is left out here and not by the index: a question that does not change with
        every click can be remembered.
        """
        if not asked.queries:
            return []
        queries, everyone = asked.queries, replace(where, exclude=frozenset())
        wanted = 2 * k + max(SESSION_EVENTS_MAX, len(where.exclude))
        try:
            if self._index.remote:
                answers = await asyncio.to_thread(self._index.nearest_many, queries, wanted, everyone)
            else:  # a millisecond in process: a thread would cost more
                answers = self._index.nearest_many(queries, wanted, everyone)
        except IndexAway as error:
            log.warning("the index is away, rows show what is popular", error=str(error))
            self._metrics.index_away.inc()
            return []
        return [
            list(islice((hit for hit in hits if self._allows(hit.product_id, where)), most))
            for hits, most in zip(answers, quotas(asked.weights, k), strict=True)
        ]

    def _allows(self, product_id: str, where: Where) -> bool:
        return product_id in self._replica and self._catalogue.allows(product_id, where)

    def _ranked(self, found: list[list[Hit]], weights: Sequence[float], k: int) -> list[Chosen]:
        ids = [hit.product_id for hits in found for hit in hits]
        rows, _ = self._replica.matrix(ids)
        vectors = rows / np.float32(STEPS * sqrt(len(self._layout.widths)))
        brands = {product_id: self._product(product_id).brand for product_id in ids}
        return row(found, weights, vectors, brands, replace(self._rules, k=k))

    def _cause(self, session: Session, origin: int) -> str:
        interest = session.interests[origin] if session.interests else None
        event = session.events[interest.event] if interest else session.events[-1]
        return explain.because(event, self._catalogue.get(event.product_id))

    def _likeness(self, query: Vector, product_id: str) -> str:
        other = self._replica.vector(product_id)
        assert other is not None  # found a moment ago, in the same turn of the loop
        return explain.likeness(query, other, self._product(product_id), self._layout)

    def _item(self, chosen: Chosen, source: Source, why: str) -> RecommendedItem:
        return _shown(self._product(chosen.product_id), chosen.score, source, why)

    def _product(self, product_id: str) -> Product:
        product = self._catalogue.get(product_id)
        assert product is not None  # found a moment ago, in the same turn of the loop
        return product

    def _filled(self, items: list[RecommendedItem], k: int, where: Where) -> Row:
        """A short row is filled with what is popular, and labelled so."""
        if len(items) < k:
            here = frozenset(item.product_id for item in items)
            rest = self.popular(k - len(items), replace(where, exclude=where.exclude | here))
            items = [*items, *rest]
        return tuple(items)


def interests(session: Session, layout: Layout) -> Candidates:
    """The session's interests as queries, its one vector where it has none, nothing without a vector."""
    if not session.vector:
        return Candidates((), ())
    packed = [each.vector for each in session.interests] or [session.vector]
    queries = likeness.queries(packed, layout)
    return Candidates(tuple(queries), tuple(each.weight for each in session.interests) or (1.0,))


def _shown(product: Product, score: float, source: Source, why: str) -> RecommendedItem:
    return RecommendedItem(
        product_id=product.product_id,
        score=round(score, 4),
        source=source,
        why=why,
        name=product.name,
        price=product.price,
        currency=product.currency,
        availability=product.availability,
        category=product.category,
        brand=product.brand,
        image_url=product.image_url,
        url=product.url,
    )
