"""The demo's back office: stock and prices, told to the shop and to Eddy. Only on the machine itself."""

from typing import Final
from urllib.parse import quote

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from schemas.products import Availability
from services.clock import now_ms
from storefront.demo.cart_routes import SEE_OTHER, form
from storefront.demo.ingest import Ingest, NotTaken
from storefront.demo.rendering import Renderer
from storefront.demo.security import is_from_own_page
from storefront.demo.stock import Stock, changed

LISTED: Final = 60
PRICE_MAX: Final = 100_000

CHANGES: Final[dict[str, Availability]] = {"out_of_stock": "out_of_stock", "in_stock": "in_stock"}


def back_office_routes(stock: Stock, renderer: Renderer, ingest: Ingest) -> APIRouter:
    """The routes of the back office."""
    router = APIRouter(prefix="/backoffice")

    @router.get("")
    async def show(request: Request) -> Response:
        return _page(request, 200, None)

    @router.post("")
    async def change(request: Request) -> Response:
        if not is_from_own_page(request):
            raise HTTPException(403, "The back office takes changes from its own page only.")
        fields = await form(request)
        product = stock.get(fields.get("product_id", ""))
        if product is None:
            raise HTTPException(404, "We do not have this product, or no longer.")
        availability, price = CHANGES.get(fields.get("availability", "")), price_in(fields.get("price", ""))
        if availability is None and price is None:
            return _page(request, 422, f"Nothing was changed: a price is a number from 0 to {PRICE_MAX:,}.")
        new = changed(product, int(now_ms()), availability=availability, price=price)
        try:
            await ingest.put(new)  # first: shop and recommendations are to say the same
        except NotTaken as refusal:
            return _page(request, 502, f"Nothing was changed: {refusal}.")
        stock.change(new)
        query = request.query_params.get("q", "")
        return RedirectResponse(f"/backoffice?q={quote(query)}#{quote(product.product_id)}", SEE_OTHER)

    def _page(request: Request, status: int, problem: str | None) -> Response:
        query = request.query_params.get("q", "").strip()[:200]
        one = stock.get(query)
        found = [one] if one else stock.search(query) if query else stock.popular(LISTED)
        return renderer.page(
            request,
            "backoffice.html",
            status=status,
            query=query,
            problem=problem,
            count=len(found),
            shown=found[:LISTED],
            price_max=PRICE_MAX,
        )

    return router


def price_in(text: str) -> float | None:
    """A price as a form has it, to the cent; None for anything else."""
    try:
        price = float(text)
    except ValueError:
        return None
    return round(price, 2) if 0 <= price <= PRICE_MAX else None  # nan is neither
