"""Prices in a sentence: "under $90", "between 20 and 50", "1.299,00 €", "around fifty quid"."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from services.recommender.search.text import Prices, Token, currencies, english

NEAR: Final = 0.2  # "around 50" lets through what is at most 20 % off
LONGEST_PHRASE: Final = 4
CHILD_YEARS: Final = 16

Bound = Literal["max", "min", "near"]
_FLIPPED: Final[dict[Bound, Bound]] = {"max": "min", "min": "max", "near": "near"}
_GROUPED: Final = re.compile(r"\d{1,3}(?:[.,]\d{3})+")


@dataclass(frozen=True, slots=True)
class Amount:
    """Money and the tokens [start, end) that say it; `currency` "" is one that has no sure code."""

    value: float
    currency: str | None
    start: int
    end: int


@dataclass(slots=True)
class PriceBounds:
    """The bounds that a sentence names, and which of its tokens name them."""

    price_min: float | None = None
    price_max: float | None = None
    price_near: float | None = None
    currency: str | None = None
    taken: set[int] = field(default_factory=set)

    def bound(self, bound: Bound, amount: Amount) -> None:
        """Sets a bound; one named before that it contradicts is given up."""
        value = amount.value
        if bound == "near":
            self.price_near = value
            self.price_min, self.price_max = round(value * (1 - NEAR), 2), round(value * (1 + NEAR), 2)
        elif bound == "max":
            self.price_max = value
            self.price_min = None if self.price_min is not None and self.price_min > value else self.price_min
        else:
            self.price_min = value
            self.price_max = None if self.price_max is not None and self.price_max < value else self.price_max
        self.currency = amount.currency or self.currency


def number(text: str) -> float:
    """ "1.299,00", "1,299.00", "49,90" and "1299" as numbers: a last group of three digits is thousands."""
    if _GROUPED.fullmatch(text):
        return float(re.sub(r"[.,]", "", text))
    whole, _, decimals = text.replace(",", ".").rpartition(".")
    return float(f"{whole.replace('.', '')}.{decimals}") if whole else float(text)


def prices(words: Sequence[Token], is_a_thing: Callable[[Token], bool]) -> PriceBounds:
    """What the words say of the price. `is_a_thing`: whether a word may be what a bare number counts."""
    return _Reader(words, is_a_thing).read()


class _Reader:
    """Goes through one sentence once."""

    def __init__(self, words: Sequence[Token], is_a_thing: Callable[[Token], bool]) -> None:
        self._words = words
        self._is_a_thing = is_a_thing
        self._told: Prices = english().prices
        self._asked = PriceBounds()

    def read(self) -> PriceBounds:
        at = 0
        while at < len(self._words):
            at = self._range(at) or self._bound(at) or self._amount_alone(at) or at + 1
        return self._asked

    def _text(self, at: int) -> str:
        return self._words[at].text if 0 <= at < len(self._words) else ""

    def _phrase(self, at: int, phrases: frozenset[str]) -> int:
        """Where the longest of the phrases that starts here ends; 0 where none does."""
        for length in range(LONGEST_PHRASE, 0, -1):
            if " ".join(word.text for word in self._words[at : at + length]) in phrases:
                return min(at + length, len(self._words))
        return 0

    # amounts

    def _currency(self, at: int) -> tuple[str | None, int]:
        """The currency named here and where its name ends."""
        if self._text(at + 1) == "$" and not self._words[at + 1].gap:
            code = currencies().get(f"{self._text(at)}$")
            if code is not None:
                return code, at + 2
        code = currencies().get(self._text(at))
        return (code, at + 1) if code is not None else (None, at)

    def _amount(self, at: int) -> Amount | None:
        start = at
        slang = self._told.slang.get(self._text(at + 1 if self._text(at) == "a" else at))
        if slang:
            return Amount(float(slang[0]), slang[1], start, at + 1 + (self._text(at) == "a"))
        currency, at = self._currency(at)
        value, at = self._value(at)
        if value is None:
            return None
        if (
            self._text(at) == "-"
            and not self._words[at].gap
            and self._text(at + 1).isalpha()
            and currencies().get(self._text(at + 1)) is not None
        ):
            at += 1  # "50-euro"
        if currency is None:
            currency, at = self._currency(at)
        else:
            at = self._currency(at)[1]  # "$50 usd"
        return Amount(value, currency, start, at)

    def _value(self, at: int) -> tuple[float | None, int]:
        if at < len(self._words) and self._words[at].kind == "number":
            value, at = number(self._text(at)), at + 1
            while self._is_thousands(at):
                value, at = value * 1000 + float(self._text(at)), at + 1
            if self._text(at) == "k" and not self._words[at].gap:
                value, at = value * 1000, at + 1
            return value, at
        return self._number_words(at)

    def _is_thousands(self, at: int) -> bool:
        """ "1 299 €": three digits after a number of at most three, and a currency behind."""
        return (
            re.fullmatch(r"\d{3}", self._text(at)) is not None
            and re.fullmatch(r"[1-9]\d{0,2}", self._text(at - 1)) is not None
            and self._currency(at + 1)[0] is not None
        )

    def _number_words(self, at: int) -> tuple[float | None, int]:
        total, found, end = 0.0, False, at
        while (word := self._text(end)) and (
            word in self._told.numbers or word in {"hundred", "thousand"} or (word == "a" and not found)
        ):
            if word == "a" and self._text(end + 1) not in {"hundred", "thousand"}:
                break
            if word in {"hundred", "thousand"}:
                total = max(total, 1) * (100 if word == "hundred" else 1000)
            elif word != "a":
                total += self._told.numbers[word]
            found, end = True, end + 1
            if self._text(end) == "-" and self._text(end + 1) in self._told.numbers:
                end += 1
        return (total, end) if found else (None, at)

    def _counts_something(self, amount: Amount) -> bool:
        """Whether a number without a currency is of something other than money."""
        if amount.currency is not None:
            return False
        following = amount.end + (self._text(amount.end) == "-")
        if following >= len(self._words):
            return False
        word = self._words[following]
        glued = word.kind == "word" and not word.gap  # "50in"
        return glued or word.text in self._told.units or self._is_a_thing(word)

    # what is said of them

    def _range(self, at: int) -> int:
        start = at
        named = self._phrase(at, self._told.between)
        if named:
            at = named
        elif (bounded := self._phrase(at, self._told.max | self._told.min | self._told.near)) != 0:
            at = bounded
        low = self._amount(at)
        if low is None or self._text(low.end) not in self._told.range_to:
            return 0
        if self._text(low.end) == "and" and not named:
            return 0
        high = self._amount(low.end + 1)
        if high is None or self._counts_something(high) or self._is_measured(start):
            return 0
        currency = low.currency if low.currency is not None else high.currency
        if at == start and currency is None and not self._is_price_word(start - 1):
            return 0
        least, most = sorted((low.value, high.value))
        self._asked.bound("min", replace(low, value=least, currency=currency))
        self._asked.bound("max", replace(high, value=most, currency=currency))
        return self._take(start, high.end)

    def _is_price_word(self, at: int) -> bool:
        return self._text(at) in {"price", "prices", "priced", "cost", "costs", "budget"}

    def _is_measured(self, at: int) -> bool:
        """ "size under 42", "kids under 5"."""
        return self._text(at - 1) in self._told.measures

    def _bound(self, at: int) -> int:
        for bound, phrases in self._bounds():
            end = self._phrase(at, phrases)
            amount = self._amount_after(end) if end else None
            if amount is None or (self._text(at) in {"max", "maximum"} and self._is_a_name(at)):
                continue
            if phrases is self._told.weak_max and amount.currency is None:
                continue
            if self._counts_something(amount) or self._is_measured(at) or self._is_an_age(at, amount):
                continue
            if self._text(at) == "from" and self._is_a_year(amount):
                continue
            start = at
            if self._text(at - 1) in self._told.negators and at - 1 not in self._asked.taken:
                start, bound = at - 1, _FLIPPED[bound]  # noqa: PLW2901
            self._asked.bound(bound, amount)
            return self._take(start, amount.end)
        return 0

    def _bounds(self) -> tuple[tuple[Bound, frozenset[str]], ...]:
        told = self._told
        return (("max", told.max), ("min", told.min), ("near", told.near), ("max", told.weak_max))

    def _amount_after(self, at: int) -> Amount | None:
        for skipped in range(3):
            amount = self._amount(at + skipped)
            if amount is not None:
                return amount
            if self._text(at + skipped) not in self._told.between_words:
                return None
        return None

    def _is_a_name(self, at: int) -> bool:
        return self._text(at - 1) in self._told.names_with_max

    def _is_a_year(self, amount: Amount) -> bool:
        return amount.currency is None and 1900 <= amount.value < 2100 and amount.value.is_integer()

    def _is_an_age(self, at: int, amount: Amount) -> bool:
        kids = english().people["kids"].words | english().people["baby"].words
        return amount.currency is None and amount.value <= CHILD_YEARS and self._text(at - 1) in kids

    def _amount_alone(self, at: int) -> int:
        """ "50 or less", "50+", "50 euros": a bare amount of money is what it should cost about."""
        amount = self._amount(at)
        if amount is None or self._is_measured(at):
            return 0
        for bound, phrases in (
            ("max", self._told.max_after),
            ("min", self._told.min_after),
            ("near", self._told.near_after),
        ):
            end = self._phrase(amount.end + (self._text(amount.end) == "-"), phrases)
            if end and self._amount(end) is None and not (amount.currency is None and self._is_a_unit(end)):
                self._asked.bound(bound, amount)  # type: ignore[arg-type]  # the three are bounds
                return self._take(at, end)
        if amount.currency is None:
            return 0
        self._asked.bound("near", amount)
        return self._take(at, amount.end)

    def _is_a_unit(self, at: int) -> bool:
        return self._text(at) in self._told.units

    def _take(self, start: int, end: int) -> int:
        self._asked.taken.update(range(start, end))
        return end
