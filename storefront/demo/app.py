"""The only place that puts the shop together: its stock, its pages, its files."""

from pathlib import Path
from typing import Final

import httpx
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles

from storefront.demo.assets import Assets, Compression
from storefront.demo.back_office import back_office_routes
from storefront.demo.cart_routes import cart_routes
from storefront.demo.forgetting import forgetting_routes
from storefront.demo.ingest import Ingest
from storefront.demo.pages import page_routes
from storefront.demo.rendering import Renderer
from storefront.demo.security import SecurityHeaders, policy
from storefront.demo.settings import ShopSettings
from storefront.demo.stock import load

HERE: Final = Path(__file__).parent
A_DAY: Final = "public, max-age=86400"


class Pictures(StaticFiles):
    """The catalogue's pictures: another drawing of the same product is seen within a day."""

    def file_response(self, *args: object, **kwargs: object) -> Response:
        """A file, or 304."""
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        response.headers["Cache-Control"] = A_DAY
        return response


def create_app(settings: ShopSettings, transport: httpx.AsyncBaseTransport | None = None) -> FastAPI:
    """The shop. Raises CatalogueMissing. `transport`: how ingest is reached, for tests."""
    stock = load(settings.catalogue_dir)
    assets = Assets()
    renderer = Renderer(settings, stock, assets)
    app = FastAPI(title="Eddy demo shop", openapi_url=None, docs_url=None, redoc_url=None)
    app.include_router(page_routes(stock, renderer))
    app.include_router(cart_routes(stock, renderer))
    own_way = settings.shop_ingest_url or settings.ingest_url
    ingest = Ingest(own_way, settings.api_key, transport, settings.catalogue_url)
    app.include_router(forgetting_routes(ingest))
    if settings.is_local:
        app.include_router(back_office_routes(stock, renderer, ingest))
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "[::1]"])
    app.add_middleware(SecurityHeaders, policy=policy(settings.ingest_url, settings.recommender_url))

    app.add_middleware(Compression)
    app.include_router(assets.routes())

    @app.get("/healthz")
    @app.get("/readyz")
    async def ready() -> Response:
        return JSONResponse({"status": "ready", "products": len(stock)})

    @app.get("/favicon.ico")
    async def favicon() -> Response:
        return FileResponse(HERE / "static" / "favicon.svg", media_type="image/svg+xml")

    async def not_so(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return renderer.page(request, "missing.html", status=error.status_code, detail=error.detail)

    app.add_exception_handler(HTTPException, not_so)
    pictures = settings.catalogue_dir / "pictures"
    app.mount("/pictures", Pictures(directory=pictures, check_dir=False), "pictures")
    return app
