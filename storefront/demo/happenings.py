"""What a page tells when it is shown, in GA4's words: shop.js pushes it to the dataLayer."""

from collections.abc import Sequence

from schemas.products import Product
from storefront.demo.cart import Line, total

Push = dict[str, object]


def viewed(product: Product) -> Push:
    """A product's page was opened."""
    return _push("view_item", _money([Line(product, 1)]), [_item(Line(product, 1))])


def listed(list_id: str, shown: Sequence[Product]) -> Push:
    """A list of products was shown."""
    items: list[Push] = [{"item_id": product.product_id} for product in shown]
    return _push("view_item_list", {"item_list_id": list_id}, items)


def searched(query: str) -> Push:
    """Something was searched for."""
    return {"event": "search", "search_term": query}


def of_lines(event: str, lines: Sequence[Line], **more: object) -> Push:
    """add_to_cart, remove_from_cart, begin_checkout or purchase."""
    return _push(event, _money(lines) | more, [_item(line) for line in lines])


def _push(event: str, about: Push, items: Sequence[Push]) -> Push:
    return {"event": event, "ecommerce": {**about, "items": items}}


def _money(lines: Sequence[Line]) -> Push:
    return {"currency": lines[0].product.currency, "value": total(list(lines))} if lines else {}


def _item(line: Line) -> Push:
    product = line.product
    return {
        "item_id": product.product_id,
        "item_name": product.name,
        "item_brand": product.brand,
        "price": product.price,
        "quantity": line.quantity,
    }
