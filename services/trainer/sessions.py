"""What visitors did, session by session, as arrays: a pure function of the set of their events."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from schemas.sessions import KIND_OF, SESSION_GAP_MS
from services.trainer.topic_history import EventColumns

Places = npt.NDArray[np.int64]

SELECT_ITEM: Final = KIND_OF["select_item"]

# Odd multipliers that spread bits (splitmix64, murmur3).
SPREAD: Final = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB), np.uint64(0xFF51AFD7ED558CCD))


@dataclass(frozen=True, slots=True, eq=False)
class Histories:
    """Sessions in CSR form, ordered by the time of their last event, events of a session in their order.

    `products` are the ids of all products that occur, in alphabetical order. Event e is about
    `products[items[e]]` (int32), happened at `times[e]` (Unix ms, int64) and is of type
    `schemas.sessions.KINDS[types[e]]` (uint8); all three are (n,). Session s is the events
    `starts[s]:starts[s + 1]`; `starts` is (sessions + 1,) int64. No session is empty.
    """

    products: tuple[str, ...]
    items: npt.NDArray[np.int32]
    times: npt.NDArray[np.int64]
    types: npt.NDArray[np.uint8]
    starts: npt.NDArray[np.int64]

    @property
    def sessions(self) -> int:
        """How many there are."""
        return len(self.starts) - 1

    @property
    def ends(self) -> npt.NDArray[np.int64]:
        """(sessions,) the time of each session's last event, Unix ms; ascending."""
        return self.times[self.starts[1:] - 1]

    def session(self, number: int) -> tuple[str, ...]:
        """The products of one session, in order."""
        codes = self.items[self.starts[number] : self.starts[number + 1]]
        return tuple(self.products[code] for code in codes)

    def part(self, first: int, last: int) -> "Histories":
        """The sessions `first:last`, with the products that occur in them."""
        events = slice(int(self.starts[first]), int(self.starts[last]))
        starts = self.starts[first : last + 1] - self.starts[first]
        return compact(self.products, self.items[events], self.times[events], self.types[events], starts)


def newest(histories: Histories, most: int) -> Histories:
    """The newest sessions that have at most so many events together, but one at least."""
    if histories.starts[-1] <= most:
        return histories
    first = int(np.searchsorted(histories.starts, histories.starts[-1] - most))
    return histories.part(min(first, histories.sessions - 1), histories.sessions)


def sessionise(
    events: EventColumns, gap_ms: int = SESSION_GAP_MS, *, clicks_give_way: bool = True
) -> Histories:
    """The histories in a set of events: neither their order nor their repetition changes anything.

    Of each visitor the distinct events (by event_id and product) count, in the order of the live session:
    by (occurred_at, event_id, product_id). Of repetitions that differ in time or type the greatest counts,
    as it does there. A pause of more than `gap_ms` ends a session. Of sessions that end in the same ms that
    of the alphabetically first visitor comes first. Where `clicks_give_way` (services.model.session.Tuning),
    a select_item counts only where it is its session's newest event of its product.
    """
    visitors = _ranks(events.visitor_ids)[events.visitors]
    items = _ranks(events.product_ids)[events.items]
    kept = _distinct(visitors, events.event_ids, items, events.times, events.types)
    order = kept[np.lexsort((events.times[kept], visitors[kept]))]
    order = _in_order_of_ids(order, visitors, events.times, events.event_ids, items)

    gathered, starts = _by_end(visitors[order], events.times[order], gap_ms)
    order = order[gathered]
    if clicks_give_way:
        order, starts = _leave_out_clicks(order, starts, items, events.types)
    products = sorted(events.product_ids)
    return compact(products, items[order], events.times[order], events.types[order], starts)


def _leave_out_clicks(
    order: Places, starts: Places, items: npt.NDArray[Any], types: npt.NDArray[np.uint8]
) -> tuple[Places, Places]:
    """Rows, which are by session, without each select_item that a newer row of its product follows in it.

    A session's last row stays, so none is left empty and none ends earlier.
    """
    clicks = np.flatnonzero(types[order] == SELECT_ITEM)
    if not len(clicks):
        return order, starts
    sessions = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    pairs = sessions * (int(items.max()) + 1) + items[order]  # of session and product
    about = np.flatnonzero(np.isin(pairs, pairs[clicks]))  # all rows of a product that was clicked on
    newest_first = about[np.argsort(pairs[about], kind="stable")][::-1]
    _, firsts = np.unique(pairs[newest_first], return_index=True)
    stays = np.ones(len(order), np.bool_)
    stays[clicks] = False
    stays[newest_first[firsts]] = True
    left = np.concatenate([[0], np.cumsum(stays)])
    return order[stays], left[starts]


def compact(
    products: Sequence[str],
    items: npt.NDArray[Any],
    times: npt.NDArray[np.int64],
    types: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.int64],
) -> Histories:
    """Histories whose vocabulary holds only what occurs; `items` are places in `products`, in order."""
    occurs = np.bincount(items, minlength=len(products)) > 0
    used = tuple(products[place] for place in np.flatnonzero(occurs).tolist())
    codes = (np.cumsum(occurs) - 1)[items].astype(np.int32)
    return Histories(used, codes, times, types, starts)


def _ranks(ids: Sequence[str]) -> npt.NDArray[np.int32]:
    """(len(ids),) the place of each id in alphabetical order."""
    ranks = np.empty(len(ids), dtype=np.int32)
    ranks[sorted(range(len(ids)), key=ids.__getitem__)] = np.arange(len(ids), dtype=np.int32)
    return ranks


def _distinct(
    visitors: npt.NDArray[Any],
    ids: npt.NDArray[np.bytes_],
    items: npt.NDArray[Any],
    times: npt.NDArray[Any],
    types: npt.NDArray[Any],
) -> Places:
    """The rows that stay, ascending: of those with equal visitor, id and item the one latest in (time, type).

    Comparing millions of texts is slow, so rows are first told apart by a hash; those whose hash is not
    alone, few as a rule, are compared whole.
    """
    hashes = _hashes(visitors, ids, items)
    order = np.argsort(hashes, kind="stable")
    same = hashes[order[1:]] == hashes[order[:-1]]
    shared = np.sort(order[np.append(same, False) | np.insert(same, 0, False)]) if same.any() else order[:0]

    exact = shared[np.lexsort((types[shared], times[shared], items[shared], ids[shared], visitors[shared]))]
    repeated = (
        (visitors[exact[1:]] == visitors[exact[:-1]])
        & (ids[exact[1:]] == ids[exact[:-1]])
        & (items[exact[1:]] == items[exact[:-1]])
    )
    stays = np.ones(len(hashes), dtype=np.bool_)
    stays[exact[:-1][repeated]] = False
    return np.flatnonzero(stays)


def _hashes(
    visitors: npt.NDArray[Any], ids: npt.NDArray[np.bytes_], items: npt.NDArray[Any]
) -> npt.NDArray[np.uint64]:
    words = -(-ids.dtype.itemsize // 8)
    blocks = ids.astype(f"S{8 * words}").view("<u8").reshape(len(ids), words)
    hashes = visitors.astype(np.uint64) * SPREAD[0] + items.astype(np.uint64) * SPREAD[1]
    for word in range(words):
        hashes = (hashes ^ blocks[:, word]) * SPREAD[2]
        hashes ^= hashes >> np.uint64(32)
    return hashes


def _in_order_of_ids(
    order: Places,
    visitors: npt.NDArray[Any],
    times: npt.NDArray[Any],
    ids: npt.NDArray[np.bytes_],
    items: npt.NDArray[Any],
) -> Places:
    """`order`, which is by visitor and time, with what one visitor did in one ms put by id, then by item."""
    same = (visitors[order[1:]] == visitors[order[:-1]]) & (times[order[1:]] == times[order[:-1]])
    places = np.flatnonzero(np.append(same, False) | np.insert(same, 0, False)) if same.any() else order[:0]
    tied = order[places]
    ordered = order.copy()
    ordered[places] = tied[np.lexsort((items[tied], ids[tied], times[tied], visitors[tied]))]
    return ordered


def _by_end(visitors: npt.NDArray[Any], times: npt.NDArray[Any], gap_ms: int) -> tuple[Places, Places]:
    """Rows, which are by visitor and time, regrouped by sessions in order of their ends; and the starts."""
    new = np.ones(len(times), dtype=np.bool_)
    new[1:] = (visitors[1:] != visitors[:-1]) | (np.diff(times) > gap_ms)
    firsts = np.flatnonzero(new)
    lengths = np.diff(np.append(firsts, len(times)))
    lasts = firsts + lengths - 1
    sessions = np.lexsort((visitors[lasts], times[lasts]))
    starts = np.concatenate([[0], np.cumsum(lengths[sessions])]).astype(np.int64)
    rows = np.repeat(firsts[sessions] - starts[:-1], lengths[sessions]) + np.arange(len(times))
    return rows, starts
