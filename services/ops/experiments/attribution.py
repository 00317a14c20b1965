"""Joins what was shown with what was done, by person: pure, in a few bytes a row shown."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from schemas.events import CLICKS, Amount, Currency, Name, find_id
from schemas.sessions import identity
from schemas.times import DAY_MS
from schemas.topics import EVENTS, RECOMMENDATIONS
from schemas.unreadable import read
from services.archive import history_events
from services.kafka.messages import MessageType
from services.ops.experiments.off_policy import Explorations, ExploredPlaces
from services.visitors.identity_graph import IdentityGraph


class Line(history_events.Line, frozen=True, gc=False):
    """One line of a list, cart or order."""

    quantity: int | None = None
    price: Amount | None = None


class HistoryEvent(history_events.HistoryEvent, frozen=True, gc=False, kw_only=True):
    """Also what an event was worth, and the row that it came from."""

    items: tuple[Line, ...] = ()
    value: float | None = None
    currency: Currency | None = None
    recommendation_id: Name | None = None

    def worth(self) -> float | None:
        """What an order comes to: its value, else its lines' prices; None where some line has no price."""
        if self.value is not None:
            return self.value
        prices = [line.price for line in self.items if line.price is not None]
        if not self.items or len(prices) < len(self.items):
            return None
        return sum(price * (line.quantity or 1) for price, line in zip(prices, self.items, strict=True))


class ShownProduct(msgspec.Struct, frozen=True, gc=False):
    """Of a schemas.impressions.ShownItem."""

    product_id: str
    propensity: float | None = None


class ShownRow(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Of a schemas.impressions.Shown."""

    recommendation_id: str
    visitor_id: str
    slot: str
    shown_at: int
    items: tuple[ShownProduct, ...]
    experiments: dict[str, str] = {}  # experiment → variant


_decode_event = msgspec.json.Decoder(HistoryEvent).decode
_decode_row = msgspec.json.Decoder(ShownRow).decode


EVENT: Final[MessageType[HistoryEvent]] = MessageType(
    EVENTS, partial(read, _decode_event), attrgetter("visitor_id"), "occurred_at"
)
ROW: Final[MessageType[ShownRow]] = MessageType(
    RECOMMENDATIONS, partial(read, _decode_row), attrgetter("visitor_id")
)


Longs = npt.NDArray[np.int64]


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

    def add(self, person: str, event: HistoryEvent) -> None:
        """Takes one event of a person."""
        if event.type in CLICKS:
            if event.recommendation_id:
                key = row_key(person, event.recommendation_id)
                for product in event.products():
                    self._keys.append(key)
                    self._products.append(hash(product))
                    self._times.append(event.occurred_at)
        elif event.type == "purchase":
            bought = Purchase(event.occurred_at, event.worth(), event.currency or "", event.products())
            known = self._purchases.setdefault(person, {})
            name = identity(find_id(event.event_id, event.type, event.order_id))
            known[name] = min(known.get(name, bought), bought, key=_rank)

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


def row_key(person: str, recommendation_id: str) -> int:
    """The row as shown to this person: whoever clicks on another's row clicks on none."""
    return hash((person, recommendation_id))


def _rank(purchase: Purchase) -> tuple[Any, ...]:
    return (purchase.at, purchase.value or 0.0, purchase.currency, purchase.products)


def _longs(column: "array[int]") -> Longs:
    return np.frombuffer(column, dtype=np.int64) if column else np.zeros(0, dtype=np.int64)


WINDOW_MS: Final = 7 * DAY_MS

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Attribution:
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
    explored: ExploredPlaces

    def __len__(self) -> int:
        return len(self.variants)


class Rows:
    """Takes rows of one experiment, after all events. Keeps 22 bytes a row, and a little a person."""

    def __init__(
        self, experiment: str, graph: IdentityGraph, behaviour: Behaviour, slot: str | None = None
    ) -> None:
        self._experiment, self._slot = experiment, slot
        self._graph, self._behaviour = graph, behaviour
        self._clicks = behaviour.clicks()
        self._places: dict[str, int] = {}
        self._first: list[tuple[int, str]] = []  # by person: when first, and in which variant
        self._switched = bytearray()
        self._keys, self._of = array("q"), array("i")
        self._clicked: dict[int, dict[int, dict[int, int]]] = {}  # person → row → product → when
        self._explorations = Explorations()

    def __len__(self) -> int:
        return len(self._places)

    def extend(self, rows: Sequence[ShownRow]) -> None:
        """Takes some more rows; those of other experiments and slots are forgotten."""
        ours = [row for row in rows if self._experiment in row.experiments and self._slot in {None, row.slot}]
        whose = [self._graph.person(row.visitor_id) for row in ours]
        places = [self._place_of(person, row) for person, row in zip(whose, ours, strict=True)]
        keys = [row_key(person, row.recommendation_id) for person, row in zip(whose, ours, strict=True)]
        self._keys.extend(keys)
        self._of.extend(places)
        for row in ours:
            self._explorations.add([item.propensity for item in row.items])
        hit = np.isin(np.array(keys, dtype=np.int64), self._clicks.keys)
        for number in np.flatnonzero(hit).tolist():
            key, shown = keys[number], {hash(item.product_id): item for item in ours[number].items}
            there = {product: at for product, at in self._clicks.of(key) if product in shown}
            if there:
                self._clicked.setdefault(places[number], {})[key] = there
            if there and any(item.propensity is not None for item in shown.values()):
                propensities = [shown[product].propensity for product in there]
                self._explorations.add_clicks(places[number], key, propensities)

    def attribute(self, window_ms: int = WINDOW_MS) -> Attribution:
        """All persons, with what they did; purchases count within `window_ms` of their first row."""
        count = len(self._places)
        names = tuple(sorted({variant for _, variant in self._first}))
        number = {name: place for place, name in enumerate(names)}
        bought = _PurchaseColumns(count)
        for person, place in self._places.items():
            begin = self._first[place][0]
            orders = self._behaviour.purchases(person)
            within = [each for each in orders if begin <= each.at < begin + window_ms]
            if within:
                bought.add(place, within, self._products_clicked(place))
        clicked = self._clicked.items()
        rows, whose = self._distinct_rows()
        return Attribution(
            names=names,
            variants=np.array([number[variant] for _, variant in self._first], dtype=np.int32),
            first_at=np.array([at for at, _ in self._first], dtype=np.int64),
            switched=np.frombuffer(bytes(self._switched), dtype=np.bool_),
            shown=np.bincount(whose, minlength=count).astype(np.int64),
            clicked=_column(count, [(place, len(rows)) for place, rows in clicked]),
            clicks=_column(count, [(place, sum(map(len, rows.values()))) for place, rows in clicked]),
            purchases=bought.purchases,
            attributed=bought.attributed,
            valueless=bought.valueless,
            revenue=dict(sorted(bought.revenue.items())),
            explored=self._explorations.columns(rows, whose, count),
        )

    def _place_of(self, person: str, row: ShownRow) -> int:
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

    def _products_clicked(self, place: int) -> dict[int, int]:
        """When a person first clicked on each product, in any row."""
        found: dict[int, int] = {}
        for products in self._clicked.get(place, {}).values():
            for product, at in products.items():
                found[product] = min(found.get(product, at), at)
        return found

    def _distinct_rows(self) -> tuple[Longs, Longs]:
        """The rows by number, each once however often it came, and the places of their persons."""
        if not self._keys:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        _, firsts = np.unique(np.frombuffer(self._keys, dtype=np.int64), return_index=True)
        return firsts, np.frombuffer(self._of, dtype=np.int32)[firsts].astype(np.int64)


class _PurchaseColumns:
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
