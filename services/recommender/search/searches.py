"""One search: what its words were understood as, what the caller says instead, and their vectors."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

import msgspec

from services.recommender.search.inferred import Inferred
from services.recommender.search.understanding import UnderstoodBy
from services.recommender.vector_index import Where
from services.recommender.words import Words, WordVector

# Query parameter → what of the understanding it stands in for: given, even empty, the caller's word counts.
OVERRIDES: Final[Mapping[str, str]] = {
    "description": "description",
    "price_min": "price_min",
    "price_max": "price_max",
    "price_near": "price_near",
    "category": "categories",
    "brand": "brands",
    "type": "types",
    "tag": "tags",
    "without_category": "not_categories",
    "without_brand": "not_brands",
    "without_type": "not_types",
    "without_tag": "not_tags",
}


@dataclass(frozen=True, slots=True)
class Search:
    """`words` are None where there are none to look for, or where nobody turns them into vectors."""

    inferred: Inferred
    by: UnderstoodBy = "parser"
    words: WordVector | None = None

    @property
    def lacks_words(self) -> bool:
        """Whether there are words that nobody could turn into vectors."""
        return bool(self.inferred.description) and self.words is None

    def narrowed(self, where: Where) -> Where:
        """The request's own filters, and those that the words ask for."""
        told = self.inferred
        return replace(
            where,
            price_min=told.price_min if where.price_min is None else where.price_min,
            price_max=told.price_max if where.price_max is None else where.price_max,
            category=where.category or frozenset(told.categories),
            brand=where.brand or frozenset(told.brands),
            type=where.type or frozenset(told.types),
            without_category=where.without_category | frozenset(told.not_categories),
            without_brand=where.without_brand | frozenset(told.not_brands),
            without_type=where.without_type | frozenset(told.not_types),
            without_tag=where.without_tag | frozenset(told.not_tags),
        )


class Understands(Protocol):
    """Turns words into parameters, and tells what did."""

    async def understand(self, query: str) -> tuple[Inferred, UnderstoodBy]:
        """Never fails: words that nobody understands are the description."""


class Searcher:
    """Understands searches and fetches the vectors of their words. Both remember; neither ever fails."""

    def __init__(self, understanding: Understands, words: Words) -> None:
        self._understanding = understanding
        self._words = words

    async def search(self, query: str, overrides: Mapping[str, object] | None = None) -> Search:
        """`overrides` are fields of Inferred that the caller sets instead."""
        inferred, by = await self._understanding.understand(query)
        if overrides:
            inferred = msgspec.structs.replace(inferred, **overrides)
        words = await self._words.vectors(inferred.description) if inferred.description else None
        return Search(inferred, by, words)
