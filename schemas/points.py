"""A product as a point in Qdrant: its id, its payload, and which payload fields are indexed."""

from functools import lru_cache
from hashlib import blake2b
from typing import Final, Literal, NamedTuple
from uuid import UUID, uuid5

from schemas import products
from schemas.products import Product

VECTOR_NAME: Final = "content"
CATEGORY_SEPARATOR: Final = "/"

_NAMESPACE: Final = UUID("5e1c2a3e-7a51-5d55-9f0e-6f1f0c1d2b3a")

# Payload fields that queries filter by. Flags are keywords: the edge reads a boolean match as an integer.
INDEXED_FIELDS: Final[dict[str, Literal["keyword", "float"]]] = {
    "availability": "keyword",
    "category": "keyword",
    "brand": "keyword",
    "type": "keyword",
    "tags": "keyword",
    "market": "keyword",
    "price": "float",
}

Payload = dict[str, str | float | int | list[str] | None]


@lru_cache(maxsize=200_000)
def point_id(product_id: str) -> str:
    """Qdrant takes only integers and UUIDs: the product's id as a UUID that follows from it."""
    return str(uuid5(_NAMESPACE, product_id))


def payload(product: Product, layout: str) -> Payload:
    """What queries filter by, and the layout that the vector beside it has."""
    return {
        "product_id": product.product_id,
        "availability": product.availability,
        "price": product.price,
        "category": category_prefixes(product.category),
        "brand": product.brand,
        "type": product.type,
        "tags": list(product.tags),
        "market": list(product.markets),
        "popularity": product.popularity,
        "updated_at": product.updated_at,
        "layout": layout,
    }


class PointVersion(NamedTuple):
    """Which state of a product an index has: its `updated_at` (Unix ms), and a digest of all of it.

    A Qdrant server has both beside each point: what differs from `product-vectors` was not written. The
    digest is empty for points of a former version of this code.
    """

    updated_at: int
    digest: str


def point_version(product: Product, content: bytes) -> PointVersion:
    """Of a product with its vector, as float16 bytes."""
    digest = blake2b(products.encode(product) + content, digest_size=8).hexdigest()
    return PointVersion(product.updated_at, digest)


def category_prefixes(path: tuple[str, ...]) -> list[str]:
    """("Women", "Shoes") → ["Women", "Women/Shoes"]: a filter on any level is one keyword."""
    return [CATEGORY_SEPARATOR.join(path[:depth]) for depth in range(1, len(path) + 1)]
