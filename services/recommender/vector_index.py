"""The port to the vector index: what is asked of it, whichever engine answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from schemas.products import Availability, Product
from schemas.vectors import Vector

AVAILABLE: Final[frozenset[Availability]] = frozenset({"in_stock", "preorder"})


@dataclass(frozen=True, slots=True)
class Where:
    """Hard filters; an empty one lets everything through. Prices are inclusive."""

    availability: frozenset[Availability] = frozenset()
    price_min: float | None = None
    price_max: float | None = None
    category: str | None = None  # a prefix of the path, joined by "/"
    brand: str | None = None
    type: str | None = None
    tag: str | None = None
    market: str | None = None
    exclude: frozenset[str] = frozenset()

    def keywords(self) -> dict[str, str]:
        """The filters that ask for one exact value, by payload field."""
        asked = {
            "category": self.category,
            "brand": self.brand,
            "type": self.type,
            "tags": self.tag,
            "market": self.market,
        }
        return {field: value for field, value in asked.items() if value is not None}


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
