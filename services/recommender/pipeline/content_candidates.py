"""Asks the vector index: the only step of a row that may leave this process."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress
from typing import Final

import numpy as np
import structlog
from cachetools import LRUCache

from schemas.sessions import SESSION_EVENTS_MAX
from schemas.vectors import Layout, Matrix, Vector
from services.model.content import Weights
from services.product_numbers import Ints
from services.recommender.catalogue import Catalogue
from services.recommender.index.port import NONE, Hit, IndexAway, RemoteIndex, VectorIndex, Where
from services.recommender.metrics import Metrics
from services.recommender.pipeline.candidate_list import CandidateList, dot_products
from services.recommender.pipeline.neighbours import Neighbours
from services.tracing.port import Kind, begin_child, run
from services.vector_replica import VectorReplica

log = structlog.get_logger()

INDEX_QUERY: Final = {  # OpenTelemetry's names for a question to a database
    "db.system.name": "qdrant",
    "db.operation.name": "query",
    "db.collection.name": "products",
}
SCORED_MAX: Final = 2_000  # interests of sessions: 5 KB each
Scored = tuple[int, bytes, bytes]  # the question, what the interest is like, and its products


@dataclass(frozen=True, slots=True)
class InterestQuery:
    """What an interest of a session is like, how much it counts, and its newest products, by number."""

    query: Vector
    weight: float
    products: Ints


class ContentRetriever:
    """Candidates by content that may be shown at this very moment."""

    def __init__(
        self,
        catalogue: Catalogue,
        index: VectorIndex,
        replica: VectorReplica,
        layout: Layout,
        metrics: Metrics,
    ) -> None:
        self._catalogue = catalogue
        self._index = index
        self._remote = index if isinstance(index, RemoteIndex) else None
        self._span_kind = Kind.INTERNAL if self._remote is None else Kind.CLIENT
        self._replica = replica
        self._metrics = metrics
        self._scored: LRUCache[Scored, tuple[int, CandidateList]] = LRUCache(SCORED_MAX)
        self._neighbours = Neighbours(replica, layout, self._answers, lags=index.remote)

    async def nearest(self, query: Vector, k: int, where: Where) -> list[Hit] | None:
        """For a row of k, best first; None while the index is away.

        Every filter is part of the question but what is excluded: that is another for every visitor and page,
        and the answer to one is to do for all.
        """
        wanted, question = 2 * k + SESSION_EVENTS_MAX, replace(where, exclude=NONE)
        while (found := await self._answers([query], wanted, question)) is not None:
            [hits] = found
            allowed = self._filter_allowed(hits, where)
            if len(allowed) >= k or len(hits) < wanted:
                return allowed
            wanted *= 4  # the index lags far behind: of what it finds most may not be shown any more
        return None

    async def nearest_each(
        self, interests: Sequence[InterestQuery], weights: Weights, k: int, where: Where
    ) -> list[CandidateList] | None:
        """For each interest what is near its products, in the order of the interest itself; None while away.

        Filters are part of the question, but answers may be old: who shows them has to look once more, also
        for what is excluded.
        """
        wanted = 2 * k + max(SESSION_EVENTS_MAX, len(where.exclude))
        question = self._neighbours.question(weights, wanted, where)
        keys = [(question.number, each.query.tobytes(), each.products.tobytes()) for each in interests]
        known = {nth: found for nth, key in enumerate(keys) if (found := self._find_scored(key)) is not None}
        new = [nth for nth in range(len(keys)) if nth not in known]
        if new:
            near = await self._neighbours.of(question, [interests[nth].products for nth in new])
            if near is None:
                return None
            for nth, numbers in zip(new, near, strict=True):
                known[nth] = self._score(numbers, interests[nth].query)
                self._scored[keys[nth]] = (self._replica.numbers.changes, known[nth])
        return [known[nth] for nth in range(len(keys))]

    def _find_scored(self, key: Scored) -> CandidateList | None:
        """A click moves one interest of a session: all others are what they were, to the byte."""
        found = self._scored.get(key)
        return found[1] if found is not None and found[0] == self._replica.numbers.changes else None

    def _score(self, near: Ints, query: Vector) -> CandidateList:
        """The index may lag behind what is known: of what it finds only what has a vector."""
        numbers = near[self._replica.has_vectors(near)]
        scores = dot_products(self._replica, numbers, query)
        order = np.argsort(-scores, kind="stable")
        return CandidateList(numbers[order], scores[order])

    async def _answers(
        self, queries: Sequence[Vector] | Matrix, wanted: int, where: Where
    ) -> list[list[Hit]] | None:
        if (span := begin_child("query products", self._span_kind)) is None:
            return await self._ask(queries, wanted, where)
        span.set(INDEX_QUERY | {"db.operation.batch.size": len(queries), "eddy.k": wanted})
        with run(span):
            found = await self._ask(queries, wanted, where)
            if found is None:
                span.fail("index away")
            return found

    async def _ask(
        self, queries: Sequence[Vector] | Matrix, wanted: int, where: Where
    ) -> list[list[Hit]] | None:
        try:
            if self._remote is not None:
                return await self._remote.ask(list(queries), wanted, where)
            # A millisecond, and no turn of the loop.
            return self._index.nearest_many(list(queries), wanted, where)
        except IndexAway as error:
            log.warning("the index is away, rows are made without it", error=str(error))
            self._metrics.index_away.inc()
            return None

    def _filter_allowed(self, hits: Sequence[Hit], where: Where) -> list[Hit]:
        """The index may lag behind what is known of a product; the catalogue does not."""
        numbers = self._catalogue.numbers.find_all([hit.product_id for hit in hits])
        allowed = self._catalogue.filter(where).mask(numbers) & self._replica.has_vectors(numbers)
        return [*compress(hits, allowed.tolist())]
