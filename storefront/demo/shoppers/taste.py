"""What one simulated shopper likes, and how much a product draws that shopper. Pure."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, log
from types import MappingProxyType
from typing import Final, Self

from schemas.products import Product
from storefront.demo.catalogue.assortment import BRANDS, KINDS
from storefront.demo.catalogue.palette import COLOURS
from storefront.demo.catalogue.patterns import PATTERNS

MIDDLE_PRICE: Final = MappingProxyType({kind.name: kind.price for kind in KINDS})
# Where a visit begins, and how often.
TOPS: Final[Mapping[str, float]] = MappingProxyType(
    {"Women": 0.33, "Men": 0.25, "Kids": 0.12, "Home": 0.19, "Outdoor": 0.11}
)
NEUTRAL: Final = frozenset({"black", "white", "grey", "navy", "beige"})  # they go with every colour
POPULARITY_LEAST: Final = 0.012  # nobody knows of the least popular, yet somebody finds them
SOLD_OUT: Final = 0.15  # still looked at now and then


@dataclass(frozen=True, slots=True)
class Taste:
    """One shopper's. `level` is the log of price over the kind's middle price that the shopper is used to."""

    top: str
    other: str
    colours: frozenset[str]
    pattern: str
    brands: frozenset[str]
    level: float

    @classmethod
    def drawn(cls, rng: random.Random) -> Self:
        """A shopper at random."""
        top, other = rng.choices(list(TOPS), list(TOPS.values()), k=2)
        return cls(
            top,
            other,
            frozenset(rng.sample(list(COLOURS), rng.choice([2, 3]))),
            rng.choice(["plain", *PATTERNS]),
            frozenset(rng.sample(BRANDS, rng.choice([1, 2]))),
            rng.gauss(0.0, 0.22),
        )

    def draw(self, product: Product) -> float:
        """How much a product draws this shopper: above 0, and only ratios mean something."""
        colour, pattern = product.tags
        price = log(product.price / MIDDLE_PRICE[product.type or ""])
        return (
            fame(product)
            * (3.0 if colour in self.colours else 1.5 if colour in NEUTRAL else 0.6)
            * (2.0 if pattern == self.pattern else 1.0)
            * (3.5 if product.brand in self.brands else 1.0)
            * exp(-2.5 * abs(price - self.level))
        )


def fame(product: Product) -> float:
    """How much a product draws everybody."""
    draws = (product.popularity or 0.0) + POPULARITY_LEAST
    return draws if product.availability == "in_stock" else draws * SOLD_OUT


def match(one: Product, other: Product) -> float:
    """How well two products of different kinds go together by colour and brand; 1 is no better than any."""
    colour, worn = one.tags[0], other.tags[0]
    return (2.5 if colour == worn else 1.6 if {colour, worn} & NEUTRAL else 0.7) * (
        1.8 if one.brand == other.brand else 1.0
    )


def alike(one: Product, other: Product) -> float:
    """How much a shopper compares one product of a kind with another; 1 is no more than with any."""
    return (2.0 if one.tags[0] == other.tags[0] else 1.0) * (1.6 if one.tags[1] == other.tags[1] else 1.0)
