"""The shop as a person sees it: real Chromium on the whole real stack. Pictures go to build/screenshots/."""

import json
import os
import re
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from playwright.sync_api import Browser, BrowserContext, Error, Locator, Page, expect, sync_playwright
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from infra.stack.broker import ROOT
from infra.stack.lifecycle import Stack
from tests.conftest import missing

pytestmark = pytest.mark.timeout(600)  # the first test waits for the whole stack

SCREENSHOTS = ROOT / "build" / "screenshots"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDE = {"width": 1280, "height": 800}
NARROW = {"width": 390, "height": 844}
SOON_MS = 15_000
RESTART_MS = 90_000

# Every event that the tracker makes goes into localStorage first, under a key that ends with its id.
NOTE_TRACKED = """
  const setItem = Storage.prototype.setItem;
  window.tracked = [];
  Storage.prototype.setItem = function (key, value) {
    if (key.startsWith("eddy.event.")) window.tracked.push(key.slice("eddy.event.".length));
    return setItem.call(this, key, value);
  };
"""
# Where nothing moves any more, and every picture in sight is there.
STILL = """async () => {
  await Promise.allSettled(document.getAnimations().map((each) => each.finished));
  const isSeen = ({ left, top, width }) => width && top < innerHeight && left < innerWidth;
  const seen = [...document.images].filter((each) => isSeen(each.getBoundingClientRect()));
  await Promise.allSettled(seen.map((each) => each.decode()));
  await document.fonts.ready;
}"""
WAITING = "Object.keys(localStorage).filter(key => key.startsWith('eddy.event.'))"
NO_WEBSOCKET = "window.WebSocket = class { constructor() { throw new Error('blocked'); } };"

Open = Callable[..., Page]

patiently = retry(
    retry=retry_if_exception_type(AssertionError),
    stop=stop_after_delay(15),
    wait=wait_fixed(0.1),
    reraise=True,
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    installed = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=installed, args=FLAGS)
        except Error as error:
            missing(f"Chromium is needed (`python -m playwright install chromium`): {error.message}")
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Open]:
    """Opens a page of a new visitor. At the end none of them may have had an error of its own."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def opened(url: str, *, viewport: Any = WIDE, script: str = NOTE_TRACKED, **options: Any) -> Page:
        context = chromium.new_context(viewport=viewport, **options)
        contexts.append(context)
        context.add_init_script(script)
        page = context.new_page()
        page.set_default_timeout(SOON_MS)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url)
        return page

    yield opened
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


def is_live(page: Page, timeout: int = SOON_MS) -> None:
    expect(page.locator("#live-state")).to_have_attribute("data-state", "live", timeout=timeout)


def row(page: Page) -> list[str]:
    """Product ids in the row."""
    ids: list[str] = page.locator("#for-you-list .card").evaluate_all("cards => cards.map(c => c.dataset.id)")
    return ids


def whys(page: Page) -> Locator:
    return page.locator("#for-you-list .card-why")


def has_never_navigated(page: Page) -> None:
    assert page.evaluate("window.survivor") is True
    assert page.evaluate("performance.getEntriesByType('navigation').length") == 1


def open_product(page: Page, shelf: str, place: int = 0) -> str:
    """Clicks through a shelf to one of its products; its name."""
    page.get_by_role("navigation", name="Shop").get_by_role("link", name=shelf, exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(shelf)
    card = page.locator("main .card").nth(place)
    name = card.locator(".card-name").inner_text()
    card.locator(".card-link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    return name


def because(page: Page, name: str, timeout: int = SOON_MS) -> None:
    expect(whys(page).filter(has_text=name).first).to_be_visible(timeout=timeout)


def screenshot(page: Page, name: str) -> None:
    page.evaluate(STILL)
    width = page.viewport_size["width"] if page.viewport_size else 0
    page.screenshot(path=SCREENSHOTS / f"{name}-{width}.png")


def events_of(stack: Stack, page: Page) -> Counter[str]:
    """How often each event of the page's visitor lies on the topic, by event id."""
    return read_events(stack, json.loads(page.evaluate("localStorage['eddy.visitor']"))["visitor_id"])


def read_events(stack: Stack, visitor_id: str) -> Counter[str]:
    found: Counter[str] = Counter()
    consumer = Consumer(
        {"bootstrap.servers": stack.bootstrap, "group.id": "test-shop", "enable.auto.commit": False}
    )
    try:
        for partition in consumer.list_topics("events", timeout=10).topics["events"].partitions:
            start, end = consumer.get_watermark_offsets(TopicPartition("events", partition), timeout=10)
            consumer.assign([TopicPartition("events", partition, start)])
            position = start
            while position < end:
                message = consumer.poll(10)
                assert message is not None
                assert message.error() is None
                position = (message.offset() or 0) + 1
                if message.key() == visitor_id.encode():
                    found[json.loads(message.value() or b"")["event_id"]] += 1
    finally:
        consumer.close()
    return found


@patiently
def nothing_waits(page: Page) -> None:
    assert page.evaluate(WAITING) == []  # wait_for_function needs eval, which the shop's policy forbids


@patiently
def all_arrive(stack: Stack, visitor_id: str, tracked: list[str]) -> None:
    assert read_events(stack, visitor_id) == Counter(tracked)


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["1280", "390"])
def test_the_row_follows_clicks_without_a_reload(
    stack: Stack, open_page: Open, viewport: dict[str, int]
) -> None:
    page = open_page(stack.shop_url, viewport=viewport)
    is_live(page)
    page.evaluate("window.survivor = true")
    expect(whys(page).first).to_have_text("popular now")
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    screenshot(page, "home")
    popular = row(page)
    assert len(popular) == len(set(popular)) == 12

    first = open_product(page, "Women")
    because(page, first)
    after_first = row(page)
    assert set(after_first) != set(popular)
    assert page.locator("main").get_attribute("data-product") not in after_first
    expect(page.locator("#for-you-cause")).to_contain_text(first)
    expect(page.locator("#similar .card")).to_have_count(6)
    screenshot(page, "product")

    second = open_product(page, "Outdoor")
    because(page, second)
    because(page, first)  # two interests, and both are served
    assert row(page) != after_first
    screenshot(page, "two-interests")

    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Outdoor")
    screenshot(page, "category")
    has_never_navigated(page)


def test_a_click_in_the_row_opens_the_product_and_moves_the_row_on(page: Page) -> None:
    clicked = page.locator("#for-you-list .card").nth(1)
    name = clicked.locator(".card-name").inner_text()
    product_id = clicked.get_attribute("data-id")
    clicked.locator(".card-link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    because(page, name)
    page.mouse.move(640, 200)  # what the pointer is over stays until it leaves
    expect(page.locator(f"#for-you-list [data-id={product_id}]")).to_have_count(0)
    has_never_navigated(page)


def test_what_the_pointer_is_over_stays_where_it_is(page: Page) -> None:
    held = row(page)[2]
    card = page.locator("#for-you-list .card").nth(2)
    card.hover()
    box = card.bounding_box()
    name = page.locator("main .grid .card-name").first.inner_text()
    viewed = page.locator("main .grid .card").first.get_attribute("data-id")
    page.evaluate("id => dataLayer.push({event: 'view_item', ecommerce: {items: [{item_id: id}]}})", viewed)
    because(page, name)
    assert row(page)[2] == held
    assert card.bounding_box() == box
    page.mouse.move(640, 200)
    expect(page.locator(f"#for-you-list [data-id={held}]")).to_have_count(0)
    assert len(row(page)) == 12


def test_the_panel_shows_the_way_of_the_last_event(page: Page) -> None:
    panel = page.locator("#panel")
    expect(panel).to_be_hidden()
    page.get_by_role("searchbox").press("e")
    expect(panel).to_be_hidden()
    page.locator("#main").focus()
    page.keyboard.press("e")
    expect(panel).to_be_visible()
    because(page, open_product(page, "Home"))
    expect(panel).to_contain_text("view_item")
    steps = panel.locator("li")
    expect(steps).to_have_text(
        [re.compile(rf"{step}\s*\d+ ms") for step in ("accepted", "folded", "pushed", "shown")]
    )
    times = [int(text.split()[0]) for text in steps.locator("b").all_inner_texts()]
    assert times == sorted(times)
    assert times[-1] < 5000
    assert panel.locator("code").inner_text() in page.evaluate("window.tracked")
    screenshot(page, "panel")
    page.keyboard.press("e")
    expect(panel).to_be_hidden()


def test_offline_and_back_loses_no_event_and_makes_none_twice(stack: Stack, page: Page) -> None:
    first = open_product(page, "Women")
    second = open_product(page, "Men")
    because(page, second)
    page.context.set_offline(True)
    expect(page.locator("#live-state")).not_to_have_attribute("data-state", "live")
    before = len(page.evaluate("window.tracked"))
    page.get_by_role("button", name="Add to cart").click()
    expect(page.locator("#cart-count")).to_have_text("1")  # the cart needs no network
    page.get_by_role("navigation", name="Shop").get_by_role("link", name="Women", exact=True).click()
    page.locator("main .card-link", has_text=first).click()  # seen before, so it can be opened again
    expect(page.get_by_role("heading", level=1)).to_have_text(first)
    page.locator(".cart-link").click()  # not seen before, and not to be had now
    expect(page.locator("#toast")).to_contain_text("no connection")
    screenshot(page, "offline")
    tracked = page.evaluate("window.tracked")
    assert len(tracked) >= before + 4
    assert len(page.evaluate(WAITING)) >= 4

    page.context.set_offline(False)
    nothing_waits(page)
    assert events_of(stack, page) == Counter(tracked)
    is_live(page)
    because(page, first)
    has_never_navigated(page)


def test_an_event_survives_the_end_of_its_page(stack: Stack, page: Page) -> None:
    visitor = json.loads(page.evaluate("localStorage['eddy.visitor']"))["visitor_id"]
    tracked = page.evaluate(
        """() => {
          dataLayer.push({event: "search", search_term: "goodbye"});
          location.href = "about:blank";
          return window.tracked;
        }"""
    )
    page.wait_for_url("about:blank")
    all_arrive(stack, visitor, tracked)


def test_what_sells_out_is_replaced_on_the_open_page(stack: Stack, page: Page) -> None:
    because(page, open_product(page, "Home"))
    product_id = row(page)[0]
    office = page.context.new_page()
    office.goto(f"{stack.shop_url}/backoffice?q={product_id}")
    screenshot(office, "back-office")
    try:
        office.get_by_role("button", name="Sold out").click()
        expect(page.locator(f"#for-you-list [data-id={product_id}]")).to_have_count(0)
        expect(page.locator("#for-you-list .card")).to_have_count(12)
        expect(page.locator("#for-you-list .is-sold-out")).to_have_count(0)
        has_never_navigated(page)
        shown = page.context.new_page()
        shown.goto(f"{stack.shop_url}/product/{product_id}")
        expect(shown.get_by_text("Sold out for now")).to_be_visible()
        screenshot(shown, "sold-out")
    finally:
        office.get_by_role("button", name="Back in stock").click()
        expect(office.get_by_role("button", name="Sold out")).to_be_visible()


def test_the_socket_comes_back_when_the_recommender_was_killed(stack: Stack, page: Page) -> None:
    first = open_product(page, "Women")
    because(page, first)
    os.kill(stack.pid("recommender"), signal.SIGKILL)
    expect(page.locator("#live-state")).not_to_have_attribute("data-state", "live")
    is_live(page, RESTART_MS)
    because(page, first)  # the session was not lost with the process
    because(page, open_product(page, "Outdoor"))
    has_never_navigated(page)


def test_where_websockets_are_blocked_the_row_follows_all_the_same(stack: Stack, open_page: Open) -> None:
    page = open_page(stack.shop_url, script=NO_WEBSOCKET)
    expect(page.locator("#live-state")).to_have_attribute("data-state", "polling")
    page.evaluate("window.survivor = true")
    because(page, open_product(page, "Kids"))
    has_never_navigated(page)


def test_an_order_from_search_to_thanks(stack: Stack, page: Page) -> None:
    page.get_by_role("searchbox").fill("striped")
    page.get_by_role("searchbox").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("“striped”")
    screenshot(page, "search")
    page.locator("main .card:not(.is-sold-out) .card-link").first.click()
    page.get_by_role("button", name="Add to cart").click()
    expect(page.locator("#toast")).to_contain_text("in your cart")
    page.locator(".cart-link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your cart")
    screenshot(page, "cart")
    page.get_by_role("link", name="Check out").click()
    page.get_by_role("button", name="Place the demo order").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Thank you")
    expect(page.locator("#cart-count")).to_be_hidden()
    expect(whys(page).filter(has_text="you bought").first).to_be_visible()
    screenshot(page, "order")
    nothing_waits(page)
    assert events_of(stack, page) == Counter(page.evaluate("window.tracked"))
    has_never_navigated(page)


def test_without_javascript_it_is_a_shop_still(stack: Stack, open_page: Open) -> None:
    page = open_page(stack.shop_url, java_script_enabled=False)
    expect(page.locator("#for-you-list .card")).to_have_count(12)
    open_product(page, "Women")
    page.go_back()
    page.locator("main .card:not(.is-sold-out) .card-link").first.click()
    page.get_by_role("button", name="Add to cart").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your cart")
    page.get_by_role("link", name="Check out").click()
    page.get_by_role("button", name="Place the demo order").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Thank you")


def test_it_is_used_by_keyboard_alone(stack: Stack, page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    card = page.locator("main .grid .card-link").first
    name = card.locator(".card-name").inner_text()
    card.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    expect(page.locator("#main")).to_be_focused()
    because(page, name)
    expect(page.locator("#news")).to_contain_text(name)  # read out to those who do not see it change


def test_an_address_that_leads_nowhere_has_a_page(stack: Stack, open_page: Open) -> None:
    page = open_page(f"{stack.shop_url}/product/nothing")
    expect(page.get_by_role("heading", level=1)).to_have_text("This page drifted away")
    screenshot(page, "missing")
