"""Prices as feeds write them, and the habit of a file that tells what its points and commas mean. Pure."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Final, Literal

from services.ops.catalogue.rows import Broken, Row, Tell, ignore

Mark = Literal[".", ","]
Decimals = Literal["auto", ".", ","]

SYMBOLS: Final = {
    "€": "EUR", "£": "GBP", "¥": "JPY", "₹": "INR", "₺": "TRY", "₽": "RUB", "₩": "KRW", "₪": "ILS",
    "₫": "VND", "₴": "UAH", "₱": "PHP", "฿": "THB", "zł": "PLN", "kč": "CZK", "r$": "BRL",
    "us$": "USD", "ca$": "CAD", "a$": "AUD", "nz$": "NZD", "hk$": "HKD", "s$": "SGD",
}  # fmt: skip
DOLLARS: Final = frozenset({"USD", "CAD", "AUD", "NZD", "HKD", "SGD", "MXN", "TWD"})
THREE_DECIMALS: Final = frozenset(
    {"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"}
)  # ISO 4217; others 2 or 0

_MONEY: Final = re.compile(
    r"(?P<before>[^\d\s.,+-]*)(?P<number>[+-]?\d[\d.,]*|[+-]?[.,]\d+)(?P<after>[^\d.,]*)"
)
_SPACES: Final = re.compile(r"[\s\u00a0\u202f\u2009'’]|[.,][-–—]+")  # and the end of "15,-"
_EITHER: Final = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}")  # 1.299 is a thousand in some files, one in others
AMBIGUOUS: Final = "price may mean another: say what its point and comma are (--decimal)"


class NoPrice(ValueError):
    """The text is no price."""


def money(
    value: object,
    default_currency: str,
    decimals: Decimals = "auto",
    habit: Callable[[], Mark | None] = lambda: None,
    tell: Tell = ignore,
) -> tuple[float, str]:
    """The amount and its currency. Raises NoPrice.

    `auto`: the last of two kinds of separators is the decimal one. A single one before exactly three digits
    is what the file's `habit` says; without one it parts thousands, as no currency but THREE_DECIMALS has so
    many decimals. What the text leaves open is told. A bare `$` is the default's dollar, or the USD.
    """
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return float(value), default_currency
    found = _MONEY.fullmatch(_SPACES.sub("", value)) if isinstance(value, str) else None
    if found is None or (found["before"] and found["after"]):
        raise NoPrice("is no price")
    number = found["number"]
    currency = _currency(found["before"] or found["after"], default_currency)
    mark: Mark
    if decimals != "auto":
        mark = decimals
    elif _EITHER.fullmatch(number):
        shown = habit()
        mark = _mark_of_three_digits(number, currency, shown)
        if shown is None or shown in number:
            tell(AMBIGUOUS, f"{value} is read as {_number(number, mark):,.2f}")
    else:
        mark = _decimal_mark(number)
    return _number(number, mark), currency


def _mark_of_three_digits(text: str, currency: str, habit: Mark | None) -> Mark:
    separator: Mark = "." if "." in text else ","
    if habit is not None:
        return habit
    if currency in THREE_DECIMALS:
        return separator
    return "," if separator == "." else "."


def find_habit(rows: Iterable[Row | Broken], prices: Callable[[Row], Iterable[object]]) -> Mark | None:
    """The decimal mark that a file's prices, looked at together, show; None where they show none or both.

    `prices` are the cells of a row that hold one.
    """
    seen = Counter[Mark]()
    for row in rows:
        if not isinstance(row, Broken):
            seen.update(filter(None, map(_decimal_mark_of, prices(row))))
    if not seen:
        return None
    (first, count), *others = seen.most_common()
    return first if not others or count > 9 * others[0][1] else None  # a slip in a hundred is no habit


def _decimal_mark_of(value: object) -> Mark | None:
    found = _MONEY.fullmatch(_SPACES.sub("", value)) if isinstance(value, str) else None
    if found is None or _EITHER.fullmatch(found["number"]):
        return None
    number = found["number"]
    return _decimal_mark(number) if "." in number or "," in number else None


def price_cells(row: Row) -> Iterator[object]:
    """Cells whose column speaks of a price, also inside of lists of objects."""
    for name, value in row.items():
        if isinstance(value, list):
            for each in value:
                if isinstance(each, dict):
                    yield from price_cells(each)
                elif "price" in name.lower():
                    yield each
        elif "price" in name.lower():
            yield value


def _number(text: str, mark: Mark) -> float:
    other = "," if mark == "." else "."
    whole, _, fraction = text.partition(mark)
    first, *groups = whole.split(other)
    # 12,34,567 is grouped as in India; 1299.00 is not grouped at all, were its mark a comma.
    sizes = [len(each) for each in groups]
    is_grouped = not groups or (len(first) <= 4 and sizes[-1] == 3 and all(2 <= each <= 3 for each in sizes))
    if (fraction and not fraction.isdigit()) or not is_grouped:
        raise NoPrice(f"is no price with a decimal {'comma' if mark == ',' else 'point'}")
    return float(f"{first or '0'}{''.join(groups)}.{fraction or '0'}")


def _decimal_mark(text: str) -> Mark:
    comma, point = text.rfind(","), text.rfind(".")
    if comma >= 0 and point >= 0:
        return "," if comma > point else "."
    if comma >= 0:
        return "." if text.count(",") > 1 else ","
    return "," if text.count(".") > 1 else "."


def _currency(written: str, default: str) -> str:
    word = written.rstrip(".-").lower()  # "15,- €" and "kr."
    if not word:
        return default
    if word == "$":
        return default if default in DOLLARS else "USD"
    if word in SYMBOLS:
        return SYMBOLS[word]
    if re.fullmatch("[a-z]{3}", word):
        return word.upper()
    if word == "kr" and default in {"SEK", "NOK", "DKK", "ISK"}:
        return default
    raise NoPrice("has a currency that is not known")
