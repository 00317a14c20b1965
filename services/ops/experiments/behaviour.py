"""What visitors did: clicks as columns, purchases by person. Neither order nor repetition matters."""

from array import array
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.sessions import identity
from services.ops.experiments.messages import PastEvent

Longs = npt.NDArray[np.int64]

CLICKS: Final = frozenset({"select_item", "view_item"})


class Purchase(NamedTuple):
    """One order. `value` is None where neither it nor its lines' prices were told."""

    at: int
    value: float | None
    currency: str
    products: tuple[str, ...]


class Clicks(NamedTuple):
    """Distinct pairs of row and product, ordered by `keys` (n,): `products` (n,) hashes, `times` (n,) Unix ms
    of the earliest.
    """

    keys: Longs
    products: Longs
    times: Longs

    def of(self, key: int) -> list[tuple[int, int]]:
        """The products clicked in a row, as hashes, and when."""
        begin, end = np.searchsorted(self.keys, key, "left"), np.searchsorted(self.keys, key, "right")
        return list(zip(self.products[begin:end].tolist(), self.times[begin:end].tolist(), strict=True))


class Behaviour:
    """Takes events, and keeps 24 bytes a click and the purchases; all others are forgotten.

    Rows and products are kept as 64-bit hashes of this process: among 10 million, two share one with a
    chance of 3 in a million.
    """

    def __init__(self) -> None:
        self._keys, self._products, self._times = array("q"), array("q"), array("q")
        self._purchases: dict[str, dict[bytes, Purchase]] = {}

    def add(self, person: str, event: PastEvent) -> None:
        """Takes one event of a person."""
        if event.type in CLICKS:
            if event.recommendation_id:
                self._click(row_key(person, event.recommendation_id), event)
        elif event.type == "purchase":
            self._purchase(person, event)

    def clicks(self) -> Clicks:
        """All clicks that were taken, each once."""
        keys, products, times = (_longs(each) for each in (self._keys, self._products, self._times))
        order = np.lexsort((times, products, keys))
        keys, products, times = keys[order], products[order], times[order]
        first = np.ones(len(keys), dtype=bool)
        first[1:] = (keys[1:] != keys[:-1]) | (products[1:] != products[:-1])
        return Clicks(keys[first], products[first], times[first])

    def purchases(self, person: str) -> Sequence[Purchase]:
        """A person's orders, each once, the earliest first."""
        return sorted(self._purchases.get(person, {}).values(), key=_rank)

    def _click(self, key: int, event: PastEvent) -> None:
        for product in event.products():
            self._keys.append(key)
            self._products.append(hash(product))
            self._times.append(event.occurred_at)

    def _purchase(self, person: str, event: PastEvent) -> None:
        bought = Purchase(event.occurred_at, event.worth(), event.currency or "", event.products())
        known = self._purchases.setdefault(person, {})
        name = identity(event.event_id)
        known[name] = min(known.get(name, bought), bought, key=_rank)


def row_key(person: str, recommendation_id: str) -> int:
    """The row as shown to this person: whoever clicks on another's row clicks on none."""
    return hash((person, recommendation_id))


def _rank(purchase: Purchase) -> tuple[Any, ...]:
    return (purchase.at, purchase.value or 0.0, purchase.currency, purchase.products)


def _longs(column: "array[int]") -> Longs:
    return np.frombuffer(column, dtype=np.int64) if column else np.zeros(0, dtype=np.int64)
