"""What a model says of a session together with what was found by content, in lists that take turns."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from schemas.objectives import CLICK, Objective
from schemas.sessions import KIND_OF, Session, SessionEvent
from schemas.vectors import Layout, Vector
from services.model.behaviour import Behaviour
from services.model.candidates import CONTENT, POPULARITY
from services.model.content import BEHAVIOUR, FOR_YOU, Weights
from services.model.ranker import rank_features
from services.model.session import Tuning
from services.model.session_index import Floats
from services.product_numbers import UNKNOWN, Ints
from services.recommender.catalogue import ProductFilter
from services.recommender.pipeline.candidate_list import CandidateList, dot_products
from services.recommender.pipeline.diversity import quotas
from services.recommender.pipeline.model_numbers import ModelNumbers
from services.recommender.pipeline.neighbours import NOBODY
from services.vector_replica import VectorReplica

# Times the popularity of a product on the average. Of held-out visits to the demo's shop the next product is
# then in 28.2 % of rows of 20 instead of 28.3 %, in 22.2 % of rows of 12 instead of 22.6 %; and the product
# that is in most rows is in 11 % of them instead of 29 %.
POPULARITY_PRIOR: Final = 6.5


class CoVisitation(NamedTuple):
    """Products (n,) by number, and how strongly visits speak for each, (n,) in 0..1."""

    numbers: Ints
    strengths: Floats


def scale(scores: Floats) -> Floats:
    """(n,) from 0 for the lowest to 1 for the highest: scores of one call are comparable, no others are."""
    low, high = scores.min(initial=np.inf), scores.max(initial=-np.inf)
    found: Floats = (scores - low) / (high - low) if high > low else np.ones_like(scores)
    return found


@dataclass(frozen=True, slots=True)
class BehaviourCandidates:
    """Candidates that may be shown, best first in each list, and how much each list weighs in the row.

    `found` are all of the model's products by number, (n,).
    A blend without lists: past sessions say nothing.
    """

    lists: list[CandidateList]
    weights: list[float]
    found: Ints = field(default_factory=lambda: NOBODY)


class BehaviourRetriever:
    """Asks models. Reads the replica as it is when it is called."""

    def __init__(self, replica: VectorReplica, layout: Layout, tuning: Tuning) -> None:
        self._replica = replica
        self._layout = layout
        self._tuning = tuning
        self.models = ModelNumbers(replica.numbers)

    def rank_beside(
        self,
        model: Behaviour | None,
        product_id: str,
        others: Ints,
        objective: Objective | None = None,
    ) -> CoVisitation | None:
        """What a model says of products around one, and of the `others`; None where no visit speaks for any.

        As for a visitor who has looked at that product alone.
        """
        if model is None or not model.has_witnesses(product_id):
            return None
        view = SessionEvent(0, b"", product_id, KIND_OF["view_item"])
        numbers, features = self.models.candidates(model, [view], self._tuning, others)
        order, scores, is_witnessed = rank_features(model, features, objective or CLICK)
        return CoVisitation(numbers[order], scale(scores)) if is_witnessed.any() else None

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
        is_beside_others: bool = False,
    ) -> BehaviourCandidates:
        """The model's candidates and the `others` (no two alike), as it ranks them, for a row of k.

        `direction` is the session's unit vector, None where it has none. With `weights`, in the order of
        Σ weight · cosine + weight · strength of behaviour instead.

        `is_beside_others`: on a product's page, whose rows all follow from one product, what everybody looks
        at would stand on every page. Elsewhere the order is the learned one, as it is measured.
        """
        numbers, features = self.models.candidates(model, session.events, self._tuning, others)
        if direction is not None:
            features[:, CONTENT] = self._likeness(numbers, direction, FOR_YOU)
        order, scores, is_witnessed = rank_features(model, features, objective)
        if not is_witnessed.any():
            return BehaviourCandidates([], [])
        numbers, popularity = numbers[order], features[order, POPULARITY]
        if weights is not None:
            scores = np.float32(weights.get(BEHAVIOUR, 0.0)) * scale(scores)
            if direction is not None:
                scores += self._likeness(numbers, direction, weights)
            order = np.argsort(-scores, kind="stable")
            numbers, scores = numbers[order], scores[order]
        categories = self._replica.category_codes(numbers)
        # One without a category has no vector.
        shown = np.flatnonzero((categories != UNKNOWN) & allowed.mask(numbers))
        shares = model.shares(scores[shown]) if weights is None else softmax(scores[shown])
        if is_beside_others and weights is None and model.is_learned:
            shares = dampen(shares, popularity[shown] / np.float32(model.mean_popularity))
            order = np.argsort(-shares, kind="stable")
            shown, shares = shown[order], shares[order]
        lists, counts = by_interest(
            CandidateList(numbers[shown], shares),
            categories[shown],
            [
                (self._replica.category_code(interest.category), interest.weight)
                for interest in session.interests
            ],
            k,
        )
        return BehaviourCandidates(lists, counts, numbers)

    def _likeness(self, numbers: Ints, direction: Vector, weights: Weights) -> Floats:
        return dot_products(self._replica, numbers, self._layout.apply_weights(direction, weights))


def dampen(shares: Floats, popularity: Floats) -> Floats:
    """(n,) parts of 1 again, of products so many times (n,) as popular as the average: a smoothed lift.

    What is likely for everybody would stand in everybody's row, and tell nobody anything.
    """
    parts = shares / (popularity + np.float32(POPULARITY_PRIOR))
    found: Floats = parts / parts.sum() if len(parts) else parts
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
