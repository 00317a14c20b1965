"""What a model says of a session together with what was found by content, in lists that take turns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress

import numpy as np

from schemas.sessions import KIND_OF, Session, SessionEvent
from schemas.vectors import Layout
from services.model import content
from services.model.behaviour import Behaviour
from services.model.content import BEHAVIOUR, Weights
from services.model.ranker import Ranking, rank_products
from services.model.session import Tuning
from services.model.session_index import Floats
from services.recommender.catalogue import Catalogue
from services.recommender.index.port import Hit, Where
from services.recommender.pipeline.diversity import quotas
from services.vector_replica import VectorReplica


@dataclass(frozen=True, slots=True)
class CoVisitation:
    """Products, how strongly visits speak for each, (n,) in 0..1, and those that visits really hold."""

    product_ids: tuple[str, ...]
    values: Floats
    witnessed: frozenset[str]


def co_visited(
    model: Behaviour | None, product_id: str, others: Sequence[str], tuning: Tuning
) -> CoVisitation | None:
    """What visits that hold a product say about those around it, and about the `others`; None for nothing."""
    if model is None or not model.has_witnesses(product_id):
        return None
    view = SessionEvent(0, b"", product_id, KIND_OF["view_item"])
    told = rank_products(model, [view], tuning, others=others)
    witnessed = frozenset(compress(told.product_ids, told.witnessed))
    return CoVisitation(told.product_ids, scale(told.scores), witnessed) if witnessed else None


def scale(scores: Floats) -> Floats:
    """(n,) from 0 for the lowest to 1 for the highest: scores of one call are comparable, no others are."""
    low, high = scores.min(initial=np.inf), scores.max(initial=-np.inf)
    found: Floats = (scores - low) / (high - low) if high > low else np.ones_like(scores)
    return found


@dataclass(frozen=True, slots=True)
class BehaviourCandidates:
    """Candidates that may be shown, best first in each list, and how much each list weighs in the row.

    `witnessed` are the products that past sessions speak for. `known` are the newest events of this session
    with products that they hold: by those products' top-level categories, and under None the newest of all.
    A blend without lists: past sessions say nothing.
    """

    lists: list[list[Hit]]
    weights: list[float]
    witnessed: frozenset[str] = frozenset()
    known: Mapping[str | None, SessionEvent] = field(default_factory=dict)


class BehaviourRetriever:
    """Asks models. Reads catalogue and replica as they are when it is called."""

    def __init__(self, catalogue: Catalogue, replica: VectorReplica, layout: Layout, tuning: Tuning) -> None:
        self._catalogue = catalogue
        self._replica = replica
        self._layout = layout
        self._tuning = tuning

    def retrieve(
        self,
        model: Behaviour,
        session: Session,
        others: Sequence[str],
        k: int,
        where: Where,
        *,
        weights: Weights | None = None,
    ) -> BehaviourCandidates:
        """The model's candidates and the `others`, as it ranks them, for a row of k.

        With `weights`, in the order of Σ weight · cosine + weight · strength of behaviour instead.
        """
        likened = content.of(session, self._replica, self._layout)
        told = rank_products(model, session.events, self._tuning, others=others, likeness=likened)
        if not any(told.witnessed):
            return BehaviourCandidates([], [])
        if weights is not None:
            told = self._weigh(told, session, weights)
        categories = self._replica.top_categories(told.product_ids)
        places = self._filter_allowed(told.product_ids, categories, where)
        lists, counts = by_interest(
            [told.product_ids[place] for place in places],
            model.shares(told.scores[places]) if weights is None else softmax(told.scores[places]),
            [categories[place] for place in places],
            {interest.category: interest.weight for interest in session.interests},
            k,
        )
        witnessed = frozenset(compress(told.product_ids, told.witnessed))
        return BehaviourCandidates(lists, counts, witnessed, self._newest_known(model, session))

    def _weigh(self, told: Ranking, session: Session, weights: Weights) -> Ranking:
        totals = np.float32(weights.get(BEHAVIOUR, 0.0)) * scale(told.scores)
        if session.vector:
            [query] = content.queries([session.vector], self._layout, weights)
            totals += self._replica.units(told.product_ids) @ query
        order = np.argsort(-totals, kind="stable")
        return Ranking(
            tuple([told.product_ids[place] for place in order.tolist()]),
            totals[order],
            tuple([told.witnessed[place] for place in order.tolist()]),
        )

    def _filter_allowed(
        self, product_ids: Sequence[str], categories: Sequence[str | None], where: Where
    ) -> list[int]:
        """Places of the products that may be shown. One without a category has no vector."""
        fits, exclude = self._catalogue.fitting(where), where.exclude
        return [
            place
            for place, (product_id, category) in enumerate(zip(product_ids, categories, strict=True))
            if category is not None and fits[product_id] and product_id not in exclude
        ]

    def _newest_known(self, model: Behaviour, session: Session) -> dict[str | None, SessionEvent]:
        counts = self._tuning.kind_weights
        found: dict[str | None, SessionEvent] = {}
        categories = self._replica.top_categories([event.product_id for event in session.events])
        for event, category in zip(reversed(session.events), reversed(categories), strict=True):
            if counts[event.kind] > 0 and model.has_witnesses(event.product_id):
                found.setdefault(None, event)
                found.setdefault(category, event)
        return found


def softmax(totals: Floats) -> Floats:
    """(n,) parts of 1, of weighted sums in which a difference of 1 is one whole likeness."""
    parts = np.exp(totals - totals.max(initial=-np.inf))
    shares: Floats = parts / parts.sum() if len(parts) else parts
    return shares


def by_interest(
    product_ids: Sequence[str],
    shares: Floats,
    categories: Sequence[str | None],
    interests: Mapping[str, float],
    k: int,
) -> tuple[list[list[Hit]], list[float]]:
    """Lists and their weights, from products in their order, each with its part of 1 and its top category.

    `interests` are top-level categories and their weights, 1 altogether. What is of none is the last list: it
    weighs as much as its products' parts, and the interests share the rest by their weights. Pure.
    """
    number: dict[str | None, int] = {category: place for place, category in enumerate(interests)}
    of = np.array([number.get(category, len(number)) for category in categories], dtype=np.intp)
    elsewhere = float(shares[of == len(number)].sum())
    weights = [*[weight * (1 - elsewhere) for weight in interests.values()], elsewhere]
    places = [np.flatnonzero(of == nth)[:most].tolist() for nth, most in enumerate(quotas(weights, k))]
    return [[Hit(product_ids[at], float(shares[at])) for at in found] for found in places], weights
