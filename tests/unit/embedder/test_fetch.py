"""Downloads from a real server on loopback: limits, redirects, second attempts."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from typing import ClassVar

import pytest

from services.embedder.errors import HostAway, PictureRefused, PrivateAddress, TooLarge, Unreachable
from services.embedder.pictures.fetch import CheckedNetwork, Downloads
from tests.support.machine import free_ports
from tests.support.picture_server import serve

LIMIT = 10_000


class Pictures(BaseHTTPRequestHandler):
    """Answers by the path; `asked` holds every path."""

    asked: ClassVar[list[str]] = []
    release: ClassVar[threading.Event] = threading.Event()

    def do_GET(self) -> None:
        self.asked.append(self.path)
        answers: dict[str, Callable[[], None]] = {
            "/fine": lambda: self._answer(200, b"picture"),
            "/away": lambda: self._redirect("/fine"),
            "/loop": lambda: self._redirect("/loop"),
            "/elsewhere": lambda: self._redirect("ftp://127.0.0.1/picture"),
            "/huge": lambda: self._answer(200, b"x" * (LIMIT + 1)),
            "/once": lambda: self._answer(200 if self.asked.count("/once") > 1 else 503, b"picture"),
            "/down": lambda: self._answer(500, b""),
            "/slow": self._dawdle,
            "/slow-headers": lambda: self._drip(b"HTTP/1.1 200 OK\r\n", b"X-Padding: 1\r\n"),
            "/slow-body": lambda: self._drip(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"x"),
            "/slow-redirect": lambda: self._drip(
                b"HTTP/1.1 302 Found\r\nLocation: /fine\r\nContent-Length: 9999\r\n\r\n", b"x"
            ),
            "/huge-redirect": lambda: self._redirect("/fine", b"x" * (LIMIT + 1)),
            "/busy": lambda: self._answer(429, b""),
        }
        answers.get(self.path, lambda: self._answer(404, b""))()

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _redirect(self, where: str, body: bytes = b"") -> None:
        self.send_response(302)
        self.send_header("Location", where)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _drip(self, start: bytes, drop: bytes) -> None:
        """A little at a time: no single wait is long, and it never ends."""
        self.close_connection = True
        with suppress(OSError):
            self.wfile.write(start)
            while not self.release.wait(0.05):
                self.wfile.write(drop)

    def _dawdle(self) -> None:
        self.release.wait(5)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""


@pytest.fixture
def server() -> Iterator[str]:
    Pictures.asked.clear()
    Pictures.release.clear()
    with serve(Pictures) as url:
        yield url
        Pictures.release.set()


Make = Callable[..., Downloads]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[Downloads] = []

    def downloads(*, private_allowed: bool = True, timeout_s: float = 5.0) -> Downloads:
        made.append(Downloads(private_allowed=private_allowed, bytes_max=LIMIT, timeout_s=timeout_s))
        return made[-1]

    yield downloads
    for each in made:
        each.close()


@pytest.mark.parametrize("path", ["/fine", "/away", "/once"])
def test_a_picture_is_fetched_over_redirects_and_after_a_failure(server: str, make: Make, path: str) -> None:
    assert make().fetch(server + path) == b"picture"


@pytest.mark.parametrize(
    ("path", "kind", "reason"),
    [
        ("/none", Unreachable, "status 404"),
        ("/down", Unreachable, "status 500"),
        ("/loop", Unreachable, "redirects"),
        ("/elsewhere", Unreachable, "cannot be fetched"),
        ("/huge", TooLarge, "more than 10000 bytes"),
        ("/huge-redirect", TooLarge, "more than 10000 bytes"),
        ("/busy", HostAway, "status 429"),
    ],
)
def test_what_cannot_be_fetched_says_why(
    server: str, make: Make, path: str, kind: type[PictureRefused], reason: str
) -> None:
    with pytest.raises(kind, match=reason):
        make().fetch(server + path)
    assert len(Pictures.asked) == {"/down": 3, "/busy": 3, "/loop": 6}.get(path, 1)


def test_loopback_is_refused_unless_allowed(server: str, make: Make) -> None:
    with pytest.raises(PrivateAddress, match="not a public address"):
        make(private_allowed=False).fetch(server + "/fine")
    assert Pictures.asked == []


def test_a_redirect_to_a_private_address_is_refused(
    server: str, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first host is taken for public; where it leads to is looked at like any other."""
    downloads = make(private_allowed=False)
    asked: list[str] = []

    def is_public(address: str) -> bool:
        asked.append(address)
        return len(asked) == 1

    monkeypatch.setattr("services.embedder.pictures.fetch.is_public", is_public)
    monkeypatch.setattr(Pictures, "protocol_version", "HTTP/1.0")  # a connection for each request
    with pytest.raises(PrivateAddress):
        downloads.fetch(server + "/away")
    assert Pictures.asked == ["/away"]


def test_the_address_that_was_checked_is_the_one_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    connected: list[str] = []
    monkeypatch.setattr("services.embedder.pictures.fetch.resolve_host", lambda *_args, **_: ["192.0.2.7"])
    monkeypatch.setattr("httpcore.SyncBackend.connect_tcp", lambda _self, host, *_: connected.append(host))
    CheckedNetwork(private_allowed=False).connect_tcp("shop.example", 443)
    assert connected == ["192.0.2.7"]


@pytest.mark.parametrize("path", ["/slow", "/slow-headers", "/slow-body", "/slow-redirect"])
def test_a_slow_server_is_not_waited_for(server: str, make: Make, path: str) -> None:
    started = time.monotonic()
    with pytest.raises(HostAway, match=r"longer than 0\.3 s"):
        make(timeout_s=0.3).fetch(server + path)
    assert time.monotonic() - started < 2


def test_a_tls_handshake_that_never_ends_is_not_waited_for(make: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:  # takes the connection and says nothing
        started = time.monotonic()
        with pytest.raises(HostAway):
            make(timeout_s=0.3).fetch(f"https://127.0.0.1:{mute.getsockname()[1]}/picture.png")
        assert time.monotonic() - started < 2


def test_a_connection_that_is_used_again_has_a_deadline_of_its_own(server: str, make: Make) -> None:
    downloads = make(timeout_s=0.5)
    for _ in range(4):
        assert downloads.fetch(server + "/fine") == b"picture"
    with pytest.raises(HostAway):
        downloads.fetch(server + "/slow-headers")
    assert downloads.fetch(server + "/fine") == b"picture"


@pytest.mark.parametrize("url", ["http://", "http://[::1", "http:///x", "http://a b/", "http://\x00/"])
def test_what_is_no_url_is_refused(make: Make, url: str) -> None:
    with pytest.raises(PictureRefused):
        make().fetch(url)


def test_nobody_there_is_unreachable(make: Make) -> None:
    [nobody] = free_ports(1)
    with pytest.raises(Unreachable, match="cannot be fetched"):
        make().fetch(f"http://127.0.0.1:{nobody}/")
