"""Prices in a sentence: "under $90", "between 20 and 50", "von 50 bis 80 €", "around fifty quid"."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, Protocol

from services.recommender.search.amounts import Amount, AmountReader
from services.recommender.search.text import Prices, Token, english

Bound = Literal["max", "min", "near"]

NEAR: Final = 0.2  # "around 50" lets through what is at most 20 % off
CHILD_YEARS: Final = 16
ALTERNATIVES: Final = frozenset({"or", "oder", "ou", "o", "of", "lub"})  # between two amounts
# "Under 3 pockets" and "at least 10 zips" count them; "under 30 gifts" is a price, as is "over 50 gifts".
COUNTED: Final[Mapping[Bound, int]] = {"max": 4, "min": 10, "near": 10}

_FLIPPED: Final[dict[Bound, Bound]] = {"max": "min", "min": "max", "near": "near"}


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

    def order_near(self, amount: Amount) -> None:
        """Puts what costs about so much first, and hides nothing; a bound around another price stays."""
        is_bound = self.price_near is not None and self.price_min is not None
        self.price_near = self.price_near if is_bound else amount.value
        self.currency = self.currency or amount.currency or None


class Words(Protocol):
    """What the reader of prices asks about words that are no prices. `at` is a token's place."""

    def is_thing(self, at: int) -> bool:
        """Whether a bare number before it rather counts it."""

    def is_catalogued(self, at: int) -> bool:
        """Whether the catalogue has the word."""

    def is_filler(self, at: int) -> bool:
        """Whether it says nothing."""

    def is_foreign(self, at: int) -> bool:
        """Whether it is no English word."""


def prices(tokens: Sequence[Token], words: Words) -> PriceBounds:
    """What the sentence says of the price."""
    return _Reader(AmountReader(tokens), words).read()


class _Reader:
    """Goes through one sentence once."""

    def __init__(self, tokens: AmountReader, words: Words) -> None:
        self._tokens = tokens
        self._words = words
        self._told: Prices = english().prices
        self._asked = PriceBounds()
        told = self._told
        self._bounds: tuple[tuple[Bound, frozenset[str], bool], ...] = (  # the last: only with a currency
            ("max", told.max, False),
            ("min", told.min, False),
            ("near", told.near, False),
            ("max", told.weak_max, True),
            ("min", told.weak_min, True),
        )

    def read(self) -> PriceBounds:
        at = 0
        while at < len(self._tokens):
            at = self._range(at) or self._bound(at) or self._amount_alone(at) or at + 1
        return self._asked

    def _text(self, at: int) -> str:
        return self._tokens.text(at)

    def _counts_something(self, amount: Amount, bound: Bound | None) -> bool:
        """Whether a number without a currency is of something other than money."""
        if amount.currency is not None:
            return False
        following = amount.end + (self._text(amount.end) == "-")
        word = self._tokens.token(following)
        if word is None or self._begins_bound(following):
            return False
        if (word.kind == "word" and not word.gap) or word.text in self._told.units:  # "50in"
            return True
        # "At least 2 zips" are zips, "under 30 gifts" are gifts of less than 30.
        is_price = bound is None or amount.value > COUNTED[bound]
        return not is_price and self._words.is_thing(following)

    def _begins_bound(self, at: int) -> bool:
        """ "more than 10 less than 20"."""
        return any(self._tokens.phrase(at, phrases) for _, phrases, _ in self._bounds[:3])

    # ranges

    def _range(self, at: int) -> int:
        start, told = at, self._told
        named = self._tokens.phrase(at, told.between)
        weakly = 0 if named else self._tokens.phrase(at, told.weak_between)
        bounded = max(self._tokens.phrase(at, phrases) for _, phrases, _ in self._bounds[:3])
        for joins in (True, False):  # "one hundred and fifty", but "between fifty and one hundred"
            low = self._tokens.amount(named or weakly or bounded or at, joins=joins)
            high = self._high(low, is_between=bool(named or weakly), is_bound=bool(bounded)) if low else None
            if low and high:
                break
        if low is None or high is None or self._counts_something(high, None) or self._is_measured(start):
            return 0
        scale = self._tokens.scale(high)
        if low.currency is None and low.value < 100 and high.value >= low.value * scale:
            low = replace(low, value=low.value * scale)  # "one to two hundred dollars"
        currency = low.currency if low.currency else high.currency
        if currency is None and not named and not bounded and not self._is_price_word(start - 1):
            return 0
        least, most = sorted((low.value, high.value))
        self._asked.bound("min", replace(low, value=least, currency=currency))
        self._asked.bound("max", replace(high, value=most, currency=currency))
        return self._take(start, high.end)

    def _high(self, low: Amount, *, is_between: bool, is_bound: bool) -> Amount | None:
        """The other end of a range."""
        to = self._tokens.phrase(low.end, self._told.range_to)
        if is_bound and self._text(low.end) == "/":
            return None  # "under 50$ / 45€"
        if not to and is_between:
            to = self._tokens.phrase(low.end, self._told.range_and)
        if not to and not is_bound and self._text(low.end) in ALTERNATIVES:
            to = low.end + 1  # "20 or 30 dollars"
        if to:  # "20 to around 50"
            return self._tokens.amount(to + (self._text(to) in self._told.between_words))
        if is_bound or not low.in_words or low.currency is not None:
            return None
        high = self._tokens.amount(low.end)
        is_range = high and high.in_words and high.currency and low.value < high.value
        return high if is_range else None  # "twenty thirty dollars"

    def _is_price_word(self, at: int) -> bool:
        at -= self._text(at) == ":"
        return self._text(at) in {"price", "prices", "priced", "cost", "costs", "budget"}

    def _is_measured(self, at: int) -> bool:
        """ "size under 42", "kids under 5"."""
        return self._text(at - 1) in self._told.measures

    # bounds

    def _bound(self, at: int) -> int:
        for bound, phrases, is_weak in self._bounds:
            end = self._tokens.phrase(at, phrases)
            amount = self._amount_after(end) if end else None
            if amount is None or (is_weak and amount.currency is None):
                continue
            if self._text(at) in {"max", "maximum"} and self._is_a_name(at):
                continue
            if self._counts_something(amount, bound) or self._is_measured(at) or self._is_an_age(at, amount):
                continue
            if self._text(at) in {"from", "desde", "vanaf"} and self._is_a_year(amount):
                continue
            start = at
            if self._text(at - 1) in self._told.negators and at - 1 not in self._asked.taken:
                start, bound = at - 1, _FLIPPED[bound]  # noqa: PLW2901
            self._asked.bound(bound, amount)
            return self._take(start, amount.end)
        return 0

    def _amount_after(self, at: int) -> Amount | None:
        for skipped in range(3):
            amount = self._tokens.amount(at + skipped)
            if amount is not None:
                return self._last_of(amount)
            if self._text(at + skipped) not in self._told.between_words:
                return None
        return None

    def _last_of(self, amount: Amount) -> Amount:
        """ "under twenty thirty dollars", "under 50 or 60 euros": the last, which hides less."""
        is_either = self._text(amount.end) in ALTERNATIVES
        if is_either or (amount.in_words and amount.currency is None):
            further = self._tokens.amount(amount.end + is_either)
            if further is not None and further.value > amount.value and (is_either or further.in_words):
                return replace(further, start=amount.start)
        return amount

    def _is_a_name(self, at: int) -> bool:
        return self._text(at - 1) in self._told.names_with_max

    def _is_a_year(self, amount: Amount) -> bool:
        return amount.currency is None and 1900 <= amount.value < 2100 and amount.value.is_integer()

    def _is_an_age(self, at: int, amount: Amount) -> bool:
        kids = english().people["kids"].words | english().people["baby"].words
        return amount.currency is None and amount.value <= CHILD_YEARS and self._text(at - 1) in kids

    # amounts that nothing stands before

    def _amount_alone(self, at: int) -> int:
        """ "50 or less", "50+", "50 euros": a bare amount of money is what it should cost about."""
        amount = self._tokens.amount(at)
        if amount is None or self._is_measured(at):
            return 0
        for bound, phrases in (
            ("max", self._told.max_after),
            ("min", self._told.min_after),
            ("near", self._told.near_after),
        ):
            end = self._tokens.phrase(amount.end + (self._text(amount.end) in {"-", "("}), phrases)
            is_unit = amount.currency is None and self._text(end) in self._told.units
            if end and self._tokens.amount(end) is None and not is_unit:
                self._asked.bound(bound, amount)  # type: ignore[arg-type]  # the three are bounds
                return self._take(at, end)
        if amount.currency is None:
            return 0
        if self._is_understood(amount):
            self._asked.bound("near", amount)
        else:
            self._asked.order_near(amount)
        return self._take(at, amount.end)

    def _is_understood(self, amount: Amount) -> bool:
        """Whether a bare amount is a thing's price for sure, and no bound in words that we do not know.

        "Lamp 80 euros", "two $50 mugs"; of "capped at 50 euros" nobody may hide what costs 20.
        """
        following = amount.end
        if self._tokens.token(following) is not None and self._words.is_foreign(following):
            return False
        before = amount.start - 1
        while before >= 0 and self._words.is_filler(before) and before not in self._asked.taken:
            before -= 1
        token = self._tokens.token(before)
        if token is None or before in self._asked.taken or token.kind == "number":
            return True
        return self._words.is_catalogued(before) or token.text in self._told.numbers

    def _take(self, start: int, end: int) -> int:
        self._asked.taken.update(range(start, end))
        return end
