"""The README's "own shop in ten minutes", run as it stands there, on the tests' stack and in a browser."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from infra.stack.broker import ROOT
from infra.stack.lifecycle import Stack
from tests.support.browser import FLAGS, find_chromium
from tests.support.machine import free_ports, skip_or_fail
from tests.support.patience import patiently
from tests.support.shop_pages import SOON_MS

pytestmark = pytest.mark.timeout(600)  # the first test waits for the whole stack

ORIGIN = "http://127.0.0.1:8080"
[BLOCK] = re.findall(r"^```sh\n(\. \.venv.+?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)
*COMMANDS, SERVE = BLOCK.strip().splitlines()
PRODUCTS = tuple(re.findall(r"^(my-[\w-]+),", BLOCK, re.M))


@pytest.fixture(scope="module")
def output(stack: Stack) -> Iterator[list[str]]:
    """What the block prints, up to its last command, which serves the page; its products go afterwards."""
    if shutil.which("curl") is None:
        skip_or_fail("the README's block needs curl")
    variables = {name: os.environ[name] for name in ("HOME", "PATH", "LANG") if name in os.environ}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(COMMANDS)],
        env=variables | {"EDDY_STACK_FOLDER": stack.environment["EDDY_STACK_FOLDER"]},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        yield done.stdout.splitlines()
    finally:
        withdraw(stack)


def withdraw(stack: Stack) -> None:
    """Removes the block's products: other tests count what the demo sells."""
    key = {"Authorization": f"Bearer {stack.environment['EDDY_API_KEY']}"}
    for product_id in PRODUCTS:
        httpx.delete(f"{stack.ingest_url}/v1/products/{product_id}", headers=key).raise_for_status()

    @patiently(15)
    def check_gone() -> None:
        asked = [("product_id", each) for each in PRODUCTS]
        assert httpx.get(f"{stack.recommender_url}/v1/products", params=asked).json()["items"] == []

    check_gone()


def test_the_commands_load_a_feed_and_give_a_visitor_a_row(output: list[str]) -> None:
    assert f"{len(PRODUCTS)} products accepted, 0 rejected" in output
    assert '{"accepted":1,"rejected":[]}' in output
    row = [line for line in output if line.startswith(('"why"', '"name"'))]
    assert len(row) >= 6, output  # and the names of products that reasons name
    assert row[0] == '"why":"because you looked at Paper floor lamp"'


@pytest.fixture
def page(output: list[str], chromium: Browser) -> Iterator[Page]:
    """The block's page in a browser, served by its last command, though at a port that is free.

    For the browser it is at the README's address, which the stack lets in.
    """
    [port] = free_ports(1)
    command, _, _ = SERVE.partition(" #")
    words = shlex.split(command.replace(" 8080 ", f" {port} "))
    assert str(port) in words
    flags = [*FLAGS, f"--host-resolver-rules=MAP {urlsplit(ORIGIN).netloc} 127.0.0.1:{port}"]
    with subprocess.Popen(
        [str(ROOT / ".venv" / "bin" / words[0]), *words[1:]],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        browser = chromium.browser_type.launch(executable_path=find_chromium(), args=flags)
        try:
            answering(f"http://127.0.0.1:{port}")
            page = browser.new_page()
            page.set_default_timeout(SOON_MS)
            errors: list[str] = []
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.goto(ORIGIN)
            yield page
            assert errors == []
        finally:
            browser.close()
            server.terminate()


@patiently(15)
def answering(url: str) -> None:
    try:
        httpx.get(url, verify=False)
    except httpx.TransportError as error:
        raise AssertionError(f"{url}: {error}") from None


def test_a_click_on_the_page_moves_its_row(page: Page) -> None:
    cards = page.locator("eddy-recommendations [part~=card]")
    expect(cards).to_have_count(5)
    boots = cards.filter(has_text="boots").first
    name = boots.locator("[part=name]").inner_text()
    boots.locator("a").click()
    said = page.locator("eddy-recommendations").locator("[part=line], [part=why]").filter(has_text=name)
    expect(said.first).to_be_visible()
    assert page.evaluate("performance.getEntriesByType('navigation').length") == 1


def test_the_snippet_command_says_whether_a_page_would_work(stack: Stack, output: list[str]) -> None:
    def run(origin: str, *more: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "services.ops", "snippet", "--origin", origin, *more],
            env=os.environ | {"EDDY_STACK_FOLDER": stack.environment["EDDY_STACK_FOLDER"]},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    status, said = run(ORIGIN)
    assert status == 0, said
    assert re.findall(r"^ok +(\S+)", said, re.M) == ["ingest", "recommender", "live"]
    assert f'createTracker({{ ingest: "{stack.ingest_url}" }})' in said
    status, said = run("https://other.example")
    assert status == 1
    assert "name https://other.example in EDDY_ALLOWED_ORIGINS of the ingest" in said
    status, said = run(ORIGIN, "--recommender", stack.ingest_url)
    assert status == 1
    assert "is no recommender" in said
