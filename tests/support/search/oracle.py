"""Whether a hard filter was asked for: an oracle that knows names, and nothing of how sentences are read."""

import re
from collections.abc import Iterable, Iterator
from functools import cache

from services.recommender.search.query import Inferred
from services.recommender.search.text import english, key_of, normalise_text

COMPANY = {"co", "company", "inc", "ltd", "and"}
# Ends of a singular and of its plural.
ENDINGS = [
    ("", "s"),
    ("", "es"),
    ("y", "ies"),
    ("f", "ves"),
    ("fe", "ves"),
    ("man", "men"),
    ("child", "children"),
]


def find_unasked_filters(query: str, told: Inferred) -> list[str]:
    """The hard filters that no words of the query stand for."""
    words = _words(query, told.corrections)
    found = [
        f"{field} {value}"
        for field in ("brands", "types", "not_brands", "not_types", "not_tags")
        for value in getattr(told, field)
        if not _is_said(_surfaces(value), words)
    ]
    for path in (*told.categories, *told.not_categories):
        if not _is_said(_surfaces(path.rpartition("/")[2]), words):
            found.append(f"category {path}")
    return found + _find_unasked_prices(query, told)


def _words(query: str, corrections: dict[str, str]) -> list[list[str]]:
    """The query as typed, and as corrected."""
    corrected = {normalise_text(typed): meant for typed, meant in corrections.items()}
    typed = key_of(query).split()
    return [typed, [part for word in typed for part in corrected.get(word, word).split()]]


def _is_said(surfaces: Iterable[str], readings: list[list[str]]) -> bool:
    """Whether some run of whole words is a surface, whatever the spaces."""
    runs = {run for words in readings for run in _runs(words)}
    return any(surface.replace(" ", "") in runs for surface in surfaces)


def _runs(words: list[str]) -> Iterator[str]:
    for start in range(len(words)):
        for end in range(start + 1, min(start + 9, len(words)) + 1):
            yield "".join(words[start:end])
            yield "".join(word for word in words[start:end] if word != "and")


@cache
def _surfaces(name: str) -> frozenset[str]:
    key = key_of(name)
    bare = " ".join(word for word in key.split() if word not in COMPANY)
    names = {key, bare, *key.split(" and ")}
    names |= {form for each in tuple(names) for form in _numbers(each)}
    told = english()
    for row in told.synonyms.same:
        keys = {key_of(each) for each in row}
        if keys & names:
            names |= keys | {form for each in keys for form in _numbers(each)}
    for people in told.people.values():
        if (set(key.split()) - told.words.clothing) <= people.words:
            names |= people.words | people.relatives
    return frozenset(names)


def _numbers(key: str) -> set[str]:
    """Plural, singular and possessive, by rules of its own: whatever may be a form counts as one."""
    first, _, last = key.rpartition(" ")
    if len(last) < 3:
        return set()
    plurals = {last.removesuffix(one) + many for one, many in ENDINGS if last.endswith(one)}
    singulars = {last.removesuffix(many) + one for one, many in ENDINGS if last.endswith(many)}
    return {f"{first} {form}".strip() for form in plurals | singulars}


def _find_unasked_prices(query: str, told: Inferred) -> list[str]:
    prices = english().prices
    words = set(key_of(query).split())
    in_words = (prices.numbers, prices.foreign_numbers, prices.scales, prices.slang)
    if any(words & told_words.keys() for told_words in in_words):
        return []
    if told.price_near is not None:
        bounds = [told.price_near]
        if told.price_min not in {None, round(told.price_near * 0.8, 2)}:
            bounds.append(told.price_min or 0)
        if told.price_max not in {None, round(told.price_near * 1.2, 2)}:
            bounds.append(told.price_max or 0)
    else:
        bounds = [bound for bound in (told.price_min, told.price_max) if bound is not None]
    digits = re.sub(r"[^\d]", "", re.sub(r"(\d)\s*k\b", r"\g<1>000", query))
    return [f"price {bound}" for bound in bounds if _digits(bound) not in digits]


def _digits(bound: float) -> str:
    return f"{bound:.2f}".rstrip("0").replace(".", "").lstrip("0")
