"""The visitor's own row: what past sessions and its content say, interests taking turns."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from schemas.directions import unpack
from schemas.live import Fallback
from schemas.objectives import CLICK
from schemas.sessions import Session, SessionEvent
from schemas.vectors import Layout, Vector
from services.model.behaviour import Behaviour
from services.model.content import BEHAVIOUR, Weights
from services.model.session import Tuning, visits
from services.product_numbers import Ints
from services.recommender.catalogue import Catalogue
from services.recommender.pipeline.behaviour_candidates import BehaviourRetriever
from services.recommender.pipeline.candidate_list import CandidateList
from services.recommender.pipeline.content_candidates import ContentRetriever, InterestQuery
from services.recommender.pipeline.diversity import RankedProduct, quotas
from services.recommender.pipeline.explanation import parts_of
from services.recommender.pipeline.request import CandidateSet, Parts, RecommendationRequest
from services.recommender.pipeline.visit_reasons import VisitReasons
from services.vector_replica import VectorReplica

PRODUCTS_OF_INTEREST: Final = 12  # the newest of it, whose neighbours are looked at


class ForYou:
    """With a model its products and those found by content, as it ranks them; else near the interests."""

    def __init__(
        self,
        catalogue: Catalogue,
        finder: ContentRetriever,
        replica: VectorReplica,
        blender: BehaviourRetriever,
        *,
        layout: Layout,
        tuning: Tuning,
    ) -> None:
        self._catalogue = catalogue
        self._finder = finder
        self._replica = replica
        self._layout = layout
        self._blender = blender
        self._tuning = tuning

    async def retrieve(
        self, asked: RecommendationRequest, weights: Weights, model: Behaviour | None, *, is_weighed: bool
    ) -> CandidateSet:
        """`is_weighed`: by the weights that somebody has asked for, not in the learned order."""
        session = asked.session
        if session is None or not session.events:
            return CandidateSet(fallback="new_visitor")
        direction, interests = self._interests(session, weights)
        found = await self._finder.nearest_each(interests, weights, asked.k, asked.where)
        allowed = self._catalogue.filter(asked.where)
        lengths = quotas([interest.weight for interest in interests], asked.k)
        near = [
            each.only(allowed.mask(each.numbers), most)
            for each, most in zip(found or (), lengths if found else (), strict=True)
        ]
        away: Fallback | None = "index_away" if found is None else None
        reasons = VisitReasons(
            self._replica,
            self._layout,
            self._tuning,
            session=session,
            interests=interests,
            weights=weights,
        )
        if model is not None and weights.get(BEHAVIOUR, 0.0):
            origins = {number: origin for origin, each in enumerate(near) for number in each.numbers.tolist()}
            blend = self._blender.retrieve(
                model,
                session,
                np.array([*origins], dtype=np.int32),
                asked.k,
                allowed,
                direction=direction,
                weights=weights if is_weighed else None,
                objective=asked.objective or CLICK,
                is_beside_others=asked.page.type == "product",
            )
            if any(len(each.numbers) for each in blend.lists):
                return CandidateSet(
                    blend.lists,
                    blend.weights,
                    lambda chosen: reasons.find_by_model(model, chosen, origins),
                    parts=self._parts_by_model(origins, interests),
                    fallback=away,
                    found={"behaviour": [blend.found], "content": [each.numbers for each in found or ()]},
                )
        if any(len(each.numbers) for each in near):
            return self._near(near, interests, reasons)
        return CandidateSet(fallback=away or (None if interests else "no_vectors"))

    def _interests(self, session: Session, weights: Weights) -> tuple[Vector | None, list[InterestQuery]]:
        """The session's unit vector, and what its interests ask for: its one vector where it has none."""
        if not session.vector:
            return None, []
        packed = [session.vector, *(each.vector for each in session.interests)]
        directions = unpack(packed, self._layout)
        queries = self._layout.apply_weights(directions, weights)
        if not session.interests:
            return directions[0], [
                InterestQuery(queries[0], 1.0, self._newest(session.events)[:PRODUCTS_OF_INTEREST])
            ]
        visit = self._newest(session.events[visits(session.events, self._tuning.gap_ms)[-1] :])
        codes = self._replica.category_codes(visit)
        return directions[0], [
            InterestQuery(
                query,
                each.weight,
                visit[codes == self._replica.category_code(each.category)][:PRODUCTS_OF_INTEREST],
            )
            for query, each in zip(queries[1:], session.interests, strict=True)
        ]

    def _newest(self, events: Sequence[SessionEvent]) -> Ints:
        """The distinct products that have vectors, the newest first."""
        numbers = self._replica.numbers
        distinct = dict.fromkeys([event.product_id for event in reversed(events)])
        found = numbers.find_all([*distinct])
        return found[self._replica.has_vectors(found)]

    def _near(
        self, found: list[CandidateList], interests: list[InterestQuery], reasons: VisitReasons
    ) -> CandidateSet:
        def parts(chosen: RankedProduct) -> dict[str, float]:
            query = interests[chosen.origin].query
            return parts_of(query, self._replica.vector(chosen.product_id), self._layout)

        return CandidateSet(
            found,
            [interest.weight for interest in interests],
            lambda chosen: reasons.find_nearest(chosen, [each.origin for each in chosen]),
            parts=parts,
            found={"content": [each.numbers for each in found]},
        )

    def _parts_by_model(self, origins: dict[int, int], interests: list[InterestQuery]) -> Parts:
        def parts(chosen: RankedProduct) -> dict[str, float]:
            vector = self._replica.vector(chosen.product_id)
            query = interests[origins.get(chosen.number, 0)].query if interests else None
            content = {} if query is None else parts_of(query, vector, self._layout)
            return content | {BEHAVIOUR: round(chosen.score, 4)}

        return parts
