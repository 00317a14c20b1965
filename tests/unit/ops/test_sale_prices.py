"""Sale prices: when they hold, what they leave behind, and what is none."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.products import Product, at_moment
from services.ops.catalogue.cell_values import Defaults
from services.ops.catalogue.sale_prices import Pricing, make_pricing, read_end, read_interval, read_moment
from services.ops.catalogue.shop_feeds import google_product

NOW = int(datetime(2026, 11, 28, 12, tzinfo=UTC).timestamp() * 1000)
HOUR = 3_600_000


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def find_product(sale: str | None, interval: str | None) -> tuple[Product, list[str]]:
    """Of a Google feed, and what was told."""
    told: list[str] = []
    row = {"id": "1", "title": "Lamp", "price": "100 EUR", "availability": "in stock", "sale_price": sale}
    defaults = Defaults("EUR", NOW, tell=lambda what, _: told.append(what))
    return google_product(row | {"sale_price_effective_date": interval}, defaults), told


@pytest.mark.parametrize(
    ("sale", "interval", "price", "then"),
    [
        ("60 EUR", None, 60.0, []),
        ("60", " ", 60.0, []),
        ("60 EUR", "n/a", 60.0, []),
        ("60 EUR", "2026-11-27T19:10+0000/2026-11-28T11:10:47+0000", 100.0, []),
        ("60 EUR", "2026-11-27T19:10+0000/2026-11-28T19:10:47+0000", 60.0, [("2026-11-28T19:10:47Z", 100.0)]),
        ("60 EUR", "2026-11-27/2026-11-28", 60.0, [("2026-11-29T00:00Z", 100.0)]),  # to the end of that day
        ("60 EUR", "20261127/20261128", 60.0, [("2026-11-29T00:00Z", 100.0)]),
        (
            "60 EUR",
            "2026-11-27T00:00+01:00 / 2026-11-28T23:59+01:00",
            60.0,
            [("2026-11-28T22:59Z", 100.0)],
        ),
        (
            "60 EUR",
            "2026-11-29T00:00Z/2026-11-30T00:00Z",
            100.0,
            [("2026-11-29T00:00Z", 60.0), ("2026-11-30T00:00Z", 100.0)],
        ),
        ("100 EUR", None, 100.0, []),
    ],
)
def test_a_sale_holds_for_its_time(
    sale: str, interval: str | None, price: float, then: list[tuple[str, float]]
) -> None:
    found, told = find_product(sale, interval)
    assert (found.price, "sale" in found.tags) == (price, price == 60.0)
    assert [(each.at, each.price) for each in found.price_changes] == [(at(when), to) for when, to in then]
    assert told == []


@pytest.mark.parametrize(
    ("sale", "interval", "told"),
    [
        ("60 USD", None, "sale_price is in another currency than the price, so there is no sale"),
        ("120 EUR", None, "sale_price is above the price, so there is no sale"),
        ("0", None, "sale_price is 0, so there is no sale"),
        ("n/a", None, "sale_price: is taken as empty"),
        ("soon", None, "sale_price: is no price, so there is no sale"),
        ("60", "27.11.2026", "sale_price_effective_date: is no interval, begin/end, so there is no sale"),
        ("60", "2026-11-29/2026-11-27", "sale_price ends before it begins, so there is no sale"),
        (
            "60",
            "27.11.2026/28.11.2026",
            "sale_price_effective_date: is no time (ISO 8601, or Unix ms), so there is no sale",
        ),
    ],
)
def test_what_is_no_sale_costs_no_product_and_is_told(sale: str, interval: str | None, told: str) -> None:
    found, odd = find_product(sale, interval)
    assert (found.price, found.tags, found.price_changes) == (100.0, (), ())
    assert odd == [told]


@given(st.integers(-48, 48), st.integers(1, 48), st.integers(0, 100))
def test_a_product_costs_what_its_sale_says_at_any_later_moment(begin: int, length: int, later: int) -> None:
    begins, ends = NOW + begin * HOUR, NOW + (begin + length) * HOUR
    pricing = make_pricing((100.0, "EUR"), "60", Defaults("EUR", NOW), lambda: (begins, ends))
    product = Product(
        product_id="1", name="x", price=pricing.price, currency="EUR", availability="in_stock",
        updated_at=NOW, tags=tuple(pricing.tags), price_changes=pricing.changes,
    )  # fmt: skip
    moment = NOW + later * HOUR
    found = at_moment(product, moment)
    assert found.price == (60.0 if begins <= moment < ends else 100.0)
    assert ("sale" in found.tags) == (found.price == 60.0)


def test_american_dates_of_magento_are_read() -> None:
    assert read_moment("1/12/26, 4:32\u202fPM", "x") == at("2026-01-12T16:32Z")
    assert read_end("1/12/26", "x") == at("2026-01-13T00:00Z")
    assert read_interval("2026-01-12/", Defaults("EUR", NOW)) == (at("2026-01-12T00:00Z"), None)
    assert make_pricing((9.0, "EUR"), None, Defaults("EUR", NOW)) == Pricing(9.0, "EUR")
