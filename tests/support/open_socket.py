"""An open socket without a network: what a client says goes in, what it is told comes out."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, Protocol

from services.web.bounds import BoundsSettings
from services.web.connections import Connections
from services.web.sockets import KeepAlive, OpenSocket, SocketConnection, SocketHandler

PERIOD_S = 20.0


async def until(condition: Callable[[], bool]) -> None:
    """Waits for what a timer of the loop is about to do."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - nobody sets an event
            await asyncio.sleep(0.005)


class Wire(asyncio.Transport):
    """A transport that keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.reads = True
        self.is_aborted = self.has_ended = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.has_ended, "written behind the end"
        self.written += data

    def is_closing(self) -> bool:
        return self.has_ended

    def close(self) -> None:
        self.has_ended = True

    def abort(self) -> None:
        self.has_ended = self.is_aborted = True

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True


class Client:
    """The client's end, by websockets' own protocol. Made in a running loop."""

    def __init__(
        self,
        create_handler: Callable[[OpenSocket], SocketHandler],
        *,
        slow_reader_s: float = 10.0,
        max_size: int = 1000,
    ) -> None:
        self.wire = Wire()
        self.connections = set[object]()
        config = SimpleNamespace(
            ws_max_size=max_size, keep_alive=KeepAlive(PERIOD_S), connections=Connections(BoundsSettings())
        )
        config.connections.enter("", 0)
        handshake = SimpleNamespace(
            transport=self.wire, address="", config=config, connections=self.connections
        )
        self.protocol = Protocol(CLIENT)
        self.socket = OpenSocket(cast(SocketConnection, handshake), slow_reader_s)
        self.socket.hand_over(create_handler(self.socket))

    def say(self, text: str) -> None:
        """A text message."""
        self.protocol.send_text(text.encode())
        self.flush()

    def flush(self) -> None:
        """What the client's protocol has to send goes in."""
        for data in self.protocol.data_to_send():
            if data:
                self.socket.data_received(data)

    def read(self) -> list[Frame]:
        """The frames since the last call; pings are answered, and a close frame too."""
        written, self.wire.written = self.wire.written, b""
        self.protocol.receive_data(written)
        return [event for event in self.protocol.events_received() if isinstance(event, Frame)]

    def messages(self) -> list[bytes]:
        """The text messages since the last call of this or `read`."""
        return [bytes(each.data) for each in self.read() if each.opcode is Opcode.TEXT]

    @property
    def close_code(self) -> int | None:
        """The code that the socket was closed with, as far as it came."""
        self.read()
        return self.protocol.close_rcvd.code if self.protocol.close_rcvd else None
