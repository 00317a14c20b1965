"""Amounts of money: "$49.90", "1.299,00 €", "EUR200", "a hundred and fifty", "nine ninety nine"."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from services.recommender.search.text import Prices, Token, currencies, english

LONGEST_PHRASE: Final = 5
_GROUPED: Final = re.compile(r"\d{1,3}(?:[.,]\d{3})+")
_INDIAN: Final = re.compile(r"\d{1,2}(?:,\d{2})+,\d{3}")


@dataclass(frozen=True, slots=True)
class Amount:
    """Money and the tokens [start, end) that say it; `currency` "" is money that has no sure code."""

    value: float
    currency: str | None
    start: int
    end: int
    in_words: bool = False


def number(text: str) -> float:
    """ "1.299,00", "1'299.00", "1,50,000", ".99" as numbers: a last group of three is thousands."""
    text = text.replace("'", "")
    if _GROUPED.fullmatch(text) or _INDIAN.fullmatch(text):
        return float(re.sub(r"[.,]", "", text))
    whole, _, decimals = text.replace(",", ".").rpartition(".")
    return float(f"{whole.replace('.', '')}.{decimals}") if whole else float(text)


@cache
def _first_words(phrases: frozenset[str]) -> frozenset[str]:
    """By which most places of a sentence need not be looked at: there are some ten lists of phrases."""
    return frozenset(phrase.partition(" ")[0] for phrase in phrases)


@cache
def _first_of_amounts() -> frozenset[str]:
    """What an amount without a figure starts with: most words do not."""
    told = english().prices
    signs = {sign for code in currencies() for sign in (code, code.removesuffix("$"))}
    words = (*told.numbers, *told.foreign_numbers, *told.scales, *told.slang, "a", "half", "couple")
    return frozenset({*words, *signs})


class AmountReader:
    """The tokens of one sentence, and the amounts that start at a place of them."""

    def __init__(self, words: Sequence[Token]) -> None:
        self._words = words
        self._told: Prices = english().prices

    def __len__(self) -> int:
        return len(self._words)

    def token(self, at: int) -> Token | None:
        """The token at a place; None outside."""
        return self._words[at] if 0 <= at < len(self._words) else None

    def text(self, at: int) -> str:
        """Its text; an empty one outside."""
        return self._words[at].text if 0 <= at < len(self._words) else ""

    def is_glued(self, at: int) -> bool:
        """Whether no white space stands before it."""
        return 0 <= at < len(self._words) and not self._words[at].gap

    def phrase(self, at: int, phrases: frozenset[str]) -> int:
        """Where the longest of the phrases that starts here ends; 0 where none does."""
        if self.text(at) not in _first_words(phrases):
            return 0
        for length in range(min(LONGEST_PHRASE, len(self._words) - at), 0, -1):
            if " ".join(word.text for word in self._words[at : at + length]) in phrases:
                return at + length
        return 0

    def amount(self, at: int, *, joins: bool = True) -> Amount | None:
        """The amount that starts here. `joins`: whether "and" may stand in it ("a hundred and fifty")."""
        start = at
        if not self._is_number(at) and self.text(at) not in _first_of_amounts():
            return None
        slang = self._told.slang.get(self.text(at + 1 if self.text(at) == "a" else at))
        if slang:
            return Amount(float(slang[0]), slang[1], start, at + 1 + (self.text(at) == "a"))
        currency, at = self._currency(at)
        if currency is not None and self.text(at) == "." and self.is_glued(at):
            at += 1  # "rs. 500"
        value, end, in_words = self._value(at, joins, is_money=currency is not None)
        if value is None:
            return None
        if in_words and not value.is_integer() and currency is None:
            currency = ""  # "nine ninety nine" is said of money only
        end = self._price_dash(end)
        if self.text(end) == "-" and self.is_glued(end) and not self._is_number(end + 2):
            end += self.text(end + 1).isalpha() and self.text(end + 1) in currencies()  # "50-euro"
        named, end = (None, end) if self._starts_amount(end) else self._currency(end)
        currency = named if currency is None or (named and not currency) else currency
        if currency is None and in_words and self._is_foreign_number(end - 1):
            return None
        if named is not None:
            value, end = self._cents(value, end)
        elif currency is None and value < 100 and self._is_cents(end):
            value, currency, end = value / 100, "", end + 1
        return Amount(value, currency, start, end, in_words)

    def _currency(self, at: int) -> tuple[str | None, int]:
        """The currency named here and where its name ends."""
        is_apart = len(self.text(at)) == 2 and self._starts_amount(at + 1)  # "US $100", but "a $100 coat"
        if self.text(at + 1) == "$" and (self.is_glued(at + 1) or is_apart):
            code = currencies().get(f"{self.text(at)}$")
            if code is not None:
                return code, at + 2
        code = currencies().get(self.text(at))
        return (code, at + 1) if code is not None else (None, at)

    def _starts_amount(self, at: int) -> bool:
        """Of "two $50 mugs" the sign is the second number's."""
        return self._is_number(at + 1) and self.is_glued(at + 1) and not self.is_glued(at)

    def _is_number(self, at: int) -> bool:
        token = self.token(at)
        return token is not None and token.kind == "number"

    def _price_dash(self, at: int) -> int:
        """ "50,-", "50.-" and "500/-" have no cents."""
        is_dash = self.text(at) in {",", ".", "/"} and self.is_glued(at)
        return at + 2 if is_dash and self.text(at + 1) == "-" and self.is_glued(at + 1) else at

    def _cents(self, value: float, at: int) -> tuple[float, int]:
        """ "5€50", "5 euros 50 cents", "19 euro 99", "nineteen dollars and ninety nine cents"."""
        if not value.is_integer():
            return value, at
        is_two_digits = re.fullmatch(r"\d\d", self.text(at)) is not None
        if is_two_digits and (self.is_glued(at) or at + 1 == len(self)):  # "5€50", "19 euro 99" and no more
            return value + float(self.text(at)) / 100, at + 1
        begin = at + 1 if self.text(at) == "and" else at
        cents, end, _ = self._value(begin, joins=False, is_money=False)
        if cents is not None and cents < 100 and self.text(end) in self._told.cents:
            return value + cents / 100, end + 1
        return value, at

    def _is_cents(self, at: int) -> bool:
        """ "50 cents", "50p"."""
        return self.text(at) in self._told.cents and (self.text(at) != "p" or self.is_glued(at))

    def _value(self, at: int, joins: bool, is_money: bool) -> tuple[float | None, int, bool]:
        """A number, where it ends, and whether it is in words."""
        token = self.token(at)
        if token is None or token.kind != "number":
            return (*self._read_spoken(at, joins), True)
        value, at = number(token.text), at + 1
        while self._is_thousands(at, is_money):
            value, at = value * 1000 + number(self.text(at)), at + 1
        scale = 1000 if self.text(at) == "k" and self.is_glued(at) else self._told.scales.get(self.text(at))
        return (value * scale, at + 1, False) if scale else (value, at, False)

    def _is_thousands(self, at: int, is_money: bool) -> bool:
        """ "1 299,00 €": three digits after a number of at most three, and a currency behind or before."""
        return (
            re.fullmatch(r"\d{3}(?:,\d\d)?", self.text(at)) is not None
            and re.fullmatch(r"[1-9]\d{0,2}", self.text(at - 1)) is not None
            and (is_money or self._currency(at + 1)[0] is not None)
        )

    def scale(self, amount: Amount) -> int:
        """What its last word multiplies by: 100 of "two hundred dollars"; 1 for none."""
        scales = [self._told.scales.get(self.text(at), 1) for at in range(amount.start, amount.end)]
        return max(scales, default=1)

    # numbers in words

    def _read_spoken(self, at: int, joins: bool) -> tuple[float | None, int]:
        """ "twenty five", "two hundred and fifty"; "nine ninety nine" is 9.99, "one fifty" 150."""
        value, end = self._cardinal(at, joins)
        if value is None or not 1 <= value < 100:
            return value, end
        further, behind = self._below_hundred(end)
        if further is None or further < 10 or self._is_next_ten(value, further):
            return value, end
        if value < 10 and further % 10 not in {5, 9}:
            return value * 100 + further, behind
        return value + further / 100, behind

    @staticmethod
    def _is_next_ten(value: float, further: float) -> bool:
        """ "twenty thirty dollars": two amounts that are no sum and no price with cents."""
        return value % 10 == 0 and further - value == 10

    def _cardinal(self, at: int, joins: bool) -> tuple[float | None, int]:
        """A number whose parts can be added: each is smaller than the scale of the one before."""
        total, scale = 0.0, float("inf")
        is_found, end = False, at
        while scale > 1:
            begin = end + 1 if is_found and joins and self.text(end) == "and" else end
            part, behind = self._part(begin)
            if part is None:
                break
            own = 1.0
            while self.text(behind) in self._told.scales:
                own, behind = own * self._told.scales[self.text(behind)], behind + 1
            if part * own >= scale or (not is_found and part == 0):
                break
            total, scale, end, is_found = total + part * own, own, behind, True
        return (total, end) if is_found else (None, at)

    def _part(self, at: int) -> tuple[float | None, int]:
        """What a scale counts: "two", "twenty five", "a", "a couple of"; or what is left without one."""
        if self.text(at) not in {"a", "half", "couple", "hundred", "thousand"}:
            return self._below_hundred(at)
        for phrase, value in (
            ("a couple of", 2.0),
            ("a couple", 2.0),
            ("couple", 2.0),
            ("half a", 0.5),
            ("a", 1.0),
        ):
            end = at + len(phrase.split())
            is_said = " ".join(map(self.text, range(at, end))) == phrase
            if is_said and self.text(end) in self._told.scales:
                return value, end
        if self.text(at) in {"hundred", "thousand"}:
            return 1.0, at
        return self._below_hundred(at)

    def _below_hundred(self, at: int) -> tuple[float | None, int]:
        value = self._told.numbers.get(self.text(at))
        if value is None:
            value = self._told.foreign_numbers.get(self.text(at))
            return (None if value is None else float(value), at + (value is not None))
        unit_at = at + 2 if self.text(at + 1) == "-" else at + 1
        unit = self._told.numbers.get(self.text(unit_at), 0)
        if value >= 20 and value % 10 == 0 and 1 <= unit <= 9:
            return float(value + unit), unit_at + 1
        return float(value), at + 1

    def _is_foreign_number(self, at: int) -> bool:
        """A number of another language, many of which are other words in English: only said of money."""
        return self.text(at) in self._told.foreign_numbers
