"""GET /healthz, /readyz and /metrics of the services with an HTTP API."""

import json
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager, suppress
from socket import SHUT_RDWR, socket
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Final, cast
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest, make_wsgi_app
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.version import VERSION
from services.web.exposition import label_metrics
from services.web.ports import refuse_port
from services.web.routes import DirectRoute
from services.web.shutdown import STOPPING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


SLOW_CLIENT_S: Final = 10.0  # a connection that sends nothing for so long is closed, and its thread ends


BACKLOG: Final = 128  # connections that wait to be taken; socketserver's 5 would lose a burst's for a second


STOP_WITHIN_S: Final = 0.05


CONNECTIONS_MAX: Final = 64  # each has a thread
CONNECTION_S: Final = 30.0  # from its begin to its end: a client may not send little by little for ever


GRACE_S: Final = 5.0  # what is being answered at the end gets so long


# What keeps a service from being ready, as a sentence, or None when it is ready.
Readiness = Callable[[], str | None]


class _QuietHandler(WSGIRequestHandler):
    timeout = SLOW_CLIENT_S

    def handle(self) -> None:
        """One request; a client that is gone, or says nothing, is no news."""
        with suppress(TimeoutError, ConnectionError), cast(_ThreadingServer, self.server).requests.count():
            super().handle()

    def parse_request(self) -> bool:
        """From here on the request is under way: its client has said what it wants."""
        is_one = super().parse_request()
        if is_one:
            cast(_ThreadingServer, self.server).requests.begin()
        return is_one

    def log_message(self, format: str, *args: object) -> None:
        """Health checks every few seconds are not worth a line each."""


class _Requests:
    """How many requests are being answered; a connection that has not said anything is none."""

    def __init__(self) -> None:
        self._under_way = set[int]()
        self._changed = threading.Condition()

    def begin(self) -> None:
        """This thread's request is known."""
        with self._changed:
            self._under_way.add(threading.get_ident())

    @contextmanager
    def count(self) -> "Iterator[None]":
        """As long as this thread deals with a connection."""
        try:
            yield
        finally:
            with self._changed:
                self._under_way.discard(threading.get_ident())
                self._changed.notify_all()

    def wait(self, timeout_s: float) -> None:
        """Until none is under way, or it takes too long."""
        with self._changed:
            self._changed.wait_for(lambda: not self._under_way, timeout_s)


class _ThreadingServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = BACKLOG

    def __init__(self, address: tuple[str, int], handler: type[WSGIRequestHandler]) -> None:
        super().__init__(address, handler)
        self._since: dict[socket, float] = {}
        self.requests = _Requests()

    def process_request(self, request: socket | tuple[bytes, socket], client_address: object) -> None:
        """A connection gets a thread, unless there are too many: then it is closed."""
        assert not isinstance(request, tuple)  # that is UDP
        if len(self._since) >= CONNECTIONS_MAX:
            self.shutdown_request(request)
            return
        self._since[request] = time.monotonic()
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket | tuple[bytes, socket]) -> None:
        """A connection ends."""
        assert not isinstance(request, tuple)
        self._since.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Every now and then: who takes too long is hung up on, which ends its thread."""
        began_before = time.monotonic() - CONNECTION_S
        for request in [each for each, since in list(self._since.items()) if since < began_before]:
            with suppress(OSError):
                request.shutdown(SHUT_RDWR)


class HealthServer:
    """Serves /healthz, /readyz and /metrics from a thread, for services without an HTTP API.

    `registries` are the metrics, by tenant. `apps` are further paths and what answers them, each request in a
    thread of its own. A port in use ends the process with what to do about it.
    """

    def __init__(
        self,
        service: str,
        host: str,
        port: int,
        registries: Mapping[str, CollectorRegistry],
        readiness: Readiness,
        *,
        apps: "Mapping[str, WSGIApplication] | None" = None,
    ) -> None:
        self._apps = {"/metrics": make_wsgi_app(label_metrics(registries))} | dict(apps or {})
        self._paths = ", ".join(["/healthz", "/readyz", *self._apps])
        self._readiness = readiness
        self._is_stopping = False
        try:
            self._server = make_server(
                host, port, self._answer, server_class=_ThreadingServer, handler_class=_QuietHandler
            )
        except OSError as error:
            refuse_port(service, host, port, error)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(STOP_WITHIN_S,), name="health", daemon=True
        )

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.server_port

    def start(self) -> None:
        """Starts answering."""
        self._thread.start()

    def begin_stop(self) -> None:
        """/readyz says from now on that the process ends; all else is answered as before."""
        self._is_stopping = True

    def stop(self) -> None:
        """Frees the port; what is being answered is waited for, up to GRACE_S."""
        self.begin_stop()
        self._server.shutdown()
        self._server.server_close()
        self._server.requests.wait(GRACE_S)

    def _answer(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> "Iterable[bytes]":
        path = environ["PATH_INFO"]
        if app := self._apps.get(path):
            answer: Iterable[bytes] = app(environ, start_response)
            return answer
        if path == "/healthz":
            return _json(start_response, "200 OK", health_body())
        if path == "/readyz" and self._is_stopping:
            return _json(start_response, "503 Service Unavailable", STOPPING)
        if path == "/readyz":
            waiting_for = self._readiness()
            status = "200 OK" if waiting_for is None else "503 Service Unavailable"
            return _json(start_response, status, readiness_body(waiting_for))
        return _json(start_response, "404 Not Found", {"detail": f"only {self._paths}"})


def health_body() -> dict[str, str]:
    """The body of every /healthz. The version is not in /readyz, which load balancers show to everybody."""
    return {"status": "ok", "version": VERSION}


def readiness_body(waiting_for: str | None) -> dict[str, str]:
    """The body of every /readyz: ready, or what is being waited for."""
    return {"status": "ready"} if waiting_for is None else {"status": "starting", "waiting_for": waiting_for}


def _json(start_response: "StartResponse", status: str, body: Mapping[str, str]) -> list[bytes]:
    start_response(status, [("Content-Type", "application/json")])
    return [json.dumps(body).encode()]


def health_routes(
    readiness: Readiness,
    registries: Mapping[str, CollectorRegistry],
    facts: Callable[[], Mapping[str, int | str]] = dict,
) -> APIRouter:
    """The routes that operators and orchestrators ask; `facts` are what /readyz tells besides.

    `registries` are the metrics, by tenant.
    """
    labelled = label_metrics(registries)
    router = APIRouter(tags=["health"], route_class=DirectRoute)

    @router.get("/healthz", response_class=JSONResponse)
    async def healthz(_request: Request) -> Response:
        """Whether the process answers, and which version it is."""
        return JSONResponse(health_body())

    @router.get(
        "/readyz", response_class=JSONResponse, responses={503: {"description": "not ready, and why"}}
    )
    async def readyz(_request: Request) -> Response:
        """Whether the service can do its work; otherwise 503 and what is being waited for."""
        waiting_for = readiness()
        body = readiness_body(waiting_for) | dict(facts())
        return JSONResponse(body, 200 if waiting_for is None else 503)

    @router.get("/metrics", response_class=Response)
    async def prometheus(_request: Request) -> Response:
        """Counters and timings for Prometheus."""
        return Response(generate_latest(labelled), media_type=CONTENT_TYPE_LATEST)

    return router
