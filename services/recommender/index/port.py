"""The port to the vector index: what is asked of it, whichever engine answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from schemas.points import category_prefixes
from schemas.products import Availability, Product
from schemas.vectors import Vector

AVAILABLE: Final[frozenset[Availability]] = frozenset({"in_stock", "preorder"})


Values = frozenset[str]
NONE: Final[Values] = frozenset()


@dataclass(frozen=True, slots=True)
class Where:
    """Hard filters; an empty one lets everything through. Prices are inclusive.

    A category is the beginning of a path, joined by "/". Of several categories, brands, types or markets a
    product has one; of several tags it has all. `without_…` are those that it has not.
    """

    availability: frozenset[Availability] = frozenset()
    price_min: float | None = None
    price_max: float | None = None
    category: Values = NONE
    brand: Values = NONE
    type: Values = NONE
    tag: Values = NONE
    market: Values = NONE
    without_category: Values = NONE
    without_brand: Values = NONE
    without_type: Values = NONE
    without_tag: Values = NONE
    exclude: frozenset[str] = frozenset()

    def any_of(self) -> list[tuple[str, Values]]:
        """Payload fields, and the values of which each must have one."""
        asked: list[tuple[str, Values]] = [
            ("availability", frozenset(map(str, self.availability))),
            ("category", self.category),
            ("brand", self.brand),
            ("type", self.type),
            *(("tags", frozenset({tag})) for tag in sorted(self.tag)),
            ("market", self.market),
        ]
        return [(field, values) for field, values in asked if values]

    def none_of(self) -> list[tuple[str, Values]]:
        """Payload fields, and the values that each must not have."""
        asked = [
            ("category", self.without_category),
            ("brand", self.without_brand),
            ("type", self.without_type),
            ("tags", self.without_tag),
        ]
        return [(field, values) for field, values in asked if values]

    def allows(self, product: Product) -> bool:
        """The same, of a product in hand: what the index must agree with."""
        return (
            (not self.availability or product.availability in self.availability)
            and (self.price_min is None or product.price >= self.price_min)
            and (self.price_max is None or product.price <= self.price_max)
            and product.product_id not in self.exclude
            and (not self.brand or product.brand in self.brand)
            and (not self.type or product.type in self.type)
            and product.brand not in self.without_brand
            and product.type not in self.without_type
            and self.tag.issubset(product.tags)
            and self.without_tag.isdisjoint(product.tags)
            and (not self.market or not self.market.isdisjoint(product.markets))
            and self._allows_category(product.category)
        )

    def _allows_category(self, path: tuple[str, ...]) -> bool:
        if not self.category and not self.without_category:
            return True
        prefixes = category_prefixes(path)
        return (
            not self.category or not self.category.isdisjoint(prefixes)
        ) and self.without_category.isdisjoint(prefixes)


@dataclass(frozen=True, slots=True)
class Hit:
    """A product near a query; `score` is the dot product."""

    product_id: str
    score: float


class IndexAway(Exception):
    """The index does not answer; rows are made without it meanwhile."""


class VectorIndex(Protocol):
    """Products by content vector. Calls block; `remote` tells whether on the network, and may be away."""

    remote: bool

    def upsert(self, products: Sequence[tuple[Product, Vector]]) -> None:
        """Adds or replaces products with their (width,) vectors."""

    def remove(self, product_ids: Sequence[str]) -> None:
        """Removes products; unknown ones are none of its business."""

    def nearest(self, query: Vector, k: int, where: Where) -> list[Hit]:
        """The k best products by dot product, best first."""

    def nearest_many(self, queries: Sequence[Vector], k: int, where: Where) -> list[list[Hit]]:
        """One answer a query, in one call."""

    def count(self) -> int:
        """Products in the index."""

    def optimise(self) -> None:
        """Makes later queries faster; may hold up the whole process for seconds, so not while serving."""

    def close(self) -> None:
        """Gives back what it holds."""


@runtime_checkable
class RemoteIndex(VectorIndex, Protocol):
    """One on the network: a question to it waits in the loop, and the rows of others go on."""

    async def ask(self, queries: Sequence[Vector], k: int, where: Where) -> list[list[Hit]]:
        """`nearest_many`. Raises IndexAway."""

    async def count_allowed(self, where: Where) -> int:
        """Products that the filter lets through. Raises IndexAway."""

    async def hang_up(self) -> None:
        """Gives back what `ask` holds; then `close` the rest."""
