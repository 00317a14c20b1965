"""Who understands a search's words: the language model where there is one that answers, else the parser."""

from collections.abc import Callable
from typing import Final, Literal, Protocol

from cachetools import TTLCache

from services.recommender.search.grounding import grounded
from services.recommender.search.inferred import Inferred
from services.recommender.search.language_model import LanguageModelFailed
from services.recommender.search.parser import parse
from services.recommender.search.vocabulary import Vocabulary

UnderstoodBy = Literal["model", "parser"]

REMEMBERED: Final = 10_000
REMEMBERED_S: Final = 3_600  # the catalogue's names change, and the model was told the old ones
FAILURES_MAX: Final = 3  # in a row
REST_S: Final = 30.0


class Infers(Protocol):
    """What a language model does."""

    async def infer(self, query: str, vocabulary: Vocabulary) -> Inferred:
        """Raises LanguageModelFailed."""


class Understanding:
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
        model: Infers | None = None,
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
        return grounded(told, self._vocabulary()), "model"

    def _may_ask(self) -> bool:
        if self._rests_until is None:
            return True
        if self._clock() < self._rests_until:
            return False
        self._rests_until = (
            self._clock() + self._rest_s
        )  # this search tries; the next ones wait for how it goes
        return True

    async def _ask(self, model: Infers, words: str, vocabulary: Vocabulary) -> Inferred | None:
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
