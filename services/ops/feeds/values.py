"""Cells as Eddy's fields: availability, moments, category paths, words. Pure; each raises BadValue."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any, Final

import msgspec

from schemas.products import Availability
from services.ops.feeds.prices import Decimals, NoPrice, money

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
MS_FROM: Final = 100_000_000_000  # a number from here on is in ms, one below in s: 1973 as ms, 5138 as s
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
    found = (words or {}).get(text) or AVAILABILITY.get(_letters(text.rpartition("/")[2]))
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
    """Unix ms of a number (s or ms), an ISO 8601 text, or a date (UTC where unsaid); None if empty."""
    if value in (None, ""):
        return None
    if isinstance(value, str) and not re.fullmatch(r"\d+(\.\d+)?", value.strip()):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise BadValue(f"{field}: is no time (ISO 8601, or Unix s or ms)", value) from None
    if isinstance(value, date):
        found = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)
        return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise BadValue(f"{field}: is no time (ISO 8601, or Unix s or ms)", value) from None
    return int(number if number >= MS_FROM else number * 1000)


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


def _letters(text: str) -> str:
    return "".join(each for each in text.lower() if each.isalpha())
