"""Why a product is in the row, as a short sentence for shoppers. Pure."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from schemas.events import EVENT_TYPES
from schemas.live import Cause, RecommendedItem, SlotKind, Source
from schemas.products import Product
from schemas.sessions import SessionEvent
from schemas.vectors import Layout, Vector

POPULAR: Final = "popular now"
PINNED: Final = "picked by the shop"
PICKED: Final = "picked for you"  # where the event behind it is not the visitor's own for certain
ALIKE: Final = "others who looked at similar things also looked at this"


def because(event: SessionEvent, cause: Product | None) -> str:
    """The event that weighs most in the interest that found the product."""
    deed = EVENT_TYPES[event.type].because_you
    return f"because you {deed} {cause.name}" if cause else "because of what you looked at"


def cause_of(event: SessionEvent) -> Cause:
    """The same event for machines."""
    return Cause(type=event.type, product_id=event.product_id, occurred_at=event.occurred_at)


def beside(cause: Product | None) -> str:
    """For a product that past sessions hold together with this one."""
    return f"others who looked at {cause.name} also looked at this" if cause else ALIKE


def co_visit_reason(kind: SlotKind, about: Product | None) -> str:
    """For a product that visits hold beside the one that the row is about."""
    if about is None:
        return ALIKE
    return f"goes with {about.name}" if kind.startswith("complement") else beside(about)


def likeness(query: Vector, vector: Vector, product: Product, layout: Layout) -> str:
    """The part of the score that speaks most for the product: Σ weight · cosine, segment by segment."""
    return _likenesses(product).get(_strongest(query, vector, layout)) or "similar in many ways"


def fit(query: Vector, vector: Vector, layout: Layout) -> str:
    """What of a product fits the words of a search most."""
    return _FITS.get(_strongest(query, vector, layout), "fits your words")


def _strongest(query: Vector, vector: Vector, layout: Layout) -> str:
    parts = np.add.reduceat(query * vector, layout.starts)
    return layout.widths[int(np.argmax(parts))][0]


_FITS: Final = {
    "text": "its description fits your words",
    "image": "its picture fits your words",
    "caption": "its name fits your words",
    "category": "like what you looked at",
    "brand": "by a brand that you like",
    "type": "like what you looked at",
    "price": "fits your price",
    "popularity": POPULAR,
}


def _likenesses(product: Product) -> Mapping[str, str | None]:
    return {
        "image": "looks alike",
        "text": "reads alike",
        "category": f"also in {product.category[-1]}" if product.category else None,
        "brand": f"also by {product.brand}" if product.brand else None,
        "type": f"another {product.type}" if product.type else None,
        "price": "costs about as much",
        "popularity": POPULAR,
    }


def parts_of(query: Vector, vector: Vector | None, layout: Layout) -> dict[str, float]:
    """What each segment adds to the dot product; segments that add nothing are left out."""
    if vector is None:
        return {}
    sums = np.add.reduceat(query * vector, layout.starts).tolist()
    found = {name: round(part, 4) for (name, _), part in zip(layout.widths, sums, strict=True)}
    return {name: part for name, part in found.items() if part}


def item(
    product: Product,
    score: float,
    source: Source,
    why: str,
    *,
    cause: Cause | None = None,
    parts: dict[str, float] | None = None,
    rules: tuple[str, ...] = (),
) -> RecommendedItem:
    """With what a page needs to draw it, and why it is there."""
    return RecommendedItem(
        product_id=product.product_id,
        score=round(score, 4),
        source=source,
        why=why,
        name=product.name,
        price=product.price,
        currency=product.currency,
        availability=product.availability,
        category=product.category,
        brand=product.brand,
        image_url=product.image_url,
        url=product.url,
        cause=cause,
        parts=parts,
        rules=rules,
    )
