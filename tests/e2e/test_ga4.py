"""What a shop tells Google: real Chromium with Google's own snippet, a real ingest and its real topics."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from schemas import topics
from schemas.events import Event, decode, id_of_order
from services.model.session import Tuning, merge_events, signals
from services.settings import ServiceSettings
from tests.support.browser import Site, launch_chromium, serve_site
from tests.support.kafka import read_topic
from tests.support.patience import patiently
from tests.support.services import RunningService, run_service

WAITING: Final = "Object.keys(localStorage).filter(key => key.startsWith('eddy.event.'))"
TOLD: Final = "window.warnings = []; console.warn = (...what) => window.warnings.push(what.join(' '));"

# What Google has people put on every page, and what its pages for developers show for an online shop.
SNIPPET: Final = """
  window.dataLayer = window.dataLayer || [];
  function gtag() { dataLayer.push(arguments); }
  gtag("js", new Date());
  gtag("config", "G-EDDY", { user_id: "customer-17" });
"""
TRACKER: Final = """
  import { createTracker } from "/eddy/tracker.js";
  createTracker({ ingest: document.documentElement.dataset.ingest }).listenToDataLayer(window.dataLayer);
"""
BOOTS: Final = {
    "item_id": "SKU_1",
    "item_name": "Boots",
    "item_brand": "Northwind",
    "price": 89.5,
    "quantity": 1,
}
SOCKS: Final = {"item_id": 42, "item_name": "Socks", "index": 1, "price": "12.25", "quantity": 2}
ORDER: Final = {"transaction_id": "T-1042", "currency": " eur", "value": 114, "items": [BOOTS, SOCKS]}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with launch_chromium() as browser:
        yield browser


@pytest.fixture
def site() -> Iterator[Site]:
    with serve_site() as site:
        site.files["/favicon.ico"] = "<svg/>"
        yield site


@pytest.fixture
def ingest(kafka: ServiceSettings, site: Site, tmp_path: Path) -> Iterator[RunningService]:
    with run_service(
        "ingest", kafka, tmp_path / "ingest.log", environment={"EDDY_ALLOWED_ORIGINS": site.url}
    ) as ingest:
        yield ingest


@pytest.fixture
def visitor(chromium: Browser) -> Iterator[BrowserContext]:
    context = chromium.new_context()
    context.add_init_script(TOLD)
    yield context
    context.close()


def open_page(
    visitor: BrowserContext, site: Site, ingest: RunningService, *, early: str = "", snippet: str = SNIPPET
) -> Page:
    """A page with Google's snippet, what it pushes before the tracker is there, and the tracker."""
    site.files["/"] = (
        f'<!doctype html><html lang="en" data-ingest="{ingest.url}"><title>A shop</title>'
        f'<script>{snippet}{early}</script><script type="module">{TRACKER}</script>'
    )
    page = visitor.new_page()
    page.goto(site.url, wait_until="load")
    return page


@patiently(15)
def all_is_sent(page: Page) -> None:
    assert page.evaluate(
        "performance.getEntriesByType('resource').some(({ name }) => name.includes('/v1/events'))"
    )
    assert page.evaluate(WAITING) == []


def on_the_topic(kafka: ServiceSettings) -> list[Event]:
    """All events, in the order in which they happened. None may have been refused."""
    assert read_topic(kafka, topics.EVENTS_DLQ) == []
    found = [decode(message.value() or b"") for message in read_topic(kafka, topics.EVENTS)]
    return sorted(found, key=lambda event: (event.occurred_at, event.event_id))


def test_a_shops_pushes_are_events_on_the_topic(
    visitor: BrowserContext, site: Site, ingest: RunningService, kafka: ServiceSettings
) -> None:
    early = f"""
      dataLayer.push({{ ecommerce: null }});
      dataLayer.push({{ event: "view_item", ecommerce: {json.dumps({"items": [BOOTS]})} }});
    """
    page = open_page(visitor, site, ingest, early=early)
    page.evaluate(
        """({ boots, socks, order }) => {
          const push = (event, ecommerce) => dataLayer.push({ ecommerce: null }, { event, ecommerce });
          gtag("event", "view_item_list", { item_list_id: "category:Shoes", items: [boots, socks] });
          gtag("event", "select_item", { item_list_name: "Related", items: [socks] });
          push("add_to_cart", { currency: "EUR", value: 89.5, items: [boots] });
          push("view_cart", { items: [boots] });
          gtag("set", { user_id: "customer-18" });
          gtag("event", "add_to_wishlist", { items: [socks] });
          push("remove_from_cart", { items: [{ item_name: "has no id" }] });
          push("begin_checkout", { items: [boots, socks] });
          push("add_shipping_info", { shipping_tier: "Ground", items: [boots] });
          push("add_payment_info", { payment_type: "Card", items: [boots] });
          dataLayer.push({ ecommerce: null }, { ecommerce: order }, { event: "purchase" });
          dataLayer.push({ ecommerce: null });
          push("refund", { transaction_id: "T-1042", currency: "EUR", items: [boots] });
          gtag("config", "G-EDDY", { user_id: null });
          gtag("event", "search", { search_term: "ankle boots" });
        }""",
        {"boots": BOOTS, "socks": SOCKS, "order": ORDER},
    )
    all_is_sent(page)
    events = on_the_topic(kafka)
    assert [(event.type, event.products(), event.user_id) for event in events] == [
        ("view_item", ("SKU_1",), "customer-17"),
        ("view_item_list", ("SKU_1", "42"), "customer-17"),
        ("select_item", ("42",), "customer-17"),
        ("add_to_cart", ("SKU_1",), "customer-17"),
        ("add_to_wishlist", ("42",), "customer-18"),
        ("begin_checkout", ("SKU_1", "42"), "customer-18"),
        ("purchase", ("SKU_1", "42"), "customer-18"),
        ("search", (), None),
    ]
    assert len({event.event_id for event in events}) == len(events)
    assert len({event.visitor_id for event in events}) == 1
    listed, selected, _, _, _, purchase, search = events[1:]
    assert (listed.list_id, selected.list_id) == ("category:Shoes", "Related")
    assert [(item.price, item.quantity) for item in purchase.items] == [(89.5, 1), (12.25, 2)]
    assert (purchase.value, purchase.currency, search.query) == (114, "EUR", "ankle boots")
    assert (purchase.order_id, purchase.event_id) == ("T-1042", id_of_order("purchase", "T-1042"))
    [warning] = page.evaluate("window.warnings")
    assert "item_id" in warning


def test_an_order_counts_once_however_often_its_page_is_opened(
    visitor: BrowserContext, site: Site, ingest: RunningService, kafka: ServiceSettings
) -> None:
    page = open_page(visitor, site, ingest, early=f'gtag("event", "purchase", {json.dumps(ORDER)});')
    all_is_sent(page)
    page.reload()
    all_is_sent(page)
    page.evaluate("order => dataLayer.push({ event: 'purchase', ecommerce: order })", ORDER)
    all_have_come(kafka, 3)
    told = on_the_topic(kafka)
    assert len({event.event_id for event in told}) == 1
    session = merge_events((), [], Tuning())
    for event in told:
        session = merge_events(session, signals(event, Tuning()), Tuning())
    assert sorted(entry.product_id for entry in session) == ["42", "SKU_1"]  # each was bought once

    page.evaluate(
        "order => dataLayer.push({ event: 'purchase', ecommerce: order })", ORDER | {"transaction_id": 7}
    )
    all_have_come(kafka, 4)
    assert len({event.event_id for event in on_the_topic(kafka)}) == 2


@patiently(15)
def all_have_come(kafka: ServiceSettings, number: int) -> None:
    assert len(read_topic(kafka, topics.EVENTS)) == number


def test_a_layer_that_is_replaced_is_listened_to_again(
    visitor: BrowserContext, site: Site, ingest: RunningService, kafka: ServiceSettings
) -> None:
    search = "query => gtag('event', 'search', { search_term: query })"
    page = open_page(visitor, site, ingest)
    page.evaluate(search, "one")
    page.evaluate("window.dataLayer = [...window.dataLayer]")
    page.evaluate(search, "two")
    page.evaluate("window.dataLayer = []")
    page.evaluate(search, "three")
    all_is_sent(page)
    assert [event.query for event in on_the_topic(kafka)] == ["one", "two", "three"]


def test_a_layer_that_cannot_be_watched_is_listened_to_all_the_same(
    visitor: BrowserContext, site: Site, ingest: RunningService, kafka: ServiceSettings
) -> None:
    snippet = SNIPPET.replace("window.dataLayer =", "var dataLayer =")
    page = open_page(
        visitor, site, ingest, early='gtag("event", "search", { search_term: "one" });', snippet=snippet
    )
    assert page.evaluate("Object.getOwnPropertyDescriptor(window, 'dataLayer').configurable") is False
    page.evaluate("gtag('event', 'search', { search_term: 'two' })")
    all_is_sent(page)
    assert [event.query for event in on_the_topic(kafka)] == ["one", "two"]
    assert page.evaluate("window.warnings") == []
