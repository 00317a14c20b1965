"""Which products are near one by content, and in words why. Pure."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from schemas.products import Product
from schemas.vectors import Layout, Vector
from services.model.profiles import SIMILAR
from services.ops.product.embedded import Embedded, Near
from services.ops.product.report import Nearest

WORTH_TELLING: Final = 0.1  # of a score's parts
ALIKE: Final = 0.98  # a cosine above is told as the same
PHRASES_MAX: Final = 3


def nearest(embedded: Embedded, product_id: str, k: int) -> tuple[Nearest, ...]:
    """The k products nearest by content, with the weights of rows of similar products."""
    vector = embedded.vectors.vector(product_id)
    if vector is None:
        return ()
    query = embedded.layout.weighted(vector, SIMILAR)
    others = [each for each in embedded.products if each != product_id]
    about = embedded.products[product_id]
    return tuple(_told(about, near, query, embedded) for near in embedded.nearest(query, others, k))


def _told(about: Product, near: Near, query: Vector, embedded: Embedded) -> Nearest:
    vector = embedded.vectors.units([near.product.product_id])[0]
    parts = parts_of(query, vector, embedded.layout)
    return Nearest(
        product_id=near.product.product_id,
        name=near.product.name,
        availability=near.product.availability,
        score=round(near.score, 4),
        parts=parts,
        why=in_words(about, near.product, parts),
    )


def parts_of(query: Vector, vector: Vector, layout: Layout) -> dict[str, float]:
    """Weight · cosine by segment, the greatest first; those that count nothing are left out."""
    sums = np.add.reduceat(query * vector, layout.starts)
    found = {
        name: round(float(part), 4)
        for (name, _), part in zip(layout.widths, sums, strict=True)
        if abs(part) > 1e-4
    }
    return dict(sorted(found.items(), key=lambda part: -part[1]))


def in_words(about: Product, other: Product, parts: Mapping[str, float]) -> str:
    """The parts that weigh most, such as: both ankle boots, both in Women > Shoes, looks alike (0.81)."""
    phrases = [
        _phrase(name, about, other, part / SIMILAR[name])
        for name, part in parts.items()
        if part >= WORTH_TELLING
    ]
    return ", ".join(phrases[:PHRASES_MAX]) or "nothing of it stands out"


def _phrase(segment: str, about: Product, other: Product, cosine: float) -> str:
    same = cosine > ALIKE
    if segment == "type" and same and other.type:
        return f"both {other.type}"
    if segment == "brand" and same and other.brand:
        return f"both by {other.brand}"
    if segment == "category":
        shared = [
            step for step, theirs in zip(about.category, other.category, strict=False) if step == theirs
        ]
        return f"both in {' > '.join(shared)}" if shared else f"category alike ({cosine:.2f})"
    verb = {"image": "looks", "text": "reads", "popularity": "is popular"}.get(segment, segment)
    return f"{verb} alike ({cosine:.2f})"
