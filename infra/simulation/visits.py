"""One visit: a shopper looks at rows place by place, clicks, searches without rows, buys, and leaves."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from infra.simulation.shoppers import Floats, Shopper, chance
from schemas.events import Event, EventType, Item

PLACES: Final = 12  # in a row
# How likely a place is looked at, the first the most: two screens of cards on a phone. No formula that an
# estimator may take for granted: a knee where the first screen ends.
EXAMINED: Final[Floats] = np.array([0.95, 0.86, 0.76, 0.62, 0.45, 0.38, 0.33, 0.28, 0.20, 0.16, 0.13, 0.10])
LOOKS_MAX: Final = 12
PATIENCE: Final = 0.2  # how likely a visit is over after any look
LANDS: Final = 0.6  # how often a visit begins with a search, here or elsewhere, and not with a row
SEARCHES: Final = 0.6  # how often somebody whom a row says nothing goes on without it
FOUND: Final = 40  # products that a search shows, of which one is chosen
BUYS: Final = -0.8  # logit of a purchase of what was looked at, beside its appeal
SECONDS: Final = (8, 60)  # between two steps


class ShownRow(NamedTuple):
    """What a ranking shows: its id, and products by id, the first at the first place."""

    recommendation_id: str
    products: tuple[str, ...]


Show = Callable[[str, int], ShownRow]  # visitor and Unix ms → the row as it is now
Tell = Callable[[Event], None]


@dataclass(slots=True)
class Visit:
    """What came of it.

    `chances` are those of a click on each row that was shown, `best` of one on the best possible row.
    """

    shopper: int
    day: int
    clicks: int = 0
    purchases: int = 0
    chances: list[float] = field(default_factory=list)
    best: list[float] = field(default_factory=list)
    shown: set[int] = field(default_factory=set)


class Visitor:
    """A shopper within one visit."""

    def __init__(
        self,
        shopper: Shopper,
        visit: Visit,
        *,
        at: int,
        rng: np.random.Generator,
        ids: Iterator[str],
        tell: Tell,
    ) -> None:
        """`at` is when it begins, Unix ms; `ids` are those of its events."""
        self._shopper, self._visit, self._rng = shopper, visit, rng
        self._now, self._ids, self._tell = at, ids, tell
        self._goal = shopper.choose_goal(rng)

    def walk(self, show: Show | None) -> None:
        """The whole visit; without rows to look at, all is searched for."""
        looks = min(int(self._rng.geometric(PATIENCE)) + 1, LOOKS_MAX)
        lands = self._rng.random() < LANDS
        for look in range(looks):
            appeals = self._shopper.appeals(self._goal, self._visit.day)
            number, row_id = None, None
            if show is not None and not (lands and look == 0):
                row = show(self._shopper.name, self._now)
                number, row_id = self._look_at(row, appeals), row.recommendation_id
            if number is not None:
                self._visit.clicks += 1
                self._do("select_item", number, row_id)
            elif (lands and look == 0) or self._rng.random() < SEARCHES:
                number = self._search(appeals)
            else:
                return
            self._open(number, float(appeals[number]))

    def _look_at(self, row: ShownRow, appeals: Floats) -> int | None:
        """The product that is clicked on, if any: of several that please, one."""
        self._tell_of_row(row)
        shopper, chances = self._shopper, chance(appeals)
        shown = np.array([shopper.shop.number[each] for each in row.products[:PLACES]], dtype=np.int64)
        examined = EXAMINED[: len(shown)]
        best = np.sort(np.where(shopper.shop.is_sold_out, 0.0, chances))[::-1][:PLACES]
        self._visit.chances.append(_any(examined * chances[shown]))
        self._visit.best.append(_any(EXAMINED * best))
        self._visit.shown.update(shown.tolist())
        is_seen = self._rng.random(len(shown)) < examined
        pleases = is_seen & (self._rng.random(len(shown)) < chances[shown])
        clicked = int(self._rng.choice(shown[pleases])) if pleases.any() else None
        passed = shown[is_seen]
        shopper.passed[passed[passed != clicked]] += 1
        return clicked

    def _search(self, appeals: Floats) -> int:
        """Somebody who searches finds what the visit is about, mostly, and takes what appeals."""
        shop, rng = self._shopper.shop, self._rng
        at = shop.kind_of == shop.kinds.index(self._goal)
        weights = np.where(at, 20.0, 1.0) * ~shop.is_sold_out
        found = rng.choice(len(shop), FOUND, replace=False, p=weights / weights.sum())
        draws = np.exp(appeals[found] - appeals[found].max())
        return int(rng.choice(found, p=draws / draws.sum()))

    def _open(self, number: int, appeal: float) -> None:
        shopper, shop = self._shopper, self._shopper.shop
        self._do("view_item", number)
        shopper.looked[number] += 1
        kind = shop.kinds[shop.kind_of[number]]
        is_wanted = (kind in shopper.needs or appeal > 0) and not shop.is_sold_out[number]
        if is_wanted and self._rng.random() < chance(np.array(appeal + BUYS)):
            self._do("add_to_cart", number)
            self._do("purchase", number)
            self._visit.purchases += 1
            shopper.buy(number, self._visit.day, self._rng)
            if self._goal not in shopper.needs:
                self._goal = str(self._rng.choice(shopper.needs))

    def _tell_of_row(self, row: ShownRow) -> None:
        """As a page does: what was on the screen, whether or not anybody looked at it."""
        self._tell(
            Event(
                event_id=next(self._ids),
                type="view_item_list",
                visitor_id=self._shopper.name,
                occurred_at=self._now,
                items=tuple([Item(each) for each in row.products]),
                recommendation_id=row.recommendation_id,
            )
        )

    def _do(self, type_: EventType, number: int, row_id: str | None = None) -> None:
        self._now += int(1000 * self._rng.uniform(*SECONDS))
        self._tell(
            Event(
                event_id=next(self._ids),
                type=type_,
                visitor_id=self._shopper.name,
                occurred_at=self._now,
                product_id=self._shopper.shop.ids[number],
                recommendation_id=row_id,
            )
        )


def _any(chances: Floats) -> float:
    """That at least one of several happens."""
    return float(1 - np.prod(1 - chances))
