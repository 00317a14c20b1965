"""Makes the rows: candidates from the index, filtered, ranked, diversified, explained, filled up."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from math import ceil
from typing import Final

import numpy as np
import structlog

from schemas.live import RecommendedItem, Source
from schemas.products import Product
from schemas.sessions import SESSION_EVENTS_MAX, Session
from schemas.vectors import Layout, Vector, unpack
from services.recommender import profiles
from services.recommender.catalogue import Catalogue
from services.recommender.explain import POPULAR, because, likeness
from services.recommender.metrics import Metrics
from services.recommender.ranking import Chosen, Rules, row
from services.recommender.vector_index import Hit, IndexAway, VectorIndex, Where
from services.replica import VectorReplica

log = structlog.get_logger()

SPARE: Final = 4  # candidates beyond a list's share, for brands that are full and products found twice

Row = tuple[RecommendedItem, ...]


@dataclass(frozen=True, slots=True)
class Candidates:
    """What the index is asked for a session: a query an interest, and how much each counts."""

    queries: tuple[Vector, ...]
    weights: tuple[float, ...]


class RowMaker:
    """The pipeline of one shop. The only call that may leave this process is the index query."""

    def __init__(
        self,
        catalogue: Catalogue,
        index: VectorIndex,
        replica: VectorReplica,
        *,
        layout: Layout,
        rules: Rules,
        metrics: Metrics,
    ) -> None:
        self._catalogue = catalogue
        self._index = index
        self._replica = replica
        self._layout = layout
        self._rules = rules
        self._metrics = metrics

    async def for_you(self, session: Session | None, k: int, where: Where) -> Row:
        """For a visitor: near the session's interests, without what the session has seen; else popular."""
        seen = frozenset(event.product_id for event in session.events) if session else frozenset[str]()
        unseen = replace(where, exclude=where.exclude | seen)
        if session is None or not session.vector:
            return self.popular(k, unseen)
        asked = interests(session, self._layout)
        found = await self._found(asked, k, unseen)
        items = [
            self._item(chosen, "content", self._cause(session, chosen.origin))
            for chosen in self._ranked(found, asked.weights, k)
        ]
        return self._filled(items, k, unseen)

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
        return tuple(_shown(product, product.popularity or 0.0, "popular", POPULAR) for product in found)

    async def _found(self, asked: Candidates, k: int, where: Where) -> list[list[Hit]]:
        """Candidates that may be shown at this very moment; none while the index is away.

        What was seen or excluded is left out here and not by the index: a question that does not change with
        every click can be remembered.
        """
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
            list(islice((hit for hit in hits if self._allows(hit, where)), most))
            for hits, most in zip(answers, shares(asked.weights, k), strict=True)
        ]

    def _allows(self, hit: Hit, where: Where) -> bool:
        return hit.product_id in self._replica and self._catalogue.allows(hit.product_id, where)

    def _ranked(self, found: list[list[Hit]], weights: Sequence[float], k: int) -> list[Chosen]:
        ids = [hit.product_id for hits in found for hit in hits]
        rows, _ = self._replica.matrix(ids)
        vectors = rows.astype(np.float32) / np.sqrt(np.float32(len(self._layout.widths)))
        brands = {product_id: self._product(product_id).brand for product_id in ids}
        return row(found, weights, vectors, brands, replace(self._rules, k=k))

    def _cause(self, session: Session, origin: int) -> str:
        interest = session.interests[origin] if session.interests else None
        event = session.events[interest.event] if interest else session.events[-1]
        return because(event, self._catalogue.get(event.product_id))

    def _likeness(self, query: Vector, product_id: str) -> str:
        other = self._replica.vector(product_id)
        assert other is not None  # found a moment ago, in the same turn of the loop
        return likeness(query, other, self._product(product_id), self._layout)

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


def shares(weights: Sequence[float], k: int) -> list[int]:
    """Of each list, how many its weight can bring into a row, twice over: ranking need not look at the rest.

    Twice, so that diversity has something to choose from.
    """
    total = sum(weights)
    return [ceil(2 * k * weight / total) + SPARE for weight in weights]


def interests(session: Session, layout: Layout) -> Candidates:
    """The session's interests as queries; its one vector where it has none."""
    if not session.interests:
        return Candidates((layout.weighted(unpack(session.vector), profiles.FOR_YOU),), (1.0,))
    return Candidates(
        tuple(layout.weighted(unpack(each.vector), profiles.FOR_YOU) for each in session.interests),
        tuple(each.weight for each in session.interests),
    )


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
