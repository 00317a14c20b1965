"""Prices as feeds write them: "15.00 USD", "1.299,00 €", "CHF 1'299.00". Pure."""

import re
from decimal import Decimal
from typing import Final, Literal

Decimals = Literal["auto", ".", ","]

SYMBOLS: Final = {
    "€": "EUR", "£": "GBP", "¥": "JPY", "₹": "INR", "₺": "TRY", "₽": "RUB", "₩": "KRW", "₪": "ILS",
    "₫": "VND", "₴": "UAH", "₱": "PHP", "฿": "THB", "zł": "PLN", "kč": "CZK", "r$": "BRL",
    "us$": "USD", "ca$": "CAD", "a$": "AUD", "nz$": "NZD", "hk$": "HKD", "s$": "SGD",
}  # fmt: skip
DOLLARS: Final = frozenset({"USD", "CAD", "AUD", "NZD", "HKD", "SGD", "MXN", "TWD"})

_MONEY: Final = re.compile(
    r"(?P<before>[^\d\s.,+-]*)(?P<number>[+-]?\d[\d.,]*|[+-]?[.,]\d+)(?P<after>[^\d.,]*)"
)
_SPACES: Final = re.compile(r"[\s\u00a0\u202f\u2009'’]|[.,][-–—]+")  # and the end of "15,-"


class NoPrice(ValueError):
    """The text is no price."""


def money(value: object, default_currency: str, decimals: Decimals = "auto") -> tuple[float, str]:
    """The amount and its currency. Raises NoPrice.

    `auto`: the last of two kinds of separators is the decimal one; a comma before exactly three digits parts
    thousands, a single point never does. A bare `$` is the default's dollar, or the USD.
    """
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return float(value), default_currency
    found = _MONEY.fullmatch(_SPACES.sub("", value)) if isinstance(value, str) else None
    if found is None or (found["before"] and found["after"]):
        raise NoPrice("is no price")
    return _number(found["number"], decimals), _currency(found["before"] or found["after"], default_currency)


def _number(text: str, decimals: Decimals) -> float:
    mark = decimals if decimals != "auto" else _decimal_mark(text)
    other = "," if mark == "." else "."
    whole, _, fraction = text.partition(mark)
    first, *groups = whole.split(other)
    if (fraction and not fraction.isdigit()) or not all(len(each) in (2, 3) for each in groups):
        raise NoPrice(f"is no price with a decimal {'comma' if mark == ',' else 'point'}")
    return float(f"{first or '0'}{''.join(groups)}.{fraction or '0'}")


def _decimal_mark(text: str) -> Literal[".", ","]:
    comma, point = text.rfind(","), text.rfind(".")
    if comma >= 0 and point >= 0:
        return "," if comma > point else "."
    if comma >= 0:
        parts_thousands = text.count(",") > 1 or len(text) - comma - 1 == 3
        return "." if parts_thousands else ","
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
