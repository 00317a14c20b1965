"""Prices as feeds write them are read as they are meant, and what is no price is refused."""

from math import isfinite

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ops.catalogue.prices import Mark, NoPrice, find_habit, money, price_cells


@pytest.mark.parametrize(
    ("text", "amount", "currency"),
    [
        ("15.00 USD", 15.0, "USD"),
        ("USD 15.00", 15.0, "USD"),
        ("15,00 EUR", 15.0, "EUR"),
        ("1.299,00 €", 1299.0, "EUR"),
        ("€1,299.00", 1299.0, "EUR"),
        ("1,299 USD", 1299.0, "USD"),
        ("1.299 USD", 1299.0, "USD"),  # no currency of two decimals has three
        ("1.299 KWD", 1.299, "KWD"),
        ("1,299 KWD", 1.299, "KWD"),
        ("25.000 COP", 25000.0, "COP"),
        ("0.299 EUR", 0.299, "EUR"),
        ("1234.567 EUR", 1234.567, "EUR"),
        ("1.234.567 EUR", 1234567.0, "EUR"),
        ("12,34,567.50 ₹", 1234567.5, "INR"),
        ("CHF 1'299.00", 1299.0, "CHF"),
        ("1\u202f299,90\u00a0€", 1299.9, "EUR"),
        ("15,-€", 15.0, "EUR"),
        ("R$ 9,90", 9.9, "BRL"),
        ("$9.90", 9.9, "USD"),
        (".5 GBP", 0.5, "GBP"),
        ("9.90", 9.9, "EUR"),
        (9.9, 9.9, "EUR"),
        (0, 0.0, "EUR"),
    ],
)
def test_a_price_and_its_currency(text: object, amount: float, currency: str) -> None:
    assert money(text, "EUR") == (amount, currency)


def test_a_bare_dollar_is_that_of_the_shop() -> None:
    assert money("$5", "CAD") == (5.0, "CAD")


@pytest.mark.parametrize(
    "text",
    ["", "free", "EUR", "EUR 5 USD", "5 doubloons", "5..5", "5.5.5", "1,2345,678", True, None, "1.2.3,4,5"],
)
def test_what_is_no_price_is_refused(text: object) -> None:
    with pytest.raises(NoPrice):
        money(text, "EUR")


def test_a_decimal_comma_that_was_told_makes_points_thousands() -> None:
    assert money("1.299", "EUR", ",") == (1299.0, "EUR")
    with pytest.raises(NoPrice, match="decimal comma"):
        money("1,2,3", "EUR", ",")
    with pytest.raises(NoPrice, match="decimal comma"):
        money("1299.00", "EUR", ",")  # a hundred times as much otherwise


@given(
    cents=st.integers(0, 10**9),
    decimal=st.sampled_from(".,"),
    grouped=st.booleans(),
    currency=st.sampled_from(["USD", "EUR", "SEK"]),
    before=st.booleans(),
)
def test_a_price_written_in_any_way_comes_back(
    cents: int, decimal: str, grouped: bool, currency: str, before: bool
) -> None:
    text = f"{cents / 100:,.2f}" if grouped else f"{cents / 100:.2f}"
    if decimal == ",":
        text = text.translate(str.maketrans(".,", ",."))
    text = f"{currency} {text}" if before else f"{text} {currency}"
    assert money(text, "GBP") == (cents / 100, currency)
    assert money(text, "GBP", decimal) == (cents / 100, currency)  # type: ignore[arg-type]


@given(st.text(max_size=30))
def test_any_text_is_a_price_or_refused(text: str) -> None:
    try:
        amount, currency = money(text, "EUR")
    except NoPrice:
        return
    assert isfinite(amount)
    assert len(currency) == 3


def habit(*texts: str) -> Mark | None:
    return find_habit([{"price": each, "name": "1,5"} for each in texts], price_cells)


def test_a_files_habit_is_seen_in_all_its_prices_together() -> None:
    assert habit("1.299 €", "25.000 COP", "7") is None
    assert habit("1.299 €", "15,00 €") == ","
    assert habit("1.299", "15.5") == "."
    assert habit("1.234.567 €", "1.299 €") == ","
    assert habit("15.00", "15,00") is None
    assert habit(*["15,00"] * 100, "15.00") == ","  # a slip in a hundred is no habit
    nested = [{"variants": [{"price": "20,00"}]}]
    assert find_habit(nested, price_cells) == ","


def test_what_a_text_leaves_open_the_files_habit_decides_and_only_what_stays_open_is_told() -> None:
    told: list[str] = []

    def read(text: str, mark: Mark | None, currency: str = "EUR") -> float:
        return money(text, currency, habit=lambda: mark, tell=lambda what, example: told.append(example))[0]

    assert read("1.299 €", ",") == 1299.0
    assert read("1,299 €", ".") == 1299.0
    assert told == []
    assert read("1.299 €", ".") == 1.299
    assert read("1,299 €", ",") == 1.299
    assert read("1.299 €", None) == 1299.0
    assert told == ["1.299 € is read as 1.30", "1,299 € is read as 1.30", "1.299 € is read as 1,299.00"]


def test_the_file_is_not_looked_at_where_no_price_is_open() -> None:
    def never() -> Mark | None:
        raise AssertionError("the whole file was read")

    assert money("1.299,00 €", "EUR", habit=never)[0] == 1299.0
    assert money("5", "EUR", habit=never)[0] == 5.0
    assert money("1.299", "EUR", ",", habit=never)[0] == 1299.0
