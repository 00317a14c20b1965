"""Prices as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.recommender.search.amounts import number
from services.recommender.search.parser import parse
from tests.support.search.query_set import vocabulary

Bounds = tuple[float | None, float | None, str | None]


def bounds(query: str) -> Bounds:
    told = parse(query, vocabulary("demo"))
    return told.price_min, told.price_max, told.currency


@pytest.mark.parametrize(
    ("text", "value"),
    [("50", 50), ("49.90", 49.9), ("49,90", 49.9), ("1,299", 1299), ("1.299", 1299), ("1.299,00", 1299),
     ("1,299.00", 1299), ("12.345.678", 12345678), ("0,5", 0.5), ("007", 7), ("1'500", 1500), ("1'299.50",
     1299.5),
     ("1,50,000", 150000), ("12,34,567", 1234567), ("1,50,000.50", 150000.5), (".99", 0.99)],
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
        ("coat under one hundred and fifty euros", (None, 150.0, "EUR")),
        ("under a thousand and two hundred", (None, 1200.0, None)),
        ("between fifty and one hundred and fifty", (50.0, 150.0, None)),
        ("between one hundred and fifty dollars and two hundred dollars", (150.0, 200.0, "USD")),
        ("under twenty nine ninety nine", (None, 29.99, None)),
        ("under nineteen dollars and ninety nine cents", (None, 19.99, "USD")),
        ("under two fifty", (None, 250.0, None)),
        ("under a couple of hundred euros", (None, 200.0, "EUR")),
        ("under twenty thirty dollars", (None, 30.0, "USD")),
        ("twenty thirty dollars", (20.0, 30.0, "USD")),
        ("coat between $100 & $200", (100.0, 200.0, "USD")),
        ("coat 100 ~ 200 euros", (100.0, 200.0, "EUR")),
        ("coat $100/$200", (100.0, 200.0, "USD")),
        ("coat $100 up to $200", (100.0, 200.0, "USD")),
        ("two $50 mugs", (40.0, 60.0, "USD")),
        ("2 €50 mugs", (40.0, 60.0, "EUR")),
        ("mug more than 10 less than 20", (10.0, 20.0, None)),
        ("mug less than 20 more than 10", (10.0, 20.0, None)),
        ("under 30 gifts for dad", (None, 30.0, None)),
        ("coat under EUR200", (None, 200.0, "EUR")),
        ("coat under eur 200", (None, 200.0, "EUR")),
        ("coat under Rs500", (None, 500.0, "INR")),
        ("coat under rs. 1,50,000", (None, 150000.0, "INR")),
        ("coat under 500/-", (None, 500.0, None)),
        ("coat under 2 lakh rupees", (None, 200000.0, "INR")),
        ("mug under €1'500", (None, 1500.0, "EUR")),
        ("mug under CHF 1’299.50", (None, 1299.5, "CHF")),
        ("mug under $.99", (None, 0.99, "USD")),
        ("mug under 50,- €", (None, 50.0, "EUR")),
        ("mug under 5€50", (None, 5.5, "EUR")),
        ("mug under 1 299,90 €", (None, 1299.9, "EUR")),
        ("mugs under 10 for men", (None, 10.0, None)),
    ],
)
def test_a_price_is_understood(query: str, expected: Bounds) -> None:
    assert bounds(query) == expected


# German, French, Spanish, Italian, Dutch, Polish, Portuguese.
ANOTHERS_MAX = (
    "kleid unter 50 euro", "kleid bis 50 €", "kleid weniger als 50 euro", "kleid höchstens 50 euro",
    "kleid nicht mehr als 50 euro", "kleid 50 euro oder weniger",
    "robe moins de 50 euros", "robe à moins de 50 €", "robe jusqu'à 50 euros", "robe pas plus de 50 euros",
    "robe sous 50 euros", "robe 50 euros maximum", "robe cinquante euros maximum",
    "vestido menos de 50 euros", "vestido por menos de 50 €", "vestido hasta 50 euros",
    "vestido no más de 50 euros",
    "vestito meno di 50 euro", "vestito sotto i 50 euro", "vestito fino a 50 €", "vestito non più di 50 euro",
    "jurk onder de 50 euro", "jurk minder dan 50 euro", "jurk tot 50 euro", "jurk niet meer dan 50 euro",
    "sukienka do 50 euro", "sukienka poniżej 50 euro", "sukienka mniej niż 50 euro",
    "sukienka nie więcej niż 50 euro",
    "vestido abaixo de 50 euros", "vestido até 50 euros", "vestido no máximo 50 euros",
    "vestido não mais de 50 euros",
)  # fmt: skip
ANOTHERS_MIN = (
    "kleid über 50 euro", "kleid ab 50 €", "kleid mehr als 50 euro", "kleid mindestens 50 euro",
    "robe plus de 50 euros", "robe à partir de 50 €", "robe au moins 50 euros",
    "vestido más de 50 euros", "vestido desde 50 €", "vestido al menos 50 euros",
    "vestito più di 50 euro", "vestito oltre 50 €", "vestito a partire da 50 euro", "vestito almeno 50 euro",
    "jurk boven de 50 euro", "jurk vanaf 50 euro", "jurk meer dan 50 euro",
    "sukienka powyżej 50 euro", "sukienka od 50 euro", "sukienka co najmniej 50 euro",
    "vestido acima de 50 euros", "vestido mais de 50 euros", "vestido pelo menos 50 euros",
)  # fmt: skip
ANOTHERS_RANGE = (
    "kleid zwischen 20 und 50 euro", "kleid von 20 bis 50 €", "robe entre 20 et 50 euros",
    "robe de 20 à 50 €",
    "vestido entre 20 y 50 euros", "vestido de 20 a 50 €", "vestito tra 20 e 50 euro", "vestito da 20 a 50 €",
    "jurk tussen 20 en 50 euro", "jurk van 20 tot 50 €", "sukienka między 20 a 50 euro",
    "sukienka od 20 do 50 €",
    "vestido de 20 até 50 euros", "vestido entre 20 e 50 euros",
)  # fmt: skip


@pytest.mark.parametrize("query", ANOTHERS_MAX)
def test_an_upper_bound_is_understood_in_other_languages(query: str) -> None:
    assert bounds(query) == (None, 50.0, "EUR")


@pytest.mark.parametrize("query", ANOTHERS_MIN)
def test_a_lower_bound_is_understood_in_other_languages(query: str) -> None:
    assert bounds(query) == (50.0, None, "EUR")


@pytest.mark.parametrize("query", ANOTHERS_RANGE)
def test_a_range_is_understood_in_other_languages(query: str) -> None:
    assert bounds(query) == (20.0, 50.0, "EUR")


@pytest.mark.parametrize(
    "query",
    ["cap capped at $25", "mug topping out at 25 euros", "lampe allerhöchstens 25 euro",
     "kattokruunu enintään 25 €",
     "mug 25 euro allerhöchstens", "wallet 25 euros", "lampada, venticinque no, 25 euro e basta"],
)  # fmt: skip
def test_a_bare_amount_that_is_not_understood_hides_nothing(query: str) -> None:
    told = parse(query, vocabulary("demo"))
    assert (told.price_min, told.price_max, told.price_near) == (None, None, 25.0)


@pytest.mark.parametrize(
    "query",
    [
        "mug do 50",
        "ate 50 mugs",
        "cent",
        "mil",
        "rs6",
        "a couple of mugs",
        "two mugs",
        "grand piano",
        "5'10 tall",
    ],
)
def test_words_that_are_numbers_elsewhere_are_no_prices(query: str) -> None:
    assert bounds(query) == (None, None, None)


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


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("coat less than or equal to 50", (None, 50.0, None)),
        ("coat 20€ < x < 50€", (20.0, 50.0, "EUR")),
        ("coat 20..50 €", (20.0, 50.0, "EUR")),
        ("coat price: 20-50", (20.0, 50.0, None)),
        ("coat 20 or 50 euros", (20.0, 50.0, "EUR")),
        ("coat under 50 or 60 euros", (None, 60.0, "EUR")),
        ("coat one to two hundred dollars", (100.0, 200.0, "USD")),
        ("coat between fifty and two hundred dollars", (50.0, 200.0, "USD")),
        ("coat under 50$ / 45€", (None, 50.0, "USD")),
        ("coat 50 EUR (max)", (None, 50.0, "EUR")),
        ("coat under 19 euro 99", (None, 19.99, "EUR")),
        ("gifts over 50 presents", (50.0, None, None)),
        ("coat under half a grand", (None, 500.0, None)),
        ("coat EUR200-EUR300", (200.0, 300.0, "EUR")),
        ("coat under 50 cents", (None, 0.5, None)),
        ("coat under US $100", (None, 100.0, "USD")),
        ("a $100 coat", (80.0, 120.0, "USD")),
        ("1080p projector", (None, None, None)),
    ],
)
def test_a_price_in_other_signs_is_understood(query: str, expected: Bounds) -> None:
    assert bounds(query) == expected
