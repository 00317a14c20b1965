"""What pages load beside themselves: under an address that names the content, and so may be kept for ever."""

from hashlib import blake2b
from pathlib import Path
from typing import Final

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import FileResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

HERE: Final = Path(__file__).parent
STATIC: Final = HERE / "static"
# What a shop embeds; the demo serves them as they are. A page names the first two, which bring the rest.
MODULES: Final = (
    *("tracker.js", "live.js", "eddy.css"),
    *("page.js", "recommendations.js", "markup.js", "cards.js", "announcements.js", "look.js"),
    *("sentences.js", "impressions.js"),
)
LAZY_MODULES: Final = ("poller.js", "popover.js", "funnel.js", "diagnosis.js")  # loaded when they are needed
FOR_EVER: Final = "public, max-age=31536000, immutable"
TYPES: Final = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".woff2": "font/woff2"}
PACKED: Final = (".webp", ".woff2")  # compressed by themselves
GZIP_LEVEL: Final = 6


class Assets:
    """The shop's own files and the modules that it embeds. They import each other by relative addresses, so
    one name for all of them, in the path, is enough: `/assets/3f9c…/static/shop.js` finds `../eddy/live.js`.
    """

    def __init__(self) -> None:
        paths = sorted(path for path in STATIC.rglob("*") if path.suffix in TYPES)
        self._files = {f"static/{path.relative_to(STATIC)}": path for path in paths}
        self._files |= {f"eddy/{name}": HERE.parent / name for name in (*MODULES, *LAZY_MODULES)}
        content = blake2b(digest_size=6)
        for name, path in self._files.items():
            content.update(name.encode() + b"\0" + path.read_bytes())
        self.version: Final = content.hexdigest()

    def address(self, name: str) -> str:
        """Where a page finds a file, such as `static/shop.css`. Raises KeyError for none of these."""
        self._files[name]
        return f"/assets/{self.version}/{name}"

    @property
    def modules(self) -> list[str]:
        """The addresses of all that a page runs at once, for the browser to fetch them side by side."""
        found = [name for name in self._files if name.endswith(".js")]
        return [self.address(name) for name in found if name.removeprefix("eddy/") not in LAZY_MODULES]

    def routes(self) -> APIRouter:
        """The routes of files, by their versions and, for who embeds them elsewhere, by their names alone."""
        router = APIRouter()

        @router.get("/assets/{version}/{name:path}")
        async def named(version: str, name: str) -> Response:
            # A page of before this start may ask for what it loads late: it gets today's, not to keep.
            return self._answer(name, FOR_EVER if version == self.version else "no-cache")

        @router.get("/eddy/{name}")
        async def module(name: str) -> Response:
            return self._answer(f"eddy/{name}", "no-cache")

        @router.get("/static/{name:path}")
        async def static(name: str) -> Response:
            return self._answer(f"static/{name}", "no-cache")

        return router

    def _answer(self, name: str, caching: str) -> Response:
        path = self._files.get(name)
        if path is None:
            raise HTTPException(404)
        return FileResponse(path, media_type=TYPES[path.suffix], headers={"Cache-Control": caching})


class Compression:
    """Gzip for all that it makes smaller."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._packing = GZipMiddleware(app, compresslevel=GZIP_LEVEL)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        is_packed = scope["type"] == "http" and scope["path"].endswith(PACKED)
        await (self._app if is_packed else self._packing)(scope, receive, send)
