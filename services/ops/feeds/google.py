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

from schemas.products import Product
from services.ops.feeds import values
from services.ops.feeds.html_text import readable
from services.ops.feeds.product import Defaults, product_of, shortened
from services.ops.feeds.rows import Row

ATTRIBUTES: Final = ("color", "material", "pattern", "gender", "age_group")


def named(row: Row) -> Row:
    """The row under the specification's names: "g:Image Link" is image_link."""
    return {_attribute(key): value for key, value in row.items() if value is not None}


@lru_cache(1024)  # a feed has a few dozen, in every row
def _attribute(column: str) -> str:
    return column.strip().lower().removeprefix("g:").strip().replace(" ", "_")


def product(row: Row, defaults: Defaults) -> Product:
    """The product of one row. Raises BadValue."""
    cells = named(row)
    price, currency, on_sale = _price(cells, defaults)
    category = _category(cells)
    group = values.one(cells.get("item_group_id")) if defaults.variants == "merged" else None
    return product_of(
        {
            "product_id": _text(group or values.one(cells.get("id"))),
            "name": readable(_text(values.one(cells.get("title")))),
            "description": shortened(readable(_description(cells))),
            "price": price,
            "currency": currency,
            "availability": values.availability(values.one(cells.get("availability"))),
            "brand": _text(values.one(cells.get("brand"))),
            "category": category,
            "type": category[-1] if category else None,
            "tags": _tags(cells, on_sale),
            "image_url": _text(values.one(cells.get("image_link"))),
            "url": _text(values.one(cells.get("link"))),
            "updated_at": values.moment(values.one(cells.get("updated") or cells.get("updated_at"))),
        },
        defaults,
    )


def _price(cells: Row, defaults: Defaults) -> tuple[float, str, bool]:
    price, currency = values.price(values.one(cells.get("price")), defaults.currency)
    if not cells.get("sale_price"):
        return price, currency, False
    reduced, reduced_currency = values.price(values.one(cells["sale_price"]), currency, field="sale_price")
    is_now = _lasts(values.one(cells.get("sale_price_effective_date")), defaults.updated_at)
    if is_now and reduced_currency == currency and 0 < reduced < price:
        return reduced, currency, True
    return price, currency, False


def _lasts(interval: Any, at: int) -> bool:  # noqa: ANN401 - a cell
    """Whether "2026-03-01T13:00-0800/2026-03-11T15:30-0800" holds a moment, Unix ms. No interval does."""
    if not interval:
        return True
    begin, slash, end = str(interval).partition("/")
    if not slash:
        raise values.BadValue("sale_price_effective_date: is no interval, begin/end", interval)
    first = values.moment(begin.strip(), "sale_price_effective_date")
    last = values.moment(end.strip(), "sale_price_effective_date")
    return (first is None or first <= at) and (last is None or at < last)


def _category(cells: Row) -> list[str]:
    own = values.path(_text(values.one(cells.get("product_type"))))
    if own:
        return own
    of_google = _text(values.one(cells.get("google_product_category")))
    return [] if of_google.isdigit() else values.path(of_google)


def _description(cells: Row) -> str:
    """RSS and the tables have a description, Atom a summary or a content."""
    return next(
        (_text(values.one(cells[name])) for name in ("description", "summary", "content") if cells.get(name)),
        "",
    )


def _tags(cells: Row, on_sale: bool) -> list[str]:
    attributes = [
        values.words(_text(text).lower(), "/") for name in ATTRIBUTES for text in _all(cells.get(name))
    ]
    condition = _text(values.one(cells.get("condition"))).lower()
    return values.tags(
        *attributes, [condition] if condition not in {"", "new"} else [], ["sale"] if on_sale else []
    )


def _all(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()
