"""In how many past visits products stand together, counted from a model's own index. Compiled, pure.

Visits of a product are those that the index finds by it: all of them, or its newest 1,000. Of two products
those of the rarer count, so that a count is exact unless both are in more than 1,000 visits; then it is of
the newest. `places` are as long as the index has products, all −1 between two calls.
"""

import numpy as np

from services.model.compiled import compile_code
from services.model.session_index import Ints, SessionIndex


@compile_code(is_entry=True)
def count_beside(index: SessionIndex, product: int, places: Ints) -> tuple[Ints, Ints]:
    """Products (n,) that visits hold beside this one, and in how many of its visits (n,) each of them is."""
    begin, end = index.place_starts[product], index.place_starts[product + 1]
    room = 0
    for at in range(begin, end):
        session = index.session_of[index.places[at]]
        room += index.starts[session + 1] - index.starts[session]
    products, visits = np.empty(room, np.int32), np.zeros(room, np.int32)
    last = np.full(room, -1, np.int32)
    met = 0
    for at in range(begin, end):
        session = index.session_of[index.places[at]]
        for place in range(index.starts[session], index.starts[session + 1]):
            other = index.items[place]
            if other == product:
                continue
            nth = places[other]
            if nth < 0:
                nth = places[other] = met
                products[met] = other
                met += 1
            if last[nth] != session:
                last[nth] = session
                visits[nth] += 1
    for nth in range(met):
        places[products[nth]] = -1
    return products[:met].copy(), visits[:met].copy()


@compile_code(is_entry=True)
def count_visits(index: SessionIndex, some: Ints, others: Ints, places: Ints) -> Ints:
    """(n, m) in how many visits each of `some` (n,) stands with each of `others` (m,), none of them twice.

    A product does not stand with itself; one that the index does not know, −1, with none. The fewer visits
    are walked through.
    """
    if _sum_support(index, others) < _sum_support(index, some):
        return _count_visits(index, others, some, places).T.copy()
    return _count_visits(index, some, others, places)


@compile_code()
def _sum_support(index: SessionIndex, products: Ints) -> float:
    total = 0.0
    for product in products:
        if product >= 0:
            total += index.support[product]
    return total


@compile_code()
def _count_visits(index: SessionIndex, some: Ints, others: Ints, places: Ints) -> Ints:
    """Through the visits of `some`."""
    found = np.zeros((len(some), len(others)), np.int32)
    last = np.empty(max(len(some), len(others)), np.int32)
    _mark(others, places)
    is_partial = False
    for nth in range(len(some)):
        product, last[:] = some[nth], -1
        if product < 0:
            continue
        is_whole = _has_all(index, product)
        is_partial |= not is_whole
        for at in range(index.place_starts[product], index.place_starts[product + 1]):
            session = index.session_of[index.places[at]]
            for place in range(index.starts[session], index.starts[session + 1]):
                other = places[index.items[place]]
                if other >= 0 and last[other] != session:
                    last[other] = session
                    if others[other] != product and (is_whole or _is_rarer(index, product, others[other])):
                        found[nth, other] += 1
    _unmark(others, places)
    if is_partial:
        _count_of_rarer(index, some, others, found, places)
    return found


@compile_code()
def _count_of_rarer(index: SessionIndex, some: Ints, others: Ints, found: Ints, places: Ints) -> None:
    """Through the visits of those of `others` that are rarer than one of `some` whose visits are not all
    known."""
    last = np.empty(len(some), np.int32)
    _mark(some, places)
    for nth in range(len(others)):
        product, last[:] = others[nth], -1
        if product < 0:
            continue
        for at in range(index.place_starts[product], index.place_starts[product + 1]):
            session = index.session_of[index.places[at]]
            for place in range(index.starts[session], index.starts[session + 1]):
                other = places[index.items[place]]
                if other >= 0 and last[other] != session:
                    last[other] = session
                    if not _has_all(index, some[other]) and _is_rarer(index, product, some[other]):
                        found[other, nth] += 1
    _unmark(some, places)


@compile_code(inline=True)
def _mark(products: Ints, places: Ints) -> None:
    """Where in `products` each stands."""
    for nth in range(len(products)):
        if products[nth] >= 0:
            places[products[nth]] = nth


@compile_code(inline=True)
def _unmark(products: Ints, places: Ints) -> None:
    for product in products:
        if product >= 0:
            places[product] = -1


@compile_code(inline=True)
def _has_all(index: SessionIndex, product: int) -> bool:
    """Whether all of its visits can be found, not the newest alone."""
    return bool(index.place_starts[product + 1] - index.place_starts[product] == index.support[product])


@compile_code(inline=True)
def _is_rarer(index: SessionIndex, one: int, other: int) -> bool:
    """Of two in as many visits the one with the smaller number; never a product than itself."""
    first, second = index.support[one], index.support[other]
    return first < second or (first == second and one < other)


@compile_code(is_entry=True)
def count_groups(index: SessionIndex, groups: Ints, count: int) -> Ints:
    """(count, count) in how many visits products of two groups stand together; by itself: in how many it is.

    `groups` (products,) are their groups' numbers, −1 for none. A pass over all visits: 0.1 s of 10 million
    events.
    """
    found = np.zeros((count, count), np.int32)
    last, met = np.full(count, -1, np.int32), np.empty(count, np.int32)
    for session in range(len(index.starts) - 1):
        here = 0
        for place in range(index.starts[session], index.starts[session + 1]):
            group = groups[index.items[place]]
            if group < 0 or last[group] == session:
                continue
            last[group] = session
            met[here] = group
            here += 1
            found[group, group] += 1
            for nth in range(here - 1):
                found[group, met[nth]] += 1
                found[met[nth], group] += 1
    return found
