"""Searching the demo shop: what the words were understood as can be taken away, and who asks counts."""

import re

import pytest
from playwright.sync_api import Page, Route, expect

from infra.stack.lifecycle import Stack
from tests.support.patience import patiently
from tests.support.shop_pages import (
    Open,
    because,
    change,
    chips,
    has_never_navigated,
    ids,
    is_live,
    look_for,
    open_product,
    read_results,
    row,
    screenshot,
    wait_for_answer,
)

pytestmark = pytest.mark.timeout(600)  # the first test waits for the whole stack

WORDS = "floral cushions under €30, not pink"
CHIPS = ["cushion", "under €30", "floral", "not pink"]


def exact(page: Page) -> list[str]:
    return ids(page.locator("[data-part=found] .card"))


def prices(page: Page) -> list[float]:
    return [float(text.lstrip("€")) for text in page.locator("main .card-price").all_inner_texts()]


def test_chips_are_taken_away_one_by_one_and_the_address_keeps_it(page: Page) -> None:
    look_for(page, WORDS)
    expect(chips(page)).to_have_text(CHIPS)
    expect(page.locator("[data-part=told]")).to_contain_text(f"Understood as: {', '.join(CHIPS)}.")
    assert max(prices(page)) <= 30
    narrow = exact(page)
    screenshot(page, "search-chips")

    page.get_by_role("button", name="Remove under €30").click()
    expect(chips(page)).to_have_text(["cushion", "floral", "not pink"])
    expect(page).to_have_url(re.compile(r"price_max=(&|$)"))
    wider_than(page, narrow)
    assert max(prices(page)) > 30
    wide = exact(page)
    has_never_navigated(page)

    page.go_back()
    expect(chips(page)).to_have_text(CHIPS)
    shows(page, narrow)
    page.go_forward()
    expect(chips(page)).to_have_text(["cushion", "floral", "not pink"])
    shows(page, wide)
    page.reload()
    expect(chips(page)).to_have_text(["cushion", "floral", "not pink"])
    shows(page, wide)
    page.get_by_role("button", name="All words again").click()
    expect(chips(page)).to_have_text(CHIPS)


@patiently(15)
def shows(page: Page, products: list[str]) -> None:
    assert sorted(exact(page)) == sorted(products)


@patiently(15)
def wider_than(page: Page, products: list[str]) -> None:
    assert set(products) < set(exact(page))


def test_what_is_only_close_stands_apart_and_a_mistyped_word_is_told(page: Page) -> None:
    look_for(page, "blue striped shrit")
    expect(chips(page)).to_have_text(["shirt", "blue", "striped", "shrit → shirt"])
    expect(page.locator("[data-part=told]")).to_contain_text("shrit was read as shirt.")
    expect(page.get_by_role("heading", name="Close to it")).to_be_visible()
    whole, close = (page.locator(f"[data-part={part}] .card") for part in ("found", "close"))
    assert whole.count()
    for card in whole.all():
        expect(card.locator(".card-why")).not_to_contain_text("but not")
    for card in close.all():
        expect(card.locator(".card-why")).to_contain_text("Close, but not", ignore_case=True)
    expect(page.locator("[data-part=notice]")).to_contain_text("fit the filters")

    page.get_by_role("button", name="Remove blue").click()
    expect(chips(page)).to_have_text(["shirt", "striped", "shrit → shirt"])
    expect(page.get_by_role("heading", name="Close to it")).to_be_hidden()  # what is left is insisted on
    for name in page.locator("main .card-name").all_inner_texts():
        assert "striped" in name
    page.get_by_role("button", name="Remove striped").click()
    expect(chips(page)).to_have_text(["shirt", "shrit → shirt"])


def test_more_is_shown_on_demand(page: Page) -> None:
    look_for(page, "shoes")
    expect(page.locator("main .card")).to_have_count(24)
    first = read_results(page)
    page.get_by_role("button", name="Show more").click()
    expect(page.locator("main .card")).to_have_count(48)
    assert set(first) <= set(read_results(page))


def test_where_nothing_fits_one_sentence_says_which_wish_gave_way(page: Page) -> None:
    look_for(page, "shirts over €9000")
    notice = page.locator("[data-part=notice]")
    expect(notice).to_have_text("No shirts from €9,000. Shirts:")
    expect(page.locator("[data-part=told]")).to_contain_text("Understood as: shirt, over €9,000.")
    expect(page.locator("[data-part=count]")).to_be_hidden()
    expect(page.get_by_role("heading", name="Close to it")).to_be_hidden()
    expect(page.locator("main .card").first).to_be_visible()
    expect(chips(page).first).to_have_text("shirt (0 without)")
    page.get_by_role("button", name="Remove over €9,000").click()
    expect(notice).not_to_contain_text("No shirts")
    expect(page.locator("main .card").first).to_be_visible()


def test_letters_of_no_word_are_told_as_such(page: Page) -> None:
    look_for(page, "asdfqwer")
    expect(page.locator("[data-part=notice]")).to_have_text("Nothing is like “asdfqwer”: these are popular.")
    expect(page.locator("[data-part=count]")).to_be_hidden()
    expect(page.locator("main .card").first).to_be_visible()


def test_the_same_words_find_another_order_for_another_visitor(stack: Stack, open_page: Open) -> None:
    orders = []
    for shelf in ("Women", "Kids"):
        page = open_page(stack.shop_url)
        is_live(page)
        because(page, open_product(page, shelf))
        because(page, open_product(page, shelf, place=1))
        look_for(page, "shoes")
        orders.append(read_results(page))
    assert orders[0] != orders[1]


def test_results_follow_what_the_visitor_does_elsewhere(stack: Stack, page: Page) -> None:
    look_for(page, "shoes")
    before = read_results(page)
    other = page.context.new_page()
    other.goto(stack.shop_url)
    is_live(other)
    for place in range(3):
        shown = row(other)
        open_product(other, "Kids", place)
        is_another_row(other, shown)
    is_another_order(page, before)
    has_never_navigated(page)


@patiently(15)
def is_another_row(page: Page, shown: list[str]) -> None:
    assert row(page) != shown


@patiently(15)
def is_another_order(page: Page, order: list[str]) -> None:
    assert read_results(page) != order


def test_what_sells_out_makes_room_among_the_results(stack: Stack, page: Page) -> None:
    look_for(page, "boots")
    product_id = read_results(page)[0]
    change(page, stack, product_id, stock="Sold out")
    try:
        expect(page.locator(f"main .card[data-id={product_id}]")).to_have_count(0)
        has_never_navigated(page)
    finally:
        change(page, stack, product_id, stock="Back in stock")


def test_without_the_recommender_the_shop_searches_by_itself(stack: Stack, open_page: Open) -> None:
    page = open_page(stack.shop_url)

    def cut(route: Route) -> None:
        route.abort("connectionrefused")

    page.route(re.compile("/v1/search"), cut)
    page.get_by_role("searchbox").fill("striped")
    page.get_by_role("searchbox").press("Enter")
    names = page.locator("main .card-name")
    expect(names.first).to_contain_text("striped")
    expect(names.filter(has_not_text="striped")).to_have_count(0)
    expect(page.locator("[data-part=understood]")).to_be_hidden()
    page.unroute(re.compile("/v1/search"), cut)
    page.reload()
    wait_for_answer(page)
    expect(chips(page)).to_have_text(["striped"])


def test_from_search_to_a_product_by_keyboard_alone(page: Page) -> None:
    page.get_by_role("searchbox").focus()
    page.keyboard.type(WORDS)
    page.keyboard.press("Enter")
    wait_for_answer(page)
    expect(page.locator("#main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Remove cushion")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(chips(page)).to_have_text(["cushion", "floral", "not pink"])
    expect(page.get_by_role("button", name="Remove floral")).to_be_focused()  # the one after it
    while not page.evaluate("document.activeElement.matches('main .card-link')"):
        page.keyboard.press("Tab")
    name = page.locator(".card-link:focus .card-name").inner_text()
    product_id = ids(page.locator("main .card:focus-within"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    expect(page.locator("#main")).to_have_attribute("data-product", product_id[0])


def test_a_search_moves_the_visitors_own_row_which_says_so(page: Page) -> None:
    before = row(page)
    look_for(page, "tents")
    said = page.locator("#for-you").get_by_text(re.compile("because you searched for tents", re.IGNORECASE))
    expect(said.first).to_be_visible()
    assert row(page) != before
    names = page.locator("#for-you-list .card-name").all_inner_texts()
    assert sum("tent" in name.lower() for name in names) >= 3
    screenshot(page, "searched")
    has_never_navigated(page)
