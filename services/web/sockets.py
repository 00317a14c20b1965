"""WebSockets that cost little while nothing happens: no task, no queue and no timer each.

A socket is opened as ASGI has it, so every middleware has its say. An application that has accepted one may
take it over: from there on what comes is handed to its handler, and all that the handshake needed is let go.
"""

import asyncio
import logging
from collections.abc import Callable
from itertools import count
from struct import pack
from typing import Final, Protocol, cast

from starlette.types import Scope
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode
from websockets.protocol import CONNECTING, OPEN, SERVER
from websockets.protocol import Protocol as Frames
from websockets.server import ServerProtocol

from services.web.connections import ServerConfig
from services.web.rates import network

TAKE_OVER: Final = "eddy.take_over"  # an ASGI extension of ours
TURNS: Final = 200  # parts of a period of pings, each with its share of the sockets
CLOSE_WITHIN_S: Final = 1.0  # a client that takes nothing never gets to read why its socket ends
ANSWER_WITHIN_S: Final = 10.0  # to a close frame
NO_TEXT: Final = 1007  # RFC 6455, 7.4.1: a text message that is not UTF-8
BROKEN: Final = 1011  # the same: something unexpected; uvicorn's code for a ping without an answer, too
RESTART: Final = 1012  # IANA: service restart

# uvicorn and websockets log each handshake, with its address and maybe a token in that.
_log = logging.getLogger("uvicorn.error.sockets")
_log.setLevel(logging.WARNING)
_pings = count()


class SocketHandler(Protocol):
    """Who has taken a socket over."""

    def start(self) -> None:
        """The socket is the handler's from here on; it may close it at once."""

    def receive(self, message: str | bytes) -> None:
        """A text or a binary message."""

    def look(self, next_s: float) -> None:
        """Called once a period of pings; the next time in so many seconds."""

    def stall(self) -> None:
        """The client takes no data, so its socket is aborted."""

    def end(self) -> None:
        """The socket closes. Called once, and nothing after it."""


class KeepAlive:
    """Has each socket look after itself once a period, with one timer for all: one each takes 0.6 KB."""

    def __init__(self, period_s: float) -> None:
        self.period_s = period_s
        self._turns: tuple[set[OpenSocket], ...] = tuple(set() for _ in range(TURNS))
        self._now = 0
        self._is_running = False

    def add(self, socket: "OpenSocket") -> int:
        """The socket's turn, which comes when a period has passed."""
        self._turns[self._now].add(socket)
        if not self._is_running:
            self._is_running = True
            self._wait()
        return self._now

    def remove(self, socket: "OpenSocket", turn: int) -> None:
        """The socket is gone."""
        self._turns[turn].discard(socket)

    def _wait(self) -> None:
        asyncio.get_running_loop().call_later(self.period_s / TURNS, self._next)

    def _next(self) -> None:
        self._now = (self._now + 1) % TURNS
        for socket in tuple(self._turns[self._now]):
            socket.keep_alive()
        self._is_running = any(self._turns)
        if self._is_running:
            self._wait()


class SocketConfig(ServerConfig):
    """uvicorn's configuration, by which sockets find what they share."""

    keep_alive: KeepAlive


class OpenSocket(asyncio.Protocol):
    """A WebSocket after its handshake. uvicorn's server knows it by `transport` and `shutdown`."""

    __slots__ = (
        "_address", "_close_late", "_config", "_connections", "_deadline", "_drained", "_fragments",
        "_frames", "_handler", "_ping", "_slow_reader_s", "_turn", "transport",
    )  # fmt: skip

    def __init__(self, handshake: "SocketConnection", slow_reader_s: float) -> None:
        self.transport = handshake.transport
        self._address = handshake.address
        self._config = handshake.config
        self._connections = cast(set[object], handshake.connections)  # uvicorn names its own kinds
        self._slow_reader_s = slow_reader_s
        self._handler: SocketHandler | None = None
        # Not the one of the handshake, which holds four times as much.
        self._frames = Frames(SERVER, max_size=self._config.ws_max_size, logger=_log)
        self._fragments: tuple[bool, list[bytes]] | None = None  # is it text, and what has come of it
        self._ping = b""  # what was sent and not answered yet
        self._drained: asyncio.Future[None] | None = None  # while the client takes no data
        self._deadline: asyncio.TimerHandle | None = None
        self._close_late: tuple[int, str] | None = None
        self._turn = self._config.keep_alive.add(self)
        self._connections.add(self)

    @property
    def period_s(self) -> float:
        """The time between two looks."""
        return self._config.keep_alive.period_s

    def hand_over(self, handler: SocketHandler) -> None:
        """To whom what comes goes from here on."""
        self._handler = handler
        self._call(handler.start)

    def send(self, text: bytes) -> None:
        """Sends a text message, UTF-8. `drain` first; nothing is sent where the socket closes."""
        if self._handler is not None:
            self._frames.send_text(text)
            self._write()

    async def drain(self) -> None:
        """Waits while the client takes no data. One may wait at a time."""
        if self._drained is not None:
            await self._drained

    def close(self, code: int, reason: str) -> None:
        """Closes, and tells the client why if it still takes that."""
        self._end()
        if self._drained is not None:
            self._close_late = (code, reason)
            self._expect(CLOSE_WITHIN_S, self.transport.abort)
        elif self._frames.state is OPEN and not self.transport.is_closing():
            self._frames.send_close(code, reason)
            self._write()
            self._expect(ANSWER_WITHIN_S, self.transport.abort)

    def shutdown(self) -> None:
        """The service ends: the client is told, and not waited for."""
        self._end()
        if self._frames.state is OPEN and not self.transport.is_closing():
            self._frames.send_close(RESTART)
            self._write()
        self.transport.close()

    def keep_alive(self) -> None:
        """Once a period: a client that has not answered the ping before is gone."""
        if self._handler is None or self._drained is not None:
            return  # there is a deadline for that
        if self._ping:
            self._fail(BROKEN, "keepalive ping timeout")
            return
        self._handler.look(self.period_s)
        if self._handler is not None:
            self._ping = pack("!I", next(_pings) & 0xFFFFFFFF)
            self._frames.send_ping(self._ping)
            self._write()

    def data_received(self, data: bytes) -> None:
        """Bytes of frames."""
        self._frames.receive_data(data)
        for frame in self._frames.events_received():
            self._take(frame)
        if self._frames.parser_exc is not None:
            self._end()
        self._write()

    def _take(self, frame: object) -> None:
        if not isinstance(frame, Frame) or self._handler is None:
            return
        if frame.opcode is Opcode.PONG:
            if frame.data == self._ping:
                self._ping = b""
        elif frame.opcode is Opcode.CLOSE:
            self._end()  # it is answered by `_frames`
        elif frame.opcode is not Opcode.PING:
            is_text, parts = self._fragments or (frame.opcode is Opcode.TEXT, [])
            parts.append(bytes(frame.data))
            self._fragments = None if frame.fin else (is_text, parts)
            if frame.fin:
                self._deliver(b"".join(parts), is_text=is_text)

    def _deliver(self, message: bytes, *, is_text: bool) -> None:
        assert self._handler is not None
        try:
            text = message.decode() if is_text else None
        except UnicodeDecodeError:
            self._fail(NO_TEXT, "a text message is UTF-8")
            return
        self._call(self._handler.receive, message if text is None else text)

    def _call(self, act: Callable[..., object], *arguments: object) -> None:
        try:
            act(*arguments)
        except Exception:  # noqa: BLE001 - a bug ends this socket, and no other
            _log.exception("a socket's handler failed")
            self.close(BROKEN, "this should not have happened: the service's log says what")

    def _fail(self, code: int, reason: str) -> None:
        self._end()
        self._frames.fail(code, reason)
        self._write()

    def _write(self) -> None:
        for data in self._frames.data_to_send():
            if self.transport.is_closing():
                return
            if data:
                self.transport.write(data)
            else:  # as websockets says that this was all
                self.transport.close()

    def pause_writing(self) -> None:
        """The client takes no data. It gets no chance to make us answer more meanwhile."""
        self._drained = asyncio.get_running_loop().create_future()
        self.transport.pause_reading()
        self._expect(self._slow_reader_s, self._stall)

    def resume_writing(self) -> None:
        """It does again."""
        self._release()
        if self._close_late is not None:
            self.close(*self._close_late)
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def _stall(self) -> None:
        if self._handler is not None:
            self._handler.stall()
        self.transport.abort()  # a close frame would lie behind what is not taken

    def _expect(self, within_s: float, otherwise: Callable[[], object]) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = asyncio.get_running_loop().call_later(within_s, otherwise)

    def _release(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    def _end(self) -> None:
        handler, self._handler = self._handler, None
        if handler is not None:
            handler.end()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._end()
        self._release()
        self._config.keep_alive.remove(self, self._turn)
        self._connections.discard(self)
        self._config.connections.leave(self._address)


class SocketConnection(WebSocketsSansIOProtocol):
    """A handshake, and a socket as ASGI has it unless its application takes it over."""

    config: SocketConfig

    def __init__(self, config: SocketConfig, server_state: ServerState, app_state: dict[str, object]) -> None:
        super().__init__(config, server_state, app_state)
        self.logger = _log
        # The HTTP connection has read the request already: this reads frames from its first byte on.
        self.conn = ServerProtocol(state=OPEN, max_size=self.config.ws_max_size, logger=_log)
        self.conn.state = CONNECTING

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """An HTTP connection asks to become a socket."""
        super().connection_made(transport)
        self.address = network(self.client[0]) if self.client else ""
        self.config.connections.enter(self.address, 0)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self.config.connections.leave(self.address)
        super().connection_lost(exc)

    async def run_asgi(self) -> None:
        """Hands the application what it may take over by."""
        extensions = cast(dict[str, object], self.scope["extensions"])
        extensions[TAKE_OVER] = self._take_over
        await super().run_asgi()

    def _take_over(self, create_handler: Callable[[OpenSocket], SocketHandler], slow_reader_s: float) -> None:
        # What a client says before it is let in, which it must not, may be lost here.
        del cast(dict[str, object], self.scope["extensions"])[TAKE_OVER]
        if not self.handshake_complete or self.transport.is_closing():
            return
        self.stop_keepalive()
        self.connections.discard(self)
        socket = OpenSocket(self, slow_reader_s)
        self.transport.set_protocol(socket)
        if self.read_paused:
            self.transport.resume_reading()
        self.transport = _Gone()  # uvicorn closes it when the application returns
        socket.hand_over(create_handler(socket))


class _Gone(asyncio.Transport):
    """In place of a transport that belongs to somebody else now."""

    def close(self) -> None:
        """Closes nothing."""


def take_over(
    scope: Scope, create_handler: Callable[[OpenSocket], SocketHandler], slow_reader_s: float
) -> None:
    """Takes over an accepted socket; its application is to return then.

    Who takes no data for `slow_reader_s` is aborted.
    """
    scope["extensions"][TAKE_OVER](create_handler, slow_reader_s)
