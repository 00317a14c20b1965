"""A browser for the tests of the demo shop, and pages of new visitors that must not complain."""

import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

from infra.stack.lifecycle import Stack
from tests.support.browser import launch_chromium
from tests.support.shop_pages import NOTE_TRACKED, SOON_MS, WIDE, Open, is_live

# What browsers say where a test has cut the network, ended a service, or asked for what is not there.
EXPECTED: Final = re.compile(
    r"net::ERR_|status of (404|503)|WebSocket .*(response code: 503|before receiving a handshake response)"
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with launch_chromium() as browser:
        yield browser


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Open]:
    """Opens a page of a new visitor. None may have had an error of its own, or broken the shop's policy."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not EXPECTED.search(message.text):
            errors.append(message.text)

    def watch(page: Page) -> None:
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", note)

    def open_url(url: str, *, viewport: Any = WIDE, script: str = NOTE_TRACKED, **options: Any) -> Page:
        context = chromium.new_context(viewport=viewport, **options)
        contexts.append(context)
        context.add_init_script(script)
        context.on("page", watch)
        page = context.new_page()
        page.set_default_timeout(SOON_MS)
        page.goto(url)
        return page

    yield open_url
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture
def page(stack: Stack, open_page: Open) -> Page:
    """The home page of the shop, live, with a mark that a reload would wipe away."""
    page = open_page(stack.shop_url)
    is_live(page)
    page.evaluate("window.survivor = true")
    return page
