"""Routes that FastAPI describes and that run without it: an endpoint that takes a request and answers it.

An endpoint with parameters and dependencies is FastAPI's. For one that reads its request by itself, FastAPI's
layers (three exit stacks, two looks at nested routers, dependencies) cost more than its own work.
"""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, cast

from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from services.web.problems import Problem

Endpoint = Callable[[Request], Awaitable[Response]]
TELEMETRY: Final = "fastapi.telemetry"  # where somebody measures FastAPI, it has to see the route


class DirectRoute(APIRoute):
    """A route whose endpoint has one parameter, the request. For `APIRouter(route_class=…)`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The endpoint as it is."""
        return self.endpoint


class SocketRoute(WebSocketRoute):
    """A socket whose endpoint is an ASGI application."""

    def __init__(self, path: str, endpoint: ASGIApp) -> None:
        super().__init__(path, endpoint)
        self.app = endpoint


class DirectRoutes:
    """The innermost middleware: finds direct routes by method and path, and leaves all else to the router.

    Problems are answered by the app's own handlers, bugs by its last one, as from the router.
    """

    def __init__(self, app: ASGIApp, api: FastAPI) -> None:
        self._app = app
        self._api = api
        self._endpoints: dict[tuple[str, str], Endpoint] = {
            (method, context.path): context.original_route.endpoint
            for context in iter_route_contexts(api.routes)
            if isinstance(context.original_route, DirectRoute)
            and context.path is not None
            and "{" not in context.path
            for method in context.methods or ()
        }
        self._sockets: dict[str, ASGIApp] = {
            context.path: context.original_route.app
            for context in iter_route_contexts(api.routes)
            if isinstance(context.original_route, SocketRoute) and context.path is not None
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request or socket."""
        if scope["type"] == "websocket":
            await self._sockets.get(scope["path"], self._app)(scope, receive, send)
            return
        endpoint = None
        if scope["type"] == "http" and not scope.get("root_path") and TELEMETRY not in scope:
            endpoint = self._endpoints.get((scope["method"], scope["path"]))
        if endpoint is None:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive, send)
        try:
            response = await endpoint(request)
        except (Problem, ClientDisconnect) as error:
            handlers = self._api.exception_handlers
            kind = next(each for each in type(error).__mro__ if each in handlers)
            handle = cast(Callable[[Request, Exception], Awaitable[Response]], handlers[kind])
            response = await handle(request, error)
        await response(scope, receive, send)
