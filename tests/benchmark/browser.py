"""A shopper's open page, as cheap as can be: one live socket, and keep-alive connections for its events."""

import asyncio
from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import Final, cast
from urllib.parse import quote

import httptools
import msgspec
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from schemas.live import Slot, Subscribe
from tests.benchmark.recording import SentEvent

CONNECTIONS: Final = 6  # what browsers open to one origin (HTTP/1.1); further events wait in the page
IDLE_S: Final = 20.0  # the server closes after 30: a request must not meet that
SUBSCRIBE: Final = msgspec.json.encode(Subscribe((Slot(name="for_you", kind="for_you", k=12),)))

OnMessage = Callable[[int, float, bytes], object]  # visitor's number, perf_counter at arrival, message


class Visitor(msgspec.Struct, frozen=True):
    """Who is looking, as POST /v1/visitors answers."""

    visitor_id: str
    token: str


class Browser:
    """One visitor's page; `number` is the visitor's place in the load."""

    def __init__(
        self,
        number: int,
        visitor: Visitor,
        *,
        ingest: tuple[str, int],
        recommender: tuple[str, int],
        on_message: OnMessage,
    ) -> None:
        self.number = number
        self.visitor = visitor
        self._ingest = ingest
        self._recommender = recommender
        self._on_message = on_message
        self._idle: list[_EventConnection] = []
        self._connections = 0
        self._waiting: deque[tuple[bytes, SentEvent]] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self._socket: _LiveSocket | None = None

    @property
    def is_live(self) -> bool:
        """Whether the live socket is open."""
        return self._socket is not None and not self._socket.closed.done()

    async def open(self) -> None:
        """Opens the live socket and subscribes; returns when the first row is there."""
        host, port = self._recommender
        query = f"visitor_id={self.visitor.visitor_id}&token={quote(self.visitor.token)}"
        url = f"ws://{host}:{port}/v1/live?{query}"
        _, self._socket = await asyncio.get_running_loop().create_connection(
            lambda: _LiveSocket(url, self._took), host, port
        )
        await asyncio.wait_for(self._socket.first, 30)

    def _took(self, at: float, message: bytes) -> None:
        self._on_message(self.number, at, message)

    def request(self, event_id: str, product_id: str) -> tuple[bytes, bytes]:
        """A POST of one view, ready to go but for its time: what comes before the 13 digits, and after."""
        before = (
            f'{{"events":[{{"event_id":"{event_id}","type":"view_item",'
            f'"visitor_id":"{self.visitor.visitor_id}","product_id":"{product_id}","occurred_at":'
        ).encode()
        after = b',"context":{"page":"/product/' + product_id.encode() + b'","locale":"en-GB"}}]}'
        host, port = self._ingest
        head = (
            f"POST /v1/events?token={quote(self.visitor.token)} HTTP/1.1\r\n"
            f"Host: {host}:{port}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(before) + 13 + len(after)}\r\n\r\n"
        ).encode()
        return head + before, after

    def post(self, request: bytes, event: SentEvent) -> None:
        """Sends at once where a connection is idle or may be opened; as browsers do, waits else."""
        while self._idle:
            connection = self._idle.pop()
            if perf_counter() - connection.idle_since < IDLE_S:
                connection.send(request, event)
                return
            connection.abort()
        self._waiting.append((request, event))
        if self._connections < CONNECTIONS:
            self._connections += 1
            opening = asyncio.ensure_future(self._connect())
            self._opening.add(opening)
            opening.add_done_callback(self._opening.discard)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(
                lambda: _EventConnection(self._ready, self._forget), *self._ingest
            )
        except OSError:  # the event stays unanswered, and is told as that
            self._connections -= 1
            return
        self._ready(connection)

    def _ready(self, connection: "_EventConnection") -> None:
        if self._waiting:
            connection.send(*self._waiting.popleft())
        else:
            self._idle.append(connection)

    def _forget(self, connection: "_EventConnection") -> None:
        self._connections -= 1
        if connection in self._idle:
            self._idle.remove(connection)

    def close(self) -> None:
        """Closes everything."""
        if self._socket is not None:
            self._socket.abort()
        for connection in list(self._idle):
            connection.abort()


class _EventConnection(asyncio.Protocol):
    """A keep-alive connection to ingest; one request at a time."""

    def __init__(
        self,
        ready: Callable[["_EventConnection"], object],
        gone: Callable[["_EventConnection"], object],
    ) -> None:
        self._ready = ready
        self._gone = gone
        self._event: SentEvent | None = None
        self._at = 0.0
        self.idle_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._parser = httptools.HttpResponseParser(self)
        self.idle_since = perf_counter()

    def send(self, request: bytes, event: SentEvent) -> None:
        self._event = event
        event.first_byte = perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._at = perf_counter()
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        assert self._event is not None
        self._event.status = self._parser.get_status_code()
        self._event.answered = self.idle_since = self._at
        self._event = None
        self._ready(self)

    def connection_lost(self, _error: Exception | None) -> None:
        self._gone(self)

    def abort(self) -> None:
        self._transport.abort()


class _LiveSocket(asyncio.Protocol):
    """A WebSocket without compression, by websockets' sans-I/O protocol: no task and no queue a message."""

    def __init__(self, url: str, on_message: Callable[[float, bytes], object]) -> None:
        self._protocol = ClientProtocol(parse_uri(url))
        self._on_message = on_message
        loop = asyncio.get_running_loop()
        self.first: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._protocol.send_request(self._protocol.connect())
        self._flush()

    def data_received(self, data: bytes) -> None:
        at = perf_counter()
        self._protocol.receive_data(data)
        for each in self._protocol.events_received():
            if isinstance(each, Response):
                if self._protocol.handshake_exc is not None:
                    self._fail(self._protocol.handshake_exc)
                    return
                self._protocol.send_text(SUBSCRIBE)
            elif isinstance(each, Frame) and each.opcode is Opcode.TEXT:
                self._on_message(at, bytes(each.data))
                if not self.first.done():
                    self.first.set_result(None)
        self._flush()

    def _flush(self) -> None:
        for chunk in self._protocol.data_to_send():
            if chunk:
                self._transport.write(chunk)
            else:  # websockets' sign to close
                self._transport.close()

    def _fail(self, error: Exception) -> None:
        if not self.first.done():
            self.first.set_exception(error)
        self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(error or ConnectionError(f"closed before the first row: {self._protocol.close_reason}"))
        if not self.closed.done():
            self.closed.set_result(None)

    def abort(self) -> None:
        self._transport.abort()
