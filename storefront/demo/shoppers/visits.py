"""Simulated visits: browse within a kind, go on to what goes with it, fill a cart, buy. Pure.

Everything comes from a seed. No shopper is real, and nothing here may be taken for a measurement.
"""

import random
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final, Literal

from schemas.events import EventType
from schemas.products import Product
from schemas.times import DAY_MS
from storefront.demo.shoppers.complements import GOES_WITH
from storefront.demo.shoppers.taste import Taste, alike, fame, match

VERSION: Final = 1  # raise it when the same seed is to give other visits
BEGINS: Final = 1_764_547_200_000  # 2025-12-01: before anybody's own history, so that theirs is the newer
DAYS: Final = 30
VISITS_A_SHOPPER: Final = (1, 1, 1, 2, 2, 3, 5)
LENGTH_LOG, LENGTH_SPREAD, LENGTH_MAX = 1.5, 0.75, 40  # views of a visit: a log-normal, seldom very long

Move = Literal["alike", "goes_with", "again", "elsewhere", "anew"]
# What comes after a view; more of what goes with it once something lies in the cart.
MOVES: Final[dict[Move, float]] = {
    "alike": 0.48, "goes_with": 0.30, "again": 0.05, "elsewhere": 0.08, "anew": 0.09,
}  # fmt: skip
MOVES_AFTER_CART: Final[dict[Move, float]] = MOVES | {"alike": 0.15, "goes_with": 0.63}
CART, CART_LIKED = 0.07, 0.16  # how often a view ends in the cart
REMOVED, BOUGHT = 0.08, 0.45  # of what lies in a cart; of carts


@dataclass(frozen=True, slots=True)
class Step:
    """One event, at Unix ms."""

    at: int
    type: EventType
    product_id: str


@dataclass(frozen=True, slots=True)
class Visit:
    """What one simulated shopper did in one go."""

    visitor_id: str
    steps: tuple[Step, ...]


class Shelves:
    """The catalogue as shoppers find it: by top category, by kind, by both."""

    def __init__(self, products: Sequence[Product]) -> None:
        """Raises ValueError for an empty catalogue, and for products that are not the demo's."""
        if not products:
            raise ValueError("a shop without products has no visits")
        strange = sorted({str(each.type) for each in products} - set(GOES_WITH))
        if strange:
            raise ValueError(f"not of the demo's catalogue: products of the type {', '.join(strange)}")
        self.all = tuple(products)
        self._of_top: dict[str, list[Product]] = {}
        self._of_kind: dict[str, list[Product]] = {}
        self._of_both: dict[tuple[str, str], list[Product]] = {}
        for each in products:
            self._of_top.setdefault(each.top_category, []).append(each)
            self._of_kind.setdefault(each.type or "", []).append(each)
            self._of_both.setdefault((each.type or "", each.top_category), []).append(each)
        self._fame = list(accumulate(map(fame, self.all)))

    def top(self, name: str) -> Sequence[Product]:
        """A top category, everything where it is empty."""
        return self._of_top.get(name, self.all)

    def kind(self, name: str, *tops: str) -> Sequence[Product]:
        """A kind within the first top category that has it; where none has, wherever it is; may be empty."""
        within = (self._of_both[name, top] for top in tops if (name, top) in self._of_both)
        return next(within, self._of_kind.get(name, ()))

    def famous(self, rng: random.Random) -> Product:
        """Any product, the popular ones more often."""
        return self.all[bisect(self._fame, rng.random() * self._fame[-1], hi=len(self.all) - 1)]


def simulated(products: Sequence[Product], count: int, seed: int) -> Iterator[Visit]:
    """`count` visits, shopper by shopper. Raises what Shelves raises."""
    shelves, rng = Shelves(products), random.Random(f"shoppers {VERSION}:{seed}")
    made = shopper = 0
    while made < count:
        taste = Taste.drawn(rng)
        returns = min(rng.choice(VISITS_A_SHOPPER), count - made)
        for begin in sorted(BEGINS + int(rng.random() * DAYS * DAY_MS) for _ in range(returns)):
            steps = _Walk(shelves, taste, rng, begin).walked()
            yield Visit(f"simulated-{shopper:06d}", steps)
        made, shopper = made + returns, shopper + 1


@dataclass(slots=True)
class _Walk:
    """One visit under way."""

    shelves: Shelves
    taste: Taste
    rng: random.Random
    now: int
    steps: list[Step] = field(default_factory=list)
    seen: list[Product] = field(default_factory=list)
    cart: list[Product] = field(default_factory=list)

    def walked(self) -> tuple[Step, ...]:
        length = min(int(self.rng.lognormvariate(LENGTH_LOG, LENGTH_SPREAD)) + 1, LENGTH_MAX)
        self._look(self._anew())
        for _ in range(length - 1):
            self._look(self._next())
        self._till()
        return tuple(self.steps)

    def _look(self, product: Product) -> None:
        self._did("view_item", product)
        self.seen.append(product)
        liked = product.tags[0] in self.taste.colours or product.brand in self.taste.brands
        if (
            product.availability == "in_stock"
            and product not in self.cart
            and self.rng.random() < (CART_LIKED if liked else CART)
        ):
            self._did("add_to_cart", product)
            self.cart.append(product)

    def _next(self) -> Product:
        last = self.seen[-1]
        moves = MOVES_AFTER_CART if last in self.cart else MOVES
        [move] = self.rng.choices(list(moves), list(moves.values()))
        if move == "alike":
            return self._alike(last)
        if move == "goes_with":
            return self._goes_with(last)
        if move == "again":
            return self.rng.choice(self.seen)
        return self.shelves.famous(self.rng) if move == "elsewhere" else self._anew()

    def _anew(self) -> Product:
        top = self.taste.top if self.rng.random() < 0.75 else self.taste.other
        return self._chosen(self.shelves.top(top), self.taste.draw)

    def _alike(self, last: Product) -> Product:
        others = [each for each in self.shelves.kind(last.type or "", last.top_category) if each is not last]
        return self._chosen(others or [last], lambda each: self.taste.draw(each) * alike(last, each))

    def _goes_with(self, last: Product) -> Product:
        kinds = GOES_WITH[last.type or ""]
        [kind] = self.rng.choices(list(kinds), list(kinds.values()))
        return self._chosen(
            self.shelves.kind(kind, last.top_category, self.taste.top, self.taste.other) or [last],
            lambda each: self.taste.draw(each) * match(last, each),
        )

    def _chosen(self, products: Sequence[Product], weight: Callable[[Product], float]) -> Product:
        return self.rng.choices(products, [weight(each) for each in products])[0]

    def _till(self) -> None:
        """Second thoughts, and the till for some."""
        for product in list(self.cart):
            if self.rng.random() < REMOVED:
                self._did("remove_from_cart", product)
                self.cart.remove(product)
        if self.cart and self.rng.random() < BOUGHT:
            for product in self.cart:
                self._did("purchase", product)

    def _did(self, type_: EventType, product: Product) -> None:
        self.steps.append(Step(self.now, type_, product.product_id))
        self.now += int(self.rng.uniform(4_000, 90_000))
