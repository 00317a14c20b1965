"""Makes the rows: candidates, filters, ranking, diversity, the shop's rules, explanations, and fallbacks."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import msgspec
import numpy as np

from schemas.live import COMPLEMENTS, Reason, RecommendedItem
from schemas.objectives import CLICK, Objective
from schemas.products import Product
from schemas.vectors import Layout
from services.clock import now_ms
from services.model.behaviour import Behaviour
from services.model.content import PROFILES, Weights
from services.model.repurchase import Repeats
from services.model.session import Tuning
from services.recommender.catalogue import Catalogue
from services.recommender.index.port import VectorIndex, Where
from services.recommender.metrics import Metrics
from services.recommender.pipeline import explanation, exploration, relaxation
from services.recommender.pipeline.about_product import AboutProduct
from services.recommender.pipeline.behaviour_candidates import BehaviourRetriever
from services.recommender.pipeline.content_candidates import ContentRetriever
from services.recommender.pipeline.diversity import (
    CandidateTraits,
    RankedProduct,
    RowLimits,
    in_order,
    interleave,
)
from services.recommender.pipeline.experiments import AS_EVERYONE, Assignment
from services.recommender.pipeline.explanation import causes_of, item, withhold
from services.recommender.pipeline.exploration import NO_CHANCE, Chance
from services.recommender.pipeline.for_search import SearchRetriever
from services.recommender.pipeline.for_visitor import ForYou
from services.recommender.pipeline.funnel import OFF, FunnelWatch
from services.recommender.pipeline.merchandising import NOTHING, ActiveRules, apply_pins
from services.recommender.pipeline.popular_candidates import PopularRetriever
from services.recommender.pipeline.purchases import NO_EFFECTS, find_effects
from services.recommender.pipeline.relaxation import WishCount
from services.recommender.pipeline.request import (
    CandidateSet,
    RecommendationRequest,
    RecommendationResult,
    Row,
    SharedLookups,
)
from services.recommender.pipeline.row_factors import RowFactors
from services.recommender.pipeline.visitor_needs import VisitorNeeds
from services.recommender.search.search import Search
from services.vector_replica import STEPS, VectorReplica

EXPLORED: Final = frozenset({"for_you", "popular"})  # who asks for something else is to get that
POPULAR_SPARE: Final = 4  # times the row's length: what boosts may bring up from below
NO_REPEATS: Final = Repeats()

LEARNED: Final = frozenset({"for_you", "similar", "also_liked"})  # whose order asks the learned one

Kind = Callable[[RecommendationRequest, Weights, Behaviour | None, SharedLookups], Awaitable[CandidateSet]]


class RecommendationPipeline:
    """The pipeline of one shop. The only call that may leave this process is the index query.

    `model` gives the generation that serves now, by the name of its line of releases, None for the shop's
    own; `treatment` what experiments a visitor is part of, `in_force` the rules of a slot; `objective` is
    what rows are ordered for where none of these, nor the request, says. `explores` is the share of places
    that chance fills. `clock` is in Unix ms.
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
        clock: Callable[[], float] = now_ms,
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
        self._clock = clock
        self._objective = objective
        self._explores = explores
        self._metrics = metrics
        finder = ContentRetriever(catalogue, index, replica, layout, metrics)
        blender = BehaviourRetriever(replica, layout, tuning)
        about = AboutProduct(catalogue, finder, replica, blender, layout)
        self._for_you = ForYou(catalogue, finder, replica, blender, layout=layout, tuning=tuning)
        self._search = SearchRetriever(catalogue, finder, replica, layout)
        self._popularity = PopularRetriever(catalogue)
        self._factors = RowFactors(catalogue, clock)
        self._needs = VisitorNeeds(catalogue, self._search, about)
        self._kinds: Mapping[str, Kind] = {
            "similar": about.similar,
            "also_liked": about.also_liked,
            "complement_topic": about.complements,
            "complement_type": about.complements,
        }

    async def run(
        self, asked: RecommendationRequest, shared: SharedLookups | None = None
    ) -> RecommendationResult:
        """The row that was asked for, as everything is known at this moment.

        `shared` is what rows of one page have in common; what they look up lasts as long as they do.
        """
        if asked.kind == "products":
            return RecommendationResult(self._products_row(asked.product_ids))
        shared = SharedLookups() if shared is None else shared
        watch = FunnelWatch(is_on=asked.debug)
        treatment = shared.once(("treatment", asked.visitor_id), lambda: self._treatment(asked.visitor_id))
        in_force = self._in_force(asked.slot or asked.kind, asked.kind)
        model = self._model(treatment.model)  # taken once: no row mixes generations
        asked = self._with_effects(asked, model)
        hidden = asked.excluded_products | self._catalogue.find_by_digest(asked.excluded_purchases)
        hidden -= {each.product.product_id for each in asked.effects.due}
        hidden |= {*asked.about}
        pinnable = in_force.where(_without(asked.where, hidden))
        unruled = _without(asked.where, hidden | asked.shown) if asked.debug else asked.where
        asked = replace(
            asked,
            where=_without(pinnable, asked.shown),
            given=None if asked.given is None else in_force.where(_without(asked.given, hidden)),
            weights={**treatment.weights(asked.kind), **asked.weights},
            diversity=treatment.diversity if asked.diversity is None else asked.diversity,
            objective=asked.objective or treatment.objective or in_force.objective or self._objective,
        )
        offer = await self._retrieve(asked, model, in_force, shared)
        watch.stop("retrieval")
        chance = self._draw_chance(asked, in_force)
        items = self._select(asked, offer, in_force, chance, watch)
        items = self._fill(items, asked, in_force) if offer.fills else items
        items = self._apply_pins(items, asked, pinnable, in_force)
        notice, counts = _notice(asked, len(items)), tuple[WishCount, ...]()
        if asked.search is not None and asked.search.is_nonsense and items and not asked.search.named:
            notice = relaxation.say_nothing_is_like(asked.search.inferred.description)
        elif asked.search is not None and not items:
            items, notice, counts = await self._relax(asked, asked.search, in_force) or (items, notice, ())
        notice = notice or _objective_notice(asked, model)
        row = tuple(items)
        watch.stop("fill")
        return RecommendationResult(
            row,
            model.version if model is not None and asked.kind != "popular" else None,
            offer.fallback,
            notice,
            treatment.names,
            counts,
            causes_of(row, self._catalogue.get),
            watch.funnel(offer, self._catalogue, (unruled, asked.where), len(row)),
            offer.absent if len(row) < asked.k else frozenset(),
            chance.propensities,
        )

    def _with_effects(self, asked: RecommendationRequest, model: Behaviour | None) -> RecommendationRequest:
        """With what the visitor's purchases turn, in the visitor's own row where it asks for no shelf."""
        where = asked.where
        if asked.kind != "for_you" or asked.session is None or where.category or where.type:
            return asked
        repeats = model.repeats if model is not None else NO_REPEATS
        effects = find_effects(asked.session, self._catalogue, repeats, self._clock())
        return replace(asked, effects=effects) if effects is not NO_EFFECTS else asked

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
            msgspec.structs.replace(
                each,
                source="relaxed",
                why=explanation.CLOSE,
                reason=Reason(kind="relaxed", query=told.description or None),
            )
            for each in self._select(asked, offer, in_force)
        ]
        if not items:
            return None
        kinds = [self._product(each.product_id).type or "" for each in items]
        return items, relaxation.say_relaxed(told, found.dropped, items, kinds), found.counts

    def _products_row(self, product_ids: Sequence[str]) -> Row:
        """What the page shows by itself: no recommendation, so no filter, rule or experiment is about it."""
        found = map(self._catalogue.get, product_ids)
        return tuple(item(product, 0.0, explanation.OF_NAME, "") for product in found if product is not None)

    async def _retrieve(
        self,
        asked: RecommendationRequest,
        model: Behaviour | None,
        in_force: ActiveRules,
        shared: SharedLookups,
    ) -> CandidateSet:
        if asked.kind == "popular" or (asked.search is not None and _is_browsing(asked.search)):
            return self._popular(asked, in_force)
        weights = dict(PROFILES[asked.kind])
        if asked.search is not None:
            weights.update(asked.search.inferred.weights.items())
        weights.update(asked.weights)
        if asked.kind == "for_you":
            offer = await self._for_you.retrieve(asked, weights, model, is_weighed=bool(asked.weights))
            return await self._needs.turn(offer, asked, model, shared)
        if asked.kind == "search":
            return await self._search.retrieve(asked, weights)
        return await self._kinds[asked.kind](asked, weights, model, shared)

    def _popular(
        self, asked: RecommendationRequest, in_force: ActiveRules, beside: Iterable[str | None] = ()
    ) -> CandidateSet:
        most = asked.k + exploration.SPARE
        if self._factors.move(asked, in_force):
            most = POPULAR_SPARE * asked.k
        return self._popularity.retrieve(asked, most, self._rules_of(asked).brand_max, beside)

    def _select(
        self,
        asked: RecommendationRequest,
        offer: CandidateSet,
        in_force: ActiveRules,
        chance: Chance = NO_CHANCE,
        watch: FunnelWatch = OFF,
    ) -> list[RecommendedItem]:
        if not any(len(found.numbers) for found in offer.lists):
            return []
        assert offer.explain is not None
        ranked = self._rank(asked, offer, in_force, asked.k + chance.spare)
        chosen = chance.arrange(
            ranked,
            asked.k,
            lambda each: each.product_id,
            lambda each: not in_force.moves or not in_force.ids(self._product(each.product_id)),
        )
        self._metrics.explored.inc(chance.moved)
        watch.stop("ranking", len(chosen))
        reasons = offer.explain(chosen)
        items = [
            self._item(asked, each, withhold(reason, asked.own), offer, in_force)
            for each, reason in zip(chosen, reasons, strict=True)
        ]
        watch.stop("reasons")
        return items

    def _rank(
        self, asked: RecommendationRequest, offer: CandidateSet, in_force: ActiveRules, k: int
    ) -> list[RankedProduct]:
        numbers = np.concatenate([found.numbers for found in offer.lists])
        scores = np.concatenate([found.scores for found in offer.lists])
        ids = self._catalogue.numbers
        factors = self._factors.find(asked, numbers, in_force)
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
        why = offer.say(chosen, reason) if offer.say is not None else None
        return item(
            product,
            chosen.score,
            reason,
            explanation.say(reason, self._catalogue.get) if why is None else why,
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
        self,
        items: list[RecommendedItem],
        asked: RecommendationRequest,
        where: Where,
        in_force: ActiveRules,
    ) -> list[RecommendedItem]:
        """What the shop has pinned stands in its place, unless a filter is against it; whether or not another
        row of the page shows it."""
        if not in_force.pins:
            return items
        pins = []
        known = {each.product_id: each for each in items}
        for position, product_id, rule_id in in_force.pins:
            if not self._catalogue.allows(product_id, where):
                continue
            there = known.get(product_id)
            score = there.score if there is not None else 0.0
            pinned = item(
                self._product(product_id), score, explanation.OF_PIN, explanation.PINNED, rules=(rule_id,)
            )
            pins.append((position, pinned))
        return apply_pins(items, pins, asked.k, key=lambda each: each.product_id) if pins else items

    def _product(self, product_id: str) -> Product:
        product = self._catalogue.get(product_id)
        assert product is not None  # found a moment ago, in the same turn of the loop
        return product


def _without(where: Where, products: frozenset[str]) -> Where:
    return replace(where, exclude=where.exclude | products) if products else where


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
    if asked.kind in COMPLEMENTS:
        many = f"only {count} product{'s' if count > 1 else ''}" if count else "no product"
        return f"{many} {'go' if count > 1 else 'goes'} with {'it' if len(asked.about) == 1 else 'them'}"
    told = "no product fits" if count == 0 else f"only {count} product{'s' if count > 1 else ''} fit"
    return f"{told} the filters"
