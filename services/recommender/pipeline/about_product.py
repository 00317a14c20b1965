"""Rows about one product: what is similar, what is liked beside it, what goes with it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from schemas.live import COMPLEMENTS, Fallback, Reason, ReasonKind
from schemas.products import Product
from schemas.vectors import Layout, Vector
from services.model.behaviour import Behaviour
from services.model.content import BEHAVIOUR, Weights, point
from services.model.session_index import Floats
from services.product_numbers import UNKNOWN, Ints
from services.recommender.catalogue import Catalogue
from services.recommender.pipeline import explanation
from services.recommender.pipeline.behaviour_candidates import BehaviourRetriever, CoVisitation
from services.recommender.pipeline.candidate_list import CandidateList, dot_products
from services.recommender.pipeline.content_candidates import ContentRetriever
from services.recommender.pipeline.diversity import RankedProduct, quotas
from services.recommender.pipeline.explanation import parts_of
from services.recommender.pipeline.kinds import KindTables
from services.recommender.pipeline.lift import (
    LIFT_PRIOR,
    audience_factors,
    estimate_lift,
    find_beside,
    is_other,
    judge_complements,
    scale_strengths,
)
from services.recommender.pipeline.neighbours import NOBODY
from services.recommender.pipeline.request import CandidateSet, RecommendationRequest, SharedLookups
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

ALIKE_MOST: Final = 0.01  # strength of what no visit holds beside the product: below all that visits hold


class AboutProduct:
    """The score is Σ weight · cosine over the content's segments + weight · strength of behaviour."""

    def __init__(
        self,
        catalogue: Catalogue,
        finder: ContentRetriever,
        replica: VectorReplica,
        blender: BehaviourRetriever,
        layout: Layout,
    ) -> None:
        self._catalogue = catalogue
        self._finder = finder
        self._replica = replica
        self._blender = blender
        self._layout = layout
        self._kinds = KindTables(catalogue)

    async def similar(
        self,
        asked: RecommendationRequest,
        weights: Weights,
        model: Behaviour | None,
        _shared: SharedLookups,
    ) -> CandidateSet:
        """What is near by content, and what visits that hold the product speak for."""
        assert asked.product_id is not None
        vector = self._replica.vector(asked.product_id)
        if vector is None:
            known = self._catalogue.get(asked.product_id) is not None
            return CandidateSet(fallback="no_vectors" if known else "unknown_product")
        query = self._query(vector, weights)
        near = await self._finder.nearest(query, asked.k, asked.where)
        away: Fallback | None = "index_away" if near is None else None
        hits = CandidateList.of(near or [], self._catalogue.numbers)
        found = {"content": [hits.numbers]}
        told = None
        if weights.get(BEHAVIOUR):
            told = self._blender.rank_beside(model, asked.product_id, hits.numbers, asked.objective)
        basis = Basis(asked, query, weights)
        if told is None:
            return replace(self._candidates(basis, hits, model), found=found, fallback=away)
        found["behaviour"] = [told.numbers]
        return replace(self._by_total(basis, told, model), found=found, fallback=away)

    async def also_liked(
        self,
        asked: RecommendationRequest,
        weights: Weights,
        model: Behaviour | None,
        shared: SharedLookups,
    ) -> CandidateSet:
        """What visits hold beside the product more often than chance would, whatever it looks like."""
        assert asked.product_id is not None
        if self._catalogue.get(asked.product_id) is None:
            return CandidateSet(fallback="unknown_product")
        beside = find_beside(model, asked.product_id, shared) if weights.get(BEHAVIOUR) else None
        if model is None or beside is None:
            return CandidateSet(fallback="no_behaviour")
        lift = estimate_lift(beside, LIFT_PRIOR, 1.0)
        numbers = self._blender.models.of_shop(model)[beside.numbers]
        strengths = scale_strengths(np.log(np.maximum(lift, 1.0)))
        told = CoVisitation(numbers, ALIKE_MOST + (1 - ALIKE_MOST) * strengths)
        if len(numbers) < 2 * asked.k:  # behind them what the model takes for alike
            ranked = self._blender.rank_beside(model, asked.product_id, NOBODY, asked.objective)
            assert ranked is not None  # visits speak for what is beside it
            is_new = ~np.isin(ranked.numbers, numbers)
            told = CoVisitation(
                np.concatenate([numbers, ranked.numbers[is_new]]),
                np.concatenate([told.strengths, ALIKE_MOST * ranked.strengths[is_new]]),
            )
        return self._by_behaviour(asked, weights, told, model)

    async def complements(
        self,
        asked: RecommendationRequest,
        weights: Weights,
        model: Behaviour | None,
        shared: SharedLookups,
    ) -> CandidateSet:
        """What goes with one product or several, such as a cart: of another category, or of another type.

        Their kinds must stand in one visit more often than by chance, and the products themselves must have.
        A row of fewer is better than one of others.
        """
        about = [each for each in asked.about if self._catalogue.get(each) is not None]
        if not about:
            return CandidateSet(fallback="unknown_product", fills=False)
        known = [each for each in about if model is not None and model.has_witnesses(each)]
        if model is None or not known or not weights.get(BEHAVIOUR):
            return CandidateSet(fallback="no_behaviour", fills=False)
        table = await self._kinds.of(model)
        numbers = model.numbers_of(known)
        strengths: dict[int, float] = {}
        partners: dict[int, tuple[float, int]] = {}  # candidate → what it goes with most
        for product_id, number in zip(known, numbers.tolist(), strict=True):
            if (beside := find_beside(model, product_id, shared)) is None:
                continue
            mask, lift = judge_complements(table, number, beside)
            for other in numbers.tolist():
                mask &= is_other(table, other, beside.numbers, weights)
            told = np.log(np.maximum(lift, 1.0)) * audience_factors(table, number, beside.numbers)
            for candidate, strength in zip(beside.numbers[mask].tolist(), told[mask].tolist(), strict=True):
                strengths[candidate] = strengths.get(candidate, 0.0) + strength
                partners[candidate] = max(partners.get(candidate, (0.0, number)), (strength, number))
        to_shop = self._blender.models.of_shop(model)
        values = np.array([*strengths.values()], dtype=np.float32)
        found = CoVisitation(to_shop[np.array([*strengths], np.int32)], scale_strengths(values))
        beside_of = to_shop[np.array([number for _, number in partners.values()], np.int32)]
        # A weight against the same leaves it out altogether: what is nearly the same is no worse than others.
        weights = {name: weight for name, weight in weights.items() if name not in NAMES or weight > 0}
        return replace(self._by_behaviour(asked, weights, found, model, beside_of), fills=False)

    def _by_behaviour(
        self,
        asked: RecommendationRequest,
        weights: Weights,
        told: CoVisitation,
        model: Behaviour,
        partners: Ints | None = None,
    ) -> CandidateSet:
        vector = self._replica.vector(asked.about[0])
        if vector is None:
            vector = np.zeros(self._layout.width, np.float32)
        basis = Basis(asked, self._query(vector, nameless(weights)), weights, names=by_name(weights))
        if partners is not None:
            basis.set_partners(told.numbers, partners)
        return replace(self._by_total(basis, told, model), found={"behaviour": [told.numbers]})

    def _query(self, vector: Vector, weights: Weights) -> Vector:
        query = self._layout.apply_weights(vector, weights)
        span = self._layout.slices["popularity"]
        query[span] = weights.get("popularity", 0.0) * MORE
        return query

    def _by_total(self, basis: "Basis", told: CoVisitation, model: Behaviour | None) -> CandidateSet:
        """Those that may be shown, in the order of their scores."""
        is_fit = self._catalogue.filter(basis.asked.where).mask(told.numbers)
        is_fit &= self._replica.has_vectors(told.numbers)
        numbers, strengths = told.numbers[is_fit], told.strengths[is_fit]
        totals = dot_products(self._replica, numbers, basis.query) + np.float32(basis.count) * strengths
        if basis.names:
            totals += self._name_totals(basis, numbers)
        [most] = quotas([1.0], basis.asked.k)
        best = np.argsort(-totals, kind="stable")[:most]
        basis.set_strengths(numbers[best], strengths[best])
        found = self._candidates(basis, CandidateList(numbers[best], totals[best]), model)
        if is_fit.sum() >= basis.asked.k or basis.asked.kind not in COMPLEMENTS:
            return found
        return replace(found, absent=frozenset(self._catalogue.numbers.ids(told.numbers[~is_fit])))

    def _name_totals(self, basis: "Basis", numbers: Ints) -> Floats:
        """(n,) what names add to the score."""
        ids = self._catalogue.numbers
        if basis.names.keys() == {"brand"}:  # as a rule, of hundreds of products
            about = ids.find_all([basis.asked.about[0]])
            codes = self._catalogue.brand_codes(numbers)
            partners = np.array([basis.partners.get(each, about[0]) for each in numbers.tolist()], np.int32)
            own = self._catalogue.brand_codes(partners)
            is_same: npt.NDArray[np.bool_] = (codes == own) & (codes != UNKNOWN)
            return np.where(is_same, np.float32(basis.names["brand"]), np.float32(0))
        sums = [sum(self._name_parts(basis, number).values()) for number in numbers.tolist()]
        return np.array(sums, dtype=np.float32)

    def _name_parts(self, basis: "Basis", number: int) -> dict[str, float]:
        about = self._catalogue.get(self._partner(basis, number))
        other = self._catalogue.get(self._catalogue.numbers.id(number))
        assert about is not None  # found a moment ago, in the same turn of the loop
        assert other is not None
        found = compare_products(about, other)
        return {name: weight * found[name] for name, weight in basis.names.items() if found[name]}

    def _partner(self, basis: "Basis", number: int) -> str:
        """The product that the row is about, or that one of several which this goes with."""
        partner = basis.partners.get(number)
        return basis.asked.about[0] if partner is None else self._catalogue.numbers.id(partner)

    def _candidates(self, basis: "Basis", found: CandidateList, model: Behaviour | None) -> CandidateSet:
        def parts(chosen: RankedProduct) -> dict[str, float]:
            told = parts_of(basis.query, self._replica.vector(chosen.product_id), self._layout)
            if basis.names:
                told |= self._name_parts(basis, chosen.number)
            strength = basis.strengths.get(chosen.number)
            return told if strength is None else told | {BEHAVIOUR: round(basis.count * strength, 4)}

        return CandidateSet(
            [found],
            [1.0],
            lambda chosen: self._explain(basis, model, chosen),
            lambda chosen, reason: self._say(basis, chosen, reason),
            parts,
        )

    def _explain(
        self, basis: "Basis", model: Behaviour | None, chosen: Sequence[RankedProduct]
    ) -> list[Reason]:
        """By visits that hold both, as far as these count more than what the two are like."""
        kind, about = basis.asked.kind, basis.asked.about
        counts = None
        if model is not None and basis.strengths:
            counts = model.count_visits([each.product_id for each in chosen], about)
        found = []
        for nth, each in enumerate(chosen):
            partner = self._partner(basis, each.number)
            visits = 0 if counts is None else int(counts[nth, about.index(partner)])
            strength = basis.strengths.get(each.number, 0.0)
            by_visits = basis.count * strength
            by_content = each.score - by_visits if kind == "similar" else 0.0
            if visits and (kind != "similar" or by_visits > by_content):
                name: ReasonKind = "complement" if kind in COMPLEMENTS else "co_visited"
            elif kind == "similar":
                name, visits, strength = "content", 0, by_content / basis.most
            else:
                name, visits = "alike", 0
            strength = round(min(max(strength, 0.0), 1.0), 4)
            found.append(Reason(kind=name, strength=strength, product_id=partner, visits=visits))
        return found

    def _say(self, basis: "Basis", chosen: RankedProduct, reason: Reason) -> str | None:
        """What it is that is alike."""
        if reason.kind != "content":
            return None
        product, vector = self._catalogue.get(chosen.product_id), self._replica.vector(chosen.product_id)
        assert product is not None  # found a moment ago, in the same turn of the loop
        assert vector is not None
        return explanation.likeness(basis.query, vector, product, self._layout)


class Basis:
    """What the products of one row are compared by, and their strengths of behaviour, by number.

    `partners` tell what each of them goes with, where that is not the first that the row is about.
    """

    def __init__(
        self,
        asked: RecommendationRequest,
        query: Vector,
        weights: Weights,
        *,
        names: Weights = MappingProxyType({}),
    ) -> None:
        self.asked = asked
        self.query = query
        self.names = names
        self.count = weights.get(BEHAVIOUR, 0.0)
        self.most = sum(max(weight, 0.0) for name, weight in weights.items() if name != BEHAVIOUR) or 1.0
        self.strengths: Mapping[int, float] = {}
        self.partners: Mapping[int, int] = {}

    def set_strengths(self, numbers: Ints, strengths: Floats) -> None:
        """Of (n,) products."""
        self.strengths = dict(zip(numbers.tolist(), strengths.tolist(), strict=True))

    def set_partners(self, numbers: Ints, partners: Ints) -> None:
        """Of (n,) products."""
        self.partners = dict(zip(numbers.tolist(), partners.tolist(), strict=True))
