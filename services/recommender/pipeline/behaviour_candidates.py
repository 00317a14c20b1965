"""What a model says of a session together with what was found by content, in lists that take turns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress

import numpy as np

from schemas.objectives import CLICK, Objective
from schemas.sessions import KIND_OF, Session, SessionEvent
from schemas.vectors import Layout, Vector
from services.model.behaviour import Behaviour
from services.model.candidates import CONTENT
from services.model.content import BEHAVIOUR, FOR_YOU, Weights
from services.model.ranker import rank_features, rank_products
from services.model.session import Tuning
from services.model.session_index import Floats
from services.product_numbers import UNKNOWN, Ints
from services.recommender.catalogue import ProductFilter
from services.recommender.pipeline.candidate_list import CandidateList, dot_products
from services.recommender.pipeline.diversity import quotas
from services.recommender.pipeline.model_numbers import ModelNumbers
from services.vector_replica import VectorReplica


@dataclass(frozen=True, slots=True)
class CoVisitation:
    """Products, how strongly visits speak for each, (n,) in 0..1, and those that visits really hold."""

    product_ids: tuple[str, ...]
    values: Floats
    witnessed: frozenset[str]


def co_visited(
    model: Behaviour | None,
    product_id: str,
    others: Sequence[str],
    tuning: Tuning,
    objective: Objective | None = None,
) -> CoVisitation | None:
    """What visits that hold a product say about those around it, and about the `others`; None for nothing."""
    if model is None or not model.has_witnesses(product_id):
        return None
    view = SessionEvent(0, b"", product_id, KIND_OF["view_item"])
    told = rank_products(model, [view], tuning, others=others, objective=objective or CLICK)
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

    `witnessed` are the products (by number) that past sessions speak for. `known` are the newest events of
    this session with products that they hold: by those products' top-level categories, and under None the
    newest of all. A blend without lists: past sessions say nothing.
    """

    lists: list[CandidateList]
    weights: list[float]
    witnessed: frozenset[int] = frozenset()
    known: Mapping[str | None, SessionEvent] = field(default_factory=dict)


class BehaviourRetriever:
    """Asks models. Reads the replica as it is when it is called."""

    def __init__(self, replica: VectorReplica, layout: Layout, tuning: Tuning) -> None:
        self._replica = replica
        self._layout = layout
        self._tuning = tuning
        self._models = ModelNumbers(replica.numbers)

    def retrieve(
        self,
        model: Behaviour,
        session: Session,
        others: Ints,
        k: int,
        allowed: ProductFilter,
        *,
        direction: Vector | None,
        weights: Weights | None = None,
        objective: Objective = CLICK,
    ) -> BehaviourCandidates:
        """The model's candidates and the `others` (no two alike), as it ranks them, for a row of k.

        `direction` is the session's unit vector, None where it has none. With `weights`, in the order of
        Σ weight · cosine + weight · strength of behaviour instead.
        """
        numbers, features = self._models.candidates(model, session.events, self._tuning, others)
        if direction is not None:
            features[:, CONTENT] = self._likeness(numbers, direction, FOR_YOU)
        order, scores, is_witnessed = rank_features(model, features, objective)
        if not is_witnessed.any():
            return BehaviourCandidates([], [])
        numbers = numbers[order]
        witnessed = frozenset(numbers[is_witnessed].tolist())
        if weights is not None:
            scores = np.float32(weights.get(BEHAVIOUR, 0.0)) * scale(scores)
            if direction is not None:
                scores += self._likeness(numbers, direction, weights)
            order = np.argsort(-scores, kind="stable")
            numbers, scores = numbers[order], scores[order]
        categories = self._replica.category_codes(numbers)
        # One without a category has no vector.
        shown = np.flatnonzero((categories != UNKNOWN) & allowed.mask(numbers))
        scores = scores[shown]
        lists, counts = by_interest(
            CandidateList(numbers[shown], model.shares(scores) if weights is None else softmax(scores)),
            categories[shown],
            [
                (self._replica.category_code(interest.category), interest.weight)
                for interest in session.interests
            ],
            k,
        )
        return BehaviourCandidates(lists, counts, witnessed, self._newest_known(model, session))

    def _likeness(self, numbers: Ints, direction: Vector, weights: Weights) -> Floats:
        return dot_products(self._replica, numbers, self._layout.apply_weights(direction, weights))

    def _newest_known(self, model: Behaviour, session: Session) -> dict[str | None, SessionEvent]:
        counts = self._tuning.kind_weights
        found: dict[str | None, SessionEvent] = {}
        categories = self._replica.top_categories([event.product_id for event in session.events])
        for event, category in zip(reversed(session.events), reversed(categories), strict=True):
            if category in found and None in found:
                continue
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
    candidates: CandidateList, categories: Ints, interests: Sequence[tuple[int, float]], k: int
) -> tuple[list[CandidateList], list[float]]:
    """Lists and their weights, from products in their order, each with its part of 1 and its top category.

    `interests` are top-level categories and their weights, 1 altogether. What is of none is the last list: it
    weighs as much as its products' parts, and the interests share the rest by their weights. Pure.
    """
    numbers, shares = candidates
    masks = [categories == category for category, _ in interests]
    rest = ~np.logical_or.reduce(masks) if masks else np.ones(len(numbers), np.bool_)
    elsewhere = float(shares[rest].sum())
    weights = [*[weight * (1 - elsewhere) for _, weight in interests], elsewhere]
    lengths = quotas(weights, k)
    return [candidates.only(mask, most) for mask, most in zip([*masks, rest], lengths, strict=True)], weights
