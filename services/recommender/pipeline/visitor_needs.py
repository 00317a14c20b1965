"""What has just happened turns the visitor's row: searches bring their products, purchases complements."""

from collections.abc import Sequence
from dataclasses import replace
from math import ceil
from typing import Final

import msgspec
import numpy as np

from schemas.live import Reason
from services.model.behaviour import Behaviour
from services.model.content import PROFILES
from services.product_numbers import Ints
from services.recommender.catalogue import Catalogue
from services.recommender.pipeline.about_product import AboutProduct
from services.recommender.pipeline.candidate_list import CandidateList, distinct
from services.recommender.pipeline.diversity import RankedProduct, quotas
from services.recommender.pipeline.for_search import SearchRetriever
from services.recommender.pipeline.purchases import LEAST, NO_EFFECTS, BoughtProduct
from services.recommender.pipeline.recent_searches import RecentSearch
from services.recommender.pipeline.request import (
    CandidateSet,
    Explain,
    RecommendationRequest,
    SharedLookups,
    explain_apart,
)

# What a list weighs in a row whose other lists weigh 1 together, while its cause is new.
SEARCH: Final = 0.5
GOES_WITH: Final = 0.4
DUE: Final = 0.15
NOTHING_KNOWN: Final = ("new_visitor", "no_vectors")  # fallbacks that a search is an answer to
ALONE: Final = 0.6  # of a row, at most, is a search's where nothing else is known of the visitor


class VisitorNeeds:
    """Puts lists beside those that the session as a whole gives, and takes from these what is not needed."""

    def __init__(self, catalogue: Catalogue, search: SearchRetriever, about: AboutProduct) -> None:
        self._catalogue = catalogue
        self._search = search
        self._about = about

    async def turn(
        self,
        offer: CandidateSet,
        asked: RecommendationRequest,
        model: Behaviour | None,
        shared: SharedLookups,
    ) -> CandidateSet:
        """The candidates as they are after the visitor's searches and purchases."""
        if not asked.searches and asked.effects is NO_EFFECTS:
            return offer
        is_new = not any(len(found.numbers) for found in offer.lists)
        offer = self._without_bought_kinds(offer, asked)
        top = max([float(found.scores.max(initial=0.0)) for found in offer.lists], default=0.0) or 1.0
        for search in asked.searches:
            found = await self._find_searched(asked, search, top)
            if is_new:
                most = ceil(ALONE * asked.k)
                found = CandidateList(found.numbers[:most], found.scores[:most])
            reason = Reason(kind="search", strength=round(search.share, 4), query=search.said.words)
            offer = _beside(offer, "search", found, SEARCH * search.share, reason)
        for giver in asked.effects.givers:
            complements = await self._find_complements(asked, giver, model, shared)
            if complements is not None:
                weight = GOES_WITH * giver.share / len(asked.effects.givers)
                offer = _put_complements(offer, *complements, weight=weight, top=top)
        return self._put_due(offer, asked, top)

    def _without_bought_kinds(self, offer: CandidateSet, asked: RecommendationRequest) -> CandidateSet:
        """A list weighs as much less as what it would bring into the row is less wanted."""
        if not asked.effects.factors:
            return offer
        lists, weights = [], []
        for found, weight in zip(offer.lists, offer.weights, strict=True):
            factors = asked.effects.factors_of(self._catalogue.shelf_codes(found.numbers))
            if factors is None or not len(factors):
                kept, left = found, 1.0
            else:
                wanted = factors >= LEAST
                kept = CandidateList(found.numbers[wanted], found.scores[wanted])
                left = float(factors[: max(1, ceil(weight * asked.k))].mean())
            lists.append(kept)
            weights.append(weight * left)
        return replace(offer, lists=lists, weights=weights)

    async def _find_searched(
        self, asked: RecommendationRequest, recent: RecentSearch, top: float
    ) -> CandidateList:
        """What the search itself would show first."""
        wanted = replace(
            asked,
            kind="search",
            search=recent.search,
            where=recent.search.narrow(asked.where),
            given=asked.where,
        )
        weights = dict(PROFILES["search"]) | dict(recent.search.inferred.weights.items())
        found = await self._search.retrieve(wanted, weights)
        named, first = found.lists[0], found.lists[1] if len(found.lists) > 1 else found.lists[0]
        numbers = distinct(np.concatenate([named.numbers, first.numbers]), len(self._catalogue.numbers))
        allowed = self._catalogue.filter(asked.where).mask(numbers)
        return _in_order(numbers[allowed][: quotas([1.0], asked.k)[0]], top)

    async def _find_complements(
        self,
        asked: RecommendationRequest,
        giver: BoughtProduct,
        model: Behaviour | None,
        shared: SharedLookups,
    ) -> tuple[Ints, Explain] | None:
        """What goes with a product that was bought, and why; None where nothing is known to."""
        bought = giver.product.product_id
        wanted = replace(asked, kind="complement_type", product_id=bought, product_ids=(), search=None)
        found = await self._about.complements(wanted, PROFILES["complement_type"], model, shared)
        if not found.lists or found.explain is None:
            return None
        explain = found.explain

        def tell(chosen: Sequence[RankedProduct]) -> list[Reason]:
            return [msgspec.structs.replace(each, cause=giver.cause) for each in explain(chosen)]

        return found.lists[0].numbers, tell

    def _put_due(self, offer: CandidateSet, asked: RecommendationRequest, top: float) -> CandidateSet:
        due = {self._catalogue.numbers.find(each.product.product_id): each for each in asked.effects.due}
        numbers = np.array([*due], dtype=np.int32)
        numbers = numbers[self._catalogue.filter(asked.where).mask(numbers)]

        def tell(chosen: Sequence[RankedProduct]) -> list[Reason]:
            return [
                Reason(kind="due", strength=1.0, cause=due[each.number].cause, product_id=each.product_id)
                for each in chosen
            ]

        return offer.beside("due", _in_order(numbers, top), DUE, tell) if len(numbers) else offer


def _beside(
    offer: CandidateSet, name: str, found: CandidateList, weight: float, reason: Reason
) -> CandidateSet:
    if not len(found.numbers):
        return offer
    added = offer.beside(name, found, weight, lambda chosen: [reason] * len(chosen))
    return replace(added, fallback=None if offer.fallback in NOTHING_KNOWN else offer.fallback)


def _put_complements(
    offer: CandidateSet, numbers: Ints, explain: Explain, *, weight: float, top: float
) -> CandidateSet:
    """Whatever list it comes from, what goes with a purchase is told as that."""
    first = frozenset(numbers.tolist())
    tell = explain_apart(lambda chosen: chosen.number in first, explain, offer.explain)
    return replace(offer, explain=tell).beside("complement", _in_order(numbers, top), weight, explain)


def _in_order(numbers: Ints, top: float) -> CandidateList:
    """With scores on the scale of other lists, whose greatest is `top`: relevance weighs against likeness."""
    return CandidateList(numbers, np.linspace(top, top / 2, len(numbers), dtype=np.float32))
