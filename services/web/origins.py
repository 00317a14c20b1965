"""Which pages may call: a page of another site is told so, in words that it can read."""

from collections.abc import Collection
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from services.web import problems
from services.web.problems import OnProblem

ANY: Final = "*"
KIND: Final = "origin-not-allowed"


class AllowedOrigins:
    """Refuses what browsers send for pages of other origins, sockets too: those know no CORS.

    Who sends no Origin is no browser's page. A page that is refused gets its 403 with the headers that let it
    read why; CORS alone would leave it with a network error.
    """

    def __init__(self, app: ASGIApp, origins: Collection[str], on_problem: OnProblem) -> None:
        self._app = app
        self._origins = frozenset(origin.rstrip("/").lower() for origin in origins)
        self._on_problem = on_problem

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or one socket's handshake."""
        headers = Headers(scope=scope) if scope["type"] in {"http", "websocket"} else Headers()
        origin = headers.get("origin")
        if origin is None or self._is_allowed(origin, headers.get("host", "")):
            await self._app(scope, receive, send)
            return
        is_socket = scope["type"] == "websocket"
        if is_socket and "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": 1008})
            return
        answer = _preflight(headers) if _is_preflight(scope, headers) else self._refusal(origin, scope)
        answer.headers["Access-Control-Allow-Origin"] = origin
        answer.headers["Vary"] = "Origin"
        await answer(scope, receive, send)

    def _is_allowed(self, origin: str, host: str) -> bool:
        return (
            ANY in self._origins
            or origin.lower() in self._origins
            or urlsplit(origin).netloc.lower() == host.lower() != ""  # /docs asks its own service
        )

    def _refusal(self, origin: str, scope: Scope) -> Response:
        self._on_problem(HTTPStatus.FORBIDDEN)
        detail = f"pages of {origin[:200]} may not call here: name that origin in EDDY_ALLOWED_ORIGINS"
        content = problems.document(HTTPStatus.FORBIDDEN, KIND, detail, instance=scope["path"])
        return Response(content, HTTPStatus.FORBIDDEN, media_type=problems.MEDIA_TYPE)


def _is_preflight(scope: Scope, headers: Headers) -> bool:
    return scope.get("method") == "OPTIONS" and "access-control-request-method" in headers


def _preflight(headers: Headers) -> Response:
    """Lets the page ask, so that it can read the answer; what it asks is refused."""
    allowed = {"Access-Control-Allow-Methods": headers["access-control-request-method"]}
    if wanted := headers.get("access-control-request-headers"):
        allowed["Access-Control-Allow-Headers"] = wanted
    return Response(status_code=HTTPStatus.NO_CONTENT, headers=allowed)
