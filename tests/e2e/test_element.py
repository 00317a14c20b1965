"""<eddy-recommendations> by itself: real Chromium, a strict policy, a recommender that does as told.

The whole flow, with the real recommender behind the element, is tested in test_shop.py. Pictures go to
build/screenshots/.
"""

import json
import re
from collections.abc import Callable, Iterator
from threading import Thread
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from infra.stack.broker import ROOT
from schemas.live import Cause, CauseProduct, Funnel, PageContext, Reason, ReasonKind
from services.clock import now_ms
from tests.support.browser import launch_chromium, serve_site
from tests.support.element_pages import FOR_YOU, SHOP_CSS, WATCH, Recommender, document, item, items, prepare
from tests.support.patience import patiently

SCREENSHOTS: Final = ROOT / "build" / "screenshots"
WIDE: Final = {"width": 1280, "height": 800}
NARROW: Final = {"width": 390, "height": 844}
POLICY: Final = "Content Security Policy"  # as Chromium's complaints begin
SOON_MS: Final = 10_000
NO_WEBSOCKET: Final = "window.WebSocket = class { constructor() { throw new Error('blocked'); } };"

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with launch_chromium() as browser:
        yield browser


@pytest.fixture
def recommender() -> Iterator[Recommender]:
    recommender = Recommender()
    thread = Thread(target=recommender.server.serve_forever, daemon=True)
    thread.start()
    yield recommender
    recommender.server.shutdown()
    thread.join()


@pytest.fixture
def open_page(chromium: Browser, recommender: Recommender) -> Iterator[Open]:
    """Opens a page under a strict policy. At the end nothing may have broken the policy or thrown."""
    contexts: list[BrowserContext] = []
    pages: list[Page] = []
    errors: list[str] = []
    with serve_site() as site:
        prepare(site, recommender)

        def open_body(
            body: str = FOR_YOU, *, viewport: Any = WIDE, script: str = "", css: str = "", **options: Any
        ) -> Page:
            context = chromium.new_context(viewport=viewport, **options)
            contexts.append(context)
            context.add_init_script(WATCH + script)
            context.route(f"{recommender.url}/v1/**", recommender.answer)
            site.files["/"] = document(body, recommender.url)
            site.files["/shop.css"] = SHOP_CSS + css
            page = context.new_page()
            pages.append(page)
            page.set_default_timeout(SOON_MS)
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on(
                "console", lambda message: errors.append(message.text) if POLICY in message.text else None
            )
            page.goto(site.url)
            return page

        yield open_body
        breaches = [breach for page in pages for breach in page.evaluate("window.breaches")]
        for context in contexts:
            context.close()
    assert breaches == []
    assert errors == []


@pytest.fixture
def page(open_page: Open, recommender: Recommender) -> Page:
    """A page with the row for you, which shows the products 0 to 11."""
    page = open_page()
    recommender.wait_for_subscription(("for_you", "for_you"))
    recommender.push(items(*range(12)), recommendation_id="r-1")
    expect(cards(page)).to_have_count(12)
    still(page)
    return page


def cards(page: Page, row: str = "eddy-recommendations") -> Locator:
    return page.locator(f"{row} [part~=card]")


def names(page: Page, row: str = "eddy-recommendations") -> list[str]:
    return page.locator(f"{row} [part=name]").all_inner_texts()


def link_of(page: Page, number: int) -> Locator:
    return page.get_by_role("link", name=re.compile(rf"^Product {number} "))


@patiently(15)
def shows(page: Page, *numbers: int, row: str = "eddy-recommendations") -> None:
    assert names(page, row) == [f"Product {number}" for number in numbers]


def still(page: Page) -> None:
    """Waits until nothing moves any more and pictures in sight are there."""
    page.evaluate(
        """async () => {
          const roots = [...document.querySelectorAll("eddy-recommendations")].map((each) => each.shadowRoot);
          const moving = roots.flatMap((root) => root.getAnimations?.() ?? []);
          await Promise.allSettled(moving.map((each) => each.finished));
          const seen = roots.flatMap((root) => [...root.querySelectorAll("img")])
            .filter((img) => !img.hidden && img.getBoundingClientRect().left < innerWidth);
          await Promise.allSettled(seen.map((img) => img.decode()));
        }"""
    )


def edge_of(card: Locator) -> float:
    box = card.bounding_box()
    assert box is not None
    return box["x"]


def read_tracked(page: Page, type_: str) -> list[dict[str, Any]]:
    return [fields for each, fields in page.evaluate("window.tracked") if each == type_]


def read_announcements(page: Page) -> list[str]:
    heard: list[str] = page.evaluate("window.said")
    return heard


def test_a_row_is_a_named_region_with_a_list_of_links(page: Page) -> None:
    row = page.get_by_role("region", name="For you")
    expect(row.get_by_role("heading", name="For you")).to_be_visible()
    expect(row.get_by_role("list")).to_have_count(1)
    expect(row.get_by_role("listitem")).to_have_count(12)
    first = row.get_by_role("link").first
    expect(first).to_have_accessible_name("Product 0 Northwind €20.00 because you looked at Ankle boots")
    expect(first).to_have_attribute("href", f"{page.url}product/p0")
    assert set(page.locator("eddy-recommendations img").evaluate_all("all => all.map(each => each.alt)")) == {
        ""
    }
    assert page.locator("eddy-recommendations [style]").count() == 0


def test_a_shop_styles_it_by_parts_and_properties(open_page: Open, recommender: Recommender) -> None:
    page = open_page(
        css="""
        eddy-recommendations { --eddy-card-width: 300px; }
        eddy-recommendations::part(price) { color: rgb(1, 2, 3); }
        eddy-recommendations::part(sold-out) { border-top: 7px solid; }
        """
    )
    recommender.wait_for_subscription(("for_you", "for_you"))
    recommender.push([item(0), item(1, availability="out_of_stock")])
    expect(cards(page)).to_have_count(2)
    still(page)
    width, colour, border = page.evaluate(
        """() => {
          const root = document.querySelector("eddy-recommendations").shadowRoot;
          const [card, soldOut] = root.querySelectorAll("li");
          const price = getComputedStyle(card.querySelector("[part=price]"));
          return [card.getBoundingClientRect().width, price.color, getComputedStyle(soldOut).borderTopWidth];
        }"""
    )
    assert (width, colour, border) == (300, "rgb(1, 2, 3)", "7px")
    parts = {"row", "list", "card", "link", "picture", "name", "brand", "price", "why", "badge", "heading"}
    for part in parts | {"previous", "next", "status"}:
        assert page.locator(f"eddy-recommendations [part~={part}]").count() > 0, part


def test_arrows_home_and_end_go_from_card_to_card_and_tab_goes_as_ever(page: Page) -> None:
    links = page.locator("eddy-recommendations a")
    links.nth(0).focus()
    for key, place in [
        ("ArrowRight", 1),
        ("ArrowRight", 2),
        ("ArrowLeft", 1),
        ("End", 11),
        ("ArrowRight", 11),
    ]:
        page.keyboard.press(key)
        expect(links.nth(place)).to_be_focused()
    expect(links.nth(11)).to_be_in_viewport()
    for key, place in [("Home", 0), ("ArrowLeft", 0)]:
        page.keyboard.press(key)
        expect(links.nth(place)).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Why? Product 0")).to_be_focused()
    page.keyboard.press("Tab")
    expect(links.nth(1)).to_be_focused()
    outline = "each => getComputedStyle(each).outlineStyle + getComputedStyle(each).outlineWidth"
    assert links.nth(1).evaluate(outline) == "solid2px"
    page.keyboard.press("Control+End")  # the page's own keys stay the page's
    expect(links.nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Product 1")
    page.go_back()


def test_buttons_scroll_and_are_there_only_where_that_leads_somewhere(
    page: Page, recommender: Recommender
) -> None:
    back, on = page.get_by_role("button", name="Scroll back"), page.get_by_role("button", name="Scroll on")
    expect(back).to_have_attribute("aria-disabled", "true")
    on.focus()
    page.keyboard.press("Enter")
    expect(back).to_have_attribute("aria-disabled", "false")
    to_the_end(page, on)
    expect(cards(page).nth(11)).to_be_in_viewport(ratio=0.9)
    expect(on).to_be_focused()
    recommender.push(items(1, 2))
    expect(on).to_be_hidden()


@patiently(15)
def to_the_end(page: Page, on: Locator) -> None:
    page.keyboard.press("Enter")
    assert on.get_attribute("aria-disabled") == "true"


def test_what_the_pointer_is_over_does_not_move(page: Page, recommender: Recommender) -> None:
    held = cards(page).nth(2)
    held.hover()
    where = edge_of(held)
    recommender.push(items(20, 21, 22, 23, 2, 24))
    shows(page, 20, 21, 2, 22, 23, 24)
    assert edge_of(held) == where
    recommender.push(items(30, 31, 32, 33))  # it is recommended no more, but not taken away either
    shows(page, 30, 31, 2, 32)
    still(page)
    assert edge_of(held) == where
    page.mouse.move(600, 700)
    shows(page, 30, 31, 32, 33)


def test_what_has_the_focus_keeps_it_and_its_place(page: Page, recommender: Recommender) -> None:
    link = link_of(page, 1)
    link.focus()
    recommender.push(items(20, 21, 22))
    shows(page, 20, 1, 21)
    expect(link).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(link_of(page, 21)).to_be_focused()
    shows(page, 20, 22, 21)  # where it was when the focus came to it
    expect(link_of(page, 21)).to_be_focused()
    link_of(page, 21).blur()
    shows(page, 20, 21, 22)


def test_nothing_moves_while_a_finger_is_on_the_row(open_page: Open, recommender: Recommender) -> None:
    page = open_page(viewport=NARROW, has_touch=True, is_mobile=True)
    recommender.wait_for_subscription(("for_you", "for_you"))
    recommender.push(items(0, 1, 2))
    shows(page, 0, 1, 2)
    box = cards(page).first.bounding_box()
    assert box is not None
    touch = page.context.new_cdp_session(page)
    point = {"x": box["x"] + 40, "y": box["y"] + 40}
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [point]})
    recommender.push(items(20, 21, 22))
    has_come(page, "p20")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert names(page) == ["Product 0", "Product 1", "Product 2"]
    moved = {"x": point["x"] - 30, "y": point["y"]}
    touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [moved]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    shows(page, 20, 21, 22)


@patiently(15)
def has_come(page: Page, product_id: str) -> None:
    """Waits until the element has a message that begins with the product, drawn or not."""
    assert page.evaluate("document.querySelector('eddy-recommendations').items[0].product_id") == product_id


def test_changes_are_told_politely_once_and_with_their_reason(page: Page, recommender: Recommender) -> None:
    status = page.get_by_role("status")
    expect(status).to_have_count(1)
    expect(status).to_have_attribute("aria-live", "polite")
    recommender.push(
        [item(number, why="because you looked at Hats") for number in range(12)]
    )  # the same products
    for first in (20, 21, 22, 23):
        recommender.push(items(first, *range(11)))
    expect(status).to_have_text("For you has changed: because you looked at Ankle boots")
    assert read_announcements(page) == ["For you has changed: because you looked at Ankle boots"]
    expect(status).to_be_empty(timeout=SOON_MS)


def test_rows_share_one_socket_and_one_subscription(open_page: Open, recommender: Recommender) -> None:
    page = open_page(
        FOR_YOU + '<eddy-recommendations slot="similar" product-id="a/b" k="6"></eddy-recommendations>'
        '<eddy-recommendations slot="similar" product-id="p2" name="more"></eddy-recommendations>'
        '<eddy-recommendations slot="search" query=""></eddy-recommendations>'
    )
    recommender.wait_for_subscription(("for_you", "for_you"), ("similar", "similar"), ("more", "similar"))
    assert [(slot.k, slot.product_id) for slot in recommender.subscriptions[0]] == [
        (12, None),
        (6, "a/b"),
        (12, "p2"),
    ]
    assert len(recommender.subscriptions) == len(recommender.sockets) == 1
    recommender.push(items(1, 2), "similar")
    recommender.push(items(3), "more")
    shows(page, 1, 2, row='[product-id="a/b"]')
    shows(page, 3, row="[name=more]")
    assert names(page, "[slot=for_you]") == []


def test_attributes_change_and_elements_come_and_go(open_page: Open, recommender: Recommender) -> None:
    page = open_page(FOR_YOU + '<eddy-recommendations slot="similar" product-id="p1"></eddy-recommendations>')
    page.clock.install()
    both = (("for_you", "for_you"), ("similar", "similar"))
    recommender.wait_for_subscription(*both)
    recommender.push(items(1, 2), "similar")
    shows(page, 1, 2, row="[slot=similar]")
    similar = page.locator("[slot=similar]")
    similar.evaluate("(each) => { each.setAttribute('product-id', 'p2'); each.setAttribute('k', '3'); }")
    about(recommender, "p2", 3)
    recommender.push(items(5, 6, 7), "similar")
    shows(page, 5, 6, 7, row="[slot=similar]")
    page.clock.fast_forward(3000)
    assert read_announcements(page) == []  # another product, another row: of that a reader knows without us
    assert len(recommender.subscriptions) == 2  # two attributes, one subscription

    similar.evaluate("(each) => each.removeAttribute('product-id')")
    recommender.wait_for_subscription(("for_you", "for_you"))
    expect(page.get_by_role("region", name="Similar")).to_have_count(0)
    similar.evaluate("(each) => { window.kept = each; each.setAttribute('product-id', 'p3'); }")
    recommender.wait_for_subscription(*both)
    page.evaluate("window.kept.remove()")
    recommender.wait_for_subscription(("for_you", "for_you"))
    page.evaluate("document.querySelector('main').append(window.kept)")
    recommender.wait_for_subscription(*both)
    page.evaluate("document.querySelector('main').replaceChildren()")
    nobody_listens(recommender)
    page.evaluate("document.querySelector('main').append(window.kept)")
    recommender.wait_for_subscription(("similar", "similar"))
    recommender.push(items(8), "similar")
    shows(page, 8, row="[slot=similar]")
    recommender.push(items(9), "similar")
    expect(page.get_by_role("status")).to_contain_text("Similar has changed")
    assert len(read_announcements(page)) == 1


@patiently(15)
def about(recommender: Recommender, product_id: str, k: int) -> None:
    slot = recommender.subscriptions[-1][-1]
    assert (slot.product_id, slot.k) == (product_id, k)


@patiently(15)
def nobody_listens(recommender: Recommender) -> None:
    assert recommender.sockets == []


def test_a_lost_socket_comes_back_with_all_rows(page: Page, recommender: Recommender) -> None:
    recommender.subscriptions.clear()
    recommender.sockets[-1].close(1012)
    recommender.wait_for_subscription(("for_you", "for_you"))
    recommender.push(items(3, 4))
    shows(page, 3, 4)


def test_without_a_websocket_every_kind_of_row_is_asked_for(
    open_page: Open, recommender: Recommender
) -> None:
    kinds = {
        'slot="for_you"': "/v1/recommendations",
        'slot="similar" product-id="a/b"': "/v1/products/a%2Fb/similar",
        'slot="also_liked" product-id="a/b"': "/v1/products/a%2Fb/also-liked",
        'slot="complement_type" product-id="a/b"': "/v1/products/a%2Fb/complements",
        'slot="popular" category="Women/Shoes"': "/v1/popular",
        'slot="search" query="red boots"': "/v1/search",
    }
    for number, path in enumerate(kinds.values()):
        recommender.rows[path] = items(number, 30)
    body = "".join(f"<eddy-recommendations {each} k=2></eddy-recommendations>" for each in kinds)
    page = open_page(body, script=NO_WEBSOCKET)
    for number in range(len(kinds)):
        shows(page, number, 30, row=f"eddy-recommendations:nth-of-type({number + 1})")
    who = "visitor_id=visitor-1&k=2"
    assert {
        f"/v1/recommendations?{who}",
        f"/v1/products/a%2Fb/similar?{who}",
        f"/v1/products/a%2Fb/also-liked?{who}",
        f"/v1/products/a%2Fb/complements?{who}&by=type",
        f"/v1/popular?{who}&category=Women%2FShoes",
        f"/v1/search?{who}&q=red+boots",
    } <= set(recommender.requests)
    expect(page.locator("html")).to_have_attribute("data-status", "polling")
    recommender.rows["/v1/recommendations"] = items(7)
    shows(page, 7, row="[slot=for_you]")


def test_price_and_stock_of_what_is_on_show_change_in_place(page: Page, recommender: Recommender) -> None:
    cards(page).nth(1).evaluate("(card) => { window.card = card; }")
    changed = [item(0), item(1, price=9.5, availability="out_of_stock"), *items(*range(2, 12))]
    recommender.push(changed)
    card = cards(page).nth(1)
    expect(card.locator("[part=price]")).to_have_text("€9.50")
    expect(card.get_by_text("Sold out")).to_be_visible()
    assert card.evaluate("(card) => card === window.card")
    assert (
        page.locator("eddy-recommendations").evaluate("(each) => each.shadowRoot.getAnimations().length") == 0
    )
    recommender.push(items(*range(12)))
    expect(card.get_by_text("Sold out")).to_be_hidden()
    expect(card.locator("[part=price]")).to_have_text("€21.00")


def test_a_click_is_tracked_and_told_before_the_link_is_followed(
    page: Page, recommender: Recommender
) -> None:
    page.evaluate("window.stays = true")
    link = link_of(page, 3)
    link.click()
    [told] = page.evaluate("window.selected")
    assert told["item"]["product_id"] == "p3"
    del told["item"]
    assert told == {
        "slot": "for_you",
        "recommendation_id": "r-1",
        "position": 4,
        "href": f"{page.url}product/p3",
        "cancelable": True,
    }
    fields = {"product_id": "p3", "list_id": "for_you", "recommendation_id": "r-1"}
    assert read_tracked(page, "select_item") == [fields]
    assert page.title() == "A shop"  # the page's router said that it goes there itself

    with page.context.expect_page() as opened:
        link.click(modifiers=["Control"])
    opened.value.wait_for_load_state()  # Chromium may never close a page that is about to load
    opened.value.close()
    assert page.evaluate("window.selected.map(({ cancelable }) => cancelable)") == [True, False]
    with page.context.expect_page() as opened:
        link.click(button="middle")
    opened.value.wait_for_load_state()
    opened.value.close()
    assert len(read_tracked(page, "select_item")) == 3

    page.evaluate("window.stays = false")
    link.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Product 3")
    page.go_back()


def test_every_drawn_message_is_told_with_all_that_came_along(page: Page, recommender: Recommender) -> None:
    parts = item(1, parts={"image": 0.4}, rules=("summer",))
    recommender.push([parts], caused_by="e-1", experiments={"weights": "b"}, fallback="new_visitor")
    shows(page, 1)
    told = page.evaluate("window.updates.at(-1)")
    message = told["message"]
    assert (told["slot"], message["caused_by"], message["fallback"]) == ("for_you", "e-1", "new_visitor")
    assert message["experiments"] == {"weights": "b"}
    assert message["items"][0]["parts"] == {"image": 0.4}
    assert page.evaluate("document.querySelector('eddy-recommendations').items[0].rules") == ["summer"]


def reason(kind: ReasonKind, product_id: str = "boots", **more: Any) -> Reason:
    cause = Cause(type="view_item", product_id=product_id, occurred_at=int(now_ms()) - 180_000)
    return Reason(kind=kind, product_id=product_id, cause=cause, strength=0.5, **more)


BOOTS: Final = CauseProduct(
    name="Reed pinstriped beige boots",
    price=60,
    currency="EUR",
    brand="Northwind",
    type="boots",
    url="/product/p1",
)
LAMP: Final = CauseProduct(name="Paper floor lamp", price=89, currency="EUR", type="lamp")


def test_a_row_says_what_its_products_share_and_a_card_what_it_alone_has(
    page: Page, recommender: Recommender
) -> None:
    rows = [
        item(0, reason=reason("co_visited", visits=12)),
        item(1, reason=reason("content")),
        item(2, reason=reason("complement")),
        item(3, reason=reason("co_visited", "lamp", visits=2)),
    ]
    recommender.push(rows, causes={"boots": BOOTS, "lamp": LAMP})
    expect(page.locator("[part=line]")).to_have_text("From Reed pinstriped beige boots")
    expect(page.locator("[part=line] a")).to_have_attribute("href", re.compile("/product/p1$"))
    whys = page.locator("eddy-recommendations [part=why]")
    expect(whys).to_have_text(
        [
            "12 visitors looked at both",
            "same brand, €39 less",
            "goes with it",
            "looked at with Paper floor lamp",
        ]
    )
    assert whys.evaluate_all("all => all.every((each) => each.scrollHeight <= each.clientHeight)")
    recommender.push([item(0, source="popular", reason=Reason(kind="popular"))], fallback="new_visitor")
    expect(page.get_by_role("region", name="Popular now")).to_be_visible()
    expect(whys).to_have_text([""])
    recommender.push(rows, causes={"boots": BOOTS, "lamp": LAMP})
    expect(page.get_by_role("region", name="For you")).to_be_visible()


def test_why_opens_at_a_card_and_less_of_this_takes_it_away(page: Page, recommender: Recommender) -> None:
    parts = {"image": 0.4, "category": 0.2, "price": -0.1}
    shown = [item(0, reason=reason("co_visited", visits=12), parts=parts), *items(1, 2)]
    recommender.push(shown, causes={"boots": BOOTS}, recommendation_id="r-2")
    expect(cards(page)).to_have_count(3)
    why = page.get_by_role("button", name="Why? Product 0")
    why.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Product 0")
    expect(dialog.get_by_role("listitem")).to_have_text(
        [
            "you looked at Reed pinstriped beige boots",
            "3 minutes ago",
            "12 visitors looked at both",
            "same brand, €40 less",
        ]
    )
    expect(dialog.locator("dt")).to_have_text(["in all", "looks", "shelf", "price"])
    expect(dialog.get_by_role("link", name="What we think you like")).to_have_attribute(
        "href", re.compile("/profile$")
    )
    still(page)
    page.screenshot(path=SCREENSHOTS / "why-1280.png")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(why).to_be_focused()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Less of this").press("Enter")
    shows(page, 1, 2)
    expect(link_of(page, 1)).to_be_focused()
    fields = {"product_id": "p0", "list_id": "for_you", "recommendation_id": "r-2"}
    assert read_tracked(page, "dismiss_item") == [fields]
    recommender.push([item(2), item(0), item(3)])  # from before it knew
    link_of(page, 1).blur()
    shows(page, 2, 3)


def test_what_the_visitor_saw_is_told_once(open_page: Open, recommender: Recommender) -> None:
    page = open_page('<h1 class="tall">Shop</h1>' + FOR_YOU, css=".tall { height: 900px; }")
    page.clock.install()
    recommender.wait_for_subscription(("for_you", "for_you"))
    recommender.push(items(*range(12)), recommendation_id="r-1")
    expect(cards(page)).to_have_count(12)
    page.clock.run_for(3000)
    assert read_tracked(page, "view_item_list") == []  # below the fold
    page.locator("eddy-recommendations").scroll_into_view_if_needed()
    saw(page, 1)
    [told] = read_tracked(page, "view_item_list")
    assert (told["list_id"], told["recommendation_id"]) == ("for_you", "r-1")
    seen = [each["product_id"] for each in told["items"]]
    assert seen == [f"p{number}" for number in range(len(seen))]
    assert 3 <= len(seen) <= 6  # of 12: the others are beyond the row's end
    recommender.push(items(*range(1, 12)), recommendation_id="r-2", caused_by="seen-1")
    expect(cards(page)).to_have_count(11)
    page.clock.run_for(3000)
    assert len(read_tracked(page, "view_item_list")) == 1  # it moved because of what was told
    recommender.push(items(20, 21), recommendation_id="r-3", caused_by="e-1")
    expect(cards(page)).to_have_count(2)
    saw(page, 2)
    assert read_tracked(page, "view_item_list")[1]["recommendation_id"] == "r-3"


@patiently(15)
def saw(page: Page, times: int) -> None:
    page.clock.run_for(500)
    assert len(read_tracked(page, "view_item_list")) == times


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["1280", "390"])
def test_nothing_on_the_page_moves_when_products_come(
    open_page: Open, recommender: Recommender, viewport: dict[str, int]
) -> None:
    page = open_page(
        "<p>Before</p>" + FOR_YOU + '<p class="below">Below</p>', viewport=viewport, script=SHIFTS
    )
    recommender.wait_for_subscription(("for_you", "for_you"))
    expect(page.locator("eddy-recommendations [part=placeholder]").first).to_be_visible()
    still(page)
    place = page.locator(".below").bounding_box()
    recommender.push(
        [item(number, reason=reason("content")) for number in range(12)], causes={"boots": BOOTS}
    )
    expect(cards(page)).to_have_count(12)
    still(page)
    assert page.locator(".below").bounding_box() == place
    recommender.push([item(20, name="A name that is long enough to need a second line of its card")])
    expect(cards(page)).to_have_count(1)
    still(page)
    assert page.evaluate("window.shifted") <= 0.02


SHIFTS: Final = """
  window.shifted = 0;
  new PerformanceObserver((list) => {
    for (const { value, hadRecentInput } of list.getEntries()) if (!hadRecentInput) window.shifted += value;
  }).observe({ type: "layout-shift", buffered: true });
"""


def test_a_row_shows_its_developer_how_it_came_about(open_page: Open, recommender: Recommender) -> None:
    page = open_page(
        '<eddy-recommendations slot="complement_type" product-ids="a, b" page-type="cart" objective="buy:1"'
        ' distinct="false" debug></eddy-recommendations>'
    )
    recommender.wait_for_subscription(("complement_type", "complement_type"))
    [slot] = recommender.subscriptions[-1]
    assert (slot.product_ids, slot.page, slot.objective) == (("a", "b"), PageContext(type="cart"), "buy:1")
    assert (slot.distinct, slot.debug) == (False, True)
    debug = page.locator("eddy-recommendations [part=debug]")
    funnel = Funnel(sources={"behaviour": 80}, left={"filters": 60, "diversity": 12}, ms={"rank": 1.25})
    recommender.push(items(1), "complement_type", funnel=funnel)
    for text in ("live", "behaviour 80", "filters 60 → diversity 12", "rank 1.25", "p1 0.500 content"):
        expect(debug).to_contain_text(text)


def test_data_cannot_become_code(page: Page, recommender: Recommender) -> None:
    evil = '<img src=x onerror="window.hacked = true">'
    urls = {
        "url": "javascript:window.hacked = true",
        "image_url": "data:text/html,<script>hacked = true</script>",
    }
    recommender.push([item(0, name=evil, brand=evil, why=evil, currency=evil, **urls)], notice=evil)
    expect(cards(page)).to_have_count(1)
    expect(page.locator("eddy-recommendations [part=name]")).to_have_text(evil)
    expect(page.locator("eddy-recommendations [part=notice]")).to_have_text(evil)
    link = page.locator("eddy-recommendations a")
    assert link.get_attribute("href") is None
    link.click()
    assert page.locator("eddy-recommendations img").evaluate_all("all => all.map(each => each.hidden)") == [
        True
    ]
    assert page.evaluate("window.hacked") is None


def test_a_picture_that_cannot_be_had_leaves_no_broken_one(open_page: Open, recommender: Recommender) -> None:
    page = open_page()
    recommender.wait_for_subscription(("for_you", "for_you"))
    recommender.push([item(0, image_url="/pictures/none.svg"), item(1, image_url=None), item(2)])
    pictures = page.locator("eddy-recommendations img")
    expect(pictures).to_have_count(3)
    expect(pictures.nth(0)).to_be_hidden()
    expect(pictures.nth(1)).to_be_hidden()
    expect(pictures.nth(2)).to_be_visible()
    recommender.push(items(0))
    expect(pictures.nth(0)).to_be_visible()  # it can be had by now


def test_content_of_the_page_stands_in_before_and_after(open_page: Open, recommender: Recommender) -> None:
    page = open_page(
        '<eddy-recommendations slot="similar" product-id="p1"><h3 slot="heading">More of this</h3>'
        '<p slot="empty">Nothing is like it</p><p>Rendered by the server</p></eddy-recommendations>'
    )
    recommender.wait_for_subscription(("similar", "similar"))
    expect(page.get_by_text("Rendered by the server")).to_be_visible()
    expect(page.get_by_text("Nothing is like it")).to_be_hidden()
    recommender.push(items(1), "similar", notice="Filters leave one product")
    region = page.get_by_role("region", name="More of this")
    expect(region.get_by_role("listitem")).to_have_count(1)
    expect(page.get_by_text("Filters leave one product")).to_be_visible()
    expect(page.get_by_text("Rendered by the server")).to_be_hidden()
    recommender.push([], "similar")
    expect(page.get_by_text("Nothing is like it")).to_be_visible()
    expect(region.get_by_role("listitem")).to_have_count(0)


def test_who_wants_no_motion_sees_none(open_page: Open, recommender: Recommender) -> None:
    page = open_page(reduced_motion="reduce")
    recommender.wait_for_subscription(("for_you", "for_you"))
    recommender.push(items(0, 1, 2))
    shows(page, 0, 1, 2)
    page.evaluate(
        """() => {
          window.moved = 0;
          const animate = Element.prototype.animate;
          Element.prototype.animate = function (...how) {
            window.moved += 1;
            return animate.apply(this, how);
          };
        }"""
    )
    recommender.push(items(2, 0, 5))
    shows(page, 2, 0, 5)
    assert page.evaluate("window.moved") == 0


def test_a_kind_that_is_none_is_said_to_the_developer(open_page: Open, recommender: Recommender) -> None:
    page = open_page("")
    with page.expect_console_message(lambda message: "not for-you" in message.text):
        page.evaluate(
            """() => {
              const element = document.createElement("eddy-recommendations");
              element.slot = "for-you";
              document.body.append(element);
            }"""
        )
    assert recommender.subscriptions == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["1280", "390"])
def test_it_is_pleasant_to_look_at(
    open_page: Open, recommender: Recommender, viewport: dict[str, int], scheme: str
) -> None:
    page = open_page(
        "<h1>Ankle boots</h1>"
        + FOR_YOU
        + '<eddy-recommendations slot="complement_type" product-id="p1" k="4">'
        "</eddy-recommendations>",
        viewport=viewport,
        color_scheme=scheme,
    )
    recommender.wait_for_subscription(("for_you", "for_you"), ("complement_type", "complement_type"))
    long = "Water-repellent hiking boots with a very long name that does not fit in two lines of a card"
    causes = {"boots": BOOTS, "lamp": LAMP}
    looks = [item(number, reason=reason("co_visited", visits=number)) for number in range(3, 12)]
    first = [item(0, reason=reason("content")), item(1, name=long, reason=reason("complement", "lamp"))]
    recommender.push([*first, item(2, availability="out_of_stock"), *looks], causes=causes)
    few = [item(20, brand=None, why="looks alike"), item(21, image_url=None), item(22), item(23)]
    recommender.push(few, "complement_type")
    expect(cards(page)).to_have_count(16)
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    page.locator("eddy-recommendations li a").nth(1).focus()
    still(page)
    page.screenshot(path=SCREENSHOTS / f"element-{scheme}-{viewport['width']}.png")
    sizes = page.locator("eddy-recommendations button:visible").evaluate_all(
        "all => all.map((each) => each.getBoundingClientRect()).flatMap((box) => [box.width, box.height])"
    )
    assert all(size >= 44 for size in sizes), json.dumps(sizes)  # what a thumb needs
