"""The shop as a person sees it: real Chromium on the whole real stack. Pictures go to build/screenshots/."""

import json
import os
import re
import signal

import httpx
import pytest
from playwright.sync_api import Page, expect

from infra.stack.lifecycle import Stack
from tests.support.shop_pages import (
    NARROW,
    NO_WEBSOCKET,
    RESTART_MS,
    WAITING,
    WIDE,
    Open,
    all_arrive,
    because,
    card_in,
    each_is_there_once,
    has_never_navigated,
    is_live,
    is_popular,
    look_for,
    nothing_waits,
    open_product,
    row,
    screenshot,
    top_categories,
)

pytestmark = pytest.mark.timeout(600)  # the first test waits for the whole stack


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["1280", "390"])
def test_the_row_follows_clicks_without_a_reload(
    stack: Stack, open_page: Open, viewport: dict[str, int]
) -> None:
    page = open_page(stack.shop_url, viewport=viewport)
    is_live(page)
    page.evaluate("window.survivor = true")
    is_popular(page)
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
    expect(card_in(page, "similar")).to_have_count(12)
    screenshot(page, "product")

    second = open_product(page, "Outdoor")
    because(page, second)
    shelves = top_categories()
    assert {"Women", "Outdoor"} <= {shelves[product_id] for product_id in row(page)}  # both are served
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
    each_is_there_once(stack, page)
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
    look_for(page, "striped")
    screenshot(page, "search")
    card = page.locator("main .card").first
    product_id, name = card.get_attribute("data-id"), card.locator(".card-name").inner_text()
    card.locator(".card-link").click()
    page.get_by_role("button", name="Add to cart").click()
    expect(page.locator("#toast")).to_contain_text("in your cart")
    page.locator(".cart-link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your cart")
    screenshot(page, "cart")
    page.get_by_role("link", name="Check out").click()
    page.get_by_role("button", name="Place the demo order").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Thank you")
    expect(page.locator("#cart-count")).to_be_hidden()
    expect(page.locator(f"#for-you-list [data-id={product_id}]")).to_have_count(0)
    screenshot(page, "order")
    page.get_by_role("link", name="What we think you like").click()
    expect(page.locator("[data-part=events]")).to_contain_text(f"Bought {name}")
    nothing_waits(page)
    each_is_there_once(stack, page)
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


def test_pages_of_other_hosts_find_the_demos_pictures(stack: Stack) -> None:
    [found] = httpx.get(f"{stack.recommender_url}/v1/products?product_id=p0003").json()["items"]
    assert found["url"] == f"{stack.shop_url}/product/p0003"
    assert httpx.get(found["image_url"]).headers["content-type"] == "image/webp"
    similar = httpx.get(f"{stack.recommender_url}/v1/products/p0003/similar?k=1&explain=true").json()
    assert similar["items"][0]["parts"]["image"] > 0  # the embedder has seen them, without asking the shop


def test_an_address_that_leads_nowhere_has_a_page(stack: Stack, open_page: Open) -> None:
    page = open_page(f"{stack.shop_url}/product/nothing")
    expect(page.get_by_role("heading", level=1)).to_have_text("This page drifted away")
    screenshot(page, "missing")
