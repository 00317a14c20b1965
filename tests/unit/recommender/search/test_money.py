"""Prices as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.recommender.search.parser import parse
from services.recommender.search.prices import number
from tests.support.search.query_set import vocabulary

Bounds = tuple[float | None, float | None, str | None]


def bounds(query: str) -> Bounds:
    told = parse(query, vocabulary("demo"))
    return told.price_min, told.price_max, told.currency


@pytest.mark.parametrize(
    ("text", "value"),
    [("50", 50), ("49.90", 49.9), ("49,90", 49.9), ("1,299", 1299), ("1.299", 1299), ("1.299,00", 1299),
     ("1,299.00", 1299), ("12.345.678", 12345678), ("0,5", 0.5), ("007", 7)],
)  # fmt: skip
def test_a_number_is_read_with_either_comma(text: str, value: float) -> None:
    assert number(text) == value


@given(st.integers(0, 10**9))
def test_any_number_with_separators_is_the_number(value: int) -> None:
    assert number(f"{value:,}") == number(f"{value:,}".replace(",", ".")) == number(str(value)) == value


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("under $50", (None, 50.0, "USD")),
        ("< 50", (None, 50.0, None)),
        ("<=50€", (None, 50.0, "EUR")),
        ("≥ 20 £", (20.0, None, "GBP")),
        ("EUR 50 max", (None, 50.0, "EUR")),
        ("max. 50 eur", (None, 50.0, "EUR")),
        ("no less than 20", (20.0, None, None)),
        ("not over 50 quid", (None, 50.0, "GBP")),
        ("not below 50", (50.0, None, None)),
        ("50 or less", (None, 50.0, None)),
        ("50 bucks and up", (50.0, None, "USD")),
        ("$50+", (50.0, None, "USD")),
        ("50-euro mug", (40.0, 60.0, "EUR")),
        ("50ish", (40.0, 60.0, None)),
        ("~50", (40.0, 60.0, None)),
        ("20 - 50 euros", (20.0, 50.0, "EUR")),
        ("20–50 €", (20.0, 50.0, "EUR")),
        ("€20-€50", (20.0, 50.0, "EUR")),
        ("from 20 to 50", (20.0, 50.0, None)),
        ("price 20 to 50", (20.0, 50.0, None)),
        ("between 50 and 20 dollars", (20.0, 50.0, "USD")),
        ("between a hundred and two hundred", (100.0, 200.0, None)),
        ("under twenty-five pounds", (None, 25.0, "GBP")),
        ("under 1 299 €", (None, 1299.0, "EUR")),
        ("up to 2.5k", (None, 2500.0, None)),
        ("C$ 80 at most", (None, 80.0, "CAD")),
        ("less than 300 kr", (None, 300.0, None)),
        ("around 100 but under 110", (80.0, 110.0, None)),
        ("over 20 and under 50", (20.0, 50.0, None)),
        ("over 100, no, under 50", (None, 50.0, None)),
        ("i have 60 euros", (None, 60.0, "EUR")),
        ("my budget is 60", (None, 60.0, None)),
        ("mug under 10 in red", (None, 10.0, None)),
        ("mugs under 10 for men", (None, 10.0, None)),
    ],
)
def test_a_price_is_understood(query: str, expected: Bounds) -> None:
    assert bounds(query) == expected


@pytest.mark.parametrize(
    "query",
    ["size 42", "size under 42", "500 ml", "under 500 ml", "2 person tent", "tent for 4 people",
    "at least 2 zips",
     "less than 20% polyester", "over 18 years", "kids under 10", "from 2024", "air max 90", "50",
     "coat 100-150",
     "waist 32 length 34", "rug 200x300 cm", "up to 50cm", "between 20 and 30 cm", "i have 2 dogs", "4k",
     "no 5", "1000"],
)  # fmt: skip
def test_a_number_of_something_else_is_no_price(query: str) -> None:
    assert bounds(query) == (None, None, None)


def test_around_a_price_keeps_the_price_beside_its_bounds() -> None:
    told = parse("around $50", vocabulary("demo"))
    assert (told.price_near, told.price_min, told.price_max) == (50.0, 40.0, 60.0)
