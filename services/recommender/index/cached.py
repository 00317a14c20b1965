"""VectorIndex that remembers answers until the index changes: of a session's interests a click moves one."""

from collections.abc import Sequence
from typing import Final

from cachetools import LRUCache

from schemas.products import Product
from schemas.vectors import Vector
from services.recommender.index.port import Hit, VectorIndex, Where

ANSWERS_MAX: Final = 2_000  # about 100 hits each: 20 MB

Question = tuple[bytes, int, Where]


class CachedIndex:
    """Around an index that nobody else writes to.

    The decay of a session's events weighs all of another interest alike, so its unit vector stays the same to
    the byte when a click moves one interest: two of three questions have been asked before.
    """

    def __init__(self, index: VectorIndex) -> None:
        self._index = index
        self._answers: LRUCache[Question, list[Hit]] = LRUCache(ANSWERS_MAX)
        self.remote = index.remote

    def upsert(self, products: Sequence[tuple[Product, Vector]]) -> None:
        """Adds or replaces products; all answers are forgotten."""
        self._answers.clear()
        self._index.upsert(products)

    def remove(self, product_ids: Sequence[str]) -> None:
        """Removes products; all answers are forgotten."""
        self._answers.clear()
        self._index.remove(product_ids)

    def nearest(self, query: Vector, k: int, where: Where) -> list[Hit]:
        """The k best products."""
        return self.nearest_many([query], k, where)[0]

    def nearest_many(self, queries: Sequence[Vector], k: int, where: Where) -> list[list[Hit]]:
        """One answer a query; only what is new is asked."""
        questions: list[Question] = [(query.tobytes(), k, where) for query in queries]
        known = {question: self._answers[question] for question in questions if question in self._answers}
        new = {
            question: query
            for question, query in zip(questions, queries, strict=True)
            if question not in known
        }
        if new:
            found = self._index.nearest_many(list(new.values()), k, where)
            fresh = dict(zip(new, found, strict=True))
            self._answers.update(fresh)
            known |= fresh
        return [known[question] for question in questions]

    def count(self) -> int:
        """Products in the index."""
        return self._index.count()

    def optimise(self) -> None:
        """Makes later queries faster; answers may be other, nearly as good ones."""
        self._answers.clear()
        self._index.optimise()

    def close(self) -> None:
        """Gives back what it holds."""
        self._index.close()
