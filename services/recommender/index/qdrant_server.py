"""VectorIndex on a Qdrant server through qdrant-client; the embedder writes there, this mostly asks."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

from qdrant_client import AsyncQdrantClient, grpc
from qdrant_client import models as q
from qdrant_client.conversions.conversion import RestToGrpc

from schemas.points import VECTOR_NAME, point_id
from schemas.products import Product
from schemas.vectors import Vector
from services.qdrant import LIMIT_MAX, ProductCollection
from services.qdrant_failures import FAILURES, describe
from services.recommender.index.port import Hit, IndexAway, Where
from services.settings import QdrantSettings

PRODUCT_ID: Final = "product_id"
FILTERS_MAX: Final = 512  # of as many questions the converted filter is kept


@dataclass(frozen=True, slots=True)
class SearchTuning:
    """How the graph is searched; None leaves it to the server. `oversampling`: where it is one of bytes."""

    ef: int | None = None
    oversampling: float | None = None
    timeout_s: int = 5
    by_grpc: bool = False

    @classmethod
    def of(cls, settings: QdrantSettings) -> Self:
        """Of the settings."""
        return cls(
            ef=settings.qdrant_hnsw_ef,
            oversampling=settings.qdrant_oversampling if settings.qdrant_quantization == "int8" else None,
            timeout_s=settings.qdrant_timeout_s,
            by_grpc=settings.qdrant_prefer_grpc,
        )

    @property
    def params(self) -> q.SearchParams | None:
        """For a question; None where the server chooses all."""
        if self.ef is None and self.oversampling is None:
            return None
        quantization = None
        if self.oversampling is not None:
            quantization = q.QuantizationSearchParams(rescore=True, oversampling=self.oversampling)
        return q.SearchParams(hnsw_ef=self.ef, quantization=quantization)


class ServerIndex:
    """A collection on a server. `asks` is its client of the loop; without one questions wait in a thread."""

    remote = True

    def __init__(
        self,
        collection: ProductCollection,
        asks: AsyncQdrantClient | None = None,
        tuning: SearchTuning = SearchTuning(),
    ) -> None:
        self._collection = collection
        self._asks = asks
        self._tuning = tuning
        self._params = tuning.params
        self._grpc_params = None if self._params is None else RestToGrpc.convert_search_params(self._params)

    def upsert(self, products: Sequence[tuple[Product, Vector]]) -> None:
        """Adds or replaces products."""
        self._collection.upsert(products)

    def remove(self, product_ids: Sequence[str]) -> None:
        """Removes products."""
        self._collection.remove(product_ids)

    def nearest(self, query: Vector, k: int, where: Where) -> list[Hit]:
        """The k best products."""
        return self.nearest_many([query], k, where)[0]

    def nearest_many(self, queries: Sequence[Vector], k: int, where: Where) -> list[list[Hit]]:
        """One answer a query, in one round trip. Raises IndexAway."""
        questions = self._questions(queries, k, where)
        try:
            return _hits(self._collection.client.query_batch_points(self._collection.name, questions))
        except FAILURES as error:
            raise IndexAway(describe(error)) from error

    async def ask(self, queries: Sequence[Vector], k: int, where: Where) -> list[list[Hit]]:
        """The same without a thread. Raises IndexAway."""
        if self._asks is None:
            return await asyncio.to_thread(self.nearest_many, queries, k, where)
        name = self._collection.name
        try:
            if not self._tuning.by_grpc:
                return _hits(await self._asks.query_batch_points(name, self._questions(queries, k, where)))
            # qdrant-client checks and converts each number of a question and each field of an answer, which
            # takes longer than the question: messages are made and read here.
            answers = await self._asks.grpc_points.QueryBatch(
                self._message(queries, k, where), timeout=self._tuning.timeout_s
            )
        except FAILURES as error:
            raise IndexAway(describe(error)) from error
        return [
            [Hit(point.payload[PRODUCT_ID].string_value, point.score) for point in answer.result]
            for answer in answers.result
        ]

    def _questions(self, queries: Sequence[Vector], k: int, where: Where) -> list[q.QueryRequest]:
        condition = _filter(where)
        return [
            q.QueryRequest(
                query=query.tolist(),
                using=VECTOR_NAME,
                limit=min(k, LIMIT_MAX),
                filter=condition,
                params=self._params,
                with_payload=[PRODUCT_ID],
            )
            for query in queries
        ]

    def _message(self, queries: Sequence[Vector], k: int, where: Where) -> grpc.QueryBatchPoints:
        name, condition = self._collection.name, _grpc_filter(where)
        payload = grpc.WithPayloadSelector(include=grpc.PayloadIncludeSelector(fields=[PRODUCT_ID]))
        return grpc.QueryBatchPoints(
            collection_name=name,
            query_points=[
                grpc.QueryPoints(
                    collection_name=name,
                    query=grpc.Query(nearest=grpc.VectorInput(dense=grpc.DenseVector(data=query.tolist()))),
                    using=VECTOR_NAME,
                    limit=min(k, LIMIT_MAX),
                    filter=condition,
                    params=self._grpc_params,
                    with_payload=payload,
                )
                for query in queries
            ],
            timeout=self._tuning.timeout_s,
        )

    def count(self) -> int:
        """Products in the collection."""
        return self._collection.count()

    async def count_allowed(self, where: Where) -> int:
        """Products that the server's filter lets through. Raises IndexAway."""
        name, condition = self._collection.name, _filter(where)
        try:
            if self._asks is not None:
                return (await self._asks.count(name, count_filter=condition, exact=True)).count
            client = self._collection.client
            return (await asyncio.to_thread(client.count, name, count_filter=condition, exact=True)).count
        except FAILURES as error:
            raise IndexAway(describe(error)) from error

    def optimise(self) -> None:
        """The server does so by itself."""

    def close(self) -> None:
        """Closes the connection of the blocking calls."""
        self._collection.client.close()

    async def hang_up(self) -> None:
        """Closes the connection of the questions."""
        if self._asks is not None:
            await self._asks.close()


def _hits(answers: Sequence[q.QueryResponse]) -> list[list[Hit]]:
    return [
        [Hit((point.payload or {})[PRODUCT_ID], point.score) for point in answer.points] for answer in answers
    ]


@lru_cache(FILTERS_MAX)
def _grpc_filter(where: Where) -> grpc.Filter | None:
    found = _filter(where)
    return None if found is None else RestToGrpc.convert_filter(found)


def _filter(where: Where) -> q.Filter | None:
    must: list[q.Condition] = [
        q.FieldCondition(key=field, match=q.MatchAny(any=sorted(values))) for field, values in where.any_of()
    ]
    if where.price_min is not None or where.price_max is not None:
        must.append(q.FieldCondition(key="price", range=q.Range(gte=where.price_min, lte=where.price_max)))
    must_not: list[q.Condition] = [
        q.FieldCondition(key=field, match=q.MatchAny(any=sorted(values))) for field, values in where.none_of()
    ]
    if where.exclude:
        must_not.append(
            q.HasIdCondition(has_id=[point_id(product_id) for product_id in sorted(where.exclude)])
        )
    return q.Filter(must=must, must_not=must_not) if must or must_not else None
