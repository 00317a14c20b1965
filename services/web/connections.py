"""uvicorn's connections with bounds: bytes and time of headers and bodies, how many, and no slow client."""

import asyncio
import resource
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from ipaddress import ip_address, ip_network
from typing import Final, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.datastructures import Headers
from websockets.http11 import Request

from services.web import problems
from services.web.bounds import BODY_BYTES, BoundsSettings
from services.web.rates import network

SLOW_READER_S: Final = 10.0  # an answer that a client does not take for so long is not waited for
FRAME_BYTES: Final = 4  # colon, space, and the line's end
SPARE_FILES: Final = 200  # for Kafka, the index and logs, beside connections


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is answered to what is no request yet; `limit` is its name in metrics."""

    limit: str
    status: HTTPStatus
    detail: str

    @property
    def answer(self) -> bytes:
        """The whole HTTP response; the connection ends with it."""
        kind = self.status.phrase.lower().replace(" ", "-")
        body = problems.document(self.status, kind, self.detail, instance="")
        head = (
            f"HTTP/1.1 {self.status.value} {self.status.phrase}\r\n"
            f"content-type: {problems.MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n"
        )
        retry = "retry-after: 1\r\n" if self.status == HTTPStatus.SERVICE_UNAVAILABLE else ""
        return f"{head}{retry}\r\n".encode() + body


MALFORMED: Final = Refusal("malformed", HTTPStatus.BAD_REQUEST, "this is no HTTP request")
LONG_LINE: Final = Refusal(
    "header_bytes",
    HTTPStatus.REQUEST_URI_TOO_LONG,
    "the request's first line is too long: ask for less at a time",
)
LARGE_HEADERS: Final = Refusal(
    "header_bytes", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the request's headers have too many bytes"
)
LARGE_BODY: Final = Refusal(
    "body_bytes",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "the request goes on for more bytes than any path takes",
)
SLOW_HEADERS: Final = Refusal(
    "slow_headers", HTTPStatus.REQUEST_TIMEOUT, "the request's headers come too slowly"
)
SLOW_BODY: Final = Refusal("slow_body", HTTPStatus.REQUEST_TIMEOUT, "the request's body comes too slowly")
CROWDED: Final = Refusal(
    "connections", HTTPStatus.SERVICE_UNAVAILABLE, "too many connections are open: come back"
)


class Connections:
    """How many connections there are, by address; `on_refused` is told the name of a limit.

    `waiting_for` tells what keeps the service from being ready, `sockets_waiting_for` what all sockets have
    to wait for: one tenant of several may be ready before the others.
    """

    def __init__(self, bounds: BoundsSettings) -> None:
        self.bounds = bounds
        self.on_refused: Callable[[str], object] = lambda _limit: None
        self.waiting_for: Callable[[], str | None] = lambda: None
        self.sockets_waiting_for: Callable[[], str | None] = lambda: None
        self._most = min(bounds.connections_max, _files() - SPARE_FILES)
        self._proxies = [ip_network(each, strict=False) for each in bounds.proxies]
        self._open = Counter[str]()

    def enter(self, address: str, total: int) -> bool:
        """A connection has been made; False when it is one too many. `leave` is called either way."""
        self._open[address] += 1
        if total > self._most:
            return False
        return self._open[address] <= self.bounds.connections_per_address or self._is_proxy(address)

    def leave(self, address: str) -> None:
        """A connection is gone."""
        self._open[address] -= 1
        if not self._open[address]:
            del self._open[address]

    def _is_proxy(self, address: str) -> bool:
        try:
            return any(ip_address(address) in proxies for proxies in self._proxies)
        except ValueError:
            return False


def _files() -> int:
    """How many files this process may open: as many as it may allow itself, which mostly is more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else 1 << 30


class ServerConfig(uvicorn.Config):
    """uvicorn's configuration, by which its connections find their bounds."""

    connections: Connections


class Phase(Enum):
    """What of a message comes next."""

    HEADERS = "headers"
    BODY = "body"
    NOTHING = "nothing"  # a message is complete


class HttpConnection(HttpToolsProtocol):
    """An HTTP connection that nobody holds open by sending or taking little by little.

    Requests that come in one piece, which is nearly all of them, start no timer.
    """

    config: ServerConfig

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected."""
        super().connection_made(transport)
        self._phase = Phase.HEADERS
        self._entered = 0  # phases so far
        self._bytes = 0  # of what comes in this phase, as it comes
        self._header_bytes = 0
        self._refusal: Refusal | None = None
        self._late: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._address = network(self.client[0]) if self.client else ""
        if self.config.connections.enter(self._address, len(self.connections)):
            self._watch()
        else:
            self._refuse(CROWDED)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self.config.connections.leave(self._address)
        self._unwatch()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of requests."""
        if self.transport.is_closing():
            return  # it was refused already
        entered = self._entered
        super().data_received(data)
        is_new = self._entered != entered
        # Behind the end of another message it is not known how much of the new one has come.
        self._bytes += len(data) if self._entered - entered <= 1 else 1
        if self._phase is Phase.NOTHING and not is_new and self.cycle.response_complete:
            self._phase = Phase.HEADERS  # empty lines before a request, which have stopped uvicorn's timer
        if (
            self._phase is Phase.NOTHING
            or self.transport.is_closing()
            or self.transport.get_protocol() is not self
        ):
            self._unwatch()
            return
        if is_new or self._late is None:
            self._watch()
        if self._phase is Phase.BODY and self._bytes > BODY_BYTES:
            self._refuse(LARGE_BODY)
        elif self._phase is Phase.HEADERS and self._bytes > self.config.connections.bounds.header_bytes_max:
            self._refuse(LARGE_HEADERS)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._enter(Phase.HEADERS)
        self._header_bytes = 0

    def on_url(self, url: bytes) -> None:
        """A part of the first line."""
        super().on_url(url)
        self._count_header(len(url), LONG_LINE)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer behind a body."""
        super().on_header(name, value)
        self._count_header(len(name) + len(value) + FRAME_BYTES, LARGE_HEADERS)

    def _count_header(self, length: int, refusal: Refusal) -> None:
        self._header_bytes += length
        if self._header_bytes > self.config.connections.bounds.header_bytes_max:
            self._refusal = refusal
            raise ValueError(refusal.detail)  # the parser ends, and `send_400_response` is called

    def on_headers_complete(self) -> None:
        """A request begins to be answered."""
        self._enter(Phase.BODY)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """All of a request has come."""
        self._enter(Phase.NOTHING)
        super().on_message_complete()

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self._entered += 1
        self._bytes = 0

    def handle_websocket_upgrade(self) -> None:
        """Another protocol takes over, and its `connection_lost` is called instead of this one's.

        uvicorn writes the request down again for the other to parse; this hands it over as it is.
        """
        if missing := self.config.connections.sockets_waiting_for():
            # Before all layers: after a restart every page tries every few seconds, and reading is to go on.
            self._end(Refusal("not_ready", HTTPStatus.SERVICE_UNAVAILABLE, f"still reading {missing}"))
            return
        try:
            path = self.url.decode("ascii")
        except UnicodeDecodeError:
            self._refuse(MALFORMED)
            return
        self._unwatch()
        self.config.connections.leave(self._address)
        self.connections.discard(self)
        protocol = cast(type[WebSocketsSansIOProtocol], self.ws_protocol_class)
        socket = protocol(self.config, self.server_state, self.app_state)
        socket.connection_made(self.transport)
        headers = Headers([(name.decode("latin-1"), value.decode("latin-1")) for name, value in self.headers])
        socket.handle_connect(Request(path, headers, self.scope["method"]))
        self.transport.set_protocol(socket)
        self.parser = None  # type: ignore[assignment]  # which holds this: nothing is left for the garbage collector

    def _watch(self) -> None:
        """What has begun to come has to be there in time."""
        self._unwatch()
        bounds = self.config.connections.bounds
        within_s = bounds.body_timeout_s if self._phase is Phase.BODY else bounds.header_timeout_s
        self._late = self.loop.call_later(within_s, self._end_late)

    def _unwatch(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _end_late(self) -> None:
        self._late = None
        if self._phase is Phase.BODY:
            self._refuse(SLOW_BODY)
        elif self._bytes:
            self._refuse(SLOW_HEADERS)
        else:
            self.transport.close()  # a browser connects before it knows what to ask for

    def send_400_response(self, msg: str) -> None:
        """The parser has found something that is no request, or a limit was reached in it."""
        self._refuse(self._refusal or MALFORMED)

    def _refuse(self, refusal: Refusal) -> None:
        """Answers that a limit was reached, and ends the connection."""
        self.config.connections.on_refused(refusal.limit)
        self._end(refusal)

    def _end(self, refusal: Refusal) -> None:
        """Answers, unless an answer is under way, and ends the connection. Its request sees a disconnect."""
        self._unwatch()
        cycle = self.cycle
        under_way = cycle is not None and not cycle.response_complete
        if not (under_way and cycle.response_started):
            self.transport.write(refusal.answer)
        if under_way:
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.close()

    def pause_writing(self) -> None:
        """The client does not take its answer."""
        super().pause_writing()
        self._stalled = self.loop.call_later(SLOW_READER_S, self.transport.abort)

    def resume_writing(self) -> None:
        """It does again."""
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        super().resume_writing()
