"""Plural and singular of a catalogue's names."""

from functools import cache, lru_cache
from typing import Final

import inflect

from services.recommender.search.english import english
from services.recommender.search.tokens import key_of

KEPT: Final = 50_000  # names whose forms are remembered: a vocabulary is built again when products change
SHORTEST: Final = 3


@lru_cache(KEPT)
def forms(key: str) -> tuple[str, ...]:
    """The other forms of a phrase, by its last word; none for numbers and very short words.

    "scarf" gives "scarves" and the "scarfs" that people also type.
    """
    first, _, last = key.rpartition(" ")
    if len(last) < SHORTEST or not last.isalpha():
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
