"""Turns templates into pages, with what every page has: navigation, cart, the row."""

from pathlib import Path
from typing import Final
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from schemas.products import Product
from storefront.demo import cart
from storefront.demo.assets import Assets
from storefront.demo.catalogue.assortment import LARGE
from storefront.demo.settings import ShopSettings
from storefront.demo.stock import Shelf, Stock

PICTURES: Final = "/pictures/"
ROW: Final = 12  # products in the row "For you"
SYMBOLS: Final = {"EUR": "€", "GBP": "£", "USD": "$"}


class Renderer:
    """The shop's templates."""

    def __init__(self, settings: ShopSettings, stock: Stock, assets: Assets) -> None:
        self._stock = stock
        self._environment = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=select_autoescape(),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "money": money,
            "picture": picture,
            "pictures": pictures,
            "address": address,
            "asset": assets.address,
        }
        self._environment.globals |= {
            "ingest_url": settings.ingest_url,
            "recommender_url": settings.recommender_url,
            "has_back_office": settings.is_local,
            "row_length": ROW,
            "tops": stock.tops,
            "modules": assets.modules,
        }

    def page(self, request: Request, template: str, *, status: int = 200, **values: object) -> Response:
        """A whole page."""
        in_cart = cart.quantities(request.cookies.get(cart.COOKIE, ""))
        html = self._environment.get_template(template).render(
            status=status,
            cart_count=sum(in_cart.values()),
            row=self._stock.popular(ROW),
            path=request.url.path,
            **values,
        )
        return HTMLResponse(html, status, {"Cache-Control": "no-cache", "Vary": "Cookie"})


def money(amount: float, currency: str) -> str:
    """A price as shops write it: €70.90."""
    symbol = SYMBOLS.get(currency)
    return f"{symbol}{amount:,.2f}" if symbol else f"{amount:,.2f} {currency}"


def picture(product: Product) -> str:
    """Where a product's picture lies; paths are inside the catalogue's folder."""
    url = product.image_url or ""
    if url.startswith(("https://", "http://", "data:image/")):
        return url
    return f"/{url.lstrip('/')}" if url else "/static/favicon.svg"


def pictures(product: Product) -> str:
    """The sizes of a product's picture, for `srcset`; empty for one that is not of the catalogue."""
    small = picture(product)
    name, dot, form = small.rpartition(".")
    return f"{small} 320w, {name}{LARGE}.{form} 640w" if dot and small.startswith(PICTURES) else ""


def address(of: Product | Shelf) -> str:
    """The address of a product's or a shelf's page."""
    if isinstance(of, Shelf):
        return f"/category/{of.slug}"
    return f"/product/{quote(of.product_id, safe='')}"
