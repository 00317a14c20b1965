"""VectorIndex on a Qdrant server through qdrant-client; the embedder writes there, this mostly asks."""

from collections.abc import Sequence

import httpx
from qdrant_client import models as q
from qdrant_client.http.exceptions import ApiException

from schemas.points import VECTOR_NAME, point_id
from schemas.products import Product
from schemas.vectors import Vector
from services.qdrant import ProductCollection
from services.recommender.index.port import Hit, IndexAway, Where


class ServerIndex:
    """A collection on a server."""

    remote = True

    def __init__(self, collection: ProductCollection) -> None:
        self._collection = collection

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
        condition = _filter(where)
        requests = [
            q.QueryRequest(
                query=query.tolist(),
                using=VECTOR_NAME,
                limit=k,
                filter=condition,
                with_payload=["product_id"],
            )
            for query in queries
        ]
        try:
            answers = self._collection.client.query_batch_points(self._collection.name, requests)
        except (ApiException, httpx.HTTPError) as error:
            raise IndexAway(str(error)) from error
        return [
            [Hit((point.payload or {})["product_id"], point.score) for point in answer.points]
            for answer in answers
        ]

    def count(self) -> int:
        """Products in the collection."""
        return self._collection.count()

    def optimise(self) -> None:
        """The server does so by itself."""

    def close(self) -> None:
        """Closes the connection."""
        self._collection.client.close()


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
