"""Rows of a Google Merchant feed (XML, TSV, CSV), of Shopify's product JSON and of Eddy's own form. Pure.

What becomes of a Merchant feed's attributes:
- `id` is the product's id; with merged variants `item_group_id`, where there is one.
- `sale_price` is the price while `sale_price_effective_date` lasts (always, where it is not given) and it is
  lower than `price`; the product is then tagged `sale`. What is no sale is told, and the product has `price`.
- The category is `product_type`, the shop's own path, else `google_product_category` unless it is a number.
  Its last step is the product's type.
- `color`, `material` and `pattern` ("Red/Blue" is two), `gender`, `age_group`, and a `condition` other than
  new become tags, in lower case. Sizes do not: they part the variants of one thing.
- `availability`: backorder counts as preorder, as both can be ordered and come later.
- Markup and entities become text. Groups such as `shipping` are not read.
"""

from functools import lru_cache
from typing import Final

import msgspec

from schemas.events import Event
from schemas.products import Availability, Product
from services.ops.catalogue import texts
from services.ops.catalogue.cell_values import (
    BEST_FIRST,
    Defaults,
    NotForSale,
    event_id,
    moment,
    product_of,
)
from services.ops.catalogue.rows import BadValue, Row
from services.ops.catalogue.sale_prices import Pricing, make_pricing, read_interval
from services.ops.catalogue.texts import id_of, is_blank, one, text_of

ATTRIBUTES: Final = ("color", "material", "pattern", "gender", "age_group")


def rename_columns(row: Row) -> Row:
    """The row under the specification's names: "g:Image Link" is image_link."""
    renamed: Row = {}
    for key, value in row.items():
        if value is not None or _attribute(key) not in renamed:
            renamed[_attribute(key)] = value
    return renamed


@lru_cache(1024)  # a feed has a few dozen, in every row
def _attribute(column: str) -> str:
    return column.strip().lower().removeprefix("g:").strip().replace(" ", "_")


def google_product(row: Row, defaults: Defaults) -> Product:
    """The product of one row. Raises BadValue."""
    cells = rename_columns(row)
    pricing = _google_pricing(cells, defaults)
    category, shelves = _category(cells, defaults)
    group = id_of(cells, "item_group_id") if defaults.variants == "merged" else ""
    return product_of(
        {
            "product_id": group or id_of(cells, "id"),
            "name": text_of(cells, "title"),
            # RSS and the tables have a description, Atom a summary or a content.
            "description": text_of(cells, "description", "summary", "content"),
            "price": pricing.price,
            "currency": pricing.currency,
            "price_changes": pricing.changes,
            "availability": defaults.availability(cells),
            "brand": text_of(cells, "brand"),
            "category": category,
            "type": category[-1] if category else None,
            "tags": texts.tags(shelves, _tags(cells, pricing)),
            "image_url": text_of(cells, "image_link"),
            "url": text_of(cells, "link"),
            "updated_at": moment(one(cells.get("updated") or cells.get("updated_at"))),
        },
        defaults,
    )


def google_group(row: Row) -> str | None:
    """The item group of a row, where it has one."""
    return id_of(rename_columns(row), "item_group_id") or None


def _google_pricing(cells: Row, defaults: Defaults) -> Pricing:
    regular, reduced = defaults.money(one(cells.get("price"))), one(cells.get("sale_price"))
    time = one(cells.get("sale_price_effective_date"))
    return make_pricing(regular, reduced, defaults, lambda: read_interval(time, defaults))


def _category(cells: Row, defaults: Defaults) -> tuple[list[str], list[str]]:
    """The deepest of the shop's own categories, and the last steps of the others; else Google's."""
    told = cells.get("product_type")
    own = [path for each in (told if isinstance(told, list) else [told]) for path in _paths(each)]
    of_google = text_of(cells, "google_product_category")
    if any(own) or not of_google:
        return texts.deepest(own)
    if of_google.isdigit():
        defaults.tell(
            "google_product_category is a number, and product_type is empty: no category", of_google
        )
        return [], []
    return texts.path(of_google), []


def _paths(text: object) -> list[list[str]]:
    """Several paths are parted by commas, each with a `>` of its own; a comma else belongs to a name."""
    if is_blank(text):
        return []
    several = texts.readable(str(text)).split(",")
    return [texts.path(each) for each in (several if all(">" in each for each in several) else [str(text)])]


def _tags(cells: Row, pricing: Pricing) -> list[str]:
    found: list[list[str]] = []
    for value in (cells.get(name) for name in ATTRIBUTES):
        for text in value if isinstance(value, list | tuple) else [value]:
            found.append(texts.words("" if is_blank(text) else str(text).strip().lower(), "/"))
    condition = text_of(cells, "condition").lower()
    return texts.tags(*found, [condition] if condition not in {"", "new"} else [], pricing.tags)


TAG_OPTIONS: Final = frozenset({"color", "colour", "material", "pattern", "farbe", "couleur"})


def shopify_product(row: Row, defaults: Defaults) -> Product:
    """The product of one entry of `products`. Raises BadValue, and NotForSale for what nobody can find there.

    Only `active` and published ones are for sale. Archived ones were: they are sold out.
    """
    status = str(row.get("status") or "active").lower()
    if status not in ("active", "archived"):
        raise NotForSale("a draft" if status == "draft" else f"not active, but {status}")
    if status == "active" and "published_at" in row:
        published_at = moment(row["published_at"], "published_at")
        if published_at is None:
            raise NotForSale("published nowhere")
        if published_at > defaults.updated_at:
            raise NotForSale("published only later")
    variants = row.get("variants")
    if not isinstance(variants, list) or not all(isinstance(each, dict) for each in variants):
        raise BadValue("variants: is no list of objects")
    if not variants:
        raise BadValue("variants: is empty, so there is no price")
    pricing = _variants_pricing(variants, defaults)
    category = texts.path(str(row.get("product_type") or ""))
    states = [] if status == "archived" else [_state(each) for each in variants]
    state = min(states, key=BEST_FIRST.index, default="out_of_stock")
    return product_of(
        {
            "product_id": None if row.get("id") is None else str(row["id"]),
            "name": str(row.get("title") or "").strip(),
            "description": str(row.get("body_html") or ""),
            "price": pricing.price,
            "currency": pricing.currency,
            "availability": state,
            "brand": str(row.get("vendor") or "").strip(),
            "category": category,
            "type": category[-1] if category else None,
            "tags": texts.tags(texts.words(row.get("tags"), ","), _options(row), pricing.tags),
            "image_url": _picture(row),
            "url": f"/products/{row['handle']}" if row.get("handle") else None,
            "updated_at": moment(row.get("updated_at")),
        },
        defaults,
    )


def _variants_pricing(variants: list[Row], defaults: Defaults) -> Pricing:
    """That of the cheapest variant that can be bought; on sale where `compare_at_price` is higher."""

    def of(variant: Row) -> tuple[float, str]:
        return defaults.money(variant.get("price"))

    buyable = [each for each in variants if _state(each) != "out_of_stock"] or variants
    cheapest = min(buyable, key=of)
    price = of(cheapest)
    if is_blank(before := cheapest.get("compare_at_price")):
        return Pricing(*price)
    try:
        former, currency = defaults.money(before, field="compare_at_price")
    except BadValue as error:
        defaults.tell(f"{error.reason}, so there is no sale", error.value)
        return Pricing(*price)
    return Pricing(*price, on_sale=former > price[0] and currency == price[1])


def _state(variant: Row) -> Availability:
    if isinstance(variant.get("available"), bool):
        return "in_stock" if variant["available"] else "out_of_stock"
    quantity = variant.get("inventory_quantity")
    is_tracked = not is_blank(quantity) and variant.get("inventory_management", "shopify") is not None
    try:
        if not is_tracked or float(str(quantity)) > 0:
            return "in_stock"
    except ValueError:
        raise BadValue("inventory_quantity: is no number", quantity) from None
    return "preorder" if variant.get("inventory_policy") == "continue" else "out_of_stock"


def _options(row: Row) -> list[str]:
    options = [each for each in row.get("options") or [] if isinstance(each, dict)]
    return [
        word.lower()
        for each in options
        if str(each.get("name")).strip().lower() in TAG_OPTIONS
        for word in texts.words(each.get("values"))
    ]


def _picture(row: Row) -> str | None:
    image = row.get("image")
    images = [image] if isinstance(image, dict) else row.get("images") or []
    return next((str(each["src"]) for each in images if isinstance(each, dict) and each.get("src")), None)


EDDY_COLUMNS: Final = frozenset({"product_id"})
IDS: Final = ("event_id", "visitor_id", "session_id", "user_id", "product_id")


def eddy_event(row: Row, number: int) -> Event:
    """The event of one row: ids may be numbers, times ISO 8601. Raises BadValue, msgspec.ValidationError.

    An `event_id` of another form than Event's, as a number, gives one that follows from it; none at all, one
    that follows from the row.
    """
    found = {key: value for key, value in row.items() if not is_blank(value)}
    found |= {name: identifier(found[name]) for name in IDS if name in found}
    if "event_id" not in found:
        found["event_id"] = event_id("eddy", number, *map(str, row.values()))
    elif isinstance(own := found["event_id"], str) and len(own) not in (26, 36):
        found["event_id"] = event_id("eddy id", 0, own)
    found |= {name: moment(found[name], name) for name in ("occurred_at", "received_at") if name in found}
    if isinstance(found.get("items"), str):
        found["items"] = msgspec.json.decode(found["items"])
    if isinstance(items := found.get("items"), list):
        found["items"] = [
            each | {"product_id": identifier(each["product_id"])} if _has_id(each) else each for each in items
        ]
    return msgspec.convert(found, Event, strict=False)


def _has_id(item: object) -> bool:
    return isinstance(item, dict) and item.get("product_id") is not None


def identifier(value: object) -> object:
    """An id as text: those of Parquet and JSON may be numbers, whole ones with a point too."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def eddy_product(row: Row, defaults: Defaults) -> Product:
    """The product of one row: category "Home > Lamps", tags and markets "a|b", or lists. Raises BadValue."""
    found = row | {
        "product_id": identifier(row.get("product_id")),
        "category": texts.path(row.get("category")),
        "tags": texts.words(row.get("tags")),
        "markets": texts.words(row.get("markets")),
        "availability": defaults.availability(row),
        "updated_at": moment(row.get("updated_at")),
    }
    if is_blank(found.get("popularity")):
        found["popularity"] = None
    if isinstance(row.get("price"), str):
        amount, currency = defaults.money(row["price"], str(row.get("currency") or "").strip() or None)
        found |= {"price": amount, "currency": currency}
    return product_of(found, defaults)
