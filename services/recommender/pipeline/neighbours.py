"""What is near each product by content, remembered: a session's candidates need no question to the index.

The nearest of a session's interest are looked for among the neighbours of its newest products. A product that
changed since its neighbours were asked for may have become one: those are candidates, too, whatever they are.

An answer that is further behind than changes are kept is asked for anew. Where products change faster than
visitors click that would be nearly all: then it is one a row, the one furthest behind, and all others are
used as they are, with the newest changes. A row costs what it does in a shop that stands still, and one
question.
"""

from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final

import numpy as np
from cachetools import LRUCache

from schemas.vectors import Layout, Matrix
from services.model.content import Weights
from services.product_numbers import CHANGES_KEPT, Ints
from services.recommender.index.port import NONE, Hit, Where
from services.recommender.pipeline.candidate_list import distinct
from services.vector_replica import VectorReplica

STEP: Final = 100  # neighbours of a product: so many, or twice, … as long rows need
PRODUCTS_MAX: Final = 50_000  # whose neighbours are remembered: 30 MB
QUESTIONS_MAX: Final = 1_000
SPARE: Final = 50  # answers that rows before did not have asked for anew: after a load all are at once
UNWRITTEN: Final = 64  # changes that a server may not have been told of yet when it is asked
NOBODY: Final[Ints] = np.empty(0, np.int32)

Ask = Callable[[Matrix, int, Where], Awaitable[list[list[Hit]] | None]]
Answer = tuple[int, Ints]  # the changes that it has seen, and the products
Key = tuple[int, int]  # the question's number and the product's


@dataclass(frozen=True, slots=True)
class NeighbourQuestion:
    """For so many products with these filters, near by these weights of segments; `number` stands for it."""

    number: int
    count: int
    where: Where
    weights: Weights


class Neighbours:
    """Asks for the neighbours of a product once, and now and then again when too much has changed since."""

    def __init__(self, replica: VectorReplica, layout: Layout, ask: Ask, *, lags: bool) -> None:
        """`lags`: what answers may not know yet what is known here."""
        self._replica = replica
        self._numbers = replica.numbers
        self._layout = layout
        self._ask = ask
        self._unseen = UNWRITTEN if lags else 0
        self._answers: dict[Key, Answer] = {}  # the oldest first
        self._questions: LRUCache[Hashable, NeighbourQuestion] = LRUCache(QUESTIONS_MAX)
        self._asked = 0
        self._spare = SPARE

    def question(self, weights: Weights, count: int, where: Where) -> NeighbourQuestion:
        """The same for the same. `exclude` is no part of it: it changes with every click."""
        count = -(-count // STEP) * STEP
        everyone = replace(where, exclude=NONE)
        key = (count, everyone, tuple([weights.get(name, 0.0) for name, _ in self._layout.widths]))
        found = self._questions.get(key)
        if found is None:
            found = self._questions[key] = NeighbourQuestion(self._asked, count, everyone, weights)
            self._asked += 1
        return found

    async def of(self, question: NeighbourQuestion, groups: Sequence[Ints]) -> list[Ints] | None:
        """For each group of products, which have vectors, those near any of them, no two alike.

        None while they are not known and the index is away.
        """
        keys = [[(question.number, number) for number in group.tolist()] for group in groups]
        missing = [key for key in dict.fromkeys(chain(*keys)) if key not in self._answers]
        self._spare = min(self._spare + 1, SPARE)
        behind = self._furthest_behind(chain(*keys))
        self._spare -= len(behind)
        due = [*missing, *behind]
        known = {key: answer for key in chain(*keys) if (answer := self._answers.get(key)) is not None}
        if due:
            found = await self._ask_all(question, due)
            if found is None and missing:
                return None
            known |= found or {}
        return [self._union([known[key] for key in group]) for group in keys]

    def _furthest_behind(self, keys: Iterable[Key]) -> list[Key]:
        """Answers that more has changed since than is kept, as many as may be asked for anew."""
        kept = self._numbers.changes - CHANGES_KEPT
        known = {key: answer[0] for key in keys if (answer := self._answers.get(key)) is not None}
        behind = [(seen, key) for key, seen in known.items() if seen < kept]
        return [key for _, key in sorted(behind)[: self._spare]]

    async def _ask_all(self, question: NeighbourQuestion, keys: Sequence[Key]) -> dict[Key, Answer] | None:
        seen = max(self._numbers.changes - self._unseen, 0)
        vectors = self._replica.units_of(np.array([number for _, number in keys], dtype=np.int32))
        queries = self._layout.apply_weights(vectors, question.weights)
        found = await self._ask(queries, question.count, question.where)
        if found is None:
            return None
        return {
            key: self._remember(key, (seen, self._numbers.number_all(hit.product_id for hit in hits)))
            for key, hits in zip(keys, found, strict=True)
        }

    def _remember(self, key: Key, answer: Answer) -> Answer:
        self._answers.pop(key, None)
        self._answers[key] = answer
        if len(self._answers) > PRODUCTS_MAX:
            del self._answers[next(iter(self._answers))]
        return answer

    def _union(self, answers: Sequence[Answer]) -> Ints:
        if not answers:
            return NOBODY
        changed = self._numbers.changes_since(min(seen for seen, _ in answers))
        return distinct(np.concatenate([changed, *(near for _, near in answers)]), len(self._numbers))
