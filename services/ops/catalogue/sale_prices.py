"""What a product costs now, and what it will cost when its sale begins or ends. Pure."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from schemas.products import SALE, PriceChange
from schemas.times import DAY_MS
from services.ops.catalogue.cell_values import Defaults, moment
from services.ops.catalogue.rows import BadValue
from services.ops.catalogue.texts import is_blank

Period = tuple[int | None, int | None]  # Unix ms, the end not included; None is for ever

ALWAYS: Final[Period] = (None, None)

_DAY: Final = re.compile(r"\d{4}-?\d{2}-?\d{2}|\d{1,2}/\d{1,2}/\d{2,4}")
_AMERICAN: Final = ("%m/%d/%y", "%m/%d/%Y", "%m/%d/%y, %I:%M %p", "%m/%d/%Y, %I:%M %p", "%m/%d/%y %H:%M")


@dataclass(frozen=True, slots=True)
class Pricing:
    """A price, whether it is a reduced one, and how it changes from then on."""

    price: float
    currency: str
    on_sale: bool = False
    changes: tuple[PriceChange, ...] = ()

    @property
    def tags(self) -> list[str]:
        """What its product is tagged with."""
        return [SALE] if self.on_sale else []


def make_pricing(
    regular: tuple[float, str],
    reduced: object,
    defaults: Defaults,
    read_time: Callable[[], Period | None] = lambda: ALWAYS,
    field: str = "sale_price",
) -> Pricing:
    """The pricing of a regular price, and a cell of a reduced one.

    As of the file's time. A reduced price that cannot be one is told, and left out. `read_time` gives the
    period that a reduced price holds for, None where that cannot be read: then there is no sale either.
    """
    plain = Pricing(*regular)
    sale = _read_sale(plain, reduced, defaults, read_time, field)
    if sale is None:
        return plain
    lower, (begins, ends) = sale
    at = defaults.updated_at
    if lower == plain.price or (ends is not None and ends <= at):
        return plain
    after = () if ends is None else (PriceChange(at=ends, price=plain.price),)
    if begins is None or begins <= at:
        return Pricing(lower, plain.currency, True, after)
    begin = PriceChange(at=begins, price=lower, on_sale=True)
    return Pricing(plain.price, plain.currency, changes=(begin, *after))


def _read_sale(
    regular: Pricing,
    reduced: object,
    defaults: Defaults,
    read_time: Callable[[], Period | None],
    field: str,
) -> tuple[float, Period] | None:
    """The reduced price and its period; None, and told where there is anything to tell, for no sale."""
    if is_blank(reduced):
        if isinstance(reduced, str) and reduced.strip():
            defaults.tell(f"{field}: is taken as empty", reduced)
        return None
    if (period := read_time()) is None:
        return None
    try:
        lower, currency = defaults.money(reduced, regular.currency, field)
    except BadValue as error:
        defaults.tell(f"{error.reason}, so there is no sale", error.value)
        return None
    if reason := _why_not(regular, Pricing(lower, currency), period, field):
        defaults.tell(f"{reason}, so there is no sale", str(reduced))
        return None
    return lower, period


def _why_not(regular: Pricing, reduced: Pricing, period: Period, field: str) -> str | None:
    begins, ends = period
    if reduced.currency != regular.currency:
        return f"{field} is in another currency than the price"
    if reduced.price <= 0:
        return f"{field} is 0"
    if begins is not None and ends is not None and begins >= ends:
        return f"{field} ends before it begins"
    return f"{field} is above the price" if reduced.price > regular.price else None


def read_interval(
    value: object, defaults: Defaults, field: str = "sale_price_effective_date"
) -> Period | None:
    """ "2026-03-01T13:00-0800/2026-03-11T15:30-0800" as a period; an end without a time lasts its whole day.

    None, and told, where it is no interval.
    """
    if is_blank(value):
        return ALWAYS
    begin, slash, end = str(value).partition("/")
    try:
        if not slash:
            raise BadValue(f"{field}: is no interval, begin/end", value)
        return moment(begin, field), read_end(end, field)
    except BadValue as error:
        defaults.tell(f"{error.reason}, so there is no sale", error.value)
        return None


def read_period(begin: object, end: object, defaults: Defaults, field: str) -> Period | None:
    """Two cells as a period; None, and told, where one is no time."""
    try:
        return read_moment(begin, field), read_end(end, field)
    except BadValue as error:
        defaults.tell(f"{error.reason}, so there is no sale", error.value)
        return None


def read_end(value: object, field: str) -> int | None:
    """The end of a period, Unix ms: a day's end where only the day is told. Raises BadValue."""
    found = read_moment(value, field)
    is_day = isinstance(value, str) and _DAY.fullmatch(value.strip())
    return found + DAY_MS if found is not None and is_day else found


def read_moment(value: object, field: str) -> int | None:
    """As `moment`, and the American forms that Magento writes: 1/12/26, 4:32 PM."""
    text = " ".join(value.split()) if isinstance(value, str) else ""
    if "/" in text:
        for form in _AMERICAN:
            try:
                return int(datetime.strptime(text, form).replace(tzinfo=UTC).timestamp() * 1000)
            except ValueError:
                continue
    return moment(value, field)
