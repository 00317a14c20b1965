"""What a visitor did, and prices, as people say it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from schemas.events import EventType
from services.ops.visitor.report import Deed, Named, Price

DEEDS: Final[Mapping[EventType, str]] = MappingProxyType(
    {
        "view_item_list": "saw in a list",
        "select_item": "picked from a list",
        "view_item": "looked at",
        "add_to_cart": "added to cart",
        "remove_from_cart": "removed from cart",
        "add_to_wishlist": "saved for later",
        "begin_checkout": "began to check out",
        "purchase": "bought",
        "search": "searched",
    }
)
PRODUCTS_SHOWN: Final = 3


def deed(type_: EventType) -> str:
    """An event's type."""
    return DEEDS[type_]


def deed_in_words(event: Deed) -> str:
    """A whole event: what was done, with what."""
    parts = [deed(event.type)]
    if event.query:
        parts.append(f"“{event.query}”")
    if event.products:
        parts.append(listed(event.products))
    if event.value is not None:
        parts.append(f"for {event.value:g} {event.currency or ''}".rstrip())
    return " ".join(parts)


def listed(products: tuple[Named, ...]) -> str:
    """The first few products by name."""
    more = len(products) - PRODUCTS_SHOWN
    return ", ".join(map(str, products[:PRODUCTS_SHOWN])) + (f" and {more} more" if more > 0 else "")


def price_in_words(price: Price) -> str:
    """40–60 EUR, or about 52 EUR."""
    low, high = price.low, price.high
    if low is None or high is None or round(low) == round(high):
        return f"about {price.about:.0f} {price.currency}"
    return f"{low:.0f}–{high:.0f} {price.currency}"
