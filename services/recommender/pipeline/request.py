"""What is asked for, and the row that answers it."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from schemas import objectives
from schemas.live import Cause, Fallback, RecommendedItem, Slot, SlotKind, Source
from schemas.objectives import Objective
from schemas.sessions import KIND_OF, Session
from services.model.content import Weights
from services.recommender.index.port import AVAILABLE, Where
from services.recommender.pipeline import explanation
from services.recommender.pipeline.candidate_list import CandidateList
from services.recommender.pipeline.diversity import RankedProduct
from services.recommender.pipeline.relaxation import WishCount
from services.recommender.search.search import Search, Searcher
from services.recommender.visitor_sessions import MergedSessions, OwnEvent

Row = tuple[RecommendedItem, ...]

PURCHASE: Final = KIND_OF["purchase"]


@dataclass(frozen=True, slots=True)
class RecommendationRequest:
    """One row. `slot` is its name on the page, by which rules know it; the kind where it has none.

    `product_ids` are what a row of kind `products` shows, and all of it.

    `weights` are those that differ from the kind's profile, None for none: naming one is asking for the
    weighted sum of the parts instead of the learned order. `diversity` and `brand_max` are None for the
    settings' own.

    `objective` is what the learned order is for, None for what experiments, rules and settings say.

    `given` are the caller's own filters, where a search's words have narrowed `where`: those never give way
    where nothing fits; None for `where` itself.

    `own` are the events of `session` that the visitor may be told of, None: all. Others are those of whom it
    is only claimed that they are the same person.
    """

    kind: SlotKind
    k: int
    where: Where
    slot: str = ""
    visitor_id: str | None = None
    session: Session | None = None
    own: frozenset[OwnEvent] | None = None
    product_id: str | None = None
    product_ids: tuple[str, ...] = ()
    search: Search | None = None
    given: Where | None = None
    weights: Weights = field(default_factory=dict)
    objective: Objective | None = None
    diversity: float | None = None
    brand_max: int | None = None
    without_seen: bool = False
    without_bought: bool = False
    explains: bool = False

    @property
    def excluded_products(self) -> frozenset[str]:
        """What the visitor has seen or bought, as far as that is not to be shown again and still an event."""
        if self.session is None or not (self.without_seen or self.without_bought):
            return frozenset()
        return frozenset(
            event.product_id for event in self.session.events if self.without_seen or event.kind == PURCHASE
        )

    @property
    def excluded_purchases(self) -> Collection[int]:
        """`purchase_digest` of what the visitor has bought, where that is not to be shown again."""
        return self.session.purchases if self.session is not None and self.without_bought else ()


@dataclass(frozen=True, slots=True)
class Reason:
    """Where a product of a row comes from, and what is said about it."""

    source: Source
    why: str
    cause: Cause | None = None

    def to(self, own: frozenset[OwnEvent] | None) -> "Reason":
        """As it may be told to whom only these events belong."""
        event = self.cause
        if own is None or event is None or (event.type, event.product_id, event.occurred_at) in own:
            return self
        return Reason(self.source, explanation.PICKED)


@dataclass(frozen=True, slots=True)
class CandidateSet:
    """Candidates that may be shown, best first in each list, and how much each list weighs in the row.

    `parts` gives weight · cosine of each part of a product's score. `fills`: whether popular products may
    fill a row that is too short, else more of one brand does; `in_order`: the one list is as it is to be
    shown. `fallback` tells what the lists lack, or why there are none.
    """

    lists: list[CandidateList] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    reason: Callable[[RankedProduct], Reason] | None = None
    parts: Callable[[RankedProduct], dict[str, float]] | None = None
    fallback: Fallback | None = None
    fills: bool = True
    in_order: bool = False


@dataclass(frozen=True, slots=True)
class RecommendationResult:
    """A row, and what there is to know about it.

    `counts` tell how many products would fit without one wish of a search, where nothing fits all of them.

    `model` is the version that served when it was made, `fallback` and `notice` are as the live protocol
    has them, `experiments` the visitor's variants. `propensities` are those of products that chance had a say
    about, as schemas.impressions has them.
    """

    row: Row
    model: str | None = None
    fallback: Fallback | None = None
    notice: str | None = None
    experiments: Mapping[str, str] = field(default_factory=dict)
    counts: tuple[WishCount, ...] = ()
    propensities: Mapping[str, float] = field(default_factory=dict)


SHOWN: Final = Where(availability=AVAILABLE)  # what a page gets without asking for more


class RequestBuilder:
    """Puts together what rows are made from, as it is known when it is called."""

    def __init__(self, sessions: MergedSessions, searcher: Searcher) -> None:
        self._sessions = sessions
        self._searcher = searcher

    async def search(self, slot: Slot) -> Search | None:
        """What a slot's words ask for; may wait for the network. None for a slot that is no search."""
        return await self._searcher.search(slot.query or "") if slot.kind == "search" else None

    def by_slot(self, visitor_id: str, slot: Slot, search: Search | None) -> RecommendationRequest:
        """A live slot of a visitor."""
        category = (slot.category or "").rstrip("/")
        where = replace(SHOWN, category=frozenset({category})) if category else SHOWN
        is_own = slot.kind == "for_you"
        return RecommendationRequest(
            kind=slot.kind,
            k=slot.k,
            where=where if search is None else search.narrow(where),
            given=where,
            slot=slot.name,
            visitor_id=visitor_id,
            session=self._sessions.session(visitor_id),
            own=self._sessions.own_events(visitor_id),
            product_id=slot.product_id,
            product_ids=slot.product_ids,
            objective=None if slot.objective is None else objectives.parse(slot.objective),
            search=search,
            without_seen=is_own,
            without_bought=is_own,
        )
