"""The row of a search: near to its words, in its bounds, and to the visitor's taste."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

import numpy as np

from schemas.live import Fallback, Reason, ReasonKind
from schemas.products import Product
from schemas.sessions import Session
from schemas.vectors import Layout, Vector
from services.model import content
from services.model.content import (
    BEHAVIOUR,
    FOR_YOU,
    PRICE_HIGH,
    PRICE_LOW,
    Weights,
    point,
    price_point,
    signs,
)
from services.recommender.catalogue import Catalogue
from services.recommender.index.port import Hit, Where
from services.recommender.pipeline import explanation
from services.recommender.pipeline.candidate_list import CandidateList
from services.recommender.pipeline.content_candidates import ContentRetriever
from services.recommender.pipeline.diversity import RankedProduct
from services.recommender.pipeline.explanation import parts_of
from services.recommender.pipeline.request import CandidateSet, RecommendationRequest
from services.recommender.search.query import OrderName
from services.recommender.search.query_vectors import query_vector
from services.recommender.search.search import Search
from services.recommender.search.text import key_of
from services.vector_replica import VectorReplica

SESSION: Final = sum(weight for name, weight in FOR_YOU.items() if name != BEHAVIOUR)


FITTING: Final = 3  # times the row's length: so many of the nearest fit the words well, and are put in order
# What an order is by, least first.
ORDER_KEYS: Final[Mapping[OrderName, Callable[[Product, Catalogue], float]]] = {
    "cheapest": lambda product, _: product.price,
    "dearest": lambda product, _: -product.price,
    "newest": lambda product, _: -product.updated_at,
    "best_rated": lambda product, catalogue: -catalogue.popularity(product),
}


class SearchRetriever:
    """What was named comes first, then what has all wished-for tags, then what lacks some, and says so."""

    def __init__(
        self, catalogue: Catalogue, finder: ContentRetriever, replica: VectorReplica, layout: Layout
    ) -> None:
        self._catalogue = catalogue
        self._finder = finder
        self._replica = replica
        self._layout = layout

    async def retrieve(self, asked: RecommendationRequest, weights: Weights) -> CandidateSet:
        """Two questions to the index at most; popular products where there is nothing to be near to."""
        search = asked.search
        assert search is not None
        if search.inferred.order is not None:
            weights = {**weights, "price": 0.0, "popularity": 0.0}  # the order is by them alone
        query = self._informative(self.query(search, asked.session, weights))
        wished = frozenset(search.inferred.tags)
        exact = replace(asked.where, tag=asked.where.tag | wished)
        fallback: Fallback | None = "words_away" if search.lacks_words else None
        first = await self._find_fitting(query, asked, exact)
        if first is None:
            first, fallback, query = self._popular(asked.k, exact), "index_away", np.zeros_like(query)
        rest: list[Hit] = []
        if wished and len(first) < asked.k:
            here = frozenset(hit.product_id for hit in first)
            wider = replace(asked.where, exclude=asked.where.exclude | here)
            found = await self._find_fitting(query, asked, wider)
            if found is None:
                found, fallback = self._popular(asked.k, wider), "index_away"
            # While the second question was on its way products may have changed that the first one found.
            first, rest = [hit for hit in first if self._catalogue.allows(hit.product_id, exact)], found
        named = self._find_named(asked)
        lists = [named, first, rest]
        if search.inferred.order is not None:
            lists = [list({hit.product_id: hit for hits in lists for hit in hits}.values())]
        candidates = [CandidateList.of(hits, self._catalogue.numbers) for hits in lists]
        return CandidateSet(
            candidates,
            [1.0, 0.0, 0.0],  # each has its turn when those before have nothing more
            lambda chosen: self._explain(chosen, search, query),
            lambda chosen, reason: self._say(chosen, reason, search, query),
            lambda chosen: parts_of(query, self._replica.vector(chosen.product_id), self._layout),
            fallback,
            fills=False,
            in_order=search.inferred.order is not None,
            found={"search": [each.numbers for each in candidates]},
        )

    def _find_named(self, asked: RecommendationRequest) -> list[Hit]:
        """What the words are the name or id of: no filter that they were taken for hides it."""
        where = asked.where if asked.given is None else asked.given
        named = asked.search.named if asked.search is not None else ()
        return [Hit(each, 1.0) for each in named if self._catalogue.allows(each, where)]

    async def _find_fitting(
        self, query: Vector, asked: RecommendationRequest, where: Where
    ) -> list[Hit] | None:
        """What fits the words, in the order that they ask for; None while the index is away."""
        assert asked.search is not None
        told = asked.search.inferred
        if told.order is None:
            return await self._find(query, asked.k, where)
        described = set(key_of(told.description).split())
        tagged = {word for tag in told.tags for word in key_of(tag).split()}
        if not described - tagged:  # the filters say all of it
            products = self._catalogue.products()  # 0.2 s of 100,000: others have their turns meanwhile
            hits = await asyncio.to_thread(self._sort, filter(where.allows, products), told.order)
            return list(
                islice((hit for hit in hits if self._catalogue.allows(hit.product_id, where)), 2 * asked.k)
            )
        found = await self._find(query, FITTING * asked.k, where)
        if found is None:
            return None
        nearest = [self._catalogue.get(hit.product_id) for hit in found[: FITTING * asked.k]]
        return self._sort(filter(None, nearest), told.order)

    def _sort(self, found: Iterable[Product], order: OrderName) -> list[Hit]:
        key = ORDER_KEYS[order]
        products = sorted(found, key=lambda each: (key(each, self._catalogue), each.product_id))
        return [Hit(each.product_id, 1 - place / len(products)) for place, each in enumerate(products)]

    def query(self, search: Search, session: Session | None, weights: Weights) -> Vector:
        """(width,) one dot product with it is Σ weight · cosine, the visitor's taste among the parts."""
        told, slices = search.inferred, self._layout.slices
        query: Vector = np.zeros(self._layout.width, dtype=np.float32)
        if search.words is not None:
            query += self._layout.apply_weights(query_vector(self._layout, search.words), weights)
        query[slices["popularity"]] = weights.get("popularity", 0.0) * point(1.0)
        price = weights.get("price", 0.0)
        if told.price_near is not None:
            query[slices["price"]] = (abs(price) or 1.0) * price_point(told.price_near)
        elif price:
            query[slices["price"]] = abs(price) * price_point(PRICE_LOW if price < 0 else PRICE_HIGH)
        if brand_weight := weights.get("brand", 0.0):
            span = slices["brand"]
            for brand in self._catalogue.brands_in(told.description):
                query[span] += np.float32(brand_weight) * signs(brand, span.stop - span.start)
        if session is not None and session.vector and weights.get("session"):
            [taste] = content.queries([session.vector], self._layout)
            query += np.float32(weights["session"] / SESSION) * taste
        return query

    def _informative(self, query: Vector) -> Vector:
        """All zero where it asks for nothing but what is popular: visits know that better than vectors."""
        span = self._layout.slices["popularity"]
        rest = query.copy()
        rest[span] = 0
        return rest if not rest.any() and query[span] @ point(1.0) >= 0 else query

    async def _find(self, query: Vector, k: int, where: Where) -> list[Hit] | None:
        if not query.any():
            return self._popular(k, where)
        return await self._finder.nearest(query, k, where)

    def _popular(self, k: int, where: Where) -> list[Hit]:
        return self._catalogue.popular(2 * k, where, 2 * k)

    def _explain(self, chosen: Sequence[RankedProduct], search: Search, query: Vector) -> list[Reason]:
        kinds = [self._kind(each, search, query) for each in chosen]
        words = search.inferred.description or None
        best: dict[ReasonKind, float] = {}
        for each, kind in zip(chosen, kinds, strict=True):
            best[kind] = max(best.get(kind, 0.0), each.score)
        return [
            explanation.OF_NAME
            if kind == "named"
            else Reason(
                kind=kind,
                strength=round(max(each.score, 0.0) / (best[kind] or 1.0), 4),
                query=None if kind == "popular" else words,
            )
            for each, kind in zip(chosen, kinds, strict=True)
        ]

    def _kind(self, chosen: RankedProduct, search: Search, query: Vector) -> ReasonKind:
        if chosen.product_id in search.named:
            return "named"
        if self._find_lacking(chosen, search):
            return "relaxed"
        if self._replica.vector(chosen.product_id) is None or not query.any():
            return "popular"
        return "search"

    def _find_lacking(self, chosen: RankedProduct, search: Search) -> list[str]:
        """The wished-for tags that it has not."""
        product = self._catalogue.get(chosen.product_id)
        return [tag for tag in search.inferred.tags if product is None or tag not in product.tags]

    def _say(self, chosen: RankedProduct, reason: Reason, search: Search, query: Vector) -> str | None:
        """What of the product fits the words, or does not."""
        if reason.kind == "relaxed":
            return f"close, but not {' and '.join(self._find_lacking(chosen, search))}"
        vector = self._replica.vector(chosen.product_id)
        if reason.kind != "search" or vector is None:
            return None
        return explanation.fit(query, vector, self._layout)
