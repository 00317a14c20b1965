"""The lines for a shop's page, and what is said where they would not work."""

import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import get_args

import pytest

from infra.stack.broker import ROOT
from schemas.live import PageType
from services.errors import UsageError
from services.ops.snippet.query import examine, parse_origin
from services.ops.snippet.report import write_page
from tests.support.machine import free_ports

ORIGIN = "https://shop.example"


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        (ORIGIN, ORIGIN),
        ("https://Shop.Example/", ORIGIN),
        (" http://127.0.0.1:8080 ", "http://127.0.0.1:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_an_origin_is_as_browsers_say_it(text: str, origin: str) -> None:
    assert parse_origin(text) == origin


@pytest.mark.parametrize(
    "text", ["", "shop.example", "ftp://shop.example", "https://", "https://shop.example:x"]
)
def test_what_is_no_origin_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"it is like https://shop\.example"):
        parse_origin(text)


def test_a_page_s_whole_address_is_no_origin() -> None:
    with pytest.raises(UsageError, match=r"before the path: say https://shop\.example$"):
        parse_origin("https://shop.example/cart?x=1")


def test_the_lines_name_files_that_are_there_and_pages_that_the_protocol_knows() -> None:
    html = write_page("https://in.example", 'https://rec.example/"', "/lib/eddy")
    files = set(re.findall(r'"/lib/eddy/([\w.]+)"', html))
    assert files == {"eddy.css", "tracker.js", "live.js"}
    assert all((ROOT / "storefront" / name).is_file() for name in files)
    assert 'ingest: "https://in.example"' in html
    assert '"https://rec.example/&quot;"' in html
    [named] = re.findall(r"this page's: (.+)", html)
    assert {*named.split(", ")} == {*get_args(PageType)} - {"other"}


@pytest.fixture
def stranger() -> Iterator[str]:
    """Something that is no service of ours."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_error(404)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_wrong_port_is_told_with_the_setting(stranger: str) -> None:
    [port] = free_ports(1)
    nobody = f"http://127.0.0.1:{port}"
    for url, said in ((nobody, f"no ingest answers at {nobody}"), (stranger, "is no ingest (404)")):
        *_, ingest = examine(ORIGIN, url, "https://rec.example")
        assert (ingest.check, ingest.state) == ("ingest", "bad")
        assert said in ingest.found
        assert "EDDY_INGEST_URL" in ingest.what_to_do


def test_an_encrypted_page_calls_nothing_plain(stranger: str) -> None:
    states = {
        "http://rec.example": "bad",  # browsers block it as mixed content
        "https://rec.example": "ok",
        "http://localhost:8002": "ok",
    }
    for url, state in states.items():
        assert examine(ORIGIN, stranger, url)[0].state == state, url
    assert examine("http://shop.example", stranger, "http://rec.example")[0].state == "warn"
