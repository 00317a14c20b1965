"""Why a product is in the row: a reason as data, and a short sentence made from it. Pure."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np

from schemas.events import EVENT_TYPES
from schemas.live import Cause, CauseProduct, Reason, ReasonKind, RecommendedItem, Source
from schemas.products import Product
from schemas.sessions import SessionEvent
from schemas.vectors import Layout, Vector
from services.recommender.visitor_sessions import OwnEvent

POPULAR: Final = "popular now"
PINNED: Final = "picked by the shop"
PICKED: Final = "picked for you"  # where the event behind it is not the visitor's own for certain
ALIKE: Final = "others who looked at similar things also looked at this"
CLOSE: Final = "close, but not all of it"

OF_PIN: Final = Reason(kind="pinned", strength=1.0)
OF_NAME: Final = Reason(kind="named", strength=1.0)

SOURCES: Final[Mapping[ReasonKind, Source]] = MappingProxyType(
    {
        "co_visited": "behaviour",
        "complement": "behaviour",
        "alike": "behaviour",
        "due": "behaviour",
        "content": "content",
        "search": "content",
        "popular": "popular",
        "pinned": "rule",
        "named": "named",
        "relaxed": "relaxed",
    }
)

FindProduct = Callable[[str], Product | None]


def cause_of(event: SessionEvent) -> Cause:
    """An event of the session as it is told."""
    return Cause(type=event.type, product_id=event.product_id, occurred_at=event.occurred_at)


def withhold(reason: Reason, own: frozenset[OwnEvent] | None) -> Reason:
    """As it may be told to whom only these events belong; None for all of them.

    Nothing of another's event is left, nor what it was about.
    """
    event = reason.cause
    if own is None or event is None or (event.type, event.product_id, event.occurred_at) in own:
        return reason
    return Reason(kind=reason.kind, strength=reason.strength)


def say(reason: Reason, find: FindProduct) -> str:
    """The reason in a sentence, the verb first. It names the event, where there is one, as what it was."""
    if reason.kind in _PLAIN:
        return _PLAIN[reason.kind]
    if reason.kind == "alike":
        return ALIKE if reason.product_id is not None else PICKED
    if reason.kind == "search":
        return f"because you searched for {reason.query}" if reason.query else "fits your words"
    if reason.product_id is None:
        return PICKED
    product = find(reason.product_id)
    if reason.cause is not None:
        deed = EVENT_TYPES[reason.cause.type].because_you
        return f"because you {deed} {product.name}" if product else "because of what you looked at"
    return _OF_PRODUCT.get(reason.kind, "like {name}").format(name=product.name) if product else PICKED


_PLAIN: Final[Mapping[ReasonKind, str]] = {
    "popular": POPULAR,
    "pinned": PINNED,
    "named": "what you typed",
    "relaxed": CLOSE,
}


_OF_PRODUCT: Final[Mapping[ReasonKind, str]] = {
    "complement": "goes with {name}",
    "co_visited": "others who looked at {name} also looked at this",
}


def causes_of(items: tuple[RecommendedItem, ...], find: FindProduct) -> dict[str, CauseProduct]:
    """The products that a row's reasons name, each once; without those that the shop has no longer."""
    names = [item.reason.product_id for item in items if item.reason is not None]
    found = {name: find(name) for name in dict.fromkeys(names) if name is not None}
    return {name: _describe(product) for name, product in found.items() if product is not None}


def _describe(product: Product) -> CauseProduct:
    return CauseProduct(
        name=product.name,
        price=product.price,
        currency=product.currency,
        brand=product.brand,
        type=product.type,
        url=product.url,
    )


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
    reason: Reason,
    why: str,
    *,
    parts: dict[str, float] | None = None,
    rules: tuple[str, ...] = (),
) -> RecommendedItem:
    """With what a page needs to draw it, and why it is there."""
    return RecommendedItem(
        product_id=product.product_id,
        score=round(score, 4),
        source=SOURCES[reason.kind],
        why=why,
        name=product.name,
        price=product.price,
        currency=product.currency,
        availability=product.availability,
        category=product.category,
        brand=product.brand,
        image_url=product.image_url,
        url=product.url,
        cause=reason.cause,
        parts=parts,
        rules=rules,
        reason=reason,
    )
