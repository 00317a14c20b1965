"""Words, numbers and signs of a text, in the form that they are compared in."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from itertools import islice
from typing import Final, Literal

import msgspec
from rapidfuzz import process
from rapidfuzz.distance import OSA, JaroWinkler

from services.recommender.search.query import OrderName, WeightName

Kind = Literal["word", "number", "sign"]

# Letters that Unicode does not take apart, as people without them on the keyboard type them.
_LETTERS: Final = str.maketrans(
    {"ø": "o", "đ": "d", "ł": "l", "æ": "ae", "œ": "oe", "ð": "d", "þ": "th", "ı": "i"}
)
_STRAIGHT: Final = str.maketrans("‐‑‒–—−’‘`", "------'''")
_MARKS: Final = r"\u0300-\u036f\u0900-\u0dff\u0e31-\u0e4e"
# "EUR200" is two tokens; so is "rs500", but "rs6" is a car.
_GLUED: Final = (
    r"(?<!\w)(?i:(?:eur|usd|gbp|chf|pln|inr|sek|nok|dkk|czk|cad|aud|nzd|hkd|sgd|brl|cny|zar|mxn|jpy)(?=\d)"
    r"|rs(?=\d\d))"
)
_PATTERN: Final = re.compile(
    r"(?P<word>w/o(?!\w)|" + _GLUED + r"|[^\W\d_](?:[\w" + _MARKS + r"]|'(?=\w))*)"
    r"|(?P<number>(?:(?<![\w.])\.)?\d+(?:[.,]\d+|'\d{3}(?!\d))*)"
    r"|(?P<sign><=|>=|=<|=>|[^\w\s])"
)


@dataclass(frozen=True, slots=True)
class Token:
    """One word, number or sign. `gap` tells whether white space stands before it."""

    text: str  # folded
    raw: str
    kind: Kind
    gap: bool


def normalise_text(text: str) -> str:
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
        found.append(Token(normalise_text(raw), raw, kind, gap=match.start() > end or not found))
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
    audience: Phrases


class People(msgspec.Struct, frozen=True):
    """Words for one kind of people, and for relatives of that kind."""

    words: Phrases
    relatives: Phrases


class Words(msgspec.Struct, frozen=True):
    """What plural and singular must know beyond the rules."""

    clothing: Phrases
    right: Phrases
    plural_only: Phrases
    not_singular: Phrases


class Nouns(msgspec.Struct, frozen=True):
    """Words whose plural or singular the rules of forms.py would get wrong."""

    same: Phrases
    same_endings: tuple[str, ...]
    plural_of_e: Phrases
    plural_of_is: Phrases
    with_es: Phrases
    o_takes_s: tuple[str, ...]
    man_takes_s: Phrases
    irregular: dict[str, str]  # singular → plural


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
    weak_min: Phrases
    near: Phrases
    between: Phrases
    weak_between: Phrases
    range_to: Phrases
    range_and: Phrases
    max_after: Phrases
    min_after: Phrases
    near_after: Phrases
    between_words: Phrases
    negators: Phrases
    units: Phrases
    measures: Phrases
    names_with_max: Phrases
    numbers: dict[str, int]
    scales: dict[str, int]
    foreign_numbers: dict[str, int]
    cents: Phrases
    slang: dict[str, tuple[int, str]]
    currencies: dict[str, tuple[str, ...]]


class Wish(msgspec.Struct, frozen=True):
    """Phrases that ask for more (1) or less (-1) of something."""

    weight: WeightName
    value: float
    phrases: Phrases


class Superlative(msgspec.Struct, frozen=True):
    """Phrases that ask for an order, and what else they ask for."""

    order: OrderName
    phrases: Phrases
    weights: dict[WeightName, float] = {}


class Foreign(msgspec.Struct, frozen=True):
    """Small words of other languages, and English words that are other words there."""

    small: Phrases
    false_friends: Phrases
    negation: Phrases


class English(msgspec.Struct, frozen=True):
    """All of it; `common` are frequent words, `everyday` the most frequent of them and all filler."""

    filler: Phrases
    kept: Phrases
    filler_phrases: Phrases
    negation: Negation
    context: Context
    people: dict[str, People]
    words: Words
    nouns: Nouns
    synonyms: Synonyms
    looks: Looks
    prices: Prices
    foreign: Foreign
    wishes: tuple[Wish, ...]
    superlatives: tuple[Superlative, ...]
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
def irregular_plurals() -> dict[str, str]:
    """Singular by plural, for words like "mice"."""
    return {plural: singular for singular, plural in english().nouns.irregular.items()}


@cache
def wishes_by_phrase() -> dict[str, Wish]:
    """Which wish a phrase says."""
    return {key_of(phrase): wish for wish in english().wishes for phrase in wish.phrases}


@cache
def superlatives_by_phrase() -> dict[str, Superlative]:
    """Which order a phrase asks for."""
    return {key_of(phrase): each for each in english().superlatives for phrase in each.phrases}


@cache
def currencies() -> dict[str, str]:
    """ISO code by sign, code or word; "" where it could be one of several."""
    told = english().prices.currencies.items()
    return {normalise_text(word): code for code, words in told for word in words}


KEPT: Final = 50_000  # names whose forms are remembered: a vocabulary is built again when products change
SHORTEST_INFLECTED: Final = 3
# What ends so changes there, the first that fits: (plural's end, singular's end).
REPLACED: Final = (
    *(("men", "man"), ("mice", "mouse"), ("geese", "goose"), ("teeth", "tooth"), ("feet", "foot")),
    *(("people", "person"), ("knives", "knife"), ("lives", "life"), ("wives", "wife")),
    *(("elves", "elf"), ("alves", "alf"), ("olves", "olf"), ("arves", "arf"), ("eaves", "eaf")),
)
HISSES: Final = ("ss", "zz", "x", "ch", "sh")  # take "es"
ADDED_ES: Final = tuple(f"{each}es" for each in (*HISSES, "us", "itis", "o"))


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
    return () if is_plural(word) else (plural(word), f"{word}s")


def _singulars(key: str, word: str) -> tuple[str, ...]:
    words = english().words
    if not is_plural(word) or key in words.plural_only or word in words.plural_only:
        return ()
    found = singular(word)
    return () if found is None or found in words.not_singular else (found,)


@lru_cache(KEPT)
def is_plural(key: str) -> bool:
    """Whether the phrase's last word is a plural."""
    word = key.rpartition(" ")[2]
    if not word:
        return False
    return word in english().words.plural_only or singular(word) is not None


def plural(word: str) -> str:  # noqa: PLR0911 - each ending has its answer
    """The plural of a noun in the singular."""
    nouns = english().nouns
    if word in nouns.irregular:
        return nouns.irregular[word]
    if word in nouns.same or word.endswith(nouns.same_endings):
        return word
    if word not in nouns.man_takes_s and not word.endswith("deaf"):
        for many, one in REPLACED:
            if word.endswith(one):
                return word.removesuffix(one) + many
    if word.endswith(HISSES):
        return f"{word}es"
    if word.endswith("z"):
        return f"{word}zes"
    before = word[-2:-1]
    if word.endswith("y") and before not in "aeiou":
        return f"{word[:-1]}ies"
    if word.endswith("o") and before not in "aeiou" and not word.endswith(nouns.o_takes_s):
        return f"{word}es"
    return f"{word}s"


def singular(word: str) -> str | None:  # noqa: PLR0911 - each ending has its answer
    """The singular of a noun in the plural; None for one that is in the singular.

    What ends in a single "s" passes for a plural ("bonus" is of a "bonu"): its form is then one that nobody
    types, and does no harm.
    """
    nouns = english().nouns
    if (found := irregular_plurals().get(word)) is not None:
        return found
    if word in nouns.same or word.endswith(nouns.same_endings):
        return word
    if word in nouns.irregular:
        return None
    if word not in nouns.plural_of_e:
        for many, one in REPLACED:
            if word.endswith(many) and not word.endswith("deaves"):
                return word.removesuffix(many) + one
    if not word.endswith("s") or word.endswith("ss"):
        return None
    if word in nouns.plural_of_e or word.endswith(("houses", "shoes")):
        return word[:-1]
    if word in nouns.plural_of_is:
        return f"{word[:-2]}is"
    if word.endswith("ies"):
        return f"{word[:-3]}y"
    if word.endswith("zzes") and word[:-2] not in nouns.with_es:
        return word[:-3]
    if word.endswith("es") and (word[:-2] in nouns.with_es or word.endswith(ADDED_ES)):
        return word[:-2]
    return word[:-1]


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

    def nearest_word(self, word: str) -> str | None:
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
