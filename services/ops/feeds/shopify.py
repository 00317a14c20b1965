"""Shopify's products, as its Admin API and a shop's public /products.json give them. Pure.

One product stays one product, whatever variants it has:
- The price is the lowest of the variants that can be bought, of all where none can. Shopify names no
  currency: it is the one given on the command line. A variant with a higher `compare_at_price` at that
  price tags the product `sale`.
- In stock where a variant is `available`, has an `inventory_quantity` above 0, or is not tracked; preorder
  where one may be sold beyond its stock (`inventory_policy: continue`); else out of stock.
- `status: archived` is out of stock. A draft, or what is published nowhere, is left out.
- `product_type` is the type, and the category too ("Women > Dresses" is a path).
- Tags are Shopify's, and the values of options called colour, material or pattern, in lower case.
- The link is /products/HANDLE, inside the shop.
"""

from typing import Final

from schemas.products import Availability, Product
from services.ops.feeds import values
from services.ops.feeds.html_text import readable
from services.ops.feeds.product import Defaults, NotForSale, product_of, shortened
from services.ops.feeds.rows import Row
from services.ops.feeds.values import BadValue

TAG_OPTIONS: Final = frozenset({"color", "colour", "material", "pattern", "farbe", "couleur"})


def product(row: Row, defaults: Defaults) -> Product:
    """The product of one entry of `products`. Raises BadValue, and NotForSale for drafts."""
    status = str(row.get("status") or "active").lower()
    if status == "draft":
        raise NotForSale("a draft")
    if "published_at" in row and row["published_at"] is None and status == "active":
        raise NotForSale("published nowhere")
    variants = _variants(row)
    price, on_sale = _price(variants, defaults)
    kind = str(row.get("product_type") or "").strip()
    category = values.path(kind)
    return product_of(
        {
            "product_id": None if row.get("id") is None else str(row["id"]),
            "name": str(row.get("title") or "").strip(),
            "description": shortened(readable(str(row.get("body_html") or ""))),
            "price": price,
            "availability": "out_of_stock" if status == "archived" else _availability(variants),
            "brand": str(row.get("vendor") or "").strip(),
            "category": category,
            "type": category[-1] if category else None,
            "tags": values.tags(
                values.words(row.get("tags"), ","), _options(row), ["sale"] if on_sale else []
            ),
            "image_url": _picture(row),
            "url": f"/products/{row['handle']}" if row.get("handle") else None,
            "updated_at": values.moment(row.get("updated_at")),
        },
        defaults,
    )


def _variants(row: Row) -> list[Row]:
    found = row.get("variants")
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise BadValue("variants: is no list of objects")
    if not found:
        raise BadValue("variants: is empty, so there is no price")
    return found


def _price(variants: list[Row], defaults: Defaults) -> tuple[float, bool]:
    def of(variant: Row) -> float:
        return values.price(variant.get("price"), defaults.currency)[0]

    buyable = [each for each in variants if _state(each) != "out_of_stock"] or variants
    cheapest = min(buyable, key=of)
    before = cheapest.get("compare_at_price")
    former = values.price(before, defaults.currency, field="compare_at_price")[0] if before else 0.0
    return of(cheapest), former > of(cheapest)


def _availability(variants: list[Row]) -> Availability:
    states = {_state(each) for each in variants}
    if "in_stock" in states:
        return "in_stock"
    return "preorder" if "preorder" in states else "out_of_stock"


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
        for word in values.words(each.get("values"))
    ]


def _picture(row: Row) -> str | None:
    image = row.get("image")
    images = [image] if isinstance(image, dict) else row.get("images") or []
    return next((str(each["src"]) for each in images if isinstance(each, dict) and each.get("src")), None)
