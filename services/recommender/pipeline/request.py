"""What is asked for, and the row that answers it."""

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from schemas import objectives
from schemas.live import (
    COMPLEMENTS,
    CauseProduct,
    Fallback,
    Funnel,
    PageContext,
    Reason,
    RecommendedItem,
    Slot,
    SlotKind,
)
from schemas.objectives import Objective
from schemas.sessions import KIND_OF, Session
from services.clock import now_ms
from services.model.content import Weights
from services.product_numbers import Ints
from services.recommender.index.port import AVAILABLE, Where
from services.recommender.pipeline.candidate_list import CandidateList
from services.recommender.pipeline.distinct import ASKED_FOR
from services.recommender.pipeline.diversity import RankedProduct
from services.recommender.pipeline.purchases import NO_EFFECTS, PurchaseEffects
from services.recommender.pipeline.recent_searches import RecentSearch, RecentSearches
from services.recommender.pipeline.relaxation import WishCount
from services.recommender.pipeline.visit_reasons import DISMISSAL, find_dismissed
from services.recommender.search.search import Search, Searcher
from services.recommender.visitor_sessions import MergedSessions, OwnEvent

Row = tuple[RecommendedItem, ...]

T = TypeVar("T")

PURCHASE: Final = KIND_OF["purchase"]
ANYWHERE: Final = PageContext()


class SharedLookups:
    """What rows that are made together look up once."""

    def __init__(self) -> None:
        self._found: dict[Hashable, object] = {}

    def once(self, key: Hashable, find: Callable[[], T]) -> T:
        """What `find` gives, or has given for the same key."""
        if key not in self._found:
            self._found[key] = find()
        return self._found[key]  # type: ignore[return-value]  # a key stands for one call of `find`


@dataclass(frozen=True, slots=True)
class RecommendationRequest:
    """One row. `slot` is its name on the page, by which rules know it; the kind where it has none.

    `product_ids` are what a row of kind `products` shows, and all of it; what complements go with, beside
    `product_id`. `shown` is what other rows of the page show, which this one leaves out.

    `weights` are those that differ from the kind's profile, None for none: naming one is asking for the
    weighted sum of the parts instead of the learned order. `diversity` and `brand_max` are None for the
    settings' own.

    `objective` is what the learned order is for, None for what experiments, rules and settings say.

    `given` are the caller's own filters, where a search's words have narrowed `where`: those never give way
    where nothing fits; None for `where` itself.

    `searches` are the visitor's of the last minutes, `effects` what follows from the visitor's purchases, and
    `page` is the one around the row: all three count, and filter nothing.

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
    shown: frozenset[str] = frozenset()
    searches: tuple[RecentSearch, ...] = ()
    effects: PurchaseEffects = NO_EFFECTS
    page: PageContext = ANYWHERE
    explains: bool = False
    debug: bool = False

    @property
    def page_category(self) -> str:
        """The category whose page the row stands on; empty for none."""
        return (self.page.category or "").rstrip("/")

    @property
    def about(self) -> tuple[str, ...]:
        """The products that the row is about; of those that a page names itself, none."""
        others = self.product_ids if self.kind in COMPLEMENTS else ()
        if self.product_id is None:
            return others
        return (self.product_id, *(each for each in others if each != self.product_id))

    @property
    def excluded_products(self) -> frozenset[str]:
        """What the visitor has seen or bought, as far as that is not to be shown again and still an event,
        and what the visitor wants no more of."""
        if self.session is None:
            return frozenset()
        leaves = {DISMISSAL} if self.kind not in ASKED_FOR else set()
        leaves |= {PURCHASE} if self.without_bought else set()
        return frozenset(
            event.product_id for event in self.session.events if self.without_seen or event.kind in leaves
        )

    @property
    def excluded_purchases(self) -> Collection[int]:
        """`purchase_digest` of what the visitor has bought, where that is not to be shown again."""
        return self.session.purchases if self.session is not None and self.without_bought else ()


Explain = Callable[[Sequence[RankedProduct]], Sequence[Reason]]  # why each of a row's products is in it
Parts = Callable[[RankedProduct], dict[str, float]]  # weight · cosine of each part of a product's score


def explain_apart(is_own: Callable[[RankedProduct], bool], own: Explain, others: Explain | None) -> Explain:
    """Products of a row, some of which are explained in one way and all others in another."""

    def explain(chosen: Sequence[RankedProduct]) -> list[Reason]:
        rest = [each for each in chosen if not is_own(each)]
        first = [each for each in chosen if is_own(each)]
        of_rest = iter(others(rest) if others is not None and rest else ())
        of_first = iter(own(first) if first else ())
        return [next(of_first if is_own(each) else of_rest) for each in chosen]

    return explain


@dataclass(frozen=True, slots=True)
class CandidateSet:
    """Candidates that may be shown, best first in each list, and how much each list weighs in the row.

    `explain` tells why products of the row are in it, all at once; `say` puts a reason in words where the
    usual ones say less. `parts` gives weight · cosine of each part of a product's score. `fills`: whether
    popular products may fill a row that is too short, else more of one brand does; `in_order`: the one list
    is as it is to be shown. `fallback` tells what the lists lack, or why there are none. `found` are the
    products by number that each source brought, in arrays, before any filter; `absent` those that would be
    candidates if filters let them through.
    """

    lists: list[CandidateList] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    explain: Explain | None = None
    say: Callable[[RankedProduct, Reason], str | None] | None = None
    parts: Parts | None = None
    fallback: Fallback | None = None
    fills: bool = True
    in_order: bool = False
    found: Mapping[str, Sequence[Ints]] = field(default_factory=dict)
    absent: frozenset[str] = frozenset()

    def beside(
        self, name: str, found: CandidateList, weight: float, explain: Explain, parts: Parts | None = None
    ) -> "CandidateSet":
        """With one more list, of a source of this name, that has its own weight, reasons and parts."""
        origin, parts_of_others = len(self.lists), self.parts

        def tell_parts(chosen: RankedProduct) -> dict[str, float]:
            tell = parts if chosen.origin == origin else parts_of_others
            return {} if tell is None else tell(chosen)

        return replace(
            self,
            lists=[*self.lists, found],
            weights=[*self.weights, weight],
            explain=explain_apart(lambda chosen: chosen.origin == origin, explain, self.explain),
            parts=tell_parts,
            found={**self.found, name: [found.numbers]},
        )


@dataclass(frozen=True, slots=True)
class RecommendationResult:
    """A row, and what there is to know about it.

    `counts` tell how many products would fit without one wish of a search, where nothing fits all of them.

    `model` is the version that served when it was made, `fallback` and `notice` are as the live protocol
    has them, `experiments` the visitor's variants, `causes` the products that reasons name. `absent` are
    products that a short row would have if filters let them through. `propensities` are those of products
    that chance had a say about, as schemas.impressions has them.
    """

    row: Row
    model: str | None = None
    fallback: Fallback | None = None
    notice: str | None = None
    experiments: Mapping[str, str] = field(default_factory=dict)
    counts: tuple[WishCount, ...] = ()
    causes: Mapping[str, CauseProduct] = field(default_factory=dict)
    funnel: Funnel | None = None
    absent: frozenset[str] = frozenset()
    propensities: Mapping[str, float] = field(default_factory=dict)


SHOWN: Final = Where(availability=AVAILABLE)  # what a page gets without asking for more


@dataclass(frozen=True, slots=True)
class RequestWords:
    """What words ask for: those of a slot that is a search, those that the visitor searched for lately."""

    search: Search | None = None
    recent: tuple[RecentSearch, ...] = ()


NO_WORDS: Final = RequestWords()


class RequestBuilder:
    """Puts together what rows are made from, as it is known when it is called."""

    def __init__(
        self, sessions: MergedSessions, searcher: Searcher, clock: Callable[[], float] = now_ms
    ) -> None:
        """`clock`: Unix ms."""
        self._sessions = sessions
        self._searcher = searcher
        self._recent = RecentSearches(sessions, searcher, clock)

    async def words(self, visitor_id: str | None, slot: Slot) -> RequestWords:
        """What the words of a slot, and of its visitor, ask for; may wait for the network."""
        if slot.kind == "search":
            return RequestWords(await self._searcher.search(slot.query or ""))
        if slot.kind == "for_you" and visitor_id is not None:
            return RequestWords(recent=await self.recent(visitor_id))
        return NO_WORDS

    async def recent(self, visitor_id: str) -> tuple[RecentSearch, ...]:
        """The visitor's searches of the last minutes; may wait for the network."""
        return await self._recent.find(visitor_id)

    def find_dismissed(self, visitor_id: str) -> frozenset[str]:
        """The products of which the visitor wants no more."""
        session = self._sessions.session(visitor_id)
        return find_dismissed(session) if session is not None else frozenset()

    def by_slot(
        self,
        visitor_id: str | None,
        slot: Slot,
        words: RequestWords,
        shown: frozenset[str] = frozenset(),
        *,
        is_back_end: bool = False,
    ) -> RecommendationRequest:
        """A slot of a visitor's page, None for nobody's. `shown` is what the page shows before it.

        A back end is told of all events, a visitor of those that are its own for certain.
        """
        category = (slot.category or "").rstrip("/")
        where = replace(SHOWN, category=frozenset({category})) if category else SHOWN
        is_own, search = slot.kind == "for_you", words.search
        return RecommendationRequest(
            kind=slot.kind,
            k=slot.k,
            where=where if search is None else search.narrow(where),
            given=where,
            slot=slot.name,
            visitor_id=visitor_id,
            session=None if visitor_id is None else self._sessions.session(visitor_id),
            own=None if visitor_id is None or is_back_end else self._sessions.own_events(visitor_id),
            product_id=slot.product_id,
            product_ids=slot.product_ids,
            objective=None if slot.objective is None else objectives.parse(slot.objective),
            search=search,
            searches=words.recent,
            page=slot.page or ANYWHERE,
            without_seen=is_own,
            without_bought=is_own,
            shown=shown,
            explains=slot.debug,
            debug=slot.debug,
        )
