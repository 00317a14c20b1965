"""Open pages as a recommender sees them: sockets that come back by themselves, as live.js has it.

Bytes on bare transports: a WebSocket library would take more of the machine than what is measured.
"""

import asyncio
import random
from collections.abc import Coroutine, Sequence
from struct import unpack_from
from time import perf_counter
from typing import Final, cast

OPEN_WITHIN_S: Final = 3.0  # as live.js: a socket that is not open by then is tried anew
POLL_AFTER: Final = 8  # failures in a row after which a row is asked for over HTTP, where sockets have worked
FIRST_WAIT_S: Final = 0.5  # as tracker.js
LAST_WAIT_S: Final = 20.0
AWAY_S: Final = 8.0  # the longest wait where no socket opens
SHOWN_WITHIN_S: Final = 300.0  # all of them; then something is wrong
PAGES_AN_ADDRESS: Final = 500  # customers come from many: see EDDY_CONNECTIONS_PER_ADDRESS
HEADERS_END: Final = b"\r\n\r\n"
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
MASK: Final = b"\0\0\0\0"  # a client masks what it sends; nobody says with what
# What a browser says beside the address, some of it longer.
BROWSER: Final = (
    "Connection: Upgrade\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 "
    "Safari/537.36\r\n"
    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"
    "Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
)


def frame(opcode: int, payload: bytes) -> bytes:
    """One frame of a client, RFC 6455, 5.2."""
    size = len(payload)
    head = (
        bytes([0x80 | opcode, 0x80 | size])
        if size < 126
        else bytes([0x80 | opcode, 0xFE, *divmod(size, 256)])
    )
    return head + MASK + payload


class Socket(asyncio.Protocol):
    """One connection of a page; one that the page has given up is heard no more."""

    __slots__ = ("_buffer", "_page", "_transport", "is_open")

    def __init__(self, page: "Page") -> None:
        self._page = page
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self.is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asks for the socket."""
        self._transport = cast(asyncio.Transport, transport)
        if self._page.socket is self:
            self._transport.write(self._page.handshake)
        else:
            self.abort()

    def data_received(self, data: bytes) -> None:
        """The handshake's answer, then frames."""
        if self._page.socket is not self or self._transport is None:
            return
        self._buffer += data
        if not self.is_open:
            head, end, rest = self._buffer.partition(HEADERS_END)
            if not end:
                return
            if b" 101 " not in head[:16]:
                self._page.lose(self)
                return
            self.is_open, self._buffer = True, rest
            self._transport.write(self._page.subscribe)
            self._page.enter()
        while (found := self._frame()) is not None:
            opcode, payload = found
            if opcode == TEXT:
                self._page.show()
            elif opcode == PING:
                self._transport.write(frame(PONG, payload))
            elif opcode == CLOSE:
                self._page.lose(self)

    def _frame(self) -> tuple[int, bytes] | None:
        if len(self._buffer) < 2:
            return None
        size, start = self._buffer[1], 2
        if size >= 126:
            start = 4 if size == 126 else 10
            if len(self._buffer) < start:
                return None
            (size,) = unpack_from("!H" if start == 4 else "!Q", self._buffer, 2)
        if len(self._buffer) < start + size:
            return None
        found = self._buffer[0] & 0x0F, self._buffer[start : start + size]
        self._buffer = self._buffer[start + size :]
        return found

    def connection_lost(self, exc: Exception | None) -> None:
        """The service has gone, or the network."""
        self._page.lose(self)

    def abort(self) -> None:
        """Lets go of the connection."""
        if self._transport is not None:
            self._transport.abort()


class Page:
    """One page with one slot, until it is closed."""

    def __init__(self, pages: "Pages", number: int, who: str, token: str) -> None:
        self._pages = pages
        self._who, self._token = f"visitor_id={who}", token
        self._address = f"127.1.{number // PAGES_AN_ADDRESS // 250}.{number // PAGES_AN_ADDRESS % 250 + 1}"
        self.handshake = f"GET /v1/live?{self._who} HTTP/1.1\r\nHost: 127.0.0.1\r\n{BROWSER}\r\n".encode()
        slot = '{"name":"for_you","kind":"for_you","k":12}'
        self.subscribe = frame(TEXT, f'{{"type":"subscribe","slots":[{slot}],"token":"{token}"}}'.encode())
        self.socket: Socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._polling: asyncio.Task[None] | None = None
        self._failures = 0

    def open(self) -> None:
        """Connects, and goes on trying."""
        self.socket = Socket(self)
        self._pages.attempts += 1
        self._timer = self._pages.loop.call_later(OPEN_WITHIN_S, self.lose, self.socket)
        self._pages.start(self._connect(self.socket))

    async def _connect(self, socket: Socket) -> None:
        try:
            await self._pages.loop.create_connection(
                lambda: socket, "127.0.0.1", self._pages.port, local_addr=(self._address, 0)
            )
        except OSError:
            self.lose(socket)

    def enter(self) -> None:
        """The socket is open."""
        self._cancel_timer()
        self._pages.enter()

    def show(self) -> None:
        """A row has come."""
        self._failures = 0
        if self._polling is not None:
            self._polling.cancel()
        self._pages.show(self)

    def lose(self, socket: Socket) -> None:
        """A socket has ended, or was not opened in time."""
        if self.socket is not socket:
            return
        self.close()
        self._failures += 1
        if self._failures % POLL_AFTER == 0 and self._polling is None:
            self._polling = self._pages.start(self._poll())
        last_s = LAST_WAIT_S if socket.is_open else AWAY_S
        wait_s = random.random() * min(last_s, FIRST_WAIT_S * 2 ** (self._failures - 1))
        self._timer = self._pages.loop.call_later(wait_s, self.open)

    def close(self) -> None:
        """Lets go of the socket."""
        self._cancel_timer()
        socket, self.socket = self.socket, None
        if socket is not None:
            socket.abort()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _poll(self) -> None:
        try:
            await self._ask()
        finally:
            self._polling = None

    async def _ask(self) -> None:
        """The row over HTTP; a browser keeps its connection, but not through a restart."""
        try:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", self._pages.port, local_addr=(self._address, 0)
            )
            writer.write(
                f"GET /v1/recommendations?{self._who}&k=12 HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                f"X-Eddy-Token: {self._token}\r\nConnection: close\r\n\r\n".encode()
            )
            answered = (await reader.read()).startswith(b"HTTP/1.1 200 ")
            writer.close()
            self._pages.polls += answered
        except OSError:
            return


class Pages:
    """All open pages, each of a visitor of its own. Made in the loop that runs them."""

    def __init__(self, port: int, visitors: Sequence[tuple[str, str]]) -> None:
        """`visitors`: id and token of each."""
        self.loop = asyncio.get_running_loop()
        self.port = port
        self.attempts = self.polls = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: set[Page] = set()
        self._room = asyncio.Semaphore(0)
        self._shown = asyncio.Event()
        self._took: list[float] = []
        self.opened_s = 0.0  # when the last one was open
        self._began = 0.0
        self.all = [Page(self, number, *visitor) for number, visitor in enumerate(visitors)]

    def start(self, work: Coroutine[None, None, None]) -> "asyncio.Task[None]":
        """A task that is kept until it is done."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def open(self, at_once: int) -> list[float]:
        """Opens all, so many handshakes at a time; seconds until the row of each, in the order they came."""
        self._expect(at_once)
        for page in self.all:
            await self._room.acquire()
            page.open()
        return await self._all_shown()

    async def come_back(self) -> list[float]:
        """Waits for another row of each; seconds, as above. Call it before the service is ended."""
        self._expect(0)
        return await self._all_shown()

    def _expect(self, at_once: int) -> None:
        self._waiting, self._took, self._began = set(self.all), [], perf_counter()
        self._room = asyncio.Semaphore(at_once)
        self._shown.clear()

    async def _all_shown(self) -> list[float]:
        async with asyncio.timeout(SHOWN_WITHIN_S):
            await self._shown.wait()
        return self._took

    def show(self, page: Page) -> None:
        """A page has got a row."""
        if page in self._waiting:
            self._waiting.remove(page)
            self._took.append(perf_counter() - self._began)
            if not self._waiting:
                self._shown.set()

    def enter(self) -> None:
        """A page has got its socket."""
        self.opened_s = perf_counter() - self._began
        self._room.release()

    def close(self) -> None:
        """Closes all."""
        for page in self.all:
            page.close()
        for task in self._tasks:
            task.cancel()
