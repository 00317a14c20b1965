"""How like a session products are by content: Σ weight · cosine over the segments. Pure."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from math import cos, log, pi, sin, sqrt
from types import MappingProxyType
from typing import Final, Protocol

import numpy as np

from schemas import directions
from schemas.points import category_prefixes
from schemas.sessions import Session
from schemas.vectors import Layout, Matrix, Vector
from services.model.session_index import Floats

Weights = Mapping[str, float]

BEHAVIOUR: Final = "behaviour"

# Picture and text share their weight; the caption is the picture's space reached by words, for searches.
FOR_YOU: Final[Weights] = MappingProxyType(
    {"category": 1.0, "brand": 1.0, "type": 1.0, "popularity": 0.0, BEHAVIOUR: 1.2, "image": 0.4, "text": 0.4}
)
SIMILAR: Final[Weights] = MappingProxyType(
    {"category": 1.0, "brand": 0.3, "type": 1.0, "popularity": 0.1, BEHAVIOUR: 1.0, "image": 0.5, "text": 0.5}
)
ALSO_LIKED: Final[Weights] = MappingProxyType({"popularity": 0.1, BEHAVIOUR: 1.0})
# What goes with a product is liked together with it, and is of another topic, or another type.
COMPLEMENT_TOPIC: Final[Weights] = MappingProxyType(
    {"category": -1.0, "brand": 0.2, "popularity": 0.1, BEHAVIOUR: 1.0}
)
COMPLEMENT_TYPE: Final[Weights] = MappingProxyType({"type": -1.0, "brand": 0.2, BEHAVIOUR: 1.0})
# Words reach pictures through the caption's tower; `session` is how much the visitor's interests count.
SEARCH: Final[Weights] = MappingProxyType(
    {"text": 1.0, "image": 0.7, "caption": 0.5, "category": 0.0, "brand": 0.0, "type": 0.0, "price": 0.0,
     "popularity": 0.1, "session": 0.3}
)  # fmt: skip

PROFILES: Final[Mapping[str, Weights]] = MappingProxyType(
    {
        "for_you": FOR_YOU,
        "similar": SIMILAR,
        "also_liked": ALSO_LIKED,
        "complement_topic": COMPLEMENT_TOPIC,
        "complement_type": COMPLEMENT_TYPE,
        "search": SEARCH,
    }
)


class Contents(Protocol):
    """The products' content vectors; `services.vector_replica.VectorReplica` has them."""

    def units(self, product_ids: Sequence[str]) -> Matrix:
        """(n, width) float32, each segment of length 1, or 0 where a product lacks it."""


def queries(packed: Sequence[bytes], layout: Layout, weights: Weights = FOR_YOU) -> Matrix:
    """A session's packed vectors as (n, width) queries: a dot product with one is the likeness to it."""
    return layout.apply_weights(directions.unpack(packed, layout), weights)


def of(session: Session, contents: Contents, layout: Layout) -> Callable[[Sequence[str]], Floats] | None:
    """The likeness (n,) of n products with this session; None where the session has no vector."""
    if not session.vector:
        return None
    [asked] = queries([session.vector], layout)

    def likeness(product_ids: Sequence[str]) -> Floats:
        found: Floats = contents.units(product_ids) @ asked
        return found

    return likeness


PRICE_LOW: Final = 1.0  # and below: the start of the half circle, in the product's own currency
PRICE_HIGH: Final = 10_000.0  # and above: its end; a price ten times as high lies 45° further


def point(share: float) -> Vector:
    """(2,) the point of a number, which is held to 0..1."""
    angle = pi * min(max(share, 0.0), 1.0)
    return np.array([cos(angle), sin(angle)], dtype=np.float32)


def price_point(price: float) -> Vector:
    """(2,) the point of a price on a log scale: 10 to 20 is as far as 100 to 200."""
    return point(log(max(price, PRICE_LOW) / PRICE_LOW) / log(PRICE_HIGH / PRICE_LOW))


REMEMBERED: Final = 4096  # brands, types and categories come again and again


@lru_cache(REMEMBERED)
def signs(word: str, width: int) -> Vector:
    """(width,) of ±1/√width, always the same for a word in any case; `width` is a multiple of 8, up to 512.

    Two different words have a cosine of 0 ± 1/√width: the signs of feature hashing (Weinberger et al. 2009),
    dense, so that no two words share all their components.
    """
    digest = blake2b(word.casefold().strip().encode(), digest_size=width // 8).digest()
    bits = np.unpackbits(np.frombuffer(digest, dtype=np.uint8)).astype(np.float32)
    result: Vector = (2 * bits - 1) / np.float32(sqrt(width))
    result.flags.writeable = False
    return result


@lru_cache(REMEMBERED)
def category_vector(path: tuple[str, ...], width: int) -> Vector:
    """(width,) of unit length: the signs of every prefix of the path, the d-th with √d.

    Of three levels, sharing the first gives a cosine of about 1/6, the first two 1/2, all of them 1.
    """
    prefixes = category_prefixes(path)
    total: Vector = np.zeros(width, dtype=np.float32)
    for depth, prefix in enumerate(prefixes, start=1):
        total += np.float32(sqrt(depth)) * signs(prefix, width)
    length = float(np.linalg.norm(total))
    return total / np.float32(length) if length > 0 else total
