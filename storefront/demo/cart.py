"""The cart: a cookie that the page and the server both read and write, so that it needs nobody else."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlencode

from schemas.products import Product
from storefront.demo.stock import Stock

COOKIE: Final = "eddy_cart"  # `p0001=2&p0042=1`; cart.js reads and writes the same
MAX_LINES: Final = 50
MAX_QUANTITY: Final = 99

Quantities = dict[str, int]  # product_id → how many


@dataclass(frozen=True, slots=True)
class Line:
    """One product in the cart."""

    product: Product
    quantity: int

    @property
    def total(self) -> float:
        """Its price, as often as it is there."""
        return round(self.product.price * self.quantity, 2)


def quantities(cookie: str) -> Quantities:
    """What a cookie says; what makes no sense in it is left out."""
    found: Quantities = {}
    for product_id, count in parse_qsl(cookie)[:MAX_LINES]:
        if count.isascii() and count.isdigit() and 1 <= int(count[:3]) <= MAX_QUANTITY:
            found[product_id] = int(count[:3])
    return found


def cookie_of(cart: Quantities) -> str:
    """The cookie's value."""
    return urlencode(cart)


def added(cart: Quantities, product_id: str) -> Quantities:
    """The cart with one more of a product."""
    return cart | {product_id: min(cart.get(product_id, 0) + 1, MAX_QUANTITY)}


def removed(cart: Quantities, product_id: str) -> Quantities:
    """The cart without a product."""
    return {each: count for each, count in cart.items() if each != product_id}


def lines(cart: Quantities, stock: Stock) -> list[Line]:
    """The cart's products as the shop has them now; what it no longer knows is left out."""
    found = [(stock.get(product_id), count) for product_id, count in cart.items()]
    return [Line(product, count) for product, count in found if product]


def total(cart_lines: list[Line]) -> float:
    """What all of it costs."""
    return round(sum(line.total for line in cart_lines), 2)
