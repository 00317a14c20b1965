"""Rows of REES46's open data sets as events, and as the products that they are about. Pure."""

from datetime import UTC, datetime
from typing import Final

import msgspec

from schemas.events import Event, EventType
from schemas.products import Product
from services.ops.catalogue.cell_values import Defaults, event_id, product_of
from services.ops.catalogue.rows import BadValue, Row

REES46_COLUMNS: Final = frozenset({"event_time", "event_type", "user_session"})
# Their types, and GA4's names for them.
TYPES: Final[dict[str, EventType]] = {
    "view": "view_item",
    "cart": "add_to_cart",
    "remove_from_cart": "remove_from_cart",
    "purchase": "purchase",
}


def rees46_event(row: Row, number: int) -> Event:
    """The event of one row. Raises KeyError, ValueError or msgspec.ValidationError."""
    _whole(row, "event_time", "event_type", "product_id", "price", "user_id")
    occurred_at = datetime.strptime(row["event_time"], "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
    return msgspec.convert(
        {
            "event_id": event_id("rees46", number, row["user_session"] or "", row["product_id"]),
            "type": TYPES[row["event_type"]],
            "visitor_id": f"rees46-{row['user_id']}",
            "session_id": row["user_session"],  # the file's last row is cut off before it
            "product_id": row["product_id"],
            "value": float(row["price"]),
            "currency": "USD",
            "occurred_at": int(occurred_at.timestamp() * 1000),
        },
        Event,
    )


def rees46_product(row: Row, defaults: Defaults) -> Product:
    """The product that a row is about; its name is made up from its brand and category."""
    _whole(row, "product_id", "price")
    path = [step.replace("_", " ").capitalize() for step in (row["category_code"] or "").split(".") if step]
    kind = path[-1] if path else "Product"
    name = " ".join(part for part in (str(row["brand"] or "").capitalize(), kind, row["product_id"]) if part)
    return product_of(
        {
            "product_id": row["product_id"],
            "name": name,
            "brand": row["brand"],
            "category": path,
            "type": kind if path else None,
            "price": float(row["price"]),
            "currency": "USD",
        },
        defaults,
    )


def _whole(row: Row, *names: str) -> None:
    """Raises BadValue when a cell that must be filled is empty, as in a file that was cut off."""
    empty = [name for name in names if row[name] is None]
    if empty:
        raise BadValue(f"no {', '.join(empty)}: was the file cut off?")


UCI_COLUMNS: Final = frozenset({"session ID", "page 2 (clothing model)", "order"})
# Its code tables.
CATEGORIES: Final = {"1": "Trousers", "2": "Skirts", "3": "Blouses", "4": "Sale"}
COLOURS: Final = (
    "beige", "black", "blue", "brown", "burgundy", "gray", "green",
    "navy blue", "many colours", "olive", "pink", "red", "violet", "white",
)  # fmt: skip


def uci_event(row: Row, number: int) -> Event:
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


def uci_product(row: Row, defaults: Defaults) -> Product:
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
