"""Segment's e-commerce events, as its documentation shows them, in our terms."""

from typing import Any

import pytest

from schemas.events import EVENT_TYPES, Event, EventType, Item
from services.ingest.segment.mapping import SEGMENT_EVENTS, type_of, with_properties
from services.ingest.validation import Refused

Json = dict[str, Any]

NAMES: list[tuple[str, EventType | None]] = [
    ("Product List Viewed", "view_item_list"),
    ("Product Clicked", "select_item"),
    ("Product Viewed", "view_item"),
    ("Product Added", "add_to_cart"),
    ("Product Removed", "remove_from_cart"),
    ("Product Added to Wishlist", "add_to_wishlist"),
    ("Checkout Started", "begin_checkout"),
    ("Order Completed", "purchase"),
    ("Products Searched", "search"),
    ("Wishlist Product Added to Cart", "add_to_cart"),
    # The spec's first version.
    ("Viewed Product Category", "view_item_list"),
    ("Viewed Product", "view_item"),
    ("Added Product", "add_to_cart"),
    ("Removed Product", "remove_from_cart"),
    ("Completed Order", "purchase"),
    ("Clicked Product", "select_item"),
    ("Started Checkout", "begin_checkout"),
    ("Searched Products", "search"),
    ("Cart Viewed", None),
    ("Product List Filtered", None),
    ("Order Refunded", None),
    ("Order Updated", None),
    ("Order Cancelled", None),
    ("Refunded Order", None),
    ("Signed Up", None),
    ("", None),
    ("💳", None),
]


@pytest.mark.parametrize(("name", "expected"), NAMES)
def test_an_event_is_known_however_it_is_spelled(name: str, expected: EventType | None) -> None:
    snake = name.lower().replace(" ", "_")
    for spelled in (name, name.upper(), snake, snake.replace("_", "-"), name.replace(" ", ""), f" {name} "):
        assert type_of(spelled) == expected


def test_every_name_leads_to_a_type_of_ours() -> None:
    assert set(SEGMENT_EVENTS.values()) == {expected for _, expected in NAMES if expected}
    assert set(SEGMENT_EVENTS.values()) <= set(EVENT_TYPES)


def tell(type_: EventType, properties: Json) -> Json:
    event = Event(event_id="e", type=type_, visitor_id="v", occurred_at=0)
    filled = with_properties(event, properties)
    names = ("product_id", "items", "value", "currency", "order_id", "list_id", "recommendation_id", "query")
    return {name: value for name in names if (value := getattr(filled, name))}


# The documentation's own examples, shortened, then the same in camelCase.
ORDER = {
    "checkout_id": "fksdjfsdjfisjf9sdfjsd9f",
    "order_id": "50314b8e9bcf000000000000",
    "affiliation": "Google Store",
    "total": 27.50,
    "subtotal": 22.50,
    "revenue": 25.00,
    "shipping": 3,
    "tax": 2,
    "currency": "USD",
    "products": [
        {"product_id": "507f1f77bcf86cd799439011", "sku": "45790-32", "price": 19, "quantity": 1},
        {"product_id": "505bd76785ebb509fc183733", "sku": "46493-32", "price": 3, "quantity": 2},
    ],
}
ORDERED = {
    "items": (
        Item(product_id="507f1f77bcf86cd799439011", quantity=1, price=19),
        Item(product_id="505bd76785ebb509fc183733", quantity=2, price=3),
    ),
    "value": 25.0,
    "currency": "USD",
    "order_id": "50314b8e9bcf000000000000",
}
PRODUCT = {
    "product_id": "507f1f77bcf86cd799439011",
    "sku": "G-32",
    "category": "Games",
    "name": "Monopoly: 3rd Edition",
    "price": 18.99,
    "quantity": 2,
    "coupon": "MAYDEALS",
    "currency": "usd",
    "position": 3,
    "value": 37.98,
}
ONE_LINE = {
    "items": (Item(product_id="507f1f77bcf86cd799439011", quantity=2, price=18.99),),
    "value": 37.98,
    "currency": "USD",
}
LOOKED_AT = {"product_id": "507f1f77bcf86cd799439011", "value": 37.98, "currency": "USD"}
LIST = {
    "list_id": "hot_deals_1",
    "category": "Deals",
    "products": [{"product_id": "p1", "position": 1, "url": "https://shop/p1"}, {"product_id": "p2"}],
}
LISTED = {"list_id": "hot_deals_1", "items": (Item(product_id="p1"), Item(product_id="p2"))}


def camel(value: Any) -> Any:
    """The same with every name in camelCase."""
    if isinstance(value, list):
        return [camel(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name.split("_")[0] + "".join(part.title() for part in name.split("_")[1:]): camel(each)
        for name, each in value.items()
    }


@pytest.mark.parametrize("spelled", [lambda told: told, camel], ids=["snake_case", "camelCase"])
@pytest.mark.parametrize(
    ("type_", "properties", "expected"),
    [
        ("purchase", ORDER, ORDERED),
        ("begin_checkout", ORDER, ORDERED),
        ("view_item", PRODUCT, LOOKED_AT),
        ("select_item", PRODUCT, LOOKED_AT),
        ("add_to_wishlist", PRODUCT, LOOKED_AT),
        ("add_to_cart", PRODUCT, ONE_LINE),
        ("remove_from_cart", PRODUCT, ONE_LINE),
        ("purchase", PRODUCT, ONE_LINE),
        ("view_item_list", LIST, LISTED),
        ("search", {"query": "blue hotpants"}, {"query": "blue hotpants"}),
        (
            "view_item",
            {"product_id": "p1", "recommendation_id": "for_you:7"},
            {"product_id": "p1", "recommendation_id": "for_you:7"},
        ),
    ],
)
def test_properties_are_read_in_both_spellings(
    spelled: Any, type_: EventType, properties: Json, expected: Json
) -> None:
    assert tell(type_, spelled(properties)) == expected


@pytest.mark.parametrize(
    ("properties", "product_id"),
    [
        ({"sku": "G-32"}, "G-32"),
        ({"product_id": "", "sku": "G-32"}, "G-32"),
        ({"product_id": None, "productId": "p2"}, "p2"),
        ({"productId": 17}, "17"),
        ({"product_id": "x" * 129, "sku": "s"}, "s"),
        ({"product_id": True}, None),
        ({"product_id": 1.5}, None),
        ({"product_id": {"id": "p1"}}, None),
        ({"product_id": 10**400}, None),
        ({}, None),
    ],
)
def test_the_product_is_named_by_its_id_or_else_its_sku(properties: Json, product_id: str | None) -> None:
    assert tell("view_item", properties).get("product_id") == product_id


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("price", "19.99", 19.99),
        ("price", 0, 0),
        ("price", -1, None),
        ("price", "free", None),
        ("price", "nan", None),
        ("price", 10**400, None),
        ("price", True, None),
        ("quantity", "2", 2),
        ("quantity", 2.0, 2),
        ("quantity", 1.5, None),
        ("quantity", 0, None),
        ("quantity", "1e300", None),
    ],
)
def test_an_odd_price_or_quantity_is_left_out(field: str, value: object, expected: float | None) -> None:
    [item] = tell("add_to_cart", {"product_id": "p1", field: value})["items"]
    assert getattr(item, field) == expected


@pytest.mark.parametrize(
    ("properties", "value"),
    [
        ({"revenue": 25, "value": 30, "total": 27.5}, 25),
        ({"revenue": 0, "total": 27.5}, None),  # as told: nothing was earned, which `told` leaves out
        ({"value": "30.5", "total": 27.5}, 30.5),
        ({"revenue": "much", "total": 27.5}, 27.5),
        ({"currency": "US$"}, None),
    ],
)
def test_the_value_is_what_was_earned_before_tax_and_shipping(properties: Json, value: float | None) -> None:
    found = tell("purchase", ORDER | {"revenue": None, "total": None, "currency": None} | properties)
    assert found.get("value") == value
    assert "currency" not in found


def test_a_line_without_a_product_takes_none_of_the_others_with_it() -> None:
    lines: list[object] = [{"name": "Gift card"}, "p1", None, {"sku": "s1"}, []]
    assert tell("purchase", {"products": lines})["items"] == (Item(product_id="s1"),)


def test_lines_that_are_no_list_are_refused() -> None:
    with pytest.raises(Refused, match=r"properties\.products"):
        tell("purchase", {"products": "p1,p2"})


@pytest.mark.parametrize(
    ("properties", "order_id"),
    [
        ({"order_id": "o-1", "checkout_id": "c-1"}, "o-1"),
        ({"orderId": 1042}, "1042"),
        ({"order_id": " o-1 "}, "o-1"),
        ({"order_id": None, "checkoutId": "c-1"}, "c-1"),
        ({"order_id": "", "checkout_id": 7}, "7"),
        ({"order_id": "undefined", "checkout_id": "c-1"}, "c-1"),
        ({"order_id": "o\n1", "checkout_id": "c-1"}, "c-1"),
        ({"order_id": ["o-1"]}, None),
        ({"order_id": 0}, None),
        ({"order_id": "x" * 300}, "x" * 256),
        ({}, None),
    ],
)
def test_an_order_has_its_number_or_that_of_its_checkout(properties: Json, order_id: str | None) -> None:
    assert tell("purchase", {"product_id": "p1"} | properties).get("order_id") == order_id


@pytest.mark.parametrize(
    ("properties", "currency"),
    [
        ({"currency": "usd"}, "USD"),
        ({"currency": " eur\t"}, "EUR"),
        ({"products": [{"sku": "s1"}, {"sku": "s2", "currency": "gbp"}]}, "GBP"),
        ({"currency": "", "products": [{"sku": "s1", "currency": "EUR"}]}, "EUR"),
        ({"currency": "CHF", "products": [{"sku": "s1", "currency": "EUR"}]}, "CHF"),
        ({"currency": "euro"}, None),
        ({"currency": 978}, None),
    ],
)
def test_the_currency_may_be_in_small_letters_with_spaces_and_on_the_products(
    properties: Json, currency: str | None
) -> None:
    assert tell("purchase", {"product_id": "p1"} | properties).get("currency") == currency
