"""One search: what its words were understood as, what the caller says instead, and their vectors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, Protocol

import msgspec
from cachetools import TTLCache

from services.recommender.index.port import Where
from services.recommender.search.language_model import LanguageModelFailed, ground
from services.recommender.search.parser import parse
from services.recommender.search.query import Inferred
from services.recommender.search.query_vectors import WordVector, WordVectorClient
from services.recommender.search.vocabulary import Vocabulary

UnderstoodBy = Literal["model", "parser"]

REMEMBERED: Final = 10_000
REMEMBERED_S: Final = 3_600  # the catalogue's names change, and the model was told the old ones
FAILURES_MAX: Final = 3  # in a row
REST_S: Final = 30.0


class InferencePort(Protocol):
    """What a language model does."""

    async def infer(self, query: str, vocabulary: Vocabulary) -> Inferred:
        """Raises LanguageModelFailed."""


class FallbackInterpreter:
    """Never fails and never asks twice for what it was told: a model's answers are kept.

    After `failures_max` failures in a row the model is left alone for `rest_s`; then one search tries it, and
    the others are parsed until it has answered. `clock` gives seconds that only grow; `vocabulary` the one of
    now; `failed` hears the reason of every failure.
    """

    def __init__(
        self,
        *,
        vocabulary: Callable[[], Vocabulary],
        clock: Callable[[], float],
        model: InferencePort | None = None,
        failed: Callable[[str], None] = lambda _reason: None,
        remembered: int = REMEMBERED,
        remembered_s: float = REMEMBERED_S,
        failures_max: int = FAILURES_MAX,
        rest_s: float = REST_S,
    ) -> None:
        self._vocabulary = vocabulary
        self._clock = clock
        self._model = model
        self._failed = failed
        self._failures_max = failures_max
        self._rest_s = rest_s
        self._failures = 0
        self._rests_until: float | None = None
        self._answers: TTLCache[str, Inferred] = TTLCache(remembered, remembered_s, timer=clock)

    async def understand(self, query: str) -> tuple[Inferred, UnderstoodBy]:
        """The parameters, and who told them."""
        words, vocabulary = " ".join(query.split()), self._vocabulary()
        told = self._answers.get(words) if words else None
        if told is None and words and self._model is not None and self._may_ask():
            told = await self._ask(self._model, words, vocabulary)
        if told is None:
            return parse(query, vocabulary), "parser"
        return ground(told, self._vocabulary()), "model"

    def _may_ask(self) -> bool:
        if self._rests_until is None:
            return True
        if self._clock() < self._rests_until:
            return False
        self._rests_until = (
            self._clock() + self._rest_s
        )  # this search tries; the next ones wait for how it goes
        return True

    async def _ask(self, model: InferencePort, words: str, vocabulary: Vocabulary) -> Inferred | None:
        try:
            told = await model.infer(words, vocabulary)
        except LanguageModelFailed as failure:
            self._failed(failure.reason)
            self._failures += 1
            if self._failures >= self._failures_max:
                self._rests_until = self._clock() + self._rest_s
            return None
        self._failures, self._rests_until = 0, None
        self._answers[words] = told
        return told


# Query parameter → what of the understanding it stands in for: given, even empty, the caller's word counts.
OVERRIDES: Final[Mapping[str, str]] = {
    "description": "description",
    "price_min": "price_min",
    "price_max": "price_max",
    "price_near": "price_near",
    "order": "order",
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
    """`words` are None where there are none to look for, or where nobody turns them into vectors.

    `named` are the products whose id or whole name the query is; `is_nonsense`: its words are of no language.
    """

    inferred: Inferred
    by: UnderstoodBy = "parser"
    words: WordVector | None = None
    named: tuple[str, ...] = ()
    is_nonsense: bool = False

    @property
    def lacks_words(self) -> bool:
        """Whether there are words that nobody could turn into vectors."""
        return bool(self.inferred.description) and self.words is None

    def narrow(self, where: Where) -> Where:
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


_EMPTY: Final = Vocabulary.of(())


class QueryInterpreter(Protocol):
    """Turns words into parameters, and tells what did."""

    async def understand(self, query: str) -> tuple[Inferred, UnderstoodBy]:
        """Never fails: words that nobody understands are the description."""


class Searcher:
    """Understands searches and fetches the vectors of their words. Both remember; neither ever fails."""

    def __init__(
        self,
        understanding: QueryInterpreter,
        words: WordVectorClient,
        vocabulary: Callable[[], Vocabulary] = lambda: _EMPTY,
    ) -> None:
        self._understanding = understanding
        self._words = words
        self._vocabulary = vocabulary

    async def search(self, query: str, overrides: Mapping[str, object] | None = None) -> Search:
        """`overrides` are fields of Inferred that the caller sets instead."""
        inferred, by = await self._understanding.understand(query)
        if overrides:
            inferred = msgspec.structs.replace(inferred, **overrides)
        words = await self._words.vectors(inferred.description) if inferred.description else None
        vocabulary = self._vocabulary()
        is_described = not (inferred.types or inferred.categories or inferred.brands or inferred.tags)
        return Search(
            inferred,
            by,
            words,
            vocabulary.products_called(query),
            is_described and vocabulary.is_nonsense(inferred.description),
        )
