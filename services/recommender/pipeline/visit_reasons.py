"""Which of a visitor's own events put a product into the row: by visits, by content, by what is alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from schemas.live import Cause, Reason, ReasonKind
from schemas.sessions import KIND_OF, Session, SessionEvent
from schemas.vectors import Layout
from services.model.behaviour import Behaviour
from services.model.candidates import CONTEXT_MAX
from services.model.content import BEHAVIOUR, Weights
from services.model.session import Tuning, event_weights, visits
from services.model.session_index import Floats
from services.product_numbers import Ints
from services.recommender.pipeline.content_candidates import InterestQuery
from services.recommender.pipeline.diversity import RankedProduct
from services.recommender.pipeline.explanation import cause_of
from services.vector_replica import VectorReplica

DISMISSAL: Final = KIND_OF["dismiss_item"]
NEVER_TOGETHER: Final = Reason(kind="alike")  # and nothing of the visit is like it


def find_dismissed(session: Session) -> frozenset[str]:
    """The products of which the visitor wants no more."""
    return frozenset(event.product_id for event in session.events if event.kind == DISMISSAL)


@dataclass(frozen=True, slots=True)
class VisitProducts:
    """The newest products of the current visit that speak for others, (n,): as many as a model looks up.

    The cause of each is its event that weighs most, of equal ones the newest.
    """

    product_ids: tuple[str, ...]
    causes: tuple[Cause, ...]
    weights: Floats

    @classmethod
    def of(cls, session: Session, tuning: Tuning) -> Self:
        """What was taken back, or is wanted no more, speaks for nothing."""
        visit = session.events[visits(session.events, tuning.gap_ms)[-1] :]
        dismissed = find_dismissed(session)
        heaviest: dict[str, tuple[float, SessionEvent]] = {}
        for weight, event in zip(reversed(event_weights(visit, [0], tuning)), reversed(visit), strict=True):
            known = heaviest.get(event.product_id)
            if weight <= 0 or event.product_id in dismissed:
                continue
            if known is None and len(heaviest) == CONTEXT_MAX:
                continue
            if known is None or weight > known[0]:
                heaviest[event.product_id] = weight, event
        return cls(
            tuple(heaviest),
            tuple([cause_of(event) for _, event in heaviest.values()]),
            np.array([weight for weight, _ in heaviest.values()], dtype=np.float32),
        )


class VisitReasons:
    """For the products of one row, whose interests and weights these are."""

    def __init__(
        self,
        replica: VectorReplica,
        layout: Layout,
        tuning: Tuning,
        *,
        session: Session,
        interests: Sequence[InterestQuery],
        weights: Weights,
    ) -> None:
        self._replica = replica
        self._layout = layout
        self._tuning = tuning
        self._session = session
        self._interests = interests
        self._weights = weights

    @cached_property
    def _visit(self) -> VisitProducts:
        return VisitProducts.of(self._session, self._tuning)

    def find_by_model(
        self,
        model: Behaviour,
        chosen: Sequence[RankedProduct],
        origins: Mapping[int, int],
    ) -> list[Reason]:
        """By visits that hold a product beside one of this visit, where there are any; by content, where that
        has found it (`origins`: product → interest); else by what is like it to the model."""
        found: dict[int, Reason] = {}
        if self._visit.product_ids:
            counts = model.count_visits(_ids(chosen), self._visit.product_ids)
            seen_together = np.flatnonzero(counts.any(axis=1))
            counts = counts[seen_together]
            reasons = self._by_greatest("co_visited", counts * self._visit.weights, counts)
            found = dict(zip([chosen[nth].number for nth in seen_together.tolist()], reasons, strict=True))
        near = [each for each in chosen if each.number not in found and each.number in origins]
        if near:
            nearest = self.find_nearest(near, [origins[each.number] for each in near])
            found.update(zip([each.number for each in near], nearest, strict=True))
        rest = [each for each in chosen if each.number not in found]
        if rest and self._visit.product_ids:
            likeness = np.maximum(model.closeness(_ids(rest), self._visit.product_ids), 0)
            reasons = self._by_greatest("alike", likeness * self._visit.weights)
            found.update(zip([each.number for each in rest], reasons, strict=True))
        return [found.get(each.number, NEVER_TOGETHER) for each in chosen]

    def find_nearest(self, chosen: Sequence[RankedProduct], origins: Sequence[int]) -> list[Reason]:
        """Of each product the nearest of the interest that found it, by what the row is ranked by.

        An interest of which the current visit has nothing is told by its heaviest event.
        """
        visit, replica = self._visit, self._replica
        numbers = replica.numbers.find_all(visit.product_ids)
        units = replica.units_of(np.array([each.number for each in chosen], dtype=np.int32))
        queries = self._layout.apply_weights(units, self._weights)
        likeness = queries @ replica.units_of(numbers).T
        most = sum(max(weight, 0.0) for name, weight in self._weights.items() if name != BEHAVIOUR) or 1.0
        categories = replica.category_codes(numbers)
        found = []
        for nth, origin in enumerate(origins):
            is_own = self._is_of_interest(origin, categories) & (likeness[nth] > 0)
            if is_own.any():
                at = int(np.argmax(np.where(is_own, likeness[nth], 0.0)))
                cause: Cause | None = visit.causes[at]
                strength = float(likeness[nth, at])
            else:
                cause = self._find_heaviest(origin)
                strength = float(units[nth] @ self._interests[origin].query)
            found.append(_reason("content", cause, strength / most))
        return found

    def _is_of_interest(self, origin: int, categories: Ints) -> npt.NDArray[np.bool_]:
        """(n,) of products of the visit."""
        if not self._session.interests:
            return np.ones(len(categories), np.bool_)
        code = self._replica.category_code(self._session.interests[origin].category)
        found: npt.NDArray[np.bool_] = categories == code
        return found

    def _find_heaviest(self, origin: int) -> Cause | None:
        """None where all that is known speaks against products."""
        session = self._session
        event = session.events[session.interests[origin].event if session.interests else -1]
        is_against = self._tuning.kind_weights[event.kind] <= 0 or event.product_id in find_dismissed(session)
        return None if is_against else cause_of(event)

    def _by_greatest(self, kind: ReasonKind, values: Floats, counts: Ints | None = None) -> list[Reason]:
        """Of (n, m) values of products with those of the visit the greatest of each, beside the row's own."""
        places, best = values.argmax(axis=1), values.max(axis=1)
        strengths = best / (best.max(initial=0.0) or 1.0)
        together = np.zeros_like(places) if counts is None else counts[np.arange(len(places)), places]
        causes = self._visit.causes
        return [
            _reason(kind, causes[at], strength, count)
            for at, strength, count in zip(
                places.tolist(), strengths.tolist(), together.tolist(), strict=True
            )
        ]


def _ids(chosen: Sequence[RankedProduct]) -> list[str]:
    return [each.product_id for each in chosen]


def _reason(kind: ReasonKind, cause: Cause | None, strength: float, together: int = 0) -> Reason:
    return Reason(
        kind=kind,
        strength=round(min(max(strength, 0.0), 1.0), 4),
        cause=cause,
        product_id=None if cause is None else cause.product_id,
        visits=together,
    )
