"""The health endpoints of services without an HTTP API: clients that hold connections do not stop them."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from socket import create_connection

import httpx
import pytest
from prometheus_client import CollectorRegistry

from services.web import health
from services.web.health import HealthServer
from tests.support.patience import patiently


@pytest.fixture
def server() -> Iterator[HealthServer]:
    server = HealthServer("test", "127.0.0.1", 0, {"t": CollectorRegistry()}, lambda: None)
    server.start()
    yield server
    server.stop()


@patiently(10, 0.02)
def ask(server: HealthServer) -> None:
    httpx.get(f"http://127.0.0.1:{server.port}/healthz", trust_env=False).raise_for_status()


def test_who_sends_little_by_little_is_hung_up_on(
    server: HealthServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "CONNECTION_S", 0.3)
    with closing(create_connection(("127.0.0.1", server.port))) as slow:
        slow.settimeout(0.02)
        ended = False
        while not ended:
            with suppress(TimeoutError):
                try:
                    slow.sendall(b"X")
                    ended = slow.recv(1) == b""
                except ConnectionError:
                    ended = True


def test_connections_are_so_many_at_most(server: HealthServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "CONNECTIONS_MAX", 3)
    with ExitStack() as stack:
        kept = [stack.enter_context(closing(create_connection(("127.0.0.1", server.port)))) for _ in range(3)]
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{server.port}/healthz", trust_env=False)
        kept[0].close()
        ask(server)
