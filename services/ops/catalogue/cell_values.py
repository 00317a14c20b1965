"""Cells as Eddy's fields: availability, prices, moments; and rows as products. Pure; each raises BadValue."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Final, Literal
from urllib.parse import urljoin
from uuid import NAMESPACE_URL, uuid5

import msgspec

from schemas import products
from schemas.products import Availability, Product
from services.ops.catalogue.prices import Decimals, Mark, NoPrice, money
from services.ops.catalogue.rows import BadValue, Row, Tell, ignore
from services.ops.catalogue.texts import address, is_blank, one, readable

# By the word's letters alone: "in stock", "in_stock" and https://schema.org/InStock are the same.
AVAILABILITY: Final[Mapping[str, Availability]] = {
    "instock": "in_stock",
    "available": "in_stock",
    "availablefororder": "in_stock",  # Google's word until 2014
    "limitedavailability": "in_stock",
    "madetoorder": "in_stock",
    "onlineonly": "in_stock",
    "instoreonly": "in_stock",
    "true": "in_stock",
    "yes": "in_stock",
    "y": "in_stock",
    "outofstock": "out_of_stock",
    "soldout": "out_of_stock",
    "unavailable": "out_of_stock",
    "discontinued": "out_of_stock",
    "reserved": "out_of_stock",
    "false": "out_of_stock",
    "no": "out_of_stock",
    "n": "out_of_stock",
    "preorder": "preorder",
    "presale": "preorder",
    "backorder": "preorder",  # it can be ordered, and comes later
    "onbackorder": "preorder",
}
DIGITS: Final[Mapping[str, Availability]] = {"1": "in_stock", "0": "out_of_stock"}


def availability(
    value: object, words: Mapping[str, Availability] | None = None, *, is_told: bool = True
) -> Availability | None:
    """The availability that a word means; `words` are the shop's own, that of "" is for cells without one.

    A cell without a word is refused where the file tells availability; else it is None.
    """
    text = "" if is_blank(value) else str(value).strip()
    own = _own(words, text)
    if own is not None or (not text and not is_told):
        return own
    if not text:
        raise BadValue("availability: is not told", "", "say what that means, --availability in_stock")
    found = _state_of(text)
    if found is None:
        remedy = f'say what it means, --availability "{text[:80]}=in_stock"'
        raise BadValue("availability: is a word that is not known", text, remedy)
    return found


@lru_cache(1024)  # a feed has a handful, in every row
def _state_of(text: str) -> Availability | None:
    letters = "".join(each for each in text.rpartition("/")[2].lower() if each.isalpha())
    return AVAILABILITY.get(letters) or DIGITS.get(text.removesuffix(".0"))


def _own(words: Mapping[str, Availability] | None, text: str) -> Availability | None:
    if not words:
        return None
    return words.get(text) or next(
        (state for word, state in words.items() if word.lower() == text.lower()), None
    )


def price(
    value: object,
    currency: str,
    decimals: Decimals = "auto",
    field: str = "price",
    *,
    habit: Callable[[], Mark | None] = lambda: None,
    tell: Tell = ignore,
) -> tuple[float, str]:
    """The amount and its currency, `currency` where the cell names none."""
    if is_blank(value):
        raise BadValue(f"{field}: is missing")
    try:
        return money(value, currency, decimals, habit, tell)
    except NoPrice as error:
        raise BadValue(f"{field}: {error}", value) from None


_NUMBER: Final = re.compile(r"(?!(?:19|20)\d{6}$)\d+(\.\d+)?")  # but 20261128, which is a day of ISO 8601


def moment(value: object, field: str = "updated_at") -> int | None:
    """Unix ms of a number (ms), an ISO 8601 text, or a date (UTC where unsaid); None if empty."""
    if is_blank(value):
        return None
    if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
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


Variants = Literal["separate", "merged"]

WORD_MAX: Final = 200  # as schemas.products.Word
DESCRIPTION_MAX: Final = 20_000  # as schemas.products.Product

_MISSING: Final = re.compile(r"Object missing required field `(\w+)`")
_AT: Final = re.compile(r"(.*) - at `\$\.(\w+)[^`]*`", re.S)


UNTOLD: Final = "availability is told nowhere in the file: taken as in stock (--availability)"


class Habits:
    """What the rows of a file show together. This one is of a file of which nothing is known."""

    @property
    def decimal_mark(self) -> Mark | None:
        """The decimal mark of its prices; None where they show none."""
        return None

    def tells(self, column: str) -> bool:
        """Whether some row has a cell of this name."""
        return False


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a product gets where its row does not say, and how rows of the file are to be read.

    `variants`: whether the rows of one item group of Google's stay products of their own, or become one.
    `words`: the shop's words of availability, that of "" for cells without one. Links and pictures that are
    no whole addresses are of `shop_url`. `tell` hears of what is odd.
    """

    currency: str
    updated_at: int  # Unix ms, the file's own time: loading it again is no news
    variants: Variants = "separate"
    decimals: Decimals = "auto"
    words: Mapping[str, Availability] = field(default_factory=dict)
    shop_url: str | None = None
    habits: Habits = field(default_factory=Habits)
    tell: Tell = ignore

    def money(self, value: object, currency: str | None = None, field: str = "price") -> tuple[float, str]:
        """A price of this file. Raises BadValue."""
        return price(
            value,
            currency or self.currency,
            self.decimals,
            field,
            habit=lambda: self.habits.decimal_mark,
            tell=self.tell,
        )

    def availability(
        self, row: Row, name: str = "availability", *, are_rows_whole: bool = False
    ) -> Availability | None:
        """That of a row; None, and told, where the whole file tells none. Raises BadValue.

        `are_rows_whole`: what one row has not, none has.
        """
        if name in row:
            return availability(one(row[name]), self.words)
        found = availability(None, self.words, is_told=not are_rows_whole and self.habits.tells(name))
        if found is None:
            self.tell(UNTOLD, "")
        return found


class NotForSale(Exception):
    """The row is sound, but no product of the shop: a draft, say. The text tells."""


OPTIONAL: Final = ("brand", "type", "url", "image_url", "popularity", "markets")


def product_of(fields: Row, defaults: Defaults) -> Product:
    """Fields as Product names them; those that are None or empty get the default. Raises BadValue.

    Markup and entities become text. What cannot be taken of a field that a product may lack is left out, and
    told.
    """
    filled: Row = {
        "availability": "in_stock",
        "currency": defaults.currency,
        "updated_at": defaults.updated_at,
    }
    filled |= {key: value for key, value in fields.items() if value not in (None, "")}
    for name in ("name", "description", "brand", "type", "url", "image_url"):
        if not isinstance(text := filled.get(name), str):
            continue
        text = address(text) if name.endswith("url") else readable(text)
        filled[name] = text if name == "description" else " ".join(text.split())
        if name != "name" and is_blank(text):
            del filled[name]
    for name in ("url", "image_url") if defaults.shop_url else ():
        if isinstance(link := filled.get(name), str):
            filled[name] = urljoin(str(defaults.shop_url), link)
    _shorten(filled, defaults.tell)
    return _to_product(filled, defaults.tell)


def _shorten(filled: Row, tell: Tell) -> None:
    description = filled.get("description")
    if isinstance(description, str) and len(description) > DESCRIPTION_MAX:
        tell(f"description is cut after {DESCRIPTION_MAX} characters", str(filled.get("product_id")))
        filled["description"] = description[:DESCRIPTION_MAX]
    for name in ("category", "tags", "markets"):
        found = filled.get(name)
        if not isinstance(found, list | tuple) or not found:
            continue
        if max(len(str(each)) for each in found) > WORD_MAX:
            tell(
                f"{name}: a word of over {WORD_MAX} characters is left out",
                max(map(str, found), key=len)[:80],
            )
            filled[name] = [each for each in found if len(str(each)) <= WORD_MAX]


def _to_product(filled: Row, tell: Tell) -> Product:
    try:
        product = msgspec.convert(filled, Product, strict=False)
    except msgspec.ValidationError as error:
        bad = _to_bad_value(error, filled)
        name = bad.reason.partition(":")[0]
        if name not in OPTIONAL:
            raise bad from None
        return _to_product(_without(filled, bad, name, tell), tell)
    if nonsense := products.check(product):
        name, _, reason = nonsense.partition(f": {product.updated_at} ")
        if (optional := nonsense.partition(":")[0]) in OPTIONAL:
            return _to_product(_without(filled, BadValue(nonsense, filled[optional]), optional, tell), tell)
        raise BadValue(f"{name}: {reason}", product.updated_at)
    return product


def _without(filled: Row, why: BadValue, name: str, tell: Tell) -> Row:
    tell(f"{why.reason}, and is left out", why.value)
    return {key: value for key, value in filled.items() if key != name}


def merge_variants(first: Product, second: Product) -> Product:
    """Two variants of one thing: the first's words, and price and tags of the one that can be bought.

    Where it is both of them, or neither, the lower price and all tags.
    """
    ranks = [BEST_FIRST.index(each.availability) for each in (first, second)]
    best = first if ranks[0] <= ranks[1] else second
    both = ranks[0] == ranks[1]
    cheaper = second if both and second.currency == first.currency and second.price < first.price else best
    return msgspec.structs.replace(
        first,
        price=cheaper.price,
        currency=cheaper.currency,
        availability=best.availability,
        tags=tuple(dict.fromkeys(first.tags + second.tags)) if both else best.tags,
        price_changes=cheaper.price_changes,
        image_url=first.image_url or second.image_url,
        description=first.description or second.description,
        updated_at=max(first.updated_at, second.updated_at),
    )


BEST_FIRST: Final[tuple[Availability, ...]] = ("in_stock", "preorder", "out_of_stock")


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
