"""An open socket: whole messages in order however their bytes come, pings, slow clients, and its end."""

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.sync.client import connect

from services.web import sockets
from services.web.sockets import OpenSocket, take_over
from tests.support.http import ServedApp, serve_app
from tests.support.open_socket import PERIOD_S, Client, until


class Echo:
    """Says again what it hears, and keeps what it is told."""

    def __init__(self, socket: OpenSocket) -> None:
        self.socket = socket
        self.heard: list[str | bytes] = []
        self.told: list[str] = []

    def start(self) -> None:
        self.told.append("start")

    def receive(self, message: str | bytes) -> None:
        self.heard.append(message)
        if message == "a bug":
            raise LookupError
        self.socket.send(message if isinstance(message, bytes) else message.encode())

    def look(self, next_s: float) -> None:
        assert next_s == PERIOD_S
        self.told.append("look")

    def stall(self) -> None:
        self.told.append("stall")

    def end(self) -> None:
        self.told.append("end")


class Page:
    """A client and the handler it speaks to."""

    def __init__(self, slow_reader_s: float = 10.0) -> None:
        self.client = Client(self._create, slow_reader_s=slow_reader_s)

    def _create(self, socket: OpenSocket) -> Echo:
        self.echo = Echo(socket)
        return self.echo


@pytest.fixture
async def page() -> Page:
    return Page()


said = st.tuples(st.booleans(), st.text(max_size=30), st.integers(1, 4), st.booleans())


@given(st.lists(said, max_size=8), st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_messages_come_whole_and_in_order_whatever_pieces_they_come_in(
    messages: list[tuple[bool, str, int, bool]], sizes: list[int]
) -> None:
    async def run() -> None:
        page = Page()
        expected: list[str | bytes] = []
        stream, pings = b"", 0
        for is_text, text, parts, pinged in messages:
            data = text.encode()
            expected.append(text if is_text else data)
            step = max(1, -(-len(data) // parts))
            pieces = [data[start : start + step] for start in range(0, len(data), step)] or [b""]
            for number, piece in enumerate(pieces):
                kind = Opcode.CONT if number else Opcode.TEXT if is_text else Opcode.BINARY
                stream += Frame(kind, piece, fin=number == len(pieces) - 1).serialize(mask=True)
                if pinged:  # between the fragments of a message, too
                    pings += 1
                    stream += Frame(Opcode.PING, b"alive?").serialize(mask=True)
        turn = 0
        while stream:
            size = sizes[turn % len(sizes)]
            page.client.socket.data_received(stream[:size])
            stream, turn = stream[size:], turn + 1
        assert page.echo.heard == expected
        frames = page.client.read()
        assert sum(frame.opcode is Opcode.PONG for frame in frames) == pings
        echoed = [bytes(frame.data) for frame in frames if frame.opcode is Opcode.TEXT]
        assert echoed == [each if isinstance(each, bytes) else each.encode() for each in expected]

    asyncio.run(run())


async def test_a_socket_that_answers_pings_lives_and_one_that_does_not_ends(page: Page) -> None:
    client, socket = page.client, page.client.socket
    for _ in range(3):
        socket.keep_alive()
        [ping] = client.read()
        assert ping.opcode is Opcode.PING
        client.flush()  # its pong
    socket.keep_alive()
    client.read()
    client.protocol.data_to_send()  # is lost on its way
    assert "end" not in page.echo.told
    socket.keep_alive()
    assert (client.close_code, client.wire.is_closing()) == (1011, True)
    assert page.echo.told == ["start", "look", "look", "look", "look", "end"]


async def test_one_timer_looks_after_all_sockets_once_a_period() -> None:
    keeper = sockets.KeepAlive(0.05)
    looked: list[int] = []

    class Number:
        def __init__(self, number: int) -> None:
            self.number = number

        def keep_alive(self) -> None:
            looked.append(self.number)

    every = [Number(number) for number in range(3)]
    turns = [keeper.add(each) for each in every]  # type: ignore[arg-type]
    await until(lambda: looked.count(0) >= 3)
    keeper.remove(every[0], turns[0])  # type: ignore[arg-type]
    before = looked.count(0)
    await until(lambda: looked.count(1) >= before + 2)
    assert looked.count(0) == before
    assert abs(looked.count(1) - looked.count(2)) <= 1


async def test_the_client_is_told_why_its_socket_ends_and_nothing_is_sent_after(page: Page) -> None:
    page.client.socket.close(1008, "no more")
    assert page.echo.told[-1] == "end"
    page.client.socket.send(b"late")
    page.client.socket.close(1013, "again")
    [close] = page.client.read()
    assert (close.opcode, bytes(close.data[2:])) == (Opcode.CLOSE, b"no more")
    assert not page.client.wire.is_closing()
    page.client.flush()  # its own close frame
    assert page.client.wire.is_closing()
    assert page.echo.told.count("end") == 1


async def test_who_does_not_answer_a_close_frame_is_aborted(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "ANSWER_WITHIN_S", 0.01)
    page.client.socket.close(1008, "no more")
    await until(lambda: page.client.wire.is_aborted)


async def test_a_client_that_takes_nothing_is_aborted_and_not_read_meanwhile() -> None:
    page = Page(slow_reader_s=0.02)
    page.client.socket.pause_writing()
    assert not page.client.wire.reads
    waiting = asyncio.create_task(page.client.socket.drain())
    await until(lambda: page.client.wire.is_aborted)
    assert page.echo.told == ["start", "stall"]
    page.client.socket.connection_lost(None)
    await waiting
    assert page.echo.told == ["start", "stall", "end"]
    assert page.client.connections == set()


async def test_a_client_that_takes_data_again_goes_on() -> None:
    page = Page(slow_reader_s=0.02)
    socket = page.client.socket
    socket.pause_writing()
    waiting = asyncio.create_task(socket.drain())
    await asyncio.sleep(0)
    assert not waiting.done()
    socket.resume_writing()
    await waiting
    await asyncio.sleep(0.05)  # longer than it might have been slow
    page.client.say("still there?")
    assert page.client.messages() == [b"still there?"]


@pytest.mark.parametrize("drains", [True, False])
async def test_why_a_slow_client_is_closed_waits_for_a_moment(
    drains: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "CLOSE_WITHIN_S", 0.02)
    page = Page()
    page.client.socket.pause_writing()
    page.client.socket.close(1008, "no more")
    assert page.client.read() == []
    if drains:
        page.client.socket.resume_writing()
        assert page.client.close_code == 1008
        return
    await until(lambda: page.client.wire.is_aborted)


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (Frame(Opcode.TEXT, b"\xff\xfe"), 1007),
        (Frame(Opcode.TEXT, b"x" * 1001), 1009),
        (Frame(Opcode.CONT, b"of nothing"), 1002),
        (Frame(Opcode.TEXT, b"a bug"), 1011),
    ],
)
async def test_what_may_not_be_said_ends_the_socket(page: Page, frame: Frame, code: int) -> None:
    page.client.socket.data_received(frame.serialize(mask=True))
    assert page.client.close_code == code
    assert page.echo.told == ["start", "end"]
    page.client.socket.data_received(Frame(Opcode.TEXT, b"and?").serialize(mask=True))
    assert page.echo.told == ["start", "end"]


async def test_the_end_of_the_service_is_told(page: Page) -> None:
    page.client.socket.shutdown()
    assert (page.client.close_code, page.client.wire.is_closing()) == (1012, True)
    assert page.echo.told == ["start", "end"]


async def _echoing(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "websocket.accept"})
    take_over(scope, Echo, 10.0)


@pytest.fixture
def server() -> Iterator[ServedApp]:
    with serve_app(_echoing, sockets=True) as served:
        yield served


def test_a_socket_is_taken_over_from_asgi_and_costs_no_task(server: ServedApp) -> None:
    address = f"ws://{server.address}/live?visitor_id=v"
    with connect(address, proxy=None) as one, connect(address, proxy=None) as other:
        for socket in (one, other):
            socket.send("hello")
            assert socket.recv(10) == "hello"
        state = server.server.server_state
        assert (len(state.tasks), len(state.connections)) == (0, 2)
        one.close()
        other.send("still here?")
        assert other.recv(10) == "still here?"
        server.terminate()
        with pytest.raises(ConnectionClosed) as end:
            other.recv(10)
        assert end.value.rcvd is not None
        assert end.value.rcvd.code == 1012
    assert server.wait(10)


@pytest.mark.parametrize("path", [b"/live?v=\xff", b"/live\xc3\xa9"])
def test_an_address_that_is_none_is_refused(server: ServedApp, path: bytes) -> None:
    connection = server.connect()
    connection.sendall(
        b"GET " + path + b" HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    assert connection.recv(4096).startswith(b"HTTP/1.1 400 ")
    connection.close()
