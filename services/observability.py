"""Logging, and the health and metrics endpoints of services that have no HTTP API of their own."""

import json
import logging
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog
from prometheus_client import CollectorRegistry, make_wsgi_app

from services.settings import ServiceSettings

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

SLOW_CLIENT_S: Final = 10.0  # a connection that sends nothing for so long is closed, and its thread ends
BACKLOG: Final = 128  # connections that wait to be taken; socketserver's 5 would lose a burst's for a second
STOP_WITHIN_S: Final = 0.05

# What keeps a service from being ready, as a sentence, or None when it is ready.
Readiness = Callable[[], str | None]


def configure_logging(settings: ServiceSettings, service: str) -> None:
    """One line an event on stderr, as JSON or for people; libraries' own loggers come out the same way."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    render: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
        if settings.log_format == "console"
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(settings.log_level)),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    structlog.contextvars.bind_contextvars(service=service)


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
