"""Whom to forget first when memory is short. Pure.

Visitors are cheap to invent: forty batches hold 100,000 of them. Forgetting whoever was not seen for longest
would let them push out everybody real, so who has done more stays longer.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from enum import IntEnum
from math import inf
from typing import Final, Generic, TypeVar

from schemas.sessions import KIND_OF, Session

K = TypeVar("K", bound=Hashable)

PURCHASE: Final = KIND_OF["purchase"]
NEWCOMERS_SHARE: Final = 1 / 8  # of all memory: who is new gets so much, or nobody could become known
DEMOTED_AT_ONCE: Final = 2  # of those whose page is closed by now; one a step would do


class Rank(IntEnum):
    """What keeps a visitor: the lower ranks go first."""

    ONCE = 0  # one event, as most who are invented have
    SEVERAL = 1
    BUYER = 2
    OPEN = 3  # looks at a page this very moment


# Each rank beyond its share, in order; then whatever is there. Open pages come behind all of these.
EVICTED_IN_TURN: Final = (
    (Rank.ONCE, NEWCOMERS_SHARE),
    (Rank.SEVERAL, NEWCOMERS_SHARE),
    (Rank.BUYER, 0.0),
    (Rank.SEVERAL, 0.0),
    (Rank.ONCE, 0.0),
)


def rank_of(session: Session) -> Rank:
    """By what a session remembers; a purchase counts also when it has left the events."""
    if session.bought or any(event.kind == PURCHASE for event in session.events):
        return Rank.BUYER
    return Rank.SEVERAL if len(session.events) > 1 else Rank.ONCE


class EvictionOrder(Generic[K]):
    """Visitors by rank, and within a rank by when they were used last. All steps are O(1), amortised.

    `is_open` is asked when a visitor is about to be forgotten: pages open and close far more often.
    """

    def __init__(
        self,
        *,
        bytes_max: float = inf,
        count_max: float = inf,
        is_open: Callable[[K], bool] = lambda _visitor: False,
    ) -> None:
        self._bytes_max = bytes_max
        self._count_max = count_max
        self._is_open = is_open
        self._ranks: dict[Rank, OrderedDict[K, None]] = {rank: OrderedDict() for rank in Rank}
        self._of: dict[K, tuple[Rank, Rank, int]] = {}  # where it stands, what it is by itself, its bytes
        self._bytes_of = dict.fromkeys(Rank, 0)
        self.bytes = 0

    def __iter__(self) -> Iterator[K]:
        return iter(self._of)

    def __len__(self) -> int:
        return len(self._of)

    def __contains__(self, visitor: K) -> bool:
        return visitor in self._of

    def put(self, visitor: K, size: int, rank: Rank) -> None:
        """A visitor takes so many bytes from now on, and was used."""
        self.remove(visitor)
        self._of[visitor] = (rank, rank, size)
        self._ranks[rank][visitor] = None
        self._bytes_of[rank] += size
        self.bytes += size

    def touch(self, visitor: K) -> None:
        """A visitor was used."""
        if (known := self._of.get(visitor)) is not None:
            self._ranks[known[0]].move_to_end(visitor)

    def remove(self, visitor: K) -> None:
        """Nothing of a visitor is kept any more."""
        if (known := self._of.pop(visitor, None)) is not None:
            del self._ranks[known[0]][visitor]
            self._bytes_of[known[0]] -= known[2]
            self.bytes -= known[2]

    def pop_excess(self) -> list[tuple[K, Rank]]:
        """Who is to be forgotten so that the rest fits, with what each was; they are forgotten here already.

        One visitor always fits.
        """
        evicted: list[tuple[K, Rank]] = []
        while (self.bytes > self._bytes_max or len(self) > self._count_max) and len(self) > 1:
            self._demote_closed()
            evicted.append(self._pop_least())
        return evicted

    def _pop_least(self) -> tuple[K, Rank]:
        for rank, share in EVICTED_IN_TURN:
            while self._ranks[rank] and self._share(rank) > share:
                visitor = next(iter(self._ranks[rank]))
                if not self._is_open(visitor):
                    self.remove(visitor)
                    return visitor, rank
                self._move(visitor, Rank.OPEN)
        visitor = next(iter(self._ranks[Rank.OPEN]))
        own = self._of[visitor][1]
        self.remove(visitor)
        return visitor, Rank.OPEN if self._is_open(visitor) else own

    def _share(self, rank: Rank) -> float:
        return max(self._bytes_of[rank] / self._bytes_max, len(self._ranks[rank]) / self._count_max)

    def _demote_closed(self) -> None:
        """Looks at those that stand with the open ones for longest; who still is goes behind the others."""
        open_ones = self._ranks[Rank.OPEN]
        for _ in range(min(DEMOTED_AT_ONCE, len(open_ones))):
            visitor = next(iter(open_ones))
            self._move(visitor, Rank.OPEN if self._is_open(visitor) else self._of[visitor][1])

    def _move(self, visitor: K, to: Rank) -> None:
        at, own, size = self._of[visitor]
        del self._ranks[at][visitor]
        self._ranks[to][visitor] = None
        self._of[visitor] = (to, own, size)
        self._bytes_of[at] -= size
        self._bytes_of[to] += size
