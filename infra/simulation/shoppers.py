"""Shoppers: what each likes, needs, has seen and owns, and how much a product appeals to one just now.

An appeal is a logit: the chance of a click on a product that is looked at is `chance(appeal)`. It is made of

- taste, which stays: the part of the shop, colours, pattern, brands and price level, a little of what
  everybody likes, and a whim of this shopper for this product;
- quality: what no catalogue tells of a product, alike for all;
- needs, which change: the kind that this visit is about most, other kinds less, what goes with a purchase;
- what has happened: a kind that was just bought is of no use for a while, what has been looked at is known,
  and what has been passed over may be passed over again.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import log
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from schemas.products import Product
from storefront.demo.shoppers.complements import GOES_WITH
from storefront.demo.shoppers.taste import Taste, fame

Floats = npt.NDArray[np.float64]

BARRIER: Final = 4.0  # below zero, where nothing speaks for a product: one click in 55 looks
FAME: Final = 0.35  # of the logarithm of what everybody likes
WHIM, QUALITY = 0.6, 0.5  # standard deviations
ELSEWHERE, FOREIGN = -0.8, -3.0  # another part of the shop that the shopper goes to, and one that is not
GOAL, NEED = 3.0, 1.2  # what the visit is about, and what else is needed
MATCH: Final = 1.2  # of the share that a kind has among those that go with a purchase
BOUGHT, BOUGHT_DAYS = -4.0, 10  # one more of a kind
KNOWN, KNOWN_LEAST = -1.5, -4.5  # for each time that it was looked at
PASSED, PASSED_LEAST = -0.2, -1.2  # for each time that it was passed over
NEEDS: Final = 3  # at a time
RENEWED: Final = 0.15  # how often a visit begins with another need


def chance(appeal: Floats) -> Floats:
    """The logistic function."""
    return np.asarray(1 / (1 + np.exp(-appeal)))


class Assortment:
    """What there is, as shoppers see it; `quality` is theirs alone to find out."""

    def __init__(self, products: Sequence[Product], seed: int) -> None:
        """Raises ValueError for products that are not the demo's."""
        strange = sorted({str(each.type) for each in products} - set(GOES_WITH))
        if strange or not products:
            raise ValueError(f"shoppers know the demo's catalogue only, not the types {', '.join(strange)}")
        self.products = tuple(products)
        self.ids = tuple(each.product_id for each in products)
        self.number = {product_id: number for number, product_id in enumerate(self.ids)}
        kinds = [each.type or "" for each in products]
        self.kinds = tuple(sorted(set(kinds)))
        self.kind_of = np.array([self.kinds.index(each) for each in kinds])
        self.tops = np.array([each.top_category for each in products])
        self.is_sold_out = np.array([each.availability == "out_of_stock" for each in products])
        self.quality = QUALITY * np.random.default_rng([seed, 1]).normal(size=len(products))
        self._goes_with = np.array([self._partners(kind) for kind in self.kinds])

    def __len__(self) -> int:
        return len(self.ids)

    def kinds_of_top(self, top: str) -> list[str]:
        """The kinds of one part of the shop."""
        return [self.kinds[kind] for kind in sorted(set(self.kind_of[self.tops == top].tolist()))]

    def goes_with(self, kind: str) -> Floats:
        """(kinds,) how much each is needed beside one that was bought, 1 for the most."""
        found: Floats = self._goes_with[self.kinds.index(kind)]
        return found

    def _partners(self, kind: str) -> list[float]:
        most = max(GOES_WITH[kind].values())
        return [GOES_WITH[kind].get(each, 0.0) / most for each in self.kinds]


@dataclass(slots=True)
class Shopper:
    """One of them, as the days go by. `taste` (products,) never changes."""

    name: str
    shop: Assortment
    taste: Floats
    tops: tuple[str, str]
    needs: list[str]
    looked: npt.NDArray[Any] = field(init=False)
    passed: npt.NDArray[Any] = field(init=False)
    owned: dict[str, int] = field(default_factory=dict)  # kind → the day of the last purchase

    def __post_init__(self) -> None:
        self.looked, self.passed = np.zeros(len(self.shop)), np.zeros(len(self.shop))

    def appeals(self, goal: str, day: int) -> Floats:
        """(products,) of all products in a visit that is about a kind."""
        shop = self.shop
        kinds = np.zeros(len(shop.kinds))
        for need in self.needs:
            kinds[shop.kinds.index(need)] = GOAL if need == goal else NEED
        recent = [kind for kind, bought in self.owned.items() if day - bought < BOUGHT_DAYS]
        for kind in recent:
            kinds = np.maximum(kinds, MATCH * shop.goes_with(kind))
        for kind in recent:
            kinds[shop.kinds.index(kind)] = BOUGHT
        known = np.maximum(KNOWN * self.looked, KNOWN_LEAST) + np.maximum(PASSED * self.passed, PASSED_LEAST)
        return np.asarray(self.taste + kinds[shop.kind_of] + known - BARRIER)

    def choose_goal(self, rng: np.random.Generator) -> str:
        """What a visit is about: a need, now and then a new one."""
        if rng.random() < RENEWED:
            self._renew_need(self.needs[0], rng)
        return str(rng.choice(self.needs))

    def buy(self, number: int, day: int, rng: np.random.Generator) -> None:
        """The need is met; what goes with it may be the next."""
        kind = self.shop.kinds[self.shop.kind_of[number]]
        self.owned[kind] = day
        if kind in self.needs:
            self._renew_need(kind, rng)

    def _renew_need(self, need: str, rng: np.random.Generator) -> None:
        self.needs.remove(need)
        top = self.tops[0] if rng.random() < 0.75 else self.tops[1]
        others = [kind for kind in self.shop.kinds_of_top(top) if kind not in self.needs and kind != need]
        self.needs.append(str(rng.choice(others)))


def draw_shoppers(shop: Assortment, count: int, seed: int) -> list[Shopper]:
    """The same of the same seed."""
    return [_draw(shop, number, seed) for number in range(count)]


def _draw(shop: Assortment, number: int, seed: int) -> Shopper:
    rng = np.random.default_rng([seed, 2, number])
    found = Taste.drawn(random.Random(int(rng.integers(2**62))))
    liked = np.array([log(found.draw(each) / fame(each)) + FAME * log(fame(each)) for each in shop.products])
    part = np.where(shop.tops == found.top, 0.0, np.where(shop.tops == found.other, ELSEWHERE, FOREIGN))
    whim = WHIM * rng.normal(size=len(shop))
    kinds = shop.kinds_of_top(found.top)
    needs = [str(each) for each in rng.choice(kinds, min(NEEDS, len(kinds)), replace=False)]
    return Shopper(
        f"s{number:05d}", shop, liked + part + whim + shop.quality, (found.top, found.other), needs
    )
