"""Joins what was shown with what was done, by person: pure, in a few bytes a row shown."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from services.ops.experiments.behaviour import Behaviour, Longs, Purchase, row_key
from services.ops.experiments.messages import PastRow
from services.ops.experiments.persons import Persons

DAY_MS: Final = 24 * 60 * 60 * 1000
WINDOW_MS: Final = 7 * DAY_MS

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """One row a person who was shown a row of the experiment, each column (n,).

    `variants` are places in `names`. `shown` counts rows, `clicked` those of them with a click, `clicks`
    distinct pairs of row and product. `purchases` fall into the window after `first_at`; `attributed` are
    those of them with a product that the person had clicked in a row. `revenue` has a column for each
    currency.
    """

    names: tuple[str, ...]
    variants: npt.NDArray[np.int32]
    first_at: Longs
    switched: Bools
    shown: Longs
    clicked: Longs
    clicks: Longs
    purchases: Longs
    attributed: Longs
    valueless: Longs  # purchases of which nobody told the value
    revenue: dict[str, Floats]

    def __len__(self) -> int:
        return len(self.variants)


class Rows:
    """Takes rows of one experiment, after all events. Keeps 12 bytes a row, and a little a person."""

    def __init__(
        self, experiment: str, persons: Persons, behaviour: Behaviour, slot: str | None = None
    ) -> None:
        self._experiment, self._slot = experiment, slot
        self._persons, self._behaviour = persons, behaviour
        self._clicks = behaviour.clicks()
        self._places: dict[str, int] = {}
        self._first: list[tuple[int, str]] = []  # by person: when first, and in which variant
        self._switched = bytearray()
        self._keys, self._of = array("q"), array("i")
        self._clicked: dict[int, dict[int, dict[int, int]]] = {}  # person → row → product → when

    def __len__(self) -> int:
        return len(self._places)

    def extend(self, rows: Sequence[PastRow]) -> None:
        """Takes some more rows; those of other experiments and slots are forgotten."""
        ours = [row for row in rows if self._is_ours(row)]
        whose = [self._persons.of(row.visitor_id) for row in ours]
        places = [self._seen(person, row) for person, row in zip(whose, ours, strict=True)]
        keys = [row_key(person, row.recommendation_id) for person, row in zip(whose, ours, strict=True)]
        self._keys.extend(keys)
        self._of.extend(places)
        hit = np.isin(np.array(keys, dtype=np.int64), self._clicks.keys)
        for number in np.flatnonzero(hit).tolist():
            self._click(places[number], keys[number], ours[number])

    def joined(self, window_ms: int = WINDOW_MS) -> Joined:
        """All persons, with what they did; purchases count within `window_ms` of their first row."""
        count = len(self._places)
        names = tuple(sorted({variant for _, variant in self._first}))
        number = {name: place for place, name in enumerate(names)}
        bought = _Bought(count)
        for person, place in self._places.items():
            begin = self._first[place][0]
            orders = self._behaviour.purchases(person)
            within = [each for each in orders if begin <= each.at < begin + window_ms]
            if within:
                bought.add(place, within, self._clicked_products(place))
        clicked = [(place, rows) for place, rows in self._clicked.items()]
        return Joined(
            names=names,
            variants=np.array([number[variant] for _, variant in self._first], dtype=np.int32),
            first_at=np.array([at for at, _ in self._first], dtype=np.int64),
            switched=np.frombuffer(bytes(self._switched), dtype=np.bool_),
            shown=self._shown(),
            clicked=_column(count, [(place, len(rows)) for place, rows in clicked]),
            clicks=_column(count, [(place, sum(map(len, rows.values()))) for place, rows in clicked]),
            purchases=bought.purchases,
            attributed=bought.attributed,
            valueless=bought.valueless,
            revenue=dict(sorted(bought.revenue.items())),
        )

    def _is_ours(self, row: PastRow) -> bool:
        return self._experiment in row.experiments and self._slot in {None, row.slot}

    def _seen(self, person: str, row: PastRow) -> int:
        """The person's place. Where first in a variant is where a person belongs."""
        seen = (row.shown_at, row.experiments[self._experiment])
        place = self._places.setdefault(person, len(self._first))
        if place == len(self._first):
            self._first.append(seen)
            self._switched.append(0)
            return place
        first = self._first[place]
        if seen[1] != first[1]:
            self._switched[place] = 1
        if seen < first:
            self._first[place] = seen
        return place

    def _click(self, place: int, key: int, row: PastRow) -> None:
        shown = {hash(item.product_id) for item in row.items}
        there = {product: at for product, at in self._clicks.of(key) if product in shown}
        if there:
            self._clicked.setdefault(place, {})[key] = there

    def _clicked_products(self, place: int) -> dict[int, int]:
        """When a person first clicked on each product, in any row."""
        found: dict[int, int] = {}
        for products in self._clicked.get(place, {}).values():
            for product, at in products.items():
                found[product] = min(found.get(product, at), at)
        return found

    def _shown(self) -> Longs:
        """Rows a person, each once however often it came."""
        if not self._keys:
            return np.zeros(0, dtype=np.int64)
        _, firsts = np.unique(np.frombuffer(self._keys, dtype=np.int64), return_index=True)
        of = np.frombuffer(self._of, dtype=np.int32)[firsts]
        return np.bincount(of, minlength=len(self._places)).astype(np.int64)


class _Bought:
    def __init__(self, count: int) -> None:
        self._count = count
        self.purchases = np.zeros(count, dtype=np.int64)
        self.attributed = np.zeros(count, dtype=np.int64)
        self.valueless = np.zeros(count, dtype=np.int64)
        self.revenue: dict[str, Floats] = {}

    def add(self, place: int, orders: Sequence[Purchase], clicked: dict[int, int]) -> None:
        for order in orders:
            self.purchases[place] += 1
            if any(clicked.get(hash(product), order.at + 1) <= order.at for product in order.products):
                self.attributed[place] += 1
            if order.value is None:
                self.valueless[place] += 1
                continue
            column = self.revenue.setdefault(order.currency, np.zeros(self._count))
            column[place] += order.value


def _column(count: int, entries: Sequence[tuple[int, int]]) -> Longs:
    made = np.zeros(count, dtype=np.int64)
    for place, value in entries:
        made[place] = value
    return made
