"""Segment's e-commerce spec v2 in our terms: names of events, and what their properties tell.

https://www.twilio.com/docs/segment/connections/spec/ecommerce/v2
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from math import isfinite
from typing import Any, Final

import msgspec

from schemas.events import Event, EventType, Item
from services.ingest.batches import Refused

# Names without their spaces, underscores and capitals: shops write all of them.
EVENT_TYPES: Final[Mapping[str, EventType]] = {
    "productlistviewed": "view_item_list",
    "productclicked": "select_item",
    "productviewed": "view_item",
    "productadded": "add_to_cart",
    "productremoved": "remove_from_cart",
    "productaddedtowishlist": "add_to_wishlist",
    "checkoutstarted": "begin_checkout",
    "ordercompleted": "purchase",
    "productssearched": "search",
}
# Here the one product is a line of a cart or an order, with its quantity and price; elsewhere only looked at.
OF_CARTS: Final = frozenset({"add_to_cart", "remove_from_cart", "begin_checkout", "purchase"})

ID_MAX: Final = 128
NAME_MAX: Final = 256

Properties = Mapping[str, Any]


def type_of(name: str) -> EventType | None:
    """Our type of a Segment event, or None where it has nothing to do with products."""
    return EVENT_TYPES.get(_plain(name))


def with_properties(event: Event, properties: Properties) -> Event:
    """The event with what the properties tell of products, money, list and query. Raises Refused.

    Prices, quantities, currencies and lines without a product that make no sense are left out: an order is
    worth more than the one line that is odd.
    """
    told = _by_plain_name(properties)
    lines = [*_lines(told)]
    alone = _item(told)
    if alone is not None and event.type in OF_CARTS:
        lines = lines or [alone]
        alone = None
    return msgspec.structs.replace(
        event,
        product_id=None if alone is None else alone.product_id,
        items=tuple(lines),
        value=_value(told),
        currency=_currency(told.get("currency")),
        list_id=text(told.get("listid"), NAME_MAX),
        recommendation_id=text(told.get("recommendationid"), NAME_MAX),
        query=text(told.get("query"), NAME_MAX),
    )


def text(value: object, max_length: int) -> str | None:
    """A text cut to a length; None where there is none."""
    return value[:max_length] if isinstance(value, str) and value else None


def _lines(told: Properties) -> Iterator[Item]:
    lines = told.get("products")
    if lines is None:
        return
    if not isinstance(lines, list):
        raise Refused("validate", "Expected `array` of products - at `$.properties.products`")
    for line in lines:
        if isinstance(line, dict) and (item := _item(_by_plain_name(line))) is not None:
            yield item


def _item(told: Properties) -> Item | None:
    ids = (_product_id(each) for each in _all(told, "productid", "sku"))
    product_id = next((each for each in ids if each), None)
    if product_id is None:
        return None
    quantity, price = _number(told.get("quantity")), _number(told.get("price"))
    return Item(
        product_id=product_id,
        quantity=int(quantity) if quantity is not None and quantity >= 1 and quantity.is_integer() else None,
        price=price if price is not None and price >= 0 else None,
    )


def _product_id(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
        value = str(value)
    return value if isinstance(value, str) and 1 <= len(value) <= ID_MAX else None


def _value(told: Properties) -> float | None:
    """What was sold or is in the cart: revenue is without tax and shipping, as GA4's value is."""
    numbers = (_number(each) for each in _all(told, "revenue", "value", "total"))
    return next((each for each in numbers if each is not None), None)


def _number(value: object) -> float | None:
    """A number, or a text that is one, as many shops send prices."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) and abs(number) < 2**53 else None


def _currency(value: object) -> str | None:
    return value.upper() if isinstance(value, str) and re.fullmatch(r"[A-Za-z]{3}", value) else None


def _all(told: Properties, *names: str) -> Iterator[Any]:
    return (told[name] for name in names if told.get(name) is not None)


def _by_plain_name(properties: Properties) -> Properties:
    """productId and product_id are one name; of two values that are not null the first counts."""
    told: dict[str, Any] = {}
    for name, value in properties.items():
        if told.get(plain := _plain(name)) is None:
            told[plain] = value
    return told


@lru_cache(1024)  # shops use the same few dozen names
def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()
