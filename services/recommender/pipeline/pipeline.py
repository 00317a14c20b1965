"""Makes the rows: candidates, filters, ranking, diversity, the shop's rules, explanations, and fallbacks."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import msgspec
import numpy as np

from schemas.live import RecommendedItem
from schemas.objectives import CLICK, Objective
from schemas.products import Product
from schemas.vectors import Layout
from services.model.behaviour import Behaviour
from services.model.content import PROFILES, Weights
from services.model.session import Tuning
from services.recommender.catalogue import Catalogue
from services.recommender.index.port import VectorIndex
from services.recommender.metrics import Metrics
from services.recommender.pipeline import explanation, exploration, relaxation
from services.recommender.pipeline.about_product import AboutProduct
from services.recommender.pipeline.behaviour_candidates import BehaviourRetriever
from services.recommender.pipeline.candidate_list import CandidateList
from services.recommender.pipeline.content_candidates import ContentRetriever
from services.recommender.pipeline.diversity import (
    CandidateTraits,
    RankedProduct,
    RowLimits,
    in_order,
    interleave,
)
from services.recommender.pipeline.experiments import AS_EVERYONE, Assignment
from services.recommender.pipeline.explanation import item
from services.recommender.pipeline.exploration import NO_CHANCE, Chance
from services.recommender.pipeline.for_search import SearchRetriever
from services.recommender.pipeline.for_visitor import ForYou
from services.recommender.pipeline.merchandising import NOTHING, ActiveRules, apply_pins
from services.recommender.pipeline.relaxation import WishCount
from services.recommender.pipeline.request import (
    CandidateSet,
    Reason,
    RecommendationRequest,
    RecommendationResult,
    Row,
)
from services.recommender.search.search import Search
from services.vector_replica import STEPS, VectorReplica

EXPLORED: Final = frozenset({"for_you", "popular"})  # who asks for something else is to get that
POPULAR_SPARE: Final = 4  # times the row's length: what boosts may bring up from below

LEARNED: Final = frozenset({"for_you", "similar", "also_liked"})  # whose order asks the learned one

Kind = Callable[[RecommendationRequest, Weights, Behaviour | None], Awaitable[CandidateSet]]


class RecommendationPipeline:
    """The pipeline of one shop. The only call that may leave this process is the index query.

    `model` gives the generation that serves now, by the name of its line of releases, None for the shop's
    own; `treatment` what experiments a visitor is part of, `in_force` the rules of a slot; `objective` is
    what rows are ordered for where none of these, nor the request, says. `explores` is the share of places
    that chance fills.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        index: VectorIndex,
        replica: VectorReplica,
        *,
        layout: Layout,
        tuning: Tuning,
        rules: RowLimits,
        model: Callable[[str | None], Behaviour | None],
        metrics: Metrics,
        treatment: Callable[[str | None], Assignment] = lambda _visitor_id: AS_EVERYONE,
        in_force: Callable[[str, str], ActiveRules] = lambda _slot, _kind: NOTHING,
        objective: Objective = CLICK,
        explores: float = 0.0,
    ) -> None:
        self._catalogue = catalogue
        self._replica = replica
        self._likeness = 1 / (STEPS**2 * len(layout.widths))  # of two rows' dot product: 1 for the same
        self._rules = rules
        self._model = model
        self._treatment = treatment
        self._in_force = in_force
        self._objective = objective
        self._explores = explores
        self._metrics = metrics
        finder = ContentRetriever(catalogue, index, replica, layout, metrics)
        blender = BehaviourRetriever(replica, layout, tuning)
        about = AboutProduct(catalogue, finder, replica, layout, tuning)
        self._for_you = ForYou(catalogue, finder, replica, blender, layout=layout, tuning=tuning)
        self._search = SearchRetriever(catalogue, finder, replica, layout)
        self._kinds: Mapping[str, Kind] = {
            "similar": about.similar,
            "also_liked": about.co_visited,
            "complement_topic": about.co_visited,
            "complement_type": about.co_visited,
        }

    async def run(self, asked: RecommendationRequest) -> RecommendationResult:
        """The row that was asked for, as everything is known at this moment."""
        if asked.kind == "products":
            return RecommendationResult(self._products_row(asked.product_ids))
        treatment = self._treatment(asked.visitor_id)
        in_force = self._in_force(asked.slot or asked.kind, asked.kind)
        hidden = asked.excluded_products | self._catalogue.find_by_digest(asked.excluded_purchases)
        hidden |= {asked.product_id} if asked.product_id else frozenset()
        given = asked.where if asked.given is None else asked.given
        asked = replace(
            asked,
            where=in_force.where(replace(asked.where, exclude=asked.where.exclude | hidden)),
            given=in_force.where(replace(given, exclude=given.exclude | hidden)),
            weights={**treatment.weights(asked.kind), **asked.weights},
            diversity=treatment.diversity if asked.diversity is None else asked.diversity,
            objective=asked.objective or treatment.objective or in_force.objective or self._objective,
        )
        model = self._model(treatment.model)  # taken once: no row mixes generations
        offer = await self._retrieve(asked, model, in_force)
        chance = self._draw_chance(asked, in_force)
        items = self._select(asked, offer, in_force, chance)
        items = self._fill(items, asked, in_force) if offer.fills else items
        items = self._apply_pins(items, asked, in_force)
        notice, counts = _notice(asked, len(items)), tuple[WishCount, ...]()
        if asked.search is not None and asked.search.is_nonsense and items and not asked.search.named:
            notice = relaxation.say_nothing_is_like(asked.search.inferred.description)
        elif asked.search is not None and not items:
            items, notice, counts = await self._relax(asked, asked.search, in_force) or (items, notice, ())
        notice = notice or _objective_notice(asked, model)
        return RecommendationResult(
            tuple(items),
            model.version if model is not None and asked.kind != "popular" else None,
            offer.fallback,
            notice,
            treatment.names,
            counts,
            propensities=chance.propensities,
        )

    def _draw_chance(self, asked: RecommendationRequest, in_force: ActiveRules) -> Chance:
        """What chance does to the row. A pin would move what it put somewhere: such rows are left alone."""
        if not self._explores or asked.kind not in EXPLORED or asked.visitor_id is None or in_force.pins:
            return NO_CHANCE
        newest = asked.session.events[-1].identity if asked.session and asked.session.events else b""
        seed = exploration.seed(asked.visitor_id, asked.slot or asked.kind, newest)
        return Chance(self._explores, seed)

    async def _relax(
        self, asked: RecommendationRequest, search: Search, in_force: ActiveRules
    ) -> tuple[list[RecommendedItem], str, tuple[WishCount, ...]] | None:
        """What there is without the wish that is most in the way, and a sentence that says so."""
        told, given = search.inferred, asked.given
        if given is None or not relaxation.wishes(told, given):
            return None
        found = await asyncio.to_thread(
            relaxation.relax, self._catalogue.products(), asked.where, given, told
        )
        if found is None:
            popular = replace(asked, kind="popular", where=given)
            items = self._select(popular, self._popular(popular, in_force), in_force)
            return (items, relaxation.say_nothing_fits(told), ()) if items else None
        order = told.order
        if "price" in found.dropped and order is None:  # what is nearest to the bound first
            order = "dearest" if told.price_max is None else "cheapest"
        wider = replace(search, inferred=msgspec.structs.replace(told, order=order))
        asked = replace(asked, where=found.where, search=wider)
        offer = await self._search.retrieve(asked, dict(PROFILES["search"]))
        items = [
            msgspec.structs.replace(each, source="relaxed", why="close, but not all of it")
            for each in self._select(asked, offer, in_force)
        ]
        if not items:
            return None
        kinds = [self._product(each.product_id).type or "" for each in items]
        return items, relaxation.say_relaxed(told, found.dropped, items, kinds), found.counts

    def _products_row(self, product_ids: Sequence[str]) -> Row:
        """What the page shows by itself: no recommendation, so no filter, rule or experiment is about it."""
        found = map(self._catalogue.get, product_ids)
        return tuple(item(product, 0.0, "named", "") for product in found if product is not None)

    async def _retrieve(
        self, asked: RecommendationRequest, model: Behaviour | None, in_force: ActiveRules
    ) -> CandidateSet:
        if asked.kind == "popular" or (asked.search is not None and _is_browsing(asked.search)):
            return self._popular(asked, in_force)
        weights = dict(PROFILES[asked.kind])
        if asked.search is not None:
            weights.update(asked.search.inferred.weights.items())
        weights.update(asked.weights)
        if asked.kind == "for_you":
            return await self._for_you.retrieve(asked, weights, model, is_weighed=bool(asked.weights))
        if asked.kind == "search":
            return await self._search.retrieve(asked, weights)
        return await self._kinds[asked.kind](asked, weights, model)

    def _popular(
        self, asked: RecommendationRequest, in_force: ActiveRules, beside: Iterable[str | None] = ()
    ) -> CandidateSet:
        most = POPULAR_SPARE * asked.k if in_force.moves else asked.k + exploration.SPARE
        brand_max = self._rules_of(asked).brand_max
        found = self._catalogue.popular(most, asked.where, brand_max, row=asked.k, beside=beside)
        reason = Reason("popular", explanation.POPULAR)
        popular = CandidateList.of(found, self._catalogue.numbers)
        return CandidateSet([popular], [1.0], lambda _chosen: reason, fills=False, in_order=True)

    def _select(
        self,
        asked: RecommendationRequest,
        offer: CandidateSet,
        in_force: ActiveRules,
        chance: Chance = NO_CHANCE,
    ) -> list[RecommendedItem]:
        if not any(len(found.numbers) for found in offer.lists):
            return []
        assert offer.reason is not None
        ranked = self._rank(asked, offer, in_force, asked.k + chance.spare)
        chosen = chance.arrange(
            ranked,
            asked.k,
            lambda each: each.product_id,
            lambda each: not in_force.moves or not in_force.ids(self._product(each.product_id)),
        )
        self._metrics.explored.inc(chance.moved)
        return [self._item(asked, each, offer.reason(each).to(asked.own), offer, in_force) for each in chosen]

    def _rank(
        self, asked: RecommendationRequest, offer: CandidateSet, in_force: ActiveRules, k: int
    ) -> list[RankedProduct]:
        numbers = np.concatenate([found.numbers for found in offer.lists])
        scores = np.concatenate([found.scores for found in offer.lists])
        ids = self._catalogue.numbers
        factors = None
        if in_force.moves:
            factors = in_force.factors([self._product(product_id) for product_id in ids.ids(numbers)])
        if offer.in_order:
            chosen = in_order(offer.lists[0], k, factors)
        else:
            rows, places = self._replica.rows_of(numbers)
            traits = CandidateTraits(self._catalogue.brand_codes(numbers), rows, places, self._likeness)
            chosen = interleave(
                offer.lists,
                offer.weights,
                traits,
                replace(self._rules_of(asked), k=k),
                factors=factors,
                is_soft=not offer.fills,
            )
        return [
            RankedProduct(ids.id(number := int(numbers[place])), number, float(scores[place]), origin)
            for place, origin in chosen
        ]

    def _rules_of(self, asked: RecommendationRequest) -> RowLimits:
        # Who asks for brands by name wants no others between them.
        brand_max = asked.k if asked.where.brand else self._rules.brand_max
        return RowLimits(
            asked.k,
            self._rules.diversity if asked.diversity is None else asked.diversity,
            brand_max if asked.brand_max is None else asked.brand_max,
        )

    def _item(
        self,
        asked: RecommendationRequest,
        chosen: RankedProduct,
        reason: Reason,
        offer: CandidateSet,
        in_force: ActiveRules,
    ) -> RecommendedItem:
        product = self._product(chosen.product_id)
        parts = offer.parts(chosen) if asked.explains and offer.parts else None
        return item(
            product,
            chosen.score,
            reason.source,
            reason.why,
            cause=reason.cause,
            parts=parts,
            rules=in_force.ids(product),
        )

    def _fill(
        self, items: list[RecommendedItem], asked: RecommendationRequest, in_force: ActiveRules
    ) -> list[RecommendedItem]:
        """A short row is filled with what is popular, and labelled so."""
        missing = asked.k - len(items)
        if missing <= 0:
            return items
        here = frozenset(each.product_id for each in items)
        where = replace(asked.where, exclude=asked.where.exclude | here)
        rest = replace(asked, kind="popular", k=missing, where=where)
        popular = self._popular(rest, in_force, [each.brand for each in items])
        return [*items, *self._select(rest, popular, in_force)]

    def _apply_pins(
        self, items: list[RecommendedItem], asked: RecommendationRequest, in_force: ActiveRules
    ) -> list[RecommendedItem]:
        """What the shop has pinned stands in its place, unless a filter is against it."""
        pins = []
        known = {each.product_id: each for each in items}
        for position, product_id, rule_id in in_force.pins:
            if not self._catalogue.allows(product_id, asked.where):
                continue
            there = known.get(product_id)
            score = there.score if there is not None else 0.0
            pinned = item(self._product(product_id), score, "rule", explanation.PINNED, rules=(rule_id,))
            pins.append((position, pinned))
        return apply_pins(items, pins, asked.k, key=lambda each: each.product_id) if pins else items

    def _product(self, product_id: str) -> Product:
        product = self._catalogue.get(product_id)
        assert product is not None  # found a moment ago, in the same turn of the loop
        return product


def _is_browsing(search: Search) -> bool:
    """Words that say nothing have nothing to be near to."""
    return search.is_nonsense and not search.named


def _objective_notice(asked: RecommendationRequest, model: Behaviour | None) -> str | None:
    """What of the objective is not learned: older models, and few purchases, know clicks only."""
    if asked.kind not in LEARNED or asked.objective is None:
        return None
    missing = (
        tuple(name for name in asked.objective if name != "click")
        if model is None
        else model.missing(asked.objective)
    )
    return f"not learned apart yet, ordered as for clicks: {', '.join(missing)}" if missing else None


def _notice(asked: RecommendationRequest, count: int) -> str | None:
    if count >= asked.k:
        return None
    told = "no product fits" if count == 0 else f"only {count} product{'s' if count > 1 else ''} fit"
    return f"{told} the filters"
