"""How the columns of known files become events and products. A mapping is pure: a row in, messages out."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec

from schemas.events import Event, EventType
from schemas.products import Product
from services.ops.rows import Row, UnreadableFile, columns, rows

T = TypeVar("T")

# Event ids made from a file's rows: the same row is the same event, however often it is loaded.
NAMESPACE: Final = uuid5(NAMESPACE_URL, "urn:eddy:ops:load")

# The types of REES46's open data sets, and GA4's names for them.
REES46_TYPES: Final[dict[str, EventType]] = {
    "view": "view_item",
    "cart": "add_to_cart",
    "remove_from_cart": "remove_from_cart",
    "purchase": "purchase",
}
# Code tables of the UCI data set "clickstream data for online shopping".
UCI_CATEGORIES: Final = {"1": "Trousers", "2": "Skirts", "3": "Blouses", "4": "Sale"}
UCI_COLOURS: Final = (
    "beige", "black", "blue", "brown", "burgundy", "gray", "green",
    "navy blue", "many colours", "olive", "pink", "red", "violet", "white",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a product gets where the file does not say."""

    currency: str
    updated_at: int  # Unix ms, the file's own time: loading it again is no news


@dataclass(frozen=True, slots=True)
class Mapping:
    """One kind of file. `event` and `product` raise KeyError, ValueError or msgspec.ValidationError."""

    name: str
    needs: frozenset[str]  # the columns that tell this kind from the others
    delimiter: str
    event: Callable[[Row, int], Event]
    product: Callable[[Row, Defaults], Product]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that is no message: its number, counted from 1 without the header, and why."""

    number: int
    reason: str


def events(path: Path, mapping: Mapping) -> Iterator[Event | BadRow]:
    """Every event of a file, in its order; the very objects that `events load` sends."""
    return _mapped(rows(path, mapping.delimiter), mapping.event)


def products(path: Path, mapping: Mapping, defaults: Defaults) -> Iterator[Product | BadRow]:
    """Every distinct product of a file: where rows disagree about one, the first counts."""
    seen: set[str] = set()
    for found in _mapped(rows(path, mapping.delimiter), lambda row, _: mapping.product(row, defaults)):
        if isinstance(found, BadRow):
            yield found
        elif found.product_id not in seen:
            seen.add(found.product_id)
            yield found


def _mapped(source: Iterable[Row], make: Callable[[Row, int], T]) -> Iterator[T | BadRow]:
    for number, row in enumerate(source, start=1):
        if None in row:
            yield BadRow(number, "more cells than columns")
            continue
        try:
            yield make(row, number)
        except KeyError as error:
            yield BadRow(number, f"column {error} is missing")
        except (ValueError, TypeError, msgspec.ValidationError) as error:
            yield BadRow(number, str(error))


def detect(path: Path) -> Mapping:
    """The mapping whose columns the file has. Raises UnreadableFile when none fits."""
    found = set(columns(path))
    for mapping in MAPPINGS.values():
        if mapping.needs <= found:
            return mapping
    known = ", ".join(MAPPINGS)
    raise UnreadableFile(f"{path} has columns {sorted(found)}, which fit none of the mappings {known}")


def _whole(row: Row, *names: str) -> None:
    """Raises ValueError when a cell that must be filled is empty, as in a file that was cut off."""
    empty = [name for name in names if row[name] is None]
    if empty:
        raise ValueError(f"no {', '.join(empty)}: was the file cut off?")


def _rees46_event(row: Row, number: int) -> Event:
    _whole(row, "event_time", "event_type", "product_id", "price", "user_id")
    occurred_at = datetime.strptime(row["event_time"], "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
    return msgspec.convert(
        {
            "event_id": str(_id("rees46", number, row["user_session"] or "", row["product_id"])),
            "type": REES46_TYPES[row["event_type"]],
            "visitor_id": f"rees46-{row['user_id']}",
            "session_id": row["user_session"],  # the file's last row is cut off before it
            "product_id": row["product_id"],
            "value": float(row["price"]),
            "currency": "USD",
            "occurred_at": int(occurred_at.timestamp() * 1000),
        },
        Event,
    )


def _rees46_product(row: Row, defaults: Defaults) -> Product:
    _whole(row, "product_id", "price")
    path = [step.replace("_", " ").capitalize() for step in (row["category_code"] or "").split(".") if step]
    kind = path[-1] if path else "Product"
    name = " ".join(part for part in (str(row["brand"] or "").capitalize(), kind, row["product_id"]) if part)
    return _product(
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


def _uci_event(row: Row, number: int) -> Event:
    day = datetime(int(row["year"]), int(row["month"]), int(row["day"]), tzinfo=UTC)
    # The file knows the day and the click's place in the session: one second a click keeps their order.
    occurred_at = int(day.timestamp() * 1000) + int(row["order"]) * 1000
    return msgspec.convert(
        {
            "event_id": str(_id("uci", number, row["session ID"], row["order"])),
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


def _uci_product(row: Row, defaults: Defaults) -> Product:
    model = row["page 2 (clothing model)"]
    category = UCI_CATEGORIES[row["page 1 (main category)"]]
    colour = UCI_COLOURS[int(row["colour"]) - 1]
    return _product(
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


def _eddy_event(row: Row, _number: int) -> Event:
    return msgspec.convert(
        {key: value for key, value in row.items() if value is not None}, Event, strict=False
    )


def _eddy_product(row: Row, defaults: Defaults) -> Product:
    return _product(
        row
        | {
            "category": _path(row.get("category")),
            "tags": _words(row.get("tags")),
            "markets": _words(row.get("markets")),
        },
        defaults,
    )


def _product(fields: Row, defaults: Defaults) -> Product:
    filled = {"availability": "in_stock", "currency": defaults.currency, "updated_at": defaults.updated_at}
    return msgspec.convert(
        filled | {key: value for key, value in fields.items() if value not in (None, "")},
        Product,
        strict=False,
    )


def _path(category: object) -> list[str]:
    """A category path, top first: a list, its JSON, or a text with steps parted by `>`."""
    if isinstance(category, str):
        if category.startswith("["):
            return msgspec.json.decode(category, type=list[str])
        return [step.strip() for step in category.split(">") if step.strip()]
    return [str(step) for step in category] if isinstance(category, list | tuple) else []


def _words(value: object) -> list[str]:
    """Tags: a list, or a text parted by `|`."""
    if isinstance(value, str):
        return [word.strip() for word in value.split("|") if word.strip()]
    return [str(word) for word in value] if isinstance(value, list | tuple) else []


def _id(kind: str, number: int, *parts: object) -> UUID:
    return uuid5(NAMESPACE, ":".join([kind, str(number), *(str(part) for part in parts)]))


MAPPINGS: Final = {
    mapping.name: mapping
    for mapping in (
        Mapping(
            "rees46",
            frozenset({"event_time", "event_type", "user_session"}),
            ",",
            _rees46_event,
            _rees46_product,
        ),
        Mapping(
            "uci",
            frozenset({"session ID", "page 2 (clothing model)", "order"}),
            ";",
            _uci_event,
            _uci_product,
        ),
        Mapping("eddy", frozenset({"product_id"}), ",", _eddy_event, _eddy_product),
    )
}
