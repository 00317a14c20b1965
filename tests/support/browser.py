"""A small web site on a port of its own for one test: pages, what a shop embeds, and pictures."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Final
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Error, sync_playwright

from infra.stack.broker import ROOT
from tests.support.machine import skip_or_fail

STOREFRONT: Final = ROOT / "storefront"
FLAGS: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# The shell of Chromium's engine first: a page of a new visitor costs it a third of the CPU time.
BROWSERS: Final = ("chromium-headless-shell", "chromium", "google-chrome")
TYPES: Final = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


class Site:
    """Serves `files`, path → text, and the modules of storefront/ under /eddy/, with `policy` on all."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self.policy = ""
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = urlsplit(self.path).path
                text = site.files.get(path) or _module(path)
                self.send_response(200 if text else 404)
                suffix = path[path.rfind(".") :] if "." in path else ""
                self.send_header("Content-Type", TYPES.get(suffix, "text/html; charset=utf-8"))
                self.send_header("Cache-Control", "no-store")
                if site.policy:
                    self.send_header("Content-Security-Policy", site.policy)
                self.end_headers()
                self.wfile.write((text or "").encode())

            def log_message(self, format: str, *args: object) -> None:
                """Nothing: a browser's requests are no news."""

        self.server: Final = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url: Final = f"http://127.0.0.1:{self.server.server_port}"


def _module(path: str) -> str | None:
    file = STOREFRONT / path.removeprefix("/eddy/")
    return (
        file.read_text()
        if path.startswith("/eddy/") and file.parent == STOREFRONT and file.is_file()
        else None
    )


@contextmanager
def serve_site() -> Iterator[Site]:
    """A site that answers until the block ends."""
    site = Site()
    thread = Thread(target=site.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.server.shutdown()
        site.server.server_close()
        thread.join()


def find_chromium() -> str | None:
    """The machine's own Chromium; None leaves it to Playwright."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


@contextmanager
def launch_chromium() -> Iterator[Browser]:
    """Chromium: the machine's own, or Playwright's."""
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        except Error as error:
            skip_or_fail(f"Chromium is needed (`python -m playwright install chromium`): {error.message}")
        yield browser
        browser.close()
