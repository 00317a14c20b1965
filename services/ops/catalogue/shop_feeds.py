"""Rows of a Google Merchant feed (product data specification), from XML, TSV or CSV, as products. Pure.

What becomes of its attributes:
- `id` is the product's id; with merged variants `item_group_id`, where there is one.
- `sale_price` is the price while `sale_price_effective_date` lasts (at the feed's own time; always, where
  it is not given) and it is lower than `price`; the product is then tagged `sale`.
- The category is `product_type`, the shop's own path, else `google_product_category` unless it is a number.
  Its last step is the product's type.
- `color`, `material` and `pattern` ("Red/Blue" is two), `gender`, `age_group`, and a `condition` other than
  new become tags, in lower case. Sizes do not: they part the variants of one thing.
- `availability`: backorder counts as preorder, as both can be ordered and come later.
- HTML in `title` and `description` becomes text. Groups such as `shipping` are not read.
"""

from functools import lru_cache
from typing import Any, Final

import msgspec

from schemas.events import Event
from schemas.products import Availability, Product
from services.ops.catalogue import cell_values
from services.ops.catalogue.cell_values import BadValue, Defaults, NotForSale, product_of, readable, shorten
from services.ops.catalogue.file_formats import Row

ATTRIBUTES: Final = ("color", "material", "pattern", "gender", "age_group")


def rename_columns(row: Row) -> Row:
    """The row under the specification's names: "g:Image Link" is image_link."""
    return {_attribute(key): value for key, value in row.items() if value is not None}


@lru_cache(1024)  # a feed has a few dozen, in every row
def _attribute(column: str) -> str:
    return column.strip().lower().removeprefix("g:").strip().replace(" ", "_")


def google_product(row: Row, defaults: Defaults) -> Product:
    """The product of one row. Raises BadValue."""
    cells = rename_columns(row)
    price, currency, on_sale = _price(cells, defaults)
    category = _category(cells)
    group = cell_values.one(cells.get("item_group_id")) if defaults.variants == "merged" else None
    return product_of(
        {
            "product_id": str(group).strip() if group else _text(cells, "id"),
            "name": readable(_text(cells, "title")),
            # RSS and the tables have a description, Atom a summary or a content.
            "description": shorten(
                readable(
                    next(
                        (
                            _text(cells, name)
                            for name in ("description", "summary", "content")
                            if cells.get(name)
                        ),
                        "",
                    )
                )
            ),
            "price": price,
            "currency": currency,
            "availability": cell_values.availability(cell_values.one(cells.get("availability"))),
            "brand": _text(cells, "brand"),
            "category": category,
            "type": category[-1] if category else None,
            "tags": _tags(cells, on_sale),
            "image_url": _text(cells, "image_link"),
            "url": _text(cells, "link"),
            "updated_at": cell_values.moment(
                cell_values.one(cells.get("updated") or cells.get("updated_at"))
            ),
        },
        defaults,
    )


def _price(cells: Row, defaults: Defaults) -> tuple[float, str, bool]:
    price, currency = cell_values.price(cell_values.one(cells.get("price")), defaults.currency)
    if not cells.get("sale_price"):
        return price, currency, False
    reduced, reduced_currency = cell_values.price(
        cell_values.one(cells["sale_price"]), currency, field="sale_price"
    )
    is_now = _lasts(cell_values.one(cells.get("sale_price_effective_date")), defaults.updated_at)
    if is_now and reduced_currency == currency and 0 < reduced < price:
        return reduced, currency, True
    return price, currency, False


def _lasts(interval: Any, at: int) -> bool:  # noqa: ANN401 - a cell
    """Whether "2026-03-01T13:00-0800/2026-03-11T15:30-0800" holds a moment, Unix ms. No interval does."""
    if not interval:
        return True
    begin, slash, end = str(interval).partition("/")
    if not slash:
        raise cell_values.BadValue("sale_price_effective_date: is no interval, begin/end", interval)
    first = cell_values.moment(begin.strip(), "sale_price_effective_date")
    last = cell_values.moment(end.strip(), "sale_price_effective_date")
    return (first is None or first <= at) and (last is None or at < last)


def _category(cells: Row) -> list[str]:
    of_google = _text(cells, "google_product_category")
    own = cell_values.path(_text(cells, "product_type"))
    return own or ([] if of_google.isdigit() else cell_values.path(of_google))


def _tags(cells: Row, on_sale: bool) -> list[str]:
    found: list[list[str]] = []
    for value in (cells.get(name) for name in ATTRIBUTES):
        for text in value if isinstance(value, list | tuple) else [value]:
            found.append(cell_values.words("" if text is None else str(text).strip().lower(), "/"))
    condition = _text(cells, "condition").lower()
    return cell_values.tags(
        *found, [condition] if condition not in {"", "new"} else [], ["sale"] if on_sale else []
    )


def _text(cells: Row, name: str) -> str:
    """A cell, or the first of several, as a text."""
    value = cell_values.one(cells.get(name))
    return "" if value is None else str(value).strip()


TAG_OPTIONS: Final = frozenset({"color", "colour", "material", "pattern", "farbe", "couleur"})


def shopify_product(row: Row, defaults: Defaults) -> Product:
    """The product of one entry of `products`. Raises BadValue, and NotForSale for drafts."""
    status = str(row.get("status") or "active").lower()
    if status == "draft":
        raise NotForSale("a draft")
    if "published_at" in row and row["published_at"] is None and status == "active":
        raise NotForSale("published nowhere")
    variants = row.get("variants")
    if not isinstance(variants, list) or not all(isinstance(each, dict) for each in variants):
        raise BadValue("variants: is no list of objects")
    if not variants:
        raise BadValue("variants: is empty, so there is no price")
    price, on_sale = _variants_price(variants, defaults)
    category = cell_values.path(str(row.get("product_type") or "").strip())
    states = [] if status == "archived" else [_state(each) for each in variants]
    state = next((each for each in ("in_stock", "preorder") if each in states), "out_of_stock")
    return product_of(
        {
            "product_id": None if row.get("id") is None else str(row["id"]),
            "name": str(row.get("title") or "").strip(),
            "description": shorten(readable(str(row.get("body_html") or ""))),
            "price": price,
            "availability": state,
            "brand": str(row.get("vendor") or "").strip(),
            "category": category,
            "type": category[-1] if category else None,
            "tags": cell_values.tags(
                cell_values.words(row.get("tags"), ","), _options(row), ["sale"] if on_sale else []
            ),
            "image_url": _picture(row),
            "url": f"/products/{row['handle']}" if row.get("handle") else None,
            "updated_at": cell_values.moment(row.get("updated_at")),
        },
        defaults,
    )


def _variants_price(variants: list[Row], defaults: Defaults) -> tuple[float, bool]:
    def of(variant: Row) -> float:
        return cell_values.price(variant.get("price"), defaults.currency)[0]

    buyable = [each for each in variants if _state(each) != "out_of_stock"] or variants
    cheapest = min(buyable, key=of)
    before = cheapest.get("compare_at_price")
    former = cell_values.price(before, defaults.currency, field="compare_at_price")[0] if before else 0.0
    return of(cheapest), former > of(cheapest)


def _state(variant: Row) -> Availability:
    if isinstance(variant.get("available"), bool):
        return "in_stock" if variant["available"] else "out_of_stock"
    quantity = variant.get("inventory_quantity")
    is_tracked = quantity is not None and variant.get("inventory_management", "shopify") is not None
    if not is_tracked or int(quantity or 0) > 0:
        return "in_stock"
    return "preorder" if variant.get("inventory_policy") == "continue" else "out_of_stock"


def _options(row: Row) -> list[str]:
    options = [each for each in row.get("options") or [] if isinstance(each, dict)]
    return [
        word.lower()
        for each in options
        if str(each.get("name")).strip().lower() in TAG_OPTIONS
        for word in cell_values.words(each.get("values"))
    ]


def _picture(row: Row) -> str | None:
    image = row.get("image")
    images = [image] if isinstance(image, dict) else row.get("images") or []
    return next((str(each["src"]) for each in images if isinstance(each, dict) and each.get("src")), None)


EDDY_COLUMNS: Final = frozenset({"product_id"})


def eddy_event(row: Row, _number: int) -> Event:
    """The event of one row. Raises msgspec.ValidationError."""
    return msgspec.convert(
        {key: value for key, value in row.items() if value is not None}, Event, strict=False
    )


def eddy_product(row: Row, defaults: Defaults) -> Product:
    """The product of one row: category "Home > Lamps", tags and markets "a|b", or lists. Raises BadValue."""
    product_id = row.get("product_id")
    if isinstance(product_id, int) and not isinstance(product_id, bool):
        product_id = str(product_id)  # ids of Parquet and JSON may be whole numbers
    found = row | {
        "product_id": product_id,
        "category": cell_values.path(row.get("category")),
        "tags": cell_values.words(row.get("tags")),
        "markets": cell_values.words(row.get("markets")),
        "availability": cell_values.availability(row.get("availability")),
        "updated_at": cell_values.moment(row.get("updated_at")),
    }
    if isinstance(row.get("price"), str):
        amount, currency = cell_values.price(row["price"], row.get("currency") or defaults.currency)
        found |= {"price": amount, "currency": currency}
    return product_of(found, defaults)
