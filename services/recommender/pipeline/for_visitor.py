"""The visitor's own row: what past sessions and its content say, interests taking turns."""

from dataclasses import dataclass, replace

from schemas.live import Fallback
from schemas.sessions import Session
from schemas.vectors import Layout, Vector
from services.model import content as likeness
from services.model.behaviour import Behaviour
from services.model.content import BEHAVIOUR, Weights
from services.recommender.catalogue import Catalogue
from services.recommender.index.port import Hit
from services.recommender.pipeline import explanation
from services.recommender.pipeline.behaviour_candidates import BehaviourCandidates, BehaviourRetriever
from services.recommender.pipeline.content_candidates import ContentRetriever
from services.recommender.pipeline.diversity import RankedProduct
from services.recommender.pipeline.explanation import parts_of
from services.recommender.pipeline.request import CandidateSet, Reason, RecommendationRequest
from services.vector_replica import VectorReplica


@dataclass(frozen=True, slots=True)
class Interests:
    """What the index is asked for a session: a query an interest, and how much each counts."""

    queries: tuple[Vector, ...]
    weights: tuple[float, ...]

    @classmethod
    def of(cls, session: Session, layout: Layout, weights: Weights) -> "Interests":
        """The session's one vector where it has no interests, nothing without a vector."""
        if not session.vector:
            return cls((), ())
        packed = [each.vector for each in session.interests] or [session.vector]
        queries = likeness.queries(packed, layout, weights)
        return cls(tuple(queries), tuple(each.weight for each in session.interests) or (1.0,))


class ForYou:
    """With a model its products and those found by content, as it ranks them; else near the interests."""

    def __init__(
        self,
        catalogue: Catalogue,
        finder: ContentRetriever,
        replica: VectorReplica,
        layout: Layout,
        blender: BehaviourRetriever,
    ) -> None:
        self._catalogue = catalogue
        self._finder = finder
        self._replica = replica
        self._layout = layout
        self._blender = blender

    async def retrieve(
        self, asked: RecommendationRequest, weights: Weights, model: Behaviour | None, *, is_weighed: bool
    ) -> CandidateSet:
        """`is_weighed`: by the weights that somebody has asked for, not in the learned order."""
        session = asked.session
        if session is None or not session.events:
            return CandidateSet(fallback="new_visitor")
        interests = Interests.of(session, self._layout, weights)
        found = await self._finder.nearest_each(interests.queries, interests.weights, asked.k, asked.where)
        near = found or []
        away: Fallback | None = "index_away" if found is None else None
        if model is not None and weights.get(BEHAVIOUR, 0.0):
            origins = {hit.product_id: origin for origin, hits in enumerate(near) for hit in hits}
            blend = self._blender.retrieve(
                model, session, tuple(origins), asked.k, asked.where, weights=weights if is_weighed else None
            )
            if any(blend.lists):
                return replace(self._rank_by_model(session, blend, origins, interests), fallback=away)
        if any(near):
            return self._near(session, near, interests)
        return CandidateSet(fallback=away or (None if interests.queries else "no_vectors"))

    def _near(self, session: Session, found: list[list[Hit]], interests: Interests) -> CandidateSet:
        def parts(chosen: RankedProduct) -> dict[str, float]:
            query = interests.queries[chosen.origin]
            return parts_of(query, self._replica.vector(chosen.product_id), self._layout)

        return CandidateSet(
            found,
            list(interests.weights),
            lambda chosen: self._content(session, chosen.origin),
            parts,
        )

    def _rank_by_model(
        self, session: Session, blend: BehaviourCandidates, origins: dict[str, int], interests: Interests
    ) -> CandidateSet:
        def reason(chosen: RankedProduct) -> Reason:
            if chosen.product_id in blend.witnessed:
                return self._beside(blend, chosen.product_id)
            if chosen.product_id in origins:
                return self._content(session, origins[chosen.product_id])
            return Reason("behaviour", explanation.ALIKE)

        def parts(chosen: RankedProduct) -> dict[str, float]:
            vector = self._replica.vector(chosen.product_id)
            query = interests.queries[origins.get(chosen.product_id, 0)] if interests.queries else None
            content = {} if query is None else parts_of(query, vector, self._layout)
            return content | {BEHAVIOUR: round(chosen.score, 4)}

        return CandidateSet(blend.lists, blend.weights, reason, parts)

    def _beside(self, blend: BehaviourCandidates, product_id: str) -> Reason:
        """The newest event of the product's own category is the nearest to it; of no such, of any."""
        product = self._catalogue.get(product_id)
        event = blend.known.get(product.top_category if product else None) or blend.known.get(None)
        if event is None:
            return Reason("behaviour", explanation.ALIKE)
        return Reason(
            "behaviour",
            explanation.beside(self._catalogue.get(event.product_id)),
            explanation.cause_of(event),
        )

    def _content(self, session: Session, origin: int) -> Reason:
        interest = session.interests[origin] if session.interests else None
        event = session.events[interest.event] if interest else session.events[-1]
        why = explanation.because(event, self._catalogue.get(event.product_id))
        return Reason("content", why, explanation.cause_of(event))
