"""The English that a shopper uses, from english.toml and common_words.txt beside this file."""

from functools import cache
from importlib.resources import files
from itertools import islice
from typing import Final

import msgspec

from services.recommender.search.inferred import WeightName
from services.recommender.search.tokens import folded, key_of

EVERYDAY_WORDS: Final = 1_500  # so many of the most frequent words need more than themselves to be a brand

Phrases = frozenset[str]


class Negation(msgspec.Struct, frozen=True):
    """Words that exclude, words that only seem to, and what may stand between."""

    triggers: Phrases
    compounds: Phrases
    joining: Phrases
    between: Phrases
    given_free: Phrases
    degrees: Phrases


class Context(msgspec.Struct, frozen=True):
    """Words that tell what the next one is."""

    brand: Phrases
    like_brand: Phrases
    apart: Phrases
    beside: Phrases
    wants: Phrases
    heads: Phrases


class People(msgspec.Struct, frozen=True):
    """Words for one kind of people, and for relatives of that kind."""

    words: Phrases
    relatives: Phrases


class Words(msgspec.Struct, frozen=True):
    """What plural and singular must know beyond the rules."""

    clothing: Phrases
    plural_only: Phrases
    not_singular: Phrases


class Synonyms(msgspec.Struct, frozen=True):
    """Rows of words for one thing, and shades with the colours that they are shades of."""

    same: tuple[tuple[str, ...], ...]
    shades: dict[str, tuple[str, ...]]


class Looks(msgspec.Struct, frozen=True):
    """Words of what a thing looks like."""

    colours: Phrases
    patterns: Phrases


class Prices(msgspec.Struct, frozen=True):
    """Words around amounts; `currencies` by ISO code, "" for a word that names none for sure."""

    max: Phrases
    weak_max: Phrases
    min: Phrases
    near: Phrases
    between: Phrases
    range_to: Phrases
    max_after: Phrases
    min_after: Phrases
    near_after: Phrases
    between_words: Phrases
    negators: Phrases
    units: Phrases
    measures: Phrases
    names_with_max: Phrases
    numbers: dict[str, int]
    slang: dict[str, tuple[int, str]]
    currencies: dict[str, tuple[str, ...]]


class Wish(msgspec.Struct, frozen=True):
    """Phrases that ask for more (1) or less (-1) of something."""

    weight: WeightName
    value: float
    phrases: Phrases


class English(msgspec.Struct, frozen=True):
    """All of it; `common` are frequent words, `everyday` the most frequent of them and all filler."""

    filler: Phrases
    kept: Phrases
    filler_phrases: Phrases
    negation: Negation
    context: Context
    people: dict[str, People]
    words: Words
    synonyms: Synonyms
    looks: Looks
    prices: Prices
    wishes: tuple[Wish, ...]
    common: Phrases = frozenset()
    everyday: Phrases = frozenset()


@cache
def english() -> English:
    """Read once a process, on first use."""
    folder = files("services.recommender.search")
    told = msgspec.toml.decode(folder.joinpath("english.toml").read_bytes(), type=English)
    lines = folder.joinpath("common_words.txt").read_text(encoding="utf-8").splitlines()
    common = [line for line in lines if not line.startswith("#")]
    return msgspec.structs.replace(
        told,
        common=frozenset(common),
        everyday=frozenset(islice(common, EVERYDAY_WORDS)) | told.filler,
    )


@cache
def wishes_by_phrase() -> dict[str, Wish]:
    """Which wish a phrase says."""
    return {key_of(phrase): wish for wish in english().wishes for phrase in wish.phrases}


@cache
def currencies() -> dict[str, str]:
    """ISO code by sign, code or word; "" where it could be one of several."""
    told = english().prices.currencies.items()
    return {folded(word): code for code, words in told for word in words}
