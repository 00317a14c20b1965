"""What was shown again and again and never clicked gives way, and comes back with time. Pure.

A row is seen, or it is not: only rows that a visitor saw are in the session (`Session.shown_products`).
"""

from collections.abc import Callable, Iterable
from math import exp2
from typing import Final, NamedTuple

import numpy as np

from schemas.sessions import Session, ShownProduct
from schemas.times import DAY_MS
from services.model.session_index import Floats
from services.product_numbers import Ints

OFTEN: Final = 3  # rows: from so many on without an event about it a product fades, by half for each
RECOVERY_S: Final = 3 * DAY_MS / 1000  # half-life of how often that was

FindProducts = Callable[
    [Iterable[int]], frozenset[str]
]  # those of digests (schemas.sessions.purchase_digest)


class Faded(NamedTuple):
    """Products (n,) by number in ascending order, and what is left of the relevance (n,) of each, 0 to 1."""

    numbers: Ints
    factors: Floats

    def take(self, numbers: Ints) -> Floats:
        """(n,) the factor of each of these products, 1 for most."""
        found = np.ones(len(numbers), np.float32)
        if len(self.numbers):
            places = np.minimum(np.searchsorted(self.numbers, numbers), len(self.numbers) - 1)
            is_faded = self.numbers[places] == numbers
            found[is_faded] = self.factors[places[is_faded]]
        return found


def fade(shown: ShownProduct, now_s: float) -> float:
    """What is left of the relevance of a product that nothing was done with, at `now_s`, Unix time in s."""
    beyond = shown.times - OFTEN + 1
    if beyond <= 0:
        return 1.0
    return exp2(-beyond * exp2(-max(now_s - shown.at, 0.0) / RECOVERY_S))


def find_faded(
    session: Session | None,
    find: FindProducts,
    number_of: Callable[[str], int],
    now_s: float,
) -> Faded | None:
    """What of the visitor's products has faded; None for nothing, which costs nothing."""
    if session is None or not session.shown:
        return None
    often = {digest: each for digest, each in session.shown_products.items() if each.times >= OFTEN}
    if not often:
        return None
    touched = {event.product_id for event in session.events}
    found = sorted(
        (number_of(product_id), fade(shown, now_s))
        for digest, shown in often.items()
        for product_id in find((digest,)) - touched
    )
    if not found:
        return None
    numbers, factors = zip(*found, strict=True)
    return Faded(np.array(numbers, np.int32), np.array(factors, np.float32))
