"""Why a product is in the row, as a short sentence for shoppers. Pure."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from schemas.products import Product
from schemas.sessions import SessionEvent
from schemas.vectors import Layout, Vector

POPULAR: Final = "popular now"
ALIKE: Final = "others who looked at similar things also looked at this"

_DEEDS: Final = {
    "view_item": "you looked at",
    "select_item": "you looked at",
    "add_to_cart": "you put in your cart:",
    "add_to_wishlist": "you saved",
    "purchase": "you bought",
}


def because(event: SessionEvent, cause: Product | None) -> str:
    """The event that weighs most in the interest that found the product."""
    deed = _DEEDS.get(event.type, "you looked at")
    return f"because {deed} {cause.name}" if cause else "because of what you looked at"


def beside(cause: Product | None) -> str:
    """For a product that past sessions hold together with this one."""
    return f"others who looked at {cause.name} also looked at this" if cause else ALIKE


def likeness(query: Vector, vector: Vector, product: Product, layout: Layout) -> str:
    """The part of the score that speaks most for the product: Σ weight · cosine, segment by segment."""
    parts = np.add.reduceat(query * vector, layout.starts)
    strongest = layout.widths[int(np.argmax(parts))][0]
    return _likenesses(product).get(strongest) or "similar in many ways"


def _likenesses(product: Product) -> Mapping[str, str | None]:
    return {
        "image": "looks alike",
        "text": "reads alike",
        "category": f"also in {product.category[-1]}" if product.category else None,
        "brand": f"also by {product.brand}" if product.brand else None,
        "type": f"another {product.type}" if product.type else None,
        "popularity": POPULAR,
    }
