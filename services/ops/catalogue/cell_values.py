"""Cells as Eddy's fields: availability, moments, category paths, words. Pure; each raises BadValue."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from html import unescape
from html.parser import HTMLParser
from typing import Any, Final, Literal
from uuid import NAMESPACE_URL, uuid5

import msgspec

from schemas import products
from schemas.products import Availability, Product
from services.ops.catalogue.file_formats import Row

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


# By the word's letters alone: "in stock", "in_stock" and https://schema.org/InStock are the same.
AVAILABILITY: Final[Mapping[str, Availability]] = {
    "instock": "in_stock",
    "available": "in_stock",
    "limitedavailability": "in_stock",
    "onlineonly": "in_stock",
    "instoreonly": "in_stock",
    "true": "in_stock",
    "yes": "in_stock",
    "outofstock": "out_of_stock",
    "soldout": "out_of_stock",
    "unavailable": "out_of_stock",
    "discontinued": "out_of_stock",
    "false": "out_of_stock",
    "no": "out_of_stock",
    "preorder": "preorder",
    "presale": "preorder",
    "backorder": "preorder",  # it can be ordered, and comes later
}
WORD_MAX: Final = 200  # as schemas.products.Word


class BadValue(ValueError):
    """A cell that cannot be taken: `reason` names the field, `value` is the cell."""

    def __init__(self, reason: str, value: object = "") -> None:
        self.reason = reason
        self.value = "" if value is None else str(value)[:80]
        super().__init__(f"{reason}: {self.value!r}" if self.value else reason)


def availability(value: object, words: Mapping[str, Availability] | None = None) -> Availability | None:
    """The availability that a word means, None for an empty cell; `words` are the shop's own."""
    if value in (None, ""):
        return None
    text = str(value).strip()
    letters = "".join(each for each in text.rpartition("/")[2].lower() if each.isalpha())
    found = (words or {}).get(text) or AVAILABILITY.get(letters)
    if found is None:
        raise BadValue("availability: is a word that is not known", text)
    return found


def price(
    value: object, currency: str, decimals: Decimals = "auto", field: str = "price"
) -> tuple[float, str]:
    """The amount and its currency, `currency` where the cell names none."""
    if value in (None, ""):
        raise BadValue(f"{field}: is missing")
    try:
        return money(value, currency, decimals)
    except NoPrice as error:
        raise BadValue(f"{field}: {error}", value) from None


def moment(value: object, field: str = "updated_at") -> int | None:
    """Unix ms of a number (ms), an ISO 8601 text, or a date (UTC where unsaid); None if empty."""
    if value in (None, ""):
        return None
    if isinstance(value, str) and not re.fullmatch(r"\d+(\.\d+)?", value.strip()):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise BadValue(f"{field}: is no time (ISO 8601, or Unix ms)", value) from None
    if isinstance(value, date):
        found = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)
        return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)
    try:
        return int(float(value))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise BadValue(f"{field}: is no time (ISO 8601, or Unix ms)", value) from None


def path(value: object, separator: str = ">") -> list[str]:
    """A category path, top first: a list, its JSON, or a text with steps parted by the separator."""
    return words(value, separator)


def words(value: object, separator: str = "|") -> list[str]:
    """A list, its JSON, or a text parted by the separator; the order stays, what is empty goes."""
    if isinstance(value, str):
        if value.startswith("["):
            try:
                value = msgspec.json.decode(value, type=list[str])
            except msgspec.DecodeError:
                raise BadValue(
                    "a list in JSON is cut off or holds something other than texts", value
                ) from None
        else:
            value = value.split(separator)
    if not isinstance(value, list | tuple):
        return []
    return [word for each in value if each is not None and (word := str(each).strip())]


def tags(*several: Iterable[str]) -> list[str]:
    """All words once, in their order; those too long for a tag are left out."""
    return list(dict.fromkeys(word for each in several for word in each if len(word) <= WORD_MAX))


def one(value: Any) -> Any:  # noqa: ANN401 - a cell
    """A cell, or the first of several."""
    return (value[0] if value else None) if isinstance(value, list | tuple) else value


UNSEEN: Final = frozenset({"script", "style", "template", "noscript", "head", "title"})
BLOCKS: Final = frozenset({
    "address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt", "figcaption", "footer",
    "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "ol", "p", "pre", "section", "table", "td",
    "th", "tr", "ul",
})  # fmt: skip
_MARKUP: Final = re.compile(r"</?[a-zA-Z][^<>]*>|<!--|&(?:#\d+|#[xX][0-9a-fA-F]+|[a-zA-Z]{2,31});")


def readable(text: str) -> str:
    """The text without its markup; a text without any stays as it is, "a < b" too."""
    if not _MARKUP.search(text):
        return text.strip()
    if "<" not in text:
        text = unescape(text)  # markup that was escaped once more, as CMSs do
        if not _MARKUP.search(text):
            return _tidy(text)
    parser = _Text()
    parser.feed(text)
    parser.close()
    return _tidy("".join(parser.parts))


def _tidy(text: str) -> str:
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._unseen += tag in UNSEEN
        self._break(tag)

    def handle_endtag(self, tag: str) -> None:
        self._unseen = max(0, self._unseen - (tag in UNSEEN))
        self._break(tag)

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.parts.append(data.replace("\n", " ").replace("\r", " "))

    def _break(self, tag: str) -> None:
        if tag in BLOCKS:
            self.parts.append("\n")


Variants = Literal["separate", "merged"]

DESCRIPTION_MAX: Final = 20_000  # as schemas.products.Product

_MISSING: Final = re.compile(r"Object missing required field `(\w+)`")
_AT: Final = re.compile(r"(.*) - at `\$\.(\w+)[^`]*`", re.S)


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a product gets where the file does not say.

    `variants`: whether the rows of one item group of Google's stay products of their own, or become one.
    """

    currency: str
    updated_at: int  # Unix ms, the file's own time: loading it again is no news
    variants: Variants = "separate"


class NotForSale(Exception):
    """The row is sound, but no product of the shop: a draft, say. The text tells."""


def product_of(fields: Row, defaults: Defaults) -> Product:
    """Fields as Product names them; those that are None or empty get the default. Raises BadValue."""
    filled = {"availability": "in_stock", "currency": defaults.currency, "updated_at": defaults.updated_at}
    filled |= {key: value for key, value in fields.items() if value not in (None, "")}
    try:
        product = msgspec.convert(filled, Product, strict=False)
    except msgspec.ValidationError as error:
        raise _to_bad_value(error, filled) from None
    if nonsense := products.check(product):
        field, _, reason = nonsense.partition(f": {product.updated_at} ")
        raise BadValue(f"{field}: {reason}", product.updated_at)
    return product


def shorten(description: str) -> str:
    """A description, cut where it is longer than a product may have."""
    return description[:DESCRIPTION_MAX]


def merge_variants(first: Product, second: Product) -> Product:
    """Two variants of one thing: the first's words, the lower price, all tags, there if either is."""
    best = min((first, second), key=lambda each: _STATES.index(each.availability))
    return msgspec.structs.replace(
        first,
        price=min(first.price, second.price) if first.currency == second.currency else first.price,
        availability=best.availability,
        tags=tuple(dict.fromkeys(first.tags + second.tags)),
        image_url=first.image_url or second.image_url,
        description=first.description or second.description,
        updated_at=max(first.updated_at, second.updated_at),
    )


_STATES: Final = ("in_stock", "preorder", "out_of_stock")


def _to_bad_value(error: msgspec.ValidationError, fields: Row) -> BadValue:
    """A decoder's message with the field first: reasons are grouped by their text."""
    text = str(error)
    if missing := _MISSING.match(text):
        return BadValue(f"{missing[1]}: is missing")
    if at := _AT.match(text):
        return BadValue(f"{at[2]}: {at[1][0].lower()}{at[1][1:]}", fields.get(at[2]))
    return BadValue(text)


NAMESPACE: Final = uuid5(NAMESPACE_URL, "urn:eddy:ops:load")


def event_id(kind: str, number: int, *parts: object) -> str:
    """The id of row `number`, counted from 1, of a file of this kind."""
    return str(uuid5(NAMESPACE, ":".join([kind, str(number), *(str(part) for part in parts)])))
