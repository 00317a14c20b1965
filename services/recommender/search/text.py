"""Words, numbers and signs of a text, in the form that they are compared in."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from itertools import islice
from typing import Final, Literal

import inflect
import msgspec
from rapidfuzz import process
from rapidfuzz.distance import OSA, JaroWinkler

from services.recommender.search.query import WeightName

Kind = Literal["word", "number", "sign"]

# Letters that Unicode does not take apart, as people without them on the keyboard type them.
_LETTERS: Final = str.maketrans(
    {"ø": "o", "đ": "d", "ł": "l", "æ": "ae", "œ": "oe", "ð": "d", "þ": "th", "ı": "i"}
)
_STRAIGHT: Final = str.maketrans("‐‑‒–—−’‘`", "------'''")
_MARKS: Final = r"\u0300-\u036f\u0900-\u0dff\u0e31-\u0e4e"
_PATTERN: Final = re.compile(
    r"(?P<word>w/o(?!\w)|[^\W\d_](?:[\w" + _MARKS + r"]|'(?=\w))*)"
    r"|(?P<number>\d+(?:[.,]\d+)*)"
    r"|(?P<sign><=|>=|=<|=>|[^\w\s])"
)


@dataclass(frozen=True, slots=True)
class Token:
    """One word, number or sign. `gap` tells whether white space stands before it."""

    text: str  # folded
    raw: str
    kind: Kind
    gap: bool


def folded(text: str) -> str:
    """Without case, accents and apostrophes: "Crêpe" and "crepe", "men's" and "mens" are one."""
    if text.isascii():
        return text.lower().replace("'", "")
    apart = unicodedata.normalize("NFKD", text.casefold())
    bare = "".join(letter for letter in apart if not unicodedata.combining(letter))
    return bare.translate(_LETTERS).replace("'", "")


def tokens(text: str) -> list[Token]:
    """The text's tokens in order; any text has them, maybe none."""
    straight = unicodedata.normalize("NFC", text).translate(_STRAIGHT)
    found: list[Token] = []
    end = 0
    for match in _PATTERN.finditer(straight):
        kind: Kind = match.lastgroup  # type: ignore[assignment]  # the groups are called so
        raw = match.group()
        found.append(Token(folded(raw), raw, kind, gap=match.start() > end or not found))
        end = match.end()
    return found


def key_of(text: str) -> str:
    """A name as the phrase it is looked up by: "Birk & Loft" is "birk and loft", "T-Shirt" is "t shirt"."""
    return " ".join("and" if token.text == "&" else token.text for token in _phrase(text))


def _phrase(text: str) -> list[Token]:
    return [token for token in tokens(text) if token.kind != "sign" or token.text == "&"]


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


KEPT: Final = 50_000  # names whose forms are remembered: a vocabulary is built again when products change
SHORTEST_INFLECTED: Final = 3


@lru_cache(KEPT)
def forms(key: str) -> tuple[str, ...]:
    """The other forms of a phrase, by its last word; none for numbers and very short words.

    "scarf" gives "scarves" and the "scarfs" that people also type.
    """
    first, _, last = key.rpartition(" ")
    if len(last) < SHORTEST_INFLECTED or not last.isalpha():
        return ()
    found = {*_plurals(last), *_singulars(key, last)} - {last, ""}
    return tuple(sorted(f"{first} {form}".strip() for form in found))


def _plurals(word: str) -> tuple[str, ...]:
    if is_plural(word):
        return ()
    return (key_of(str(_engine().plural_noun(word) or "")), f"{word}s")


def _singulars(key: str, word: str) -> tuple[str, ...]:
    words = english().words
    if not is_plural(word) or key in words.plural_only or word in words.plural_only:
        return ()
    singular = key_of(str(_engine().singular_noun(word) or ""))
    return () if singular in words.not_singular else (singular,)


@lru_cache(KEPT)
def is_plural(key: str) -> bool:
    """Whether the phrase's last word is a plural."""
    word = key.rpartition(" ")[2]
    if not word:
        return False
    if word in english().words.plural_only:
        return True
    return not word.endswith("ss") and bool(_engine().singular_noun(word))


@cache
def _engine() -> inflect.engine:
    return inflect.engine()


SHORTEST_CORRECTED: Final = 4
TWO_MISTAKES_FROM: Final = 8  # letters; shorter words may have one
COMPARED: Final = 8  # of the nearest words


class Spelling:
    """Known words by their first letter; of equally near ones the first given is meant."""

    def __init__(self, words: Iterable[str]) -> None:
        self._by_letter: dict[str, list[str]] = {}
        for word in words:
            if len(word) >= SHORTEST_CORRECTED and word.isalpha():
                self._by_letter.setdefault(word[0], []).append(word)

    def meant(self, word: str) -> str | None:
        """The nearest known word; None where none is near enough.

        Distance: optimal string alignment (a letter more, less, other, or two swapped),
        then Jaro-Winkler. The
        first letter is right, or swapped with the second.
        """
        if len(word) < SHORTEST_CORRECTED or not word.isalpha():
            return None
        mistakes = 2 if len(word) >= TWO_MISTAKES_FROM else 1
        found = process.extract(
            word, self._near(word), scorer=OSA.distance, score_cutoff=mistakes, limit=COMPARED
        )
        found = [each for each in found if _plausible(word, each[0])]
        nearest = [known for known, distance, _ in found if distance == found[0][1]]
        return max(nearest, key=lambda known: JaroWinkler.similarity(word, known), default=None)

    def _near(self, word: str) -> list[str]:
        same = self._by_letter.get(word[0], [])
        swapped = [] if word[1] == word[0] else self._by_letter.get(word[1], [])
        return [*same, *swapped]


def _plausible(word: str, known: str) -> bool:
    """In the shortest words another letter makes another word: "mats" are no "maps"."""
    return len(word) > SHORTEST_CORRECTED or len(word) != len(known) or sorted(word) == sorted(known)
