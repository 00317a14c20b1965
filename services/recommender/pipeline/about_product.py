"""Rows about one product: what is similar, what is liked beside it, what goes with it."""

from collections.abc import Callable, Mapping, Sequence
from itertools import compress
from types import MappingProxyType
from typing import Final

import numpy as np

from schemas.live import Fallback
from schemas.products import Product
from schemas.vectors import Layout, Vector
from services.model.behaviour import Behaviour
from services.model.content import BEHAVIOUR, Weights, point
from services.model.session import Tuning
from services.model.session_index import Floats
from services.recommender.catalogue import Catalogue
from services.recommender.index.port import Hit, Where
from services.recommender.pipeline import explanation
from services.recommender.pipeline.behaviour_candidates import CoVisitation, co_visited
from services.recommender.pipeline.candidate_list import CandidateList
from services.recommender.pipeline.content_candidates import ContentRetriever
from services.recommender.pipeline.diversity import RankedProduct, quotas
from services.recommender.pipeline.explanation import parts_of
from services.recommender.pipeline.request import CandidateSet, Reason, RecommendationRequest
from services.vector_replica import VectorReplica

NAMES: Final = ("category", "brand", "type")


def compare_products(one: Product, other: Product) -> Mapping[str, float]:
    """Each 0..1: how much of the longer category path is the same from the top on, same brand, same type."""
    steps = max(len(one.category), len(other.category))
    pairs = zip(one.category, other.category, strict=False)
    same = next(
        (depth for depth, (a, b) in enumerate(pairs) if a != b), min(len(one.category), len(other.category))
    )
    return {
        "category": same / steps if steps else 0.0,
        "brand": float(one.brand is not None and one.brand == other.brand),
        "type": float(one.type is not None and one.type == other.type),
    }


def by_name(weights: Weights) -> dict[str, float]:
    """The weights of names, of those that count at all."""
    return {name: weights[name] for name in NAMES if weights.get(name)}


def nameless(weights: Weights) -> dict[str, float]:
    """All other weights."""
    return {name: weight for name, weight in weights.items() if name not in NAMES}


MORE: Final = point(1.0)  # of a number on a half circle: the greater, the nearer


class AboutProduct:
    """The score is Σ weight · cosine over the content's segments + weight · strength of behaviour."""

    def __init__(
        self,
        catalogue: Catalogue,
        finder: ContentRetriever,
        replica: VectorReplica,
        layout: Layout,
        tuning: Tuning,
    ) -> None:
        self._catalogue = catalogue
        self._finder = finder
        self._replica = replica
        self._layout = layout
        self._tuning = tuning

    async def similar(
        self, asked: RecommendationRequest, weights: Weights, model: Behaviour | None
    ) -> CandidateSet:
        """What is near by content, and what visits that hold the product speak for."""
        assert asked.product_id is not None
        vector = self._replica.vector(asked.product_id)
        if vector is None:
            known = self._catalogue.get(asked.product_id) is not None
            return CandidateSet(fallback="no_vectors" if known else "unknown_product")
        query = self._query(vector, weights)
        near = await self._finder.nearest(query, asked.k, asked.where)
        others = [hit.product_id for hit in near or ()]
        told = (
            co_visited(model, asked.product_id, others, self._tuning, asked.objective)
            if weights.get(BEHAVIOUR)
            else None
        )
        away: Fallback | None = "index_away" if near is None else None
        if told is None:
            return self._candidates(Basis(asked, query, weights), near or [], away)
        candidates = [*others, *self._fitting(told, asked.where)]
        return self._together(Basis(asked, query, weights, told), candidates, away)

    async def co_visited(
        self, asked: RecommendationRequest, weights: Weights, model: Behaviour | None
    ) -> CandidateSet:
        """What visits hold beside the product, whatever it looks like: also liked, or what goes with it."""
        assert asked.product_id is not None
        if self._catalogue.get(asked.product_id) is None:
            return CandidateSet(fallback="unknown_product")
        told = (
            co_visited(model, asked.product_id, (), self._tuning, asked.objective)
            if weights.get(BEHAVIOUR)
            else None
        )
        if told is None:
            return CandidateSet(fallback="no_behaviour")
        vector = self._replica.vector(asked.product_id)
        if vector is None:
            vector = np.zeros(self._layout.width, np.float32)
        basis = Basis(asked, self._query(vector, nameless(weights)), weights, told, by_name(weights))
        return self._together(basis, self._fitting(told, asked.where))

    def _query(self, vector: Vector, weights: Weights) -> Vector:
        query = self._layout.apply_weights(vector, weights)
        span = self._layout.slices["popularity"]
        query[span] = weights.get("popularity", 0.0) * MORE
        return query

    def _fitting(self, told: CoVisitation, where: Where) -> list[str]:
        numbers = self._catalogue.numbers.number_all(told.product_ids)
        allowed = self._catalogue.filter(where).mask(numbers) & self._replica.has_vectors(numbers)
        return [*compress(told.product_ids, allowed.tolist())]

    def _together(
        self, basis: "Basis", product_ids: Sequence[str], fallback: Fallback | None = None
    ) -> CandidateSet:
        distinct = list(dict.fromkeys(product_ids))
        behaviour = np.array([basis.strength.get(each, 0.0) for each in distinct], dtype=np.float32)
        totals: Floats = self._replica.units(distinct) @ basis.query + np.float32(basis.count) * behaviour
        if basis.names:
            named = [sum(self._name_parts(basis, each).values()) for each in distinct]
            totals += np.array(named, dtype=np.float32)
        [most] = quotas([1.0], basis.asked.k)
        best = np.argsort(-totals, kind="stable")[:most].tolist()
        return self._candidates(basis, [Hit(distinct[at], float(totals[at])) for at in best], fallback)

    def _name_parts(self, basis: "Basis", product_id: str) -> dict[str, float]:
        about, other = self._catalogue.get(basis.asked.product_id or ""), self._catalogue.get(product_id)
        assert about is not None  # found a moment ago, in the same turn of the loop
        assert other is not None
        found = compare_products(about, other)
        return {name: weight * found[name] for name, weight in basis.names.items() if found[name]}

    def _candidates(self, basis: "Basis", hits: list[Hit], fallback: Fallback | None = None) -> CandidateSet:
        def parts(product_id: str) -> dict[str, float]:
            found = parts_of(basis.query, self._replica.vector(product_id), self._layout)
            if basis.names:
                found |= self._name_parts(basis, product_id)
            strength = basis.strength.get(product_id)
            return found if strength is None else found | {BEHAVIOUR: round(basis.count * strength, 4)}

        def reason(chosen: RankedProduct) -> Reason:
            return self._reason(basis, chosen.product_id, parts)

        found = CandidateList.of(hits, self._catalogue.numbers)
        return CandidateSet([found], [1.0], reason, lambda chosen: parts(chosen.product_id), fallback)

    def _reason(self, basis: "Basis", product_id: str, parts: Callable[[str], dict[str, float]]) -> Reason:
        asked = basis.asked
        assert asked.product_id is not None
        if product_id in basis.witnessed:
            by_content = sum(part for name, part in parts(product_id).items() if name != BEHAVIOUR)
            if asked.kind != "similar" or basis.count * basis.strength[product_id] > by_content:
                return Reason(
                    "behaviour",
                    explanation.co_visit_reason(asked.kind, self._catalogue.get(asked.product_id)),
                )
        if asked.kind != "similar":
            return Reason("behaviour", explanation.ALIKE)
        product, vector = self._catalogue.get(product_id), self._replica.vector(product_id)
        assert product is not None  # found a moment ago, in the same turn of the loop
        assert vector is not None
        return Reason("content", explanation.likeness(basis.query, vector, product, self._layout))


class Basis:
    """What the products of one row are compared by."""

    def __init__(
        self,
        asked: RecommendationRequest,
        query: Vector,
        weights: Weights,
        told: CoVisitation | None = None,
        names: Weights = MappingProxyType({}),
    ) -> None:
        self.asked = asked
        self.query = query
        self.names = names
        self.count = weights.get(BEHAVIOUR, 0.0)
        self.strength = dict(zip(told.product_ids, told.values.tolist(), strict=True)) if told else {}
        self.witnessed = told.witnessed if told else frozenset[str]()
