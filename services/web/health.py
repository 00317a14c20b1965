"""GET /healthz, /readyz and /metrics of the services with an HTTP API."""

import json
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest, make_wsgi_app
from starlette.responses import JSONResponse, Response

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


SLOW_CLIENT_S: Final = 10.0  # a connection that sends nothing for so long is closed, and its thread ends


BACKLOG: Final = 128  # connections that wait to be taken; socketserver's 5 would lose a burst's for a second


STOP_WITHIN_S: Final = 0.05


# What keeps a service from being ready, as a sentence, or None when it is ready.
Readiness = Callable[[], str | None]


class _QuietHandler(WSGIRequestHandler):
    timeout = SLOW_CLIENT_S

    def handle(self) -> None:
        """One request; a client that is gone, or says nothing, is no news."""
        with suppress(TimeoutError, ConnectionError):
            super().handle()

    def log_message(self, format: str, *args: object) -> None:
        """Health checks every few seconds are not worth a line each."""


class _ThreadingServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = BACKLOG


class HealthServer:
    """Serves /healthz, /readyz and /metrics from a thread, for services without an HTTP API.

    `apps` are further paths and what answers them, each request in a thread of its own.
    """

    def __init__(
        self,
        host: str,
        port: int,
        registry: CollectorRegistry,
        readiness: Readiness,
        apps: "Mapping[str, WSGIApplication] | None" = None,
    ) -> None:
        self._apps = {"/metrics": make_wsgi_app(registry)} | dict(apps or {})
        self._paths = ", ".join(["/healthz", "/readyz", *self._apps])
        self._readiness = readiness
        self._server = make_server(
            host, port, self._answer, server_class=_ThreadingServer, handler_class=_QuietHandler
        )
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(STOP_WITHIN_S,), name="health", daemon=True
        )

    def start(self) -> None:
        """Starts answering."""
        self._thread.start()

    def stop(self) -> None:
        """Stops answering and frees the port."""
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> "Iterable[bytes]":
        path = environ["PATH_INFO"]
        if app := self._apps.get(path):
            answer: Iterable[bytes] = app(environ, start_response)
            return answer
        if path == "/healthz":
            return _json(start_response, "200 OK", {"status": "ok"})
        if path == "/readyz":
            waiting_for = self._readiness()
            status = "200 OK" if waiting_for is None else "503 Service Unavailable"
            return _json(start_response, status, readiness_body(waiting_for))
        return _json(start_response, "404 Not Found", {"detail": f"only {self._paths}"})


def readiness_body(waiting_for: str | None) -> dict[str, str]:
    """The body of every /readyz: ready, or what is being waited for."""
    return {"status": "ready"} if waiting_for is None else {"status": "starting", "waiting_for": waiting_for}


def _json(start_response: "StartResponse", status: str, body: dict[str, str]) -> list[bytes]:
    start_response(status, [("Content-Type", "application/json")])
    return [json.dumps(body).encode()]


def health_routes(
    readiness: Readiness,
    registry: CollectorRegistry,
    facts: Callable[[], Mapping[str, int | str]] = dict,
) -> APIRouter:
    """The routes that operators and orchestrators ask; `facts` are what /readyz tells besides."""
    router = APIRouter(tags=["health"])

    @router.get("/healthz", response_class=JSONResponse)
    async def healthz() -> Response:
        """Whether the process answers."""
        return JSONResponse({"status": "ok"})

    @router.get(
        "/readyz", response_class=JSONResponse, responses={503: {"description": "not ready, and why"}}
    )
    async def readyz() -> Response:
        """Whether the service can do its work; otherwise 503 and what is being waited for."""
        waiting_for = readiness()
        body = readiness_body(waiting_for) | dict(facts())
        return JSONResponse(body, 200 if waiting_for is None else 503)

    @router.get("/metrics", response_class=Response)
    async def prometheus() -> Response:
        """Counters and timings for Prometheus."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router
