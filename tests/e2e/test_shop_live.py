"""Product pages, prices and stock of the demo shop while they are on show, and a visitor's own page."""

import json

import httpx
import pytest
from playwright.sync_api import Page, Route, WebSocketRoute, expect

from infra.stack.lifecycle import Stack
from tests.support.patience import patiently
from tests.support.shop_pages import (
    NARROW,
    NO_WEBSOCKET,
    WIDE,
    Open,
    because,
    card_in,
    change,
    has_never_navigated,
    is_live,
    is_popular,
    look_for,
    open_product,
    products_in,
    row,
    screenshot,
)

pytestmark = pytest.mark.timeout(600)  # the first test waits for the whole stack

ROWS = ("similar", "also_liked", "complement_type")


def test_a_products_rows_say_different_things_and_why(page: Page) -> None:
    because(page, open_product(page, "Men"))
    product_id = page.locator("#main").get_attribute("data-product")
    shown = {}
    for slot in ROWS:
        expect(card_in(page, slot)).to_have_count(12)
        expect(card_in(page, slot).first.locator("[part=why]")).not_to_be_empty()
        shown[slot] = products_in(page, slot)
        assert product_id not in shown[slot]
    assert len({frozenset(products) for products in shown.values()}) == len(ROWS)
    for heading in ("Similar", "Also liked", "Goes with it"):
        expect(page.get_by_role("region", name=heading)).to_be_visible()
    has_never_navigated(page)


def test_a_click_in_a_products_row_opens_it_without_a_reload_and_tells_where_it_was(page: Page) -> None:
    open_product(page, "Home")
    before = row(page)
    card = card_in(page, "also_liked").first
    name = card.locator("[part=name]").inner_text()
    page.evaluate("window.events = []")
    page.evaluate(
        "() => { const push = dataLayer.push; "
        "dataLayer.push = (...e) => { window.events.push(...e); return push.apply(dataLayer, e); }; }"
    )
    card.locator("a").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name, ignore_case=True)
    has_moved(page, before)
    [viewed] = page.evaluate("window.events.filter(each => each.event === 'view_item')")
    assert viewed["ecommerce"]["item_list_id"] == "also_liked"
    assert viewed["ecommerce"]["recommendation_id"]
    has_never_navigated(page)


@patiently(15)
def has_moved(page: Page, before: list[str]) -> None:
    assert row(page) != before


def test_the_row_follows_a_click_before_the_products_page_is_there(page: Page) -> None:
    before, under_way = row(page), list[Route]()

    def hold(route: Route) -> None:
        under_way.append(route)

    page.route("**/product/*", hold)
    card = page.locator("main .card").nth(5)
    name = card.locator(".card-name").inner_text()
    card.locator(".card-link").click()
    because(page, name)
    assert row(page) != before
    expect(page.get_by_role("heading", level=1)).not_to_have_text(name)
    [request] = under_way
    request.continue_()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    page.get_by_role("link", name="What we think you like").click()
    done = page.locator("[data-part=events] li")
    expect(done).to_contain_text([f"Looked at {name}"])  # the click has given way: one interest, not two


def test_why_opens_at_a_card_of_the_row_and_less_of_this_reaches_the_session(
    stack: Stack, page: Page
) -> None:
    because(page, open_product(page, "Home"))
    card = page.locator("#for-you-list .card").nth(1)
    product_id, name = card.get_attribute("data-id"), card.locator(".card-name").inner_text()
    card.hover()
    card.get_by_role("button", name=f"Why? {name}").click()
    dialog = page.get_by_role("dialog", name=name)
    expect(dialog.get_by_role("listitem").first).not_to_be_empty()
    screenshot(page, "why")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    card.get_by_role("button", name=f"Why? {name}").click()
    dialog.get_by_role("button", name="Less of this").click()
    expect(page.locator(f"#for-you-list [data-id={product_id}]")).to_have_count(0)
    page.get_by_role("link", name="What we think you like").click()
    expect(page.locator("[data-part=events] li").first).to_contain_text(f"Asked for less like {name}")
    has_never_navigated(page)


def test_the_row_makes_room_while_one_scrolls(page: Page) -> None:
    dock = page.locator("#for-you")
    page.mouse.move(640, 300)
    page.evaluate(
        """() => {
          const dock = document.getElementById("for-you");
          new MutationObserver(() => { window.wasAway ||= dock.matches(".is-away"); })
            .observe(dock, { attributes: true });
        }"""
    )
    page.mouse.wheel(0, 400)
    makes_room(page)
    expect(dock).not_to_have_class("dock is-away")


@patiently(15)
def makes_room(page: Page) -> None:
    assert page.evaluate("window.wasAway") is True


def test_where_no_visit_speaks_a_row_says_that_it_is_popular(stack: Stack, open_page: Open) -> None:
    product_id = "e2e-new-product"
    page = open_page(stack.shop_url)
    is_live(page)
    page.evaluate(
        """id => {
          const row = document.createElement("eddy-recommendations");
          for (const [name, value] of [["slot", "also_liked"], ["product-id", id], ["heading", "Also liked"]])
            row.setAttribute(name, value);
          document.getElementById("main").append(row);
        }""",
        product_id,
    )
    expect(page.get_by_role("region", name="Popular now").first).to_be_visible()
    expect(card_in(page, "also_liked").first).to_be_visible()


def test_prices_and_stock_change_on_open_pages(stack: Stack, page: Page, open_page: Open) -> None:
    because(page, open_product(page, "Outdoor"))
    product_id = products_in(page, "similar")[0]
    own = open_page(f"{stack.shop_url}/product/{product_id}")
    is_live(own)
    own.evaluate("window.survivor = true")
    shelf = open_page(f"{stack.shop_url}/category/outdoor")
    is_live(shelf)
    on_shelf = shelf.locator("main .card").first.get_attribute("data-id")
    assert on_shelf is not None
    before = own.locator(".price-amount").inner_text().lstrip("€")
    try:
        change(page, stack, product_id, price="1234.50")
        expect(own.locator(".price-amount")).to_have_text("€1,234.50")
        expect(card_in(page, "similar").filter(has_text="€1,234.50")).to_have_count(1)
        assert (
            json.loads(own.locator("[data-cart=add]").get_attribute("data-push") or "")["ecommerce"]["value"]
            == 1234.5
        )
        change(page, stack, product_id, stock="Sold out")
        expect(own.get_by_text("Sold out for now")).to_be_visible()
        expect(own.get_by_role("button", name="Add to cart")).to_be_hidden()
        is_gone(page, product_id)
        expect(card_in(page, "similar")).to_have_count(12)
        change(page, stack, on_shelf, stock="Sold out")
        expect(shelf.locator(f".card[data-id={on_shelf}] .badge").first).to_be_visible()
    finally:
        change(page, stack, product_id, price=before, stock="Back in stock")
        change(page, stack, on_shelf, stock="Back in stock")
    expect(own.get_by_role("button", name="Add to cart")).to_be_visible()
    expect(own.locator(".price-amount")).to_have_text(f"€{before}")
    expect(shelf.locator(f".card[data-id={on_shelf}] .badge").first).to_be_hidden()
    for each in (page, own):
        has_never_navigated(each)


def test_where_websockets_are_blocked_prices_change_all_the_same(stack: Stack, open_page: Open) -> None:
    page = open_page(f"{stack.shop_url}/product/p0004", script=NO_WEBSOCKET)
    expect(page.locator("#live-state")).to_have_attribute("data-state", "polling")
    before = page.locator(".price-amount").inner_text().lstrip("€")
    change(page, stack, "p0004", price="3.50")
    try:
        expect(page.locator(".price-amount")).to_have_text("€3.50")
    finally:
        change(page, stack, "p0004", price=before)


@patiently(15)
def test_a_page_whose_path_has_died_without_a_word_has_its_row_within_10_s(
    stack: Stack, open_page: Open
) -> None:
    page, sockets = open_page(stack.shop_url), list[bool]()  # whether a socket's path lives

    def pass_on(route: WebSocketRoute) -> None:
        server, number = route.connect_to_server(), len(sockets)
        sockets.append(True)
        route.on_message(lambda message: server.send(message) if sockets[number] else None)
        server.on_message(lambda message: route.send(message) if sockets[number] else None)

    page.route_web_socket("**/v1/live*", pass_on)
    page.reload()
    is_live(page)
    page.evaluate("window.survivor = true")
    sockets[0] = False
    because(page, open_product(page, "Men"), 10_000)
    assert len(sockets) == 2
    has_never_navigated(page)


def is_gone(page: Page, product_id: str) -> None:
    assert product_id not in products_in(page, "similar")


def test_the_profile_shows_interests_and_forgetting_starts_anew(stack: Stack, page: Page) -> None:
    page.get_by_role("link", name="What we think you like").click()
    expect(page.get_by_text("You are new to us")).to_be_visible()
    name = open_product(page, "Women")
    because(page, name)
    page.get_by_role("link", name="What we think you like").click()
    interests = page.locator("[data-part=interests] li")
    expect(interests).to_have_count(1)
    expect(interests).to_contain_text("Women")
    expect(interests).to_contain_text(f"because you looked at {name}")
    expect(page.locator("[data-part=events] li").first).to_contain_text(name)
    visitor = page.locator("[data-part=visitor]").inner_text()
    has_never_navigated(page)

    page.get_by_role("button", name="Forget me").click()
    expect(page.get_by_text("somebody new now")).to_be_visible()
    expect(page.get_by_text("You are new to us")).to_be_visible()
    expect(page.locator("[data-part=visitor]")).not_to_have_text(visitor)
    is_popular(page)
    nothing_is_known_of(stack, visitor)


@patiently(15)
def nothing_is_known_of(stack: Stack, visitor_id: str) -> None:
    """The shop has forgotten the visitor, and not only the browser."""
    answer = httpx.get(
        f"{stack.recommender_url}/v1/visitors/{visitor_id}/profile",
        headers={"Authorization": f"Bearer {stack.environment['EDDY_API_KEY']}"},
    )
    assert answer.json()["events"] == []


def test_the_profile_follows_the_visitor_while_it_is_open(stack: Stack, page: Page) -> None:
    page.goto(f"{stack.shop_url}/profile")
    expect(page.get_by_text("You are new to us")).to_be_visible()
    other = page.context.new_page()
    other.goto(stack.shop_url)
    is_live(other)
    name = open_product(other, "Kids")
    expect(page.locator("[data-part=interests]")).to_contain_text(name)


def test_the_panel_tells_what_the_row_is(page: Page) -> None:
    because(page, open_product(page, "Home"))
    page.keyboard.press("e")
    panel = page.locator("#panel")
    expect(panel.locator("dt")).to_contain_text(["connection", "waiting", "row"])
    look_for(page, "striped lamps")
    expect(panel).to_contain_text("words read by")


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["1280", "390"])
def test_pages_fit_the_screen(stack: Stack, open_page: Open, viewport: dict[str, int]) -> None:
    page = open_page(stack.shop_url, viewport=viewport)
    is_live(page)
    page.locator("#row-fold").click()  # so that pictures show what is below it

    def fits(name: str) -> None:
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
        screenshot(page, name)

    because_of = [open_product(page, shelf) for shelf in ("Women", "Home")]
    expect(card_in(page, "complement_type").first).to_be_visible()  # as many as go with it, up to 12
    page.evaluate("scrollTo(0, document.querySelector('eddy-recommendations').offsetTop - 90)")
    fits("product-rows")
    page.evaluate("scrollTo(0, 0)")
    page.get_by_role("button", name="Add to cart").click()
    look_for(page, "blue striped shrit for the beach, not red")
    fits("search-close")
    page.get_by_role("link", name="What we think you like").click()
    expect(page.locator("[data-part=interests] li")).to_have_count(len(because_of))
    fits("profile")
    page.goto(f"{stack.shop_url}/cart")
    expect(page.get_by_role("link", name="Check out")).to_be_visible()
    fits("cart")
    page.goto(f"{stack.shop_url}/backoffice?q=boots")
    expect(page.get_by_role("button", name="Mark as sold out").first).to_be_in_viewport()
    fits("back-office")
    page.goto(f"{stack.shop_url}/search")
    fits("search-empty")
    assert row(page)
