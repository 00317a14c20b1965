"""Hosts that let the embedder wait: other products go on, and the pictures come later, restart or not."""

import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import ClassVar

import pytest

from services.embedder.pictures.fetch import Downloads
from services.settings import ServiceSettings
from tests.support.embedder_service import (
    boot,
    put,
    read_dead_letters,
    read_vectors,
    wait_for,
    wait_until_committed,
)
from tests.support.embedder_worker import working
from tests.support.embedding import png
from tests.support.patience import wait_until
from tests.support.picture_server import serve


class _Shop(BaseHTTPRequestHandler):
    """Sends headers that never end until it is `well`, then pictures."""

    well: ClassVar[threading.Event] = threading.Event()
    asked: ClassVar[threading.Event] = threading.Event()

    def do_GET(self) -> None:
        self.asked.set()
        with suppress(OSError):
            if not self.well.is_set():
                self.wfile.write(b"HTTP/1.1 200 OK\r\n")
                while not self.well.wait(0.1):
                    self.wfile.write(b"X-Padding: 1\r\n")
                return
            body = png()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""


@pytest.fixture
def slow_shop() -> Iterator[str]:
    _Shop.well.clear()
    _Shop.asked.clear()
    with serve(_Shop) as url:
        yield url
        _Shop.well.set()


def test_a_slow_host_holds_up_nobody_and_its_pictures_come_later(
    kafka: ServiceSettings, slow_shop: str, tmp_path: Path
) -> None:
    (tmp_path / "p.png").write_bytes(png())
    # More than there are threads, and more than the room of the models.
    slow = [boot(f"slow{number:03d}", image_url=f"{slow_shop}/{number}.png") for number in range(60)]
    other = boot("other", image_url="p.png")
    patient = Downloads(private_allowed=True, bytes_max=100_000, timeout_s=120)
    with working(kafka, tmp_path, downloads=patient):
        put(kafka, *slow)
        assert _Shop.asked.wait(30)
        put(kafka, other)
        found = wait_for(kafka, other)
        assert "image" in found["other"].hashes
        assert len(found) == 1
    downloads = Downloads(private_allowed=True, bytes_max=100_000, timeout_s=0.5)
    with working(kafka, tmp_path, downloads=downloads, picture_retry_s=3600, picture_retries=8):
        found = wait_for(kafka, *slow)
        wait_until_committed(kafka)
    downloads.close()
    patient.close()
    assert all("image" not in found[each.product_id].hashes for each in slow)
    assert all(found[each.product_id].picture_tries == 1 for each in slow)
    reasons = [headers["reason"] for _, _, headers in read_dead_letters(kafka)]
    assert len(reasons) == 60
    assert all("it is tried again by itself" in reason for reason in reasons)
    _Shop.well.set()
    downloads = Downloads(private_allowed=True, bytes_max=100_000, timeout_s=30)
    with working(kafka, tmp_path, downloads=downloads, picture_retry_s=0.1, picture_retries=8):

        def check_pictured() -> None:
            now = read_vectors(kafka)
            assert all(
                (each := now[product.product_id]) is not None and "image" in each.hashes for product in slow
            )
            assert all(each is not None and each.picture_tries == 0 for each in now.values())

        wait_until(check_pictured)
    downloads.close()
