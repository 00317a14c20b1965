"""Rows that have the names of Eddy's own fields: Events as they are, and Products. Pure."""

from typing import Final

import msgspec

from schemas.events import Event
from schemas.products import Product
from services.ops.feeds import values
from services.ops.feeds.product import Defaults, product_of
from services.ops.feeds.rows import Row

COLUMNS: Final = frozenset({"product_id"})


def event(row: Row, _number: int) -> Event:
    """The event of one row. Raises msgspec.ValidationError."""
    return msgspec.convert(
        {key: value for key, value in row.items() if value is not None}, Event, strict=False
    )


def product(row: Row, defaults: Defaults) -> Product:
    """The product of one row: category "Home > Lamps", tags and markets "a|b", or lists. Raises BadValue."""
    found = row | {
        "product_id": _text(row.get("product_id")),
        "category": values.path(row.get("category")),
        "tags": values.words(row.get("tags")),
        "markets": values.words(row.get("markets")),
        "availability": values.availability(row.get("availability")),
        "updated_at": values.moment(row.get("updated_at")),
    }
    if isinstance(row.get("price"), str):
        amount, currency = values.price(row["price"], row.get("currency") or defaults.currency)
        found |= {"price": amount, "currency": currency}
    return product_of(found, defaults)


def _text(value: object) -> object:
    """Ids of Parquet and JSON may be whole numbers."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value
