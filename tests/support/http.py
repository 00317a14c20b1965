"""An app behind the server that every HTTP service has, in a thread of the tests."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from signal import SIGTERM
from threading import Thread

import httpx
from starlette.types import ASGIApp

from services.web.ports import listen, multiply
from services.web.server import create_server
from services.web.shutdown import GracefulServer


@dataclass(frozen=True, slots=True)
class ServedApp:
    """A running server."""

    port: int
    server: GracefulServer
    thread: Thread

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    def get(self, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        """One request on a connection of its own; without `verify=False` each reads all certificates."""
        url = f"http://{self.address}{path}"
        return httpx.get(url, headers=headers, timeout=10, verify=False, trust_env=False)

    def terminate(self) -> None:
        """SIGTERM, as the main thread would be told of it."""
        self.server.handle_exit(SIGTERM, None)

    def wait(self, timeout_s: float) -> bool:
        """Whether the server has ended."""
        self.thread.join(timeout_s)
        return not self.thread.is_alive()

    def connect(self, receive_buffer: int | None = None) -> socket.socket:
        """A bare connection, with a small kernel buffer where asked for: the default takes megabytes."""
        connection = socket.socket()
        if receive_buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(10)
        connection.connect(("127.0.0.1", self.port))
        return connection


@contextmanager
def serve_app(app: ASGIApp, **options: object) -> Iterator[ServedApp]:
    """`options` as `create_server` takes them."""
    listening = listen("test", "127.0.0.1", 0)
    server = create_server(lambda: app, **options)  # type: ignore[arg-type]
    thread = Thread(target=server.run, kwargs={"sockets": multiply(listening)}, daemon=True)
    thread.start()
    try:
        yield ServedApp(listening.getsockname()[1], server, thread)
    finally:
        server.delay_s = 0.0
        server.handle_exit(SIGTERM, None)
        thread.join(10)
