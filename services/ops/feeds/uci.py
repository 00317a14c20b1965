"""Rows of UCI's "clickstream data for online shopping" as events and products. Pure."""

from datetime import UTC, datetime
from typing import Final

import msgspec

from schemas.events import Event
from schemas.products import Product
from services.ops.feeds.event_ids import event_id
from services.ops.feeds.product import Defaults, product_of
from services.ops.feeds.rows import Row

COLUMNS: Final = frozenset({"session ID", "page 2 (clothing model)", "order"})
# Its code tables.
CATEGORIES: Final = {"1": "Trousers", "2": "Skirts", "3": "Blouses", "4": "Sale"}
COLOURS: Final = (
    "beige", "black", "blue", "brown", "burgundy", "gray", "green",
    "navy blue", "many colours", "olive", "pink", "red", "violet", "white",
)  # fmt: skip


def event(row: Row, number: int) -> Event:
    """The event of one row. Raises KeyError, ValueError or msgspec.ValidationError."""
    day = datetime(int(row["year"]), int(row["month"]), int(row["day"]), tzinfo=UTC)
    # The file knows the day and the click's place in the session: one second a click keeps their order.
    occurred_at = int(day.timestamp() * 1000) + int(row["order"]) * 1000
    return msgspec.convert(
        {
            "event_id": event_id("uci", number, row["session ID"], row["order"]),
            "type": "view_item",
            "visitor_id": f"uci-{row['session ID']}",
            "product_id": row["page 2 (clothing model)"],
            "value": float(row["price"]),
            "currency": "USD",
            "occurred_at": occurred_at,
            "context": {"page": f"/page/{row['page']}"},
        },
        Event,
    )


def product(row: Row, defaults: Defaults) -> Product:
    """The product that a row is about; its name is made up from its category and colour."""
    model = row["page 2 (clothing model)"]
    category = CATEGORIES[row["page 1 (main category)"]]
    colour = COLOURS[int(row["colour"]) - 1]
    return product_of(
        {
            "product_id": model,
            "name": f"{category.rstrip('s') if category != 'Trousers' else category} {model}, {colour}",
            "category": ["Clothing", category],
            "type": category,
            "price": float(row["price"]),
            "currency": "USD",
            "tags": [colour],
        },
        defaults,
    )
