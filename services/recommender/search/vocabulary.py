"""A catalogue's own words: which phrase names which brand, category, type or tag."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, Literal

from schemas.products import Product
from services.recommender.catalogue import Catalogue
from services.recommender.search.names import ProductNames, name_words
from services.recommender.search.right_words import is_gibberish, language_of, right_words
from services.recommender.search.text import SHORTEST_CORRECTED, Spelling, english, forms, key_of

Kind = Literal["type", "category", "tag", "brand"]
Path = tuple[str, ...]

KINDS: Final[tuple[Kind, ...]] = ("type", "category", "tag", "brand")  # what a word rather is, first
COMPANY_WORDS: Final = frozenset({"co", "company", "inc", "ltd", "llc", "gmbh", "ag", "corp", "sa", "and"})
LONGEST: Final = 8  # words in a phrase; a longer name is no name that somebody types
SHORTEST_JOINED: Final = 6  # letters of words run together or apart: "sleepingbag", "back pack"

# How sure a word is what it says: the catalogue's own, another word for it, a shade or a part of a name.
OWN: Final = 0
SYNONYM: Final = 1
NARROWER: Final = 2


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a phrase can stand for: the catalogue's values, the most frequent first; category paths by "/"."""

    kind: Kind
    values: tuple[str, ...]
    level: int = OWN
    people: bool = False
    relative: bool = False  # "husband": means a category only where the thing asked for lies in it

    @property
    def spelling(self) -> str:
        """As the catalogue mostly writes it."""
        return self.values[0]


@dataclass(frozen=True, slots=True)
class Summary:
    """The most frequent names of each kind, for somebody who cannot hold them all."""

    brands: tuple[str, ...]
    categories: tuple[str, ...]
    types: tuple[str, ...]
    tags: tuple[str, ...]


class Vocabulary:
    """Looked up by phrase. Made once from all products; it does not change."""

    def __init__(self, names: "_Names", products: ProductNames) -> None:
        self._phrases = _phrases(names)
        self._joined = {
            key.replace(" ", ""): key for key in self._phrases if len(key.replace(" ", "")) >= SHORTEST_JOINED
        }
        self._names = names
        self._products = products
        self.longest = max((key.count(" ") + 1 for key in self._phrases), default=0)
        words = _words(self._phrases, names)
        self._words = frozenset(word for key in self._phrases for word in key.split())
        self._spelling = Spelling(words)
        right_words()  # read now, and not with the first search

    @classmethod
    def of(cls, products: Iterable[Product]) -> "Vocabulary":
        """The words of these products."""
        products = tuple(products)
        return cls(_Names.of(products), ProductNames.of(products))

    def meanings(self, key: str) -> tuple[Meaning, ...]:
        """What a phrase can stand for, the likeliest first; none for an unknown one."""
        return self._phrases.get(key, ())

    def phrase_of_letters(self, letters: str) -> tuple[str, ...]:
        """The words of the known phrase with these letters, however spaced; none for an unknown one."""
        key = self._joined.get(letters)
        return tuple(key.split()) if key else ()

    def knows_word(self, word: str) -> bool:
        """Whether some phrase has the word in it."""
        return word in self._words

    def products_called(self, query: str) -> tuple[str, ...]:
        """The products whose whole name or id it is."""
        return self._products.find(query)

    def is_nonsense(self, words: str) -> bool:
        """Whether all of them are letters of no word; numbers and the shortest words say nothing of it."""
        found = [word for word in name_words(words) if len(word) >= SHORTEST_CORRECTED and word.isalpha()]
        return bool(found) and all(
            is_gibberish(word)
            and not (word in self._words or word in self._products.words or _is_english(word))
            for word in found
        )

    def correct(self, word: str) -> str | None:
        """What a mistyped word was meant to be; None for a right or a hopeless one.

        Right is what the catalogue has, and every word of English and the other big European languages: a
        "dresser" is no dress, and "homme" is not at home.
        """
        if word in self._words or word in self._products.words or _is_english(word) or language_of(word):
            return None
        return self._spelling.nearest_word(word)

    def has(self, kind: Kind, value: str) -> bool:
        """Whether the catalogue has exactly this value."""
        return value in self._names.counts[kind]

    def has_type_in(self, kind: str, path: str) -> bool:
        """Whether a product of this type lies in this category."""
        return path in self._names.paths_of_type.get(kind, ())

    @cached_property
    def _frequent(self) -> dict[Kind, tuple[str, ...]]:
        return {kind: tuple(name for name, _ in self._names.counts[kind].most_common()) for kind in KINDS}

    def summary(self, most: int) -> Summary:
        """At most so many names of each kind."""
        frequent = self._frequent
        return Summary(
            brands=frequent["brand"][:most],
            categories=frequent["category"][:most],
            types=frequent["type"][:most],
            tags=frequent["tag"][:most],
        )


@dataclass(frozen=True, slots=True)
class _Names:
    """How many products have each value, and in which categories each type is sold."""

    counts: dict[Kind, Counter[str]]
    paths: dict[str, Path]  # of every category, as steps
    paths_of_type: dict[str, set[str]]

    @classmethod
    def of(cls, products: Iterable[Product]) -> "_Names":
        brands, tags, shelves = Counter[str](), Counter[str](), Counter[tuple[str | None, Path]]()
        for product in products:
            if product.brand:
                brands[product.brand] += 1
            tags.update(product.tags)
            shelves[product.type, product.category] += 1
        types, categories = Counter[str](), Counter[str]()
        paths: dict[str, Path] = {}
        paths_of_type: dict[str, set[str]] = defaultdict(set)
        for (kind, shelf), count in shelves.items():
            prefixes = [shelf[: length + 1] for length in range(len(shelf))]
            names = ["/".join(prefix) for prefix in prefixes]
            paths.update(zip(names, prefixes, strict=True))
            categories.update(dict.fromkeys(names, count))
            if kind:
                types[kind] += count
                paths_of_type[kind].update(names)
        counts: dict[Kind, Counter[str]] = {
            "type": types,
            "category": categories,
            "tag": tags,
            "brand": brands,
        }
        return cls(counts, paths, dict(paths_of_type))


Values = dict[Kind, dict[str, list[str]]]  # kind → phrase → the catalogue's values


def _phrases(names: _Names) -> dict[str, tuple[Meaning, ...]]:
    own = _own(names)
    found: dict[str, dict[tuple[Kind, int], Meaning]] = defaultdict(dict)
    for kind, by_key in own.items():
        for key, values in by_key.items():
            found[key][kind, OWN] = Meaning(kind, _order(kind, values, names))
    for key, meaning in _parts(names, found):
        found[key].setdefault((meaning.kind, meaning.level), meaning)
    for key, meaning in _people(names):
        own_paths = found[key].get(("category", OWN))
        found[key][meaning.kind, meaning.level] = (
            replace(meaning, values=own_paths.values) if own_paths else meaning
        )
    for key, meaning in list(_synonyms(found)):
        found[key].setdefault((meaning.kind, meaning.level), meaning)
    return {key: tuple(sorted(by.values(), key=_likeliest)) for key, by in found.items()}


def _order(kind: Kind, values: Iterable[str], names: _Names) -> tuple[str, ...]:
    """Shelves by name, all else by how many products have it."""
    if kind == "category":
        return tuple(sorted(set(values)))
    return tuple(sorted(set(values), key=lambda value: (-names.counts[kind][value], value)))


def _likeliest(meaning: Meaning) -> tuple[int, int]:
    return (meaning.level, KINDS.index(meaning.kind))


def _own(names: _Names) -> Values:
    """The catalogue's names and their plural, singular and possessive."""
    own: Values = {kind: defaultdict(list) for kind in KINDS}
    for kind in KINDS:
        for value in names.counts[kind]:
            name = names.paths[value][-1] if kind == "category" else value
            for key in _keys(kind, name):
                own[kind][key].append(value)
    for shelf in list(own["category"]):  # a shelf of one type: all forms of its name are the type
        for kind_of_shelf in own["type"].get(shelf, ()):
            for form in forms(shelf):
                if kind_of_shelf not in own["type"].get(form, ()):
                    own["type"][form].append(kind_of_shelf)
    return own


def _keys(kind: Kind, name: str) -> set[str]:
    key = key_of(name)
    if not key or key.count(" ") >= LONGEST:
        return set()
    keys = {key, *_without_and(key)}
    if kind == "brand":
        short = " ".join(word for word in key.split() if word not in COMPANY_WORDS)
        keys |= {short} if short and short not in english().everyday else set()
        return keys | {
            f"{each}s" for each in keys if len(each) > 2 and each[-1] != "s" and each[-1].isalpha()
        }
    return keys | {form for each in tuple(keys) for form in forms(each)}


def _without_and(key: str) -> set[str]:
    if "and" not in key:
        return set()
    bare = " ".join(word for word in key.split() if word != "and")
    return {bare} if bare else set()


def _parts(names: _Names, known: Mapping[str, object]) -> Iterator[tuple[str, Meaning]]:
    """ "Skirts" of a shelf "Dresses & skirts" where nothing else is called so."""
    found: dict[str, list[str]] = defaultdict(list)
    for value in names.counts["category"]:
        key = key_of(names.paths[value][-1])
        for part in key.split(" and ") if " and " in key else ():
            for form in (part, *forms(part)):
                if form not in known and form not in english().filler:
                    found[form].append(value)
    for key, values in found.items():
        yield key, Meaning("category", tuple(sorted(values)), NARROWER)


def _people(names: _Names) -> Iterator[tuple[str, Meaning]]:
    """Every word for the people that a category is for: "ladies" for "Women's clothing"."""
    for people in english().people.values():
        paths = tuple(
            sorted(
                value for value in names.counts["category"] if _is_for(names.paths[value][-1], people.words)
            )
        )
        if paths:
            for word in people.words:
                yield word, Meaning("category", paths, OWN, people=True)
            for word in people.relatives:
                yield word, Meaning("category", paths, SYNONYM, people=True, relative=True)


def _is_for(step: str, people: frozenset[str]) -> bool:
    words = set(key_of(step).split()) - english().words.clothing
    return bool(words) and words <= people


def _synonyms(found: Mapping[str, Mapping[tuple[Kind, int], Meaning]]) -> Iterator[tuple[str, Meaning]]:
    """Other words for what the catalogue has; a word of its own is never reinterpreted."""
    known = {
        key: [m for m in by.values() if m.level == OWN and m.kind != "brand"] for key, by in found.items()
    }
    told = english().synonyms
    rows = [(row, row, SYNONYM) for row in told.same]
    rows += [((shade,), colours, NARROWER) for shade, colours in told.shades.items()]
    for words, targets, level in rows:
        target = next((key for each in targets if known.get(key := key_of(each))), None)
        for word in words if target else ():
            key = key_of(word)
            for each in (key, *forms(key)):
                if not known.get(each):
                    yield from ((each, Meaning(m.kind, m.values, level)) for m in known[str(target)][:1])


def _words(phrases: Mapping[str, tuple[Meaning, ...]], names: _Names) -> list[str]:
    """Words that a mistyped one can have meant: the catalogue's own first, and of those the frequent."""
    found: dict[str, tuple[int, int]] = {}
    for key, meanings in phrases.items():
        first = meanings[0]
        if not first.relative:  # "wite" is no wife
            rank = (first.level, -max(names.counts[first.kind][value] for value in first.values))
            for word in key.split():
                found[word] = min(found.get(word, rank), rank)
    return sorted(found, key=lambda word: (found[word], word))


def _is_english(word: str) -> bool:
    """A right word of the language, though not of the catalogue."""
    told = english()
    stems = (
        word,
        word.removesuffix("s"),
        word.removesuffix("es"),
        word.removesuffix("ed"),
        word.removesuffix("ing"),
    )
    said = word in told.filler or word in told.negation.triggers or word in told.words.right
    return said or any(stem in told.common for stem in stems)


EVERY_S: Final = 2.0  # a new brand is understood so late at most


class Vocabularies:
    """`newest` is never changed: a new one takes its place."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.newest = Vocabulary.of(())
        self._catalogue = catalogue
        self._of = -1

    async def renew(self) -> None:
        """Builds it anew where the catalogue's words have changed."""
        wording = self._catalogue.wording
        if wording != self._of:
            self.newest = await asyncio.to_thread(Vocabulary.of, self._catalogue.products())
            self._of = wording

    async def run(self) -> None:
        """Again and again, for ever."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.renew()
