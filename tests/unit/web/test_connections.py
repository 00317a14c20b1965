"""What a connection may take: bytes and time of headers and bodies, and how many there are."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress

import pytest
from fastapi import FastAPI
from starlette.requests import ClientDisconnect, Request
from starlette.websockets import WebSocket
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from services.web import problems
from services.web.bounds import BODY_BYTES, BoundsSettings
from tests.support.http import ServedApp, serve_app

BOUNDS = BoundsSettings(
    header_bytes_max=2048, header_timeout_s=0.3, body_timeout_s=0.3, connections_per_address=4
)
HOST = b"Host: shop\r\n"


class Shop:
    """An app that reads bodies, and what it and the limits said."""

    def __init__(self) -> None:
        self.refused: list[str] = []
        self.disconnected = 0
        self.app = FastAPI()
        self.app.state.on_refused = self.refused.append
        self.app.add_api_route("/", lambda: {"hello": "shop"})
        self.app.add_api_route("/body", self._body, methods=["POST"])

    async def _body(self, request: Request) -> dict[str, int]:
        try:
            return {"bytes": len(await request.body())}
        except ClientDisconnect:
            self.disconnected += 1
            raise


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def server(shop: Shop) -> Iterator[ServedApp]:
    with serve_app(shop.app, bounds=BOUNDS) as served:
        yield served


def say(served: ServedApp, *pieces: bytes) -> tuple[int, dict[str, object]]:
    """The status and the document of the answer, which ends the connection."""
    with closing(served.connect()) as connection:
        with suppress(ConnectionError):  # it was answered before it had said all
            for piece in pieces:
                connection.sendall(piece)
        answer = b""
        with suppress(ConnectionResetError):  # it had sent more than was read
            while part := connection.recv(65536):
                answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    assert problems.MEDIA_TYPE.encode() in head, answer
    return int(head.split()[1]), json.loads(body)


@pytest.mark.parametrize(
    ("pieces", "status", "limit"),
    [
        ((b"GET /?q=" + b"x" * 3000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",), 414, "header_bytes"),
        ((b"GET / HTTP/1.1\r\n" + HOST + b"Cookie: " + b"x" * 3000 + b"\r\n\r\n",), 431, "header_bytes"),
        ((b"GET / HTTP/1.1\r\n", *[b"X: %d\r\n" % number * 60 for number in range(9)]), 431, "header_bytes"),
        ((b"GET / HTTP/1.1\r\nCookie: ", b"x" * 3000), 431, "header_bytes"),
        (
            (
                b"POST /body HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: ",
                b"x" * 9000 + b"\r\n\r\n",
            ),
            431,
            "header_bytes",
        ),
        ((b"GET / HTTP/1.1\r\nHost:",), 408, "slow_headers"),
        ((b"POST /body HTTP/1.1\r\n" + HOST + b"Content-Length: 9\r\n\r\nabc",), 408, "slow_body"),
        ((b"\x16\x03\x01 this is TLS\r\n\r\n",), 400, "malformed"),
        ((b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",), 400, "malformed"),
    ],
)
def test_what_goes_beyond_is_answered_with_a_problem_and_ends(
    shop: Shop, server: ServedApp, pieces: tuple[bytes, ...], status: int, limit: str
) -> None:
    found, document = say(server, *pieces)
    assert (found, document["status"]) == (status, status)
    assert shop.refused == [limit]
    assert server.get("/").json() == {"hello": "shop"}
    assert shop.disconnected == (1 if b"POST" in pieces[0] and status == 408 else shop.disconnected)


def test_a_request_may_come_in_pieces_and_connections_are_kept(server: ServedApp, shop: Shop) -> None:
    with closing(server.connect()) as connection:
        for _ in range(3):
            for piece in (b"POST /body HTTP/1.1\r\n", HOST, b"Content-Length: 6\r\n\r\n", b"abc", b"def"):
                connection.sendall(piece)
            answer = b""
            while b"}" not in answer:
                answer += connection.recv(65536)
            assert answer.endswith(b'{"bytes":6}')
    assert shop.refused == []


def test_a_body_does_not_go_on_for_ever(server: ServedApp, shop: Shop) -> None:
    head = (
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 99999999999\r\n\r\n"
    )  # answered before it has come
    with closing(server.connect()) as connection:
        connection.sendall(head)
        assert connection.recv(12) == b"HTTP/1.1 405"
        with suppress(OSError):  # the connection is reset while more is sent
            for _ in range(2 * BODY_BYTES >> 16):
                connection.sendall(bytes(1 << 16))
    assert shop.refused in (["body_bytes"], ["slow_body"])


def test_who_says_nothing_is_let_go_without_a_word(server: ServedApp, shop: Shop) -> None:
    with closing(server.connect()) as connection:
        assert connection.recv(1) == b""
    assert shop.refused == []


def test_empty_lines_do_not_keep_a_connection(server: ServedApp) -> None:
    with closing(server.connect()) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        while b"}" not in connection.recv(65536):
            pass
        connection.sendall(b"\r\n")
        while connection.recv(65536):
            pass


def test_one_address_has_so_many_connections(server: ServedApp, shop: Shop) -> None:
    with ExitStack() as stack:
        kept = [stack.enter_context(closing(server.connect())) for _ in range(4)]
        for connection in kept:
            connection.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
            assert connection.recv(12) == b"HTTP/1.1 200"
        status, document = say(server)
        assert (status, shop.refused) == (503, ["connections"])
        assert "come back" in str(document["detail"])
        kept[0].sendall(b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
        while kept[0].recv(65536):
            pass
        assert server.get("/").status_code == 200


def test_sockets_count_as_connections_once(shop: Shop) -> None:
    async def live(socket: WebSocket) -> None:
        await socket.accept()
        await socket.receive()

    shop.app.add_api_websocket_route("/live", live)
    with serve_app(shop.app, sockets=True, bounds=BOUNDS) as served:
        for _ in range(10):
            with connect(f"ws://{served.address}/live", proxy=None):
                pass
        with ExitStack() as stack:
            for _ in range(4):
                stack.enter_context(connect(f"ws://{served.address}/live", proxy=None))
            assert say(served)[0] == 503


def test_sockets_wait_until_the_service_is_ready_and_requests_do_not(shop: Shop) -> None:
    async def live(socket: WebSocket) -> None:
        await socket.accept()

    missing: list[str] = ["products"]
    shop.app.add_api_websocket_route("/live", live)
    shop.app.state.waiting_for = lambda: missing[0] if missing else None
    with serve_app(shop.app, sockets=True, bounds=BOUNDS) as served:
        for _ in range(10):  # each lets go of its connection
            with pytest.raises(InvalidStatus) as refused:
                connect(f"ws://{served.address}/live", proxy=None)
            assert refused.value.response.status_code == 503
            assert b"still reading products" in refused.value.response.body
        assert served.get("/").status_code == 200
        assert shop.refused == []  # it is no limit
        missing.clear()
        with connect(f"ws://{served.address}/live", proxy=None):
            pass


def test_connections_that_wait_are_taken_several_in_a_turn(server: ServedApp, shop: Shop) -> None:
    """libuv takes one of a socket, and a turn may be long: pages would give up before they are taken."""
    turns: list[int] = []

    async def count() -> dict[str, int]:
        before = len(server.server.server_state.connections)
        with ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(closing(server.connect()))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            turns.append(len(server.server.server_state.connections) - before)
        return {}

    shop.app.add_api_route("/count", count)
    assert server.get("/count").status_code == 200
    assert turns == [3]
