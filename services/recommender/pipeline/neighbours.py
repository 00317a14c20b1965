"""What is near each product by content, remembered: a session's candidates need no question to the index.

The nearest of a session's interest are looked for among the neighbours of its newest products. A product that
changed since its neighbours were asked for may have become one: those are candidates, too, whatever they are.
"""

from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, replace
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
UNWRITTEN: Final = 64  # changes that a server may not have been told of yet when it is asked
NOBODY: Final[Ints] = np.empty(0, np.int32)

Ask = Callable[[Matrix, int, Where], Awaitable[list[list[Hit]] | None]]
Answer = tuple[int, Ints]  # the changes that it has seen, and the products


@dataclass(frozen=True, slots=True)
class NeighbourQuestion:
    """For so many products with these filters, near by these weights of segments; `number` stands for it."""

    number: int
    count: int
    where: Where
    weights: Weights


class Neighbours:
    """Asks for the neighbours of a product once, and again when too much has changed to add it one by one."""

    def __init__(self, replica: VectorReplica, layout: Layout, ask: Ask, *, lags: bool) -> None:
        """`lags`: what answers may not know yet what is known here."""
        self._replica = replica
        self._numbers = replica.numbers
        self._layout = layout
        self._ask = ask
        self._unseen = UNWRITTEN if lags else 0
        self._answers: dict[tuple[int, int], Answer] = {}  # by question and product, the oldest first
        self._questions: LRUCache[Hashable, NeighbourQuestion] = LRUCache(QUESTIONS_MAX)
        self._asked = 0

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
        known = {number: self._fresh(question, number) for group in groups for number in group.tolist()}
        missing = [number for number, answer in known.items() if answer is None]
        if missing:
            seen = max(self._numbers.changes - self._unseen, 0)
            vectors = self._replica.units_of(np.array(missing, dtype=np.int32))
            queries = self._layout.apply_weights(vectors, question.weights)
            found = await self._ask(queries, question.count, question.where)
            if found is None:
                return None
            for number, hits in zip(missing, found, strict=True):
                near = self._numbers.number_all(hit.product_id for hit in hits)
                known[number] = self._remember((question.number, number), (seen, near))
        return [self._union([known[number] for number in group.tolist()]) for group in groups]

    def _remember(self, key: tuple[int, int], answer: Answer) -> Answer:
        self._answers.pop(key, None)
        self._answers[key] = answer
        if len(self._answers) > PRODUCTS_MAX:
            del self._answers[next(iter(self._answers))]
        return answer

    def _fresh(self, question: NeighbourQuestion, number: int) -> Answer | None:
        answer = self._answers.get((question.number, number))
        is_fresh = answer is not None and self._numbers.changes - answer[0] <= CHANGES_KEPT
        return answer if is_fresh else None

    def _union(self, answers: Sequence[Answer | None]) -> Ints:
        there = [answer for answer in answers if answer is not None]
        if not there:
            return NOBODY
        changed = self._numbers.changes_since(min(seen for seen, _ in there))
        return distinct(np.concatenate([changed, *(near for _, near in there)]), len(self._numbers))
