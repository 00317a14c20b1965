"""SIGTERM: readiness turns first, requests under way finish, sockets get 1012, slow readers are aborted."""

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from threading import Event, Thread
from time import monotonic

import httpx
import pytest
from anyio import to_thread
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from services.web.health import HealthServer
from tests.support.http import ServedApp, serve_app

MUCH = 4 << 20  # bytes: more than the kernel keeps of a connection whose client has a small buffer


class Shop:
    """An app with a request that takes as long as it is told, and a socket that echoes or floods."""

    def __init__(self) -> None:
        self.began, self.may_end = Event(), Event()
        self.app = FastAPI()
        self.app.add_api_route("/readyz", lambda: {"status": "ready"})
        self.app.add_api_route("/slow", self._slow)
        self.app.add_api_route("/much", lambda: Response(bytes(MUCH)))
        self.app.add_api_websocket_route("/live", self._live)

    async def _slow(self) -> dict[str, str]:
        self.began.set()
        await to_thread.run_sync(self.may_end.wait)
        return {"done": "yes"}

    async def _live(self, socket: WebSocket) -> None:
        await socket.accept()
        with suppress(WebSocketDisconnect):
            while True:
                wish = await socket.receive_text()
                await socket.send_text("x" * MUCH if wish == "much" else wish)


@pytest.fixture
def shop() -> Iterator[Shop]:
    shop = Shop()
    yield shop
    shop.may_end.set()


@contextmanager
def live(served: ServedApp) -> Iterator[ClientConnection]:
    with connect(f"ws://{served.address}/live", compression=None, proxy=None) as client:
        client.send("hello")
        assert client.recv() == "hello"
        yield client


UPGRADE = (
    b"GET /live HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
WISH_FOR_MUCH = b"\x81\x84" + bytes(4) + b"much"  # a text frame of 4 bytes, masked by zeros


def test_readiness_turns_first_and_all_else_is_answered_as_before(shop: Shop) -> None:
    with serve_app(shop.app, stop_delay_s=30) as served:
        assert served.get("/readyz").status_code == 200
        served.terminate()
        answer = served.get("/readyz")
        assert (answer.status_code, answer.json()["status"]) == (503, "stopping")
        shop.may_end.set()
        answer = served.get("/slow")
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")


def test_requests_under_way_finish(shop: Shop) -> None:
    answers: list[httpx.Response] = []
    with serve_app(shop.app) as served:
        asking = Thread(target=lambda: answers.append(served.get("/slow")))
        asking.start()
        assert shop.began.wait(10)
        served.terminate()
        assert not served.wait(0.5)  # it waits
        shop.may_end.set()
        assert served.wait(10)
        asking.join(10)
    assert answers[0].json() == {"done": "yes"}


def test_open_sockets_get_1012_and_new_ones_too(shop: Shop) -> None:
    with serve_app(shop.app, sockets=True, stop_delay_s=0.5) as served, live(served) as client:
        served.terminate()
        with (
            connect(f"ws://{served.address}/live", proxy=None) as late,
            pytest.raises(ConnectionClosed) as at_once,
        ):
            late.recv(10)
        with pytest.raises(ConnectionClosed) as end:
            client.recv(10)
        assert served.wait(10)
    codes = [each.value.rcvd and each.value.rcvd.code for each in (at_once, end)]
    assert codes == [1012, 1012]


def test_the_end_waits_for_no_slow_reader(shop: Shop) -> None:
    with (
        serve_app(shop.app, sockets=True, grace_s=30) as served,
        closing(served.connect(4096)) as of_socket,
        closing(served.connect(4096)) as of_request,
    ):
        of_socket.sendall(UPGRADE)
        assert of_socket.recv(12) == b"HTTP/1.1 101"
        of_socket.sendall(WISH_FOR_MUCH)
        of_request.sendall(b"GET /much HTTP/1.1\r\nHost: shop\r\n\r\n")
        assert of_request.recv(12) == b"HTTP/1.1 200"
        started = monotonic()
        served.terminate()
        assert served.wait(15)
        assert monotonic() - started < 10


def test_health_endpoints_without_an_http_api_turn_first_and_finish_what_is_under_way() -> None:
    began, may_end = Event(), Event()

    def slow(_environ: object, start_response: object) -> list[bytes]:
        began.set()
        may_end.wait(10)
        start_response("200 OK", [("Content-Length", "4")])  # type: ignore[operator]
        return [b"done"]

    registries = {"t": CollectorRegistry()}
    server = HealthServer("test", "127.0.0.1", 0, registries, lambda: None, apps={"/slow": slow})
    url = f"http://127.0.0.1:{server.port}"
    server.start()
    assert httpx.get(url + "/readyz").json() == {"status": "ready"}
    answers: list[str] = []
    asking = Thread(target=lambda: answers.append(httpx.get(url + "/slow").text))
    asking.start()
    assert began.wait(10)
    server.begin_stop()
    answer = httpx.get(url + "/readyz")
    assert (answer.status_code, answer.json()["status"]) == (503, "stopping")
    with closing(socket.create_connection(("127.0.0.1", server.port))):  # who says nothing is not waited for
        stopping = Thread(target=server.stop)
        stopping.start()
        stopping.join(0.3)
        assert stopping.is_alive()
        may_end.set()
        stopping.join(4)
        assert not stopping.is_alive()
    asking.join(10)
    assert answers == ["done"]
