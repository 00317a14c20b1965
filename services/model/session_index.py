"""Past sessions, laid out so that those which share a product with the current one are found at once. Pure.

The index of VMIS-kNN (Kersbergen, Sprangers, Schelter: Serenade, SIGMOD 2022): for each product the newest
sessions that hold it, newest first; and beside it what is known of each product by counting.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]

NEWEST: Final = 1000  # sessions of a product that can be found: with more, nothing measured was better
TREND_SHARE: Final = 0.01  # half-life of what is popular right now, as a share of all sessions
SEASON_SHARE: Final = 0.1  # half-life of what was popular of late
PER: Final = 10_000.0  # counts are given per so many sessions, so that they compare between shops


class SessionIndex(NamedTuple):
    """Flat, read-only arrays, which compiled code takes as they are and files map into memory.

    Session s, counted from the oldest, is `items[starts[s]:starts[s + 1]]` (product numbers, in order), and
    `session_of` tells s for each of these places. Product p is last seen in its newest sessions at the
    places `places[place_starts[p]:place_starts[p + 1]]`, newest first. `support` counts a product's
    sessions; `popularity`, `season` and `trend` its events per 10,000 sessions: all, and those of late with
    two half-lives. `first` and `last` number the sessions that held it first and last.
    """

    items: Ints
    session_of: Ints
    starts: Ints
    places: Ints
    place_starts: Ints
    support: Floats
    popularity: Floats
    season: Floats
    trend: Floats
    first: Ints
    last: Ints

    @property
    def sessions(self) -> int:
        """How many sessions there are."""
        return len(self.starts) - 1

    @property
    def products(self) -> int:
        """How many products there are; some may be in no session."""
        return len(self.support)

    @classmethod
    def of(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """From the arrays of an artifact."""
        return cls(*(read_only(arrays[f"sessions_{name}"]) for name in cls._fields))

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """For an artifact."""
        return {f"sessions_{name}": array for name, array in self._asdict().items()}


def build_index(items: Ints, starts: npt.NDArray[np.int64], products: int, newest: int) -> SessionIndex:
    """The index of sessions in order of time; of each product its `newest` sessions can be found."""
    sessions = len(starts) - 1
    session_of = np.repeat(np.arange(sessions, dtype=np.int32), np.diff(starts))
    places, place_starts = _newest_places(items, session_of, products, newest)
    ages = (sessions - 1 - session_of) / max(sessions, 1)
    per = PER / max(sessions, 1)
    first = np.full(products, sessions, dtype=np.int32)
    np.minimum.at(first, items, session_of)
    last = np.full(products, -1, dtype=np.int32)
    np.maximum.at(last, items, session_of)
    index = SessionIndex(
        items.astype(np.int32),
        session_of,
        starts.astype(np.int32),
        places,
        place_starts,
        _support(items, session_of, products),
        _sum_by_product(items, np.full(len(items), per), products),
        _sum_by_product(items, per * np.exp2(-ages / SEASON_SHARE), products),
        _sum_by_product(items, per * np.exp2(-ages / TREND_SHARE), products),
        first,
        last,
    )
    return SessionIndex(*map(read_only, index))


def extend_index(
    index: SessionIndex, sessions: Sequence[Sequence[int]], newest: int = NEWEST
) -> SessionIndex:
    """The index with these sessions after its own: product numbers, of products that it has."""
    lengths = [len(session) for session in sessions]
    items = np.array(list(chain.from_iterable(sessions)), dtype=np.int32)
    ends = len(index.items) + np.cumsum(lengths, dtype=np.int64)
    return build_index(
        np.concatenate([index.items, items]),
        np.concatenate([index.starts.astype(np.int64), ends]),
        index.products,
        newest,
    )


def read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A plain view nobody writes to. Compiled code is made once for each kind of array: let there be one."""
    view = np.asarray(array).view()
    view.flags.writeable = False
    return view


def _newest_places(items: Ints, session_of: Ints, products: int, newest: int) -> tuple[Ints, Ints]:
    """Of each product the newest place in each of its newest sessions."""
    order = np.lexsort((np.arange(len(items), 0, -1), items))
    of, session = items[order], session_of[order]
    distinct = np.ones(len(order), dtype=np.bool_)
    distinct[1:] = (of[1:] != of[:-1]) | (session[1:] != session[:-1])
    order, of = order[distinct], of[distinct]
    begins = np.searchsorted(of, np.arange(products + 1))
    kept = np.arange(len(of)) - begins[of] < newest
    place_starts = np.concatenate([[0], np.cumsum(np.bincount(of[kept], minlength=products))])
    return order[kept].astype(np.int32), place_starts.astype(np.int32)


def _support(items: Ints, session_of: Ints, products: int) -> Floats:
    pairs = np.unique(session_of.astype(np.int64) * products + items) if products else items
    return np.bincount(pairs % max(products, 1), minlength=products).astype(np.float32)


def _sum_by_product(items: Ints, weights: npt.NDArray[np.floating], products: int) -> Floats:
    return np.bincount(items, weights=weights, minlength=products).astype(np.float32)
