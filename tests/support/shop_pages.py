"""What the tests of the demo shop do on its pages, and what they look for there."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Final

from playwright.sync_api import Locator, Page, expect

from infra.stack.broker import ROOT
from infra.stack.lifecycle import Stack
from schemas import events, products
from schemas.topics import EVENTS
from services.settings import ServiceSettings
from tests.support.kafka import read_topic
from tests.support.patience import patiently

SCREENSHOTS: Final = ROOT / "build" / "screenshots"
WIDE = {"width": 1280, "height": 800}
NARROW = {"width": 390, "height": 844}
SOON_MS = 15_000
RESTART_MS = 90_000

# Every event that the tracker makes goes into localStorage first.
NOTE_TRACKED = """
  const setItem = Storage.prototype.setItem;
  window.tracked = [];
  window.orders = [];
  Storage.prototype.setItem = function (key, value) {
    if (key.startsWith("eddy.event.")) {
      const { event_id, type, order_id } = JSON.parse(value);
      window.tracked.push(event_id);
      if (order_id) window.orders.push({ event_id, type, order_id });
    }
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

Open = Callable[..., Page]  # of a fixture: opens an address as a new visitor


def is_live(page: Page, timeout: int = SOON_MS) -> None:
    expect(page.locator("#live-state")).to_have_attribute("data-state", "live", timeout=timeout)


def row(page: Page) -> list[str]:
    """Product ids in the row."""
    ids: list[str] = page.locator("#for-you-list .card").evaluate_all("cards => cards.map(c => c.dataset.id)")
    return ids


def is_popular(page: Page) -> None:
    """Waits until the row says that it knows nothing of the visitor."""
    expect(page.locator("#for-you-title")).to_have_text("Popular now")


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
    """Waits until the row says that it is made from a product: in its line, or on a card."""
    said = page.locator("#for-you-cause, #for-you-list .card-why").filter(has_text=name)
    expect(said.first).to_be_visible(timeout=timeout)


def screenshot(page: Page, name: str) -> None:
    page.evaluate(STILL)
    width = page.viewport_size["width"] if page.viewport_size else 0
    page.screenshot(path=SCREENSHOTS / f"{name}-{width}.png")


def events_of(stack: Stack, page: Page) -> Counter[str]:
    """How often each event of the page's visitor lies on the topic, by event id."""
    return read_events(stack, json.loads(page.evaluate("localStorage['eddy.visitor']"))["visitor_id"])


def read_tracked(page: Page) -> Counter[str]:
    """What the page has tracked, by the ids that ingest gives: an order's follows from its number."""
    tracked = Counter[str](page.evaluate("window.tracked"))
    for order in page.evaluate("window.orders"):
        del tracked[order["event_id"]]
        tracked[events.find_id(order["event_id"], order["type"], order["order_id"])] += 1
    return tracked


def read_events(stack: Stack, visitor_id: str) -> Counter[str]:
    messages = read_topic(ServiceSettings(kafka_bootstrap=stack.bootstrap), EVENTS)
    return Counter(
        events.decode(each.value() or b"").event_id for each in messages if each.key() == visitor_id.encode()
    )


@patiently(15)
def nothing_waits(page: Page) -> None:
    assert page.evaluate(WAITING) == []  # wait_for_function needs eval, which the shop's policy forbids


@patiently(15)
def each_is_there_once(stack: Stack, page: Page) -> None:
    """What the page has tracked by now: rows that come into sight are told at any moment."""
    assert events_of(stack, page) == read_tracked(page)


@patiently(15)
def all_arrive(stack: Stack, visitor_id: str, tracked: list[str]) -> None:
    assert read_events(stack, visitor_id) == Counter(tracked)


def ids(cards: Locator) -> list[str]:
    """Product ids of the shop's own cards."""
    found: list[str] = cards.evaluate_all("cards => cards.map(card => card.dataset.id)")
    return found


def top_categories() -> dict[str, str | None]:
    """Product id → top-level category, of the catalogue that the tests' stack sells."""
    feed = ROOT / "build" / "tests" / "catalogue" / "products.jsonl"
    found = map(products.decode, feed.read_bytes().splitlines())
    return {product.product_id: product.top_category for product in found}


def card_in(page: Page, slot: str) -> Locator:
    """The cards of an <eddy-recommendations>."""
    return page.locator(f"eddy-recommendations[slot={slot}] [part~=card]")


def products_in(page: Page, slot: str) -> list[str]:
    """Product ids in an <eddy-recommendations>."""
    found: list[str] = page.locator(f"eddy-recommendations[slot={slot}]").evaluate(
        "element => element.items.map(item => item.product_id)"
    )
    return found


def look_for(page: Page, words: str) -> None:
    """Types a search into the head of the page; returns when the recommender has answered it."""
    page.get_by_role("searchbox").fill(words)
    page.get_by_role("searchbox").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"“{words}”")
    wait_for_answer(page)


def wait_for_answer(page: Page) -> None:
    """Waits until the page shows what the recommender has found."""
    expect(page.locator("[data-part=told]")).not_to_be_empty()
    expect(page.locator("main.is-asking")).to_have_count(0)


def chips(page: Page) -> Locator:
    """What a search was understood as."""
    return page.locator("[data-part=chips] .chip:not(.reset)")


def read_results(page: Page) -> list[str]:
    """Product ids of a search's results, those that are only close to it last."""
    return ids(page.locator("main .card"))


def change(
    page: Page, stack: Stack, product_id: str, *, price: str | None = None, stock: str | None = None
) -> None:
    """Changes a product at the back office, in another tab: its price, or `Sold out` or `Back in stock`."""
    office = page.context.new_page()
    office.goto(f"{stack.shop_url}/backoffice?q={product_id}")
    line = office.locator(f"tr[id={product_id}]")
    if price is not None:
        line.get_by_role("spinbutton").fill(price)
        line.get_by_role("button", name="Set").click()
    if stock is not None:
        line.get_by_role("button", name=stock).click()
    office.wait_for_url(f"**#{product_id}")
    office.close()
