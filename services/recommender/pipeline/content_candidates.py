"""Asks the vector index: the only step of a row that may leave this process."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

import structlog

from schemas.sessions import SESSION_EVENTS_MAX
from schemas.vectors import Vector
from services.recommender.catalogue import Catalogue
from services.recommender.index.port import Hit, IndexAway, VectorIndex, Where
from services.recommender.metrics import Metrics
from services.recommender.pipeline.diversity import quotas
from services.vector_replica import VectorReplica

log = structlog.get_logger()


class ContentRetriever:
    """Candidates by content that may be shown at this very moment."""

    def __init__(
        self, catalogue: Catalogue, index: VectorIndex, replica: VectorReplica, metrics: Metrics
    ) -> None:
        self._catalogue = catalogue
        self._index = index
        self._replica = replica
        self._metrics = metrics

    async def nearest(self, query: Vector, k: int, where: Where) -> list[Hit] | None:
        """For a row of k, best first; every filter is part of the question. None while the index is away."""
        wanted = 2 * k + SESSION_EVENTS_MAX
        while (found := await self._answers([query], wanted, where)) is not None:
            [hits] = found
            allowed = self._filter_allowed(hits, where)
            if len(allowed) >= k or len(hits) < wanted:
                return allowed
            wanted *= 4  # the index lags far behind: of what it finds most may not be shown any more
        return None

    async def nearest_each(
        self, queries: Sequence[Vector], weights: Sequence[float], k: int, where: Where
    ) -> list[list[Hit]] | None:
        """A list for each query, as long as its weight can bring into a row of k. None while it is away.

        `exclude` is what a session has seen: it is not part of the question, which does not change with every
        click and so can be remembered. More is asked for instead, and what was seen left out here.
        """
        wanted = 2 * k + max(SESSION_EVENTS_MAX, len(where.exclude))
        found = await self._answers(queries, wanted, replace(where, exclude=frozenset()))
        if found is None:
            return None
        return [
            self._filter_allowed(hits, where, most)
            for hits, most in zip(found, quotas(weights, k), strict=True)
        ]

    async def _answers(self, queries: Sequence[Vector], wanted: int, where: Where) -> list[list[Hit]] | None:
        if not queries:
            return []
        try:
            if self._index.remote:
                return await asyncio.to_thread(self._index.nearest_many, queries, wanted, where)
            return self._index.nearest_many(queries, wanted, where)  # a millisecond: a thread would cost more
        except IndexAway as error:
            log.warning("the index is away, rows are made without it", error=str(error))
            self._metrics.index_away.inc()
            return None

    def _filter_allowed(self, hits: Sequence[Hit], where: Where, most: int | None = None) -> list[Hit]:
        """The index may lag behind what is known of a product; the catalogue does not."""
        return list(islice((hit for hit in hits if self._allows(hit.product_id, where)), most))

    def _allows(self, product_id: str, where: Where) -> bool:
        return product_id in self._replica and self._catalogue.allows(product_id, where)
