"""What all kinds of feeds share: defaults, and the last step from fields to a Product. Pure."""

import re
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from schemas.products import Product
from services.ops.feeds.rows import Row
from services.ops.feeds.values import BadValue

Variants = Literal["separate", "merged"]

DESCRIPTION_MAX: Final = 20_000  # as schemas.products.Product

_MISSING: Final = re.compile(r"Object missing required field `(\w+)`")
_AT: Final = re.compile(r"(.*) - at `\$\.(\w+)[^`]*`", re.S)


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a product gets where the file does not say.

    `variants`: whether the rows of one item group of Google's stay products of their own, or become one.
    """

    currency: str
    updated_at: int  # Unix ms, the file's own time: loading it again is no news
    variants: Variants = "separate"


class NotForSale(Exception):
    """The row is sound, but no product of the shop: a draft, say. The text tells."""


def product_of(fields: Row, defaults: Defaults) -> Product:
    """Fields as Product names them; those that are None or empty get the default. Raises BadValue."""
    filled = {"availability": "in_stock", "currency": defaults.currency, "updated_at": defaults.updated_at}
    filled |= {key: value for key, value in fields.items() if value not in (None, "")}
    try:
        return msgspec.convert(filled, Product, strict=False)
    except msgspec.ValidationError as error:
        raise _told(error, filled) from None


def shortened(description: str) -> str:
    """A description, cut where it is longer than a product may have."""
    return description[:DESCRIPTION_MAX]


def merged(first: Product, second: Product) -> Product:
    """Two variants of one thing: the first's words, the lower price, all tags, there if either is."""
    best = min((first, second), key=lambda each: _STATES.index(each.availability))
    return msgspec.structs.replace(
        first,
        price=min(first.price, second.price) if first.currency == second.currency else first.price,
        availability=best.availability,
        tags=tuple(dict.fromkeys(first.tags + second.tags)),
        image_url=first.image_url or second.image_url,
        description=first.description or second.description,
        updated_at=max(first.updated_at, second.updated_at),
    )


_STATES: Final = ("in_stock", "preorder", "out_of_stock")


def _told(error: msgspec.ValidationError, fields: Row) -> BadValue:
    """A decoder's message with the field first: reasons are grouped by their text."""
    text = str(error)
    if missing := _MISSING.match(text):
        return BadValue(f"{missing[1]}: is missing")
    if at := _AT.match(text):
        return BadValue(f"{at[2]}: {at[1][0].lower()}{at[1][1:]}", fields.get(at[2]))
    return BadValue(text)
