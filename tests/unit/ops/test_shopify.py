"""Shopify's products, from the Admin API and the public /products.json."""

import json
from pathlib import Path
from typing import Any

import pytest

from services.ops.catalogue.cell_values import NotForSale
from services.ops.catalogue.file_formats import Feed, UnreadableFile
from services.ops.catalogue.mappings import detect
from services.ops.catalogue.rows import BadValue
from services.ops.catalogue.shop_feeds import shopify_product
from tests.support.feeds import DEFAULTS, read_feed, write_file


def shirt(**fields: Any) -> dict[str, Any]:
    return {
        "id": 632910392,
        "title": "Linen shirt",
        "body_html": "<p>Cool in <strong>summer</strong>.</p>",
        "vendor": "Grove",
        "product_type": "Shirts",
        "handle": "linen-shirt",
        "tags": "Summer, Linen",
        "status": "active",
        "variants": [
            {"id": 1, "price": "39.00", "compare_at_price": "49.00", "available": True},
            {"id": 2, "price": "29.00", "compare_at_price": None, "available": False},
        ],
        "options": [{"name": "Color", "values": ["White", "Navy"]}, {"name": "Size", "values": ["M"]}],
        "images": [{"src": "https://cdn.example/1.jpg"}],
        "updated_at": "2026-01-01T01:00:00+01:00",
    } | fields


def test_a_product_with_variants_is_one_product(tmp_path: Path) -> None:
    path = write_file(tmp_path, "products.json", json.dumps({"products": [shirt()]}))
    assert detect(Feed(path)).name == "shopify"
    [found], [] = read_feed(path)
    assert (found.product_id, found.name, found.brand) == ("632910392", "Linen shirt", "Grove")
    assert found.description == "Cool in summer."
    assert (found.price, found.currency, found.availability) == (39.0, "EUR", "in_stock")
    assert found.tags == ("Summer", "Linen", "white", "navy", "sale")
    assert (found.type, found.category) == ("Shirts", ("Shirts",))
    assert (found.url, found.image_url) == ("/products/linen-shirt", "https://cdn.example/1.jpg")
    assert found.updated_at == 1_767_225_600_000


def test_a_list_an_object_and_lines_hold_the_same(tmp_path: Path) -> None:
    several = [shirt(id=number, tags=["a", "b"]) for number in range(50)]
    pretty = write_file(tmp_path, "pretty.json", json.dumps({"products": several}, indent=2))
    listed = write_file(tmp_path, "list.json", json.dumps(several))
    lines = write_file(tmp_path, "lines.jsonl", "\n".join(map(json.dumps, several)))
    assert read_feed(pretty) == read_feed(listed) == read_feed(lines)
    assert len(read_feed(pretty)[0]) == 50


@pytest.mark.parametrize(
    ("variants", "state"),
    [
        ([{"price": "1", "available": False}], "out_of_stock"),
        ([{"price": "1", "inventory_quantity": 3, "inventory_policy": "deny"}], "in_stock"),
        ([{"price": "1", "inventory_quantity": 0, "inventory_policy": "deny"}], "out_of_stock"),
        ([{"price": "1", "inventory_quantity": -2, "inventory_policy": "continue"}], "preorder"),
        ([{"price": "1", "inventory_quantity": 0, "inventory_management": None}], "in_stock"),
        ([{"price": "1"}], "in_stock"),
        ([{"price": "1", "available": False}, {"price": "2", "available": True}], "in_stock"),
    ],
)
def test_availability_follows_from_the_variants(variants: list[dict[str, Any]], state: str) -> None:
    assert shopify_product(shirt(variants=variants), DEFAULTS).availability == state


def test_the_price_is_of_what_can_be_bought() -> None:
    none_left = [{"price": "39", "available": False}, {"price": "29", "available": False}]
    assert shopify_product(shirt(variants=none_left), DEFAULTS).price == 29.0
    assert shopify_product(shirt(), DEFAULTS).price == 39.0


def test_drafts_are_no_products_and_archived_ones_are_sold_out() -> None:
    with pytest.raises(NotForSale):
        shopify_product(shirt(status="draft"), DEFAULTS)
    with pytest.raises(NotForSale):
        shopify_product(shirt(published_at=None), DEFAULTS)
    assert shopify_product(shirt(status="archived"), DEFAULTS).availability == "out_of_stock"


@pytest.mark.parametrize("variants", [None, [], "none", [1]])
def test_without_variants_there_is_no_price(variants: object) -> None:
    with pytest.raises(BadValue, match="variants"):
        shopify_product(shirt(variants=variants), DEFAULTS)


@pytest.mark.parametrize("cut", [-2, -30, 400])
def test_a_file_that_was_cut_off_says_so(tmp_path: Path, cut: int) -> None:
    text = json.dumps({"products": [shirt(), shirt(id=2)]})[:cut]
    with pytest.raises(UnreadableFile, match="cut off"):
        read_feed(write_file(tmp_path, "p.json", text))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"status": "unlisted"}, "not active, but unlisted"),
        ({"status": "suspended"}, "not active, but suspended"),
        ({"status": "a word of next year"}, "not active, but a word of next year"),
        ({"published_at": "2030-01-01T00:00:00Z"}, "published only later"),
        ({"published_at": ""}, "published nowhere"),
    ],
)
def test_only_active_and_published_products_are_for_sale(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(NotForSale, match=told):
        shopify_product(shirt(**fields), DEFAULTS)
    public = shirt(published_at="2023-01-01T00:00:00Z")
    public.pop("status")
    assert shopify_product(public, DEFAULTS).availability == "in_stock"
    assert shopify_product(shirt(status="ACTIVE"), DEFAULTS).availability == "in_stock"


def test_nothing_where_a_list_is_expected_is_no_error() -> None:
    nulls = shirt(tags=None, images=None, image=None, options=None, vendor=None, product_type=None)
    found = shopify_product(nulls, DEFAULTS)
    assert (found.tags, found.image_url, found.brand, found.category) == (("sale",), None, None, ())


def test_a_quantity_may_be_a_text() -> None:
    for quantity, state in (("0", "out_of_stock"), ("3", "in_stock"), ("-1", "out_of_stock")):
        variants = [{"price": "5", "inventory_quantity": quantity, "inventory_management": "shopify"}]
        assert shopify_product(shirt(variants=variants), DEFAULTS).availability == state
    with pytest.raises(BadValue, match="inventory_quantity"):
        shopify_product(shirt(variants=[{"price": "5", "inventory_quantity": "many"}]), DEFAULTS)


def test_vendor_and_type_are_decoded() -> None:
    found = shopify_product(shirt(vendor="Dolce &amp; Co", product_type="Caf&eacute; &gt; Cups"), DEFAULTS)
    assert (found.brand, found.category, found.type) == ("Dolce & Co", ("Café", "Cups"), "Cups")
