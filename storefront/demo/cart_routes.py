"""The cart, the checkout and the orders of the demo; nothing is ever charged."""

from collections import OrderedDict
from typing import Final
from urllib.parse import parse_qs, quote

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from ulid import ULID

from storefront.demo import cart, happenings
from storefront.demo.cart import Line, Quantities
from storefront.demo.rendering import Renderer
from storefront.demo.stock import Stock

ORDERS_MAX: Final = 1000
CART_DAYS: Final = 30
FORM_MAX_BYTES: Final = 4096
SEE_OTHER: Final = 303


def cart_routes(stock: Stock, renderer: Renderer) -> APIRouter:
    """The routes of cart and checkout. Without JavaScript these forms do all of it."""
    router = APIRouter()
    orders: OrderedDict[str, list[Line]] = OrderedDict()

    @router.get("/cart")
    async def show(request: Request) -> Response:
        found = _sellable(_lines(request, stock))
        lines = _lines(request, stock)
        return renderer.page(
            request,
            "cart.html",
            lines=lines,
            total=cart.total(found),
            can_order=bool(found),
            removals={
                line.product.product_id: happenings.of_lines("remove_from_cart", [line]) for line in lines
            },
            happened=[],
        )

    @router.post("/cart/add")
    async def add(request: Request) -> Response:
        product_id = (await form(request)).get("product_id", "")
        if stock.get(product_id) is None:
            raise HTTPException(404, "We do not have this product, or no longer.")
        return _with_cart("/cart", cart.added(_cart(request), product_id))

    @router.post("/cart/remove")
    async def remove(request: Request) -> Response:
        product_id = (await form(request)).get("product_id", "")
        return _with_cart("/cart", cart.removed(_cart(request), product_id))

    @router.get("/checkout")
    async def checkout(request: Request) -> Response:
        lines = _sellable(_lines(request, stock))
        if not lines:
            return RedirectResponse("/cart", SEE_OTHER)
        return renderer.page(
            request,
            "checkout.html",
            lines=lines,
            total=cart.total(lines),
            happened=[happenings.of_lines("begin_checkout", lines)],
        )

    @router.post("/checkout")
    async def place(request: Request) -> Response:
        lines = _sellable(_lines(request, stock))
        if not lines:
            return RedirectResponse("/cart", SEE_OTHER)
        number = str(ULID())
        orders[number] = lines
        if len(orders) > ORDERS_MAX:
            orders.popitem(last=False)
        return _with_cart(f"/order/{number}", {})

    @router.get("/order/{number}")
    async def order(request: Request, number: str) -> Response:
        lines = orders.get(number)
        if lines is None:
            raise HTTPException(404, "This order is not known here; the demo forgets them.")
        return renderer.page(
            request,
            "order.html",
            number=number,
            lines=lines,
            total=cart.total(lines),
            happened=[happenings.of_lines("purchase", lines, transaction_id=number)],
        )

    return router


async def form(request: Request) -> dict[str, str]:
    """A form's fields; of a field that is there twice, the first. Raises HTTPException beyond 4 KB."""
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > FORM_MAX_BYTES:
            raise HTTPException(413, "This form is too large.")
    fields = parse_qs(received.decode(errors="replace"), keep_blank_values=True)
    return {name: values[0] for name, values in fields.items()}


def _cart(request: Request) -> Quantities:
    return cart.quantities(request.cookies.get(cart.COOKIE, ""))


def _lines(request: Request, stock: Stock) -> list[Line]:
    return cart.lines(_cart(request), stock)


def _sellable(lines: list[Line]) -> list[Line]:
    return [line for line in lines if line.product.availability != "out_of_stock"]


def _with_cart(location: str, content: Quantities) -> Response:
    age = CART_DAYS * 24 * 60 * 60 if content else 0
    # Not HttpOnly: the page changes the cart by itself, so that it works while it is offline.
    cookie = f"{cart.COOKIE}={cart.cookie_of(content)}; Path=/; SameSite=Lax; Max-Age={age}"
    return RedirectResponse(quote(location), SEE_OTHER, {"Set-Cookie": cookie})
