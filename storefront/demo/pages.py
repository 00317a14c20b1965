"""The pages that show products: home, shelves, products, search."""

from math import ceil
from typing import Final

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from schemas.products import Product
from storefront.demo import happenings
from storefront.demo.cart import Line
from storefront.demo.rendering import Renderer
from storefront.demo.stock import Stock

PER_PAGE: Final = 24
SIMILAR: Final = 6
SORTS: Final = {"popular": "Popular", "price": "Price, low to high", "-price": "Price, high to low"}


def page_routes(stock: Stock, renderer: Renderer) -> APIRouter:
    """The routes of pages."""
    router = APIRouter()

    @router.get("/")
    async def home(request: Request) -> Response:
        popular = stock.popular(24)
        faces = {shelf.slug: next(iter(stock.on(shelf))) for shelf in stock.tops}
        shown = popular[5:13]
        return renderer.page(
            request,
            "home.html",
            hero=popular[:5],
            faces=faces,
            popular=shown,
            happened=[happenings.listed("home:popular", shown)],
        )

    @router.get("/category/{slug:path}")
    async def category(request: Request, slug: str) -> Response:
        shelf = stock.shelf(slug)
        if shelf is None:
            raise HTTPException(404, "There is no such shelf in this shop.")
        sort = request.query_params.get("sort", "popular")
        found = _sorted(stock.on(shelf), sort)
        page, pages, shown = _paged(found, request.query_params.get("page", "1"))
        above = [stock.shelf_of(shelf.category[:depth]) for depth in range(1, len(shelf.category))]
        return renderer.page(
            request,
            "category.html",
            shelf=shelf,
            above=above,
            parent=above[-1] if above else shelf,
            count=len(found),
            shown=shown,
            page=page,
            pages=pages,
            sort=sort if sort in SORTS else "popular",
            sorts=SORTS,
            happened=[happenings.listed("category:" + "/".join(shelf.category), shown)],
        )

    @router.get("/product/{product_id}")
    async def product(request: Request, product_id: str) -> Response:
        found = stock.get(product_id)
        if found is None:
            raise HTTPException(404, "We do not have this product, or no longer.")
        above = [stock.shelf_of(found.category[:depth]) for depth in range(1, len(found.category) + 1)]
        return renderer.page(
            request,
            "product.html",
            product=found,
            above=above,
            similar=stock.beside(found, SIMILAR),
            happened=[happenings.viewed(found)],
            added=happenings.of_lines("add_to_cart", [Line(found, 1)]),
        )

    @router.get("/search")
    async def search(request: Request) -> Response:
        query = request.query_params.get("q", "").strip()[:200]
        found = stock.search(query)
        page, pages, shown = _paged(found, request.query_params.get("page", "1"))
        return renderer.page(
            request,
            "search.html",
            query=query,
            count=len(found),
            shown=shown,
            page=page,
            pages=pages,
            # What is listed is told by the page: the recommender finds more than these words do.
            happened=[happenings.searched(query)] if query else [],
        )

    @router.get("/profile")
    async def profile(request: Request) -> Response:
        is_forgotten = "forgotten" in request.query_params
        return renderer.page(request, "profile.html", is_forgotten=is_forgotten)

    return router


def _sorted(found: list[Product], sort: str) -> list[Product]:
    if sort not in ("price", "-price"):
        return found
    return sorted(found, key=lambda product: product.price, reverse=sort == "-price")


def _paged(found: list[Product], asked: str) -> tuple[int, int, list[Product]]:
    """The page's number, how many there are, and its products."""
    pages = max(1, ceil(len(found) / PER_PAGE))
    page = min(int(asked), pages) if asked.isascii() and asked.isdigit() and int(asked) else 1
    return page, pages, found[(page - 1) * PER_PAGE : page * PER_PAGE]
