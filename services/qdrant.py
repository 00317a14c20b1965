"""The product collection on a Qdrant server: the embedder writes it, the recommender asks it."""

from collections.abc import Sequence
from typing import Final

from qdrant_client import QdrantClient
from qdrant_client import models as q
from qdrant_client.http.exceptions import UnexpectedResponse

from schemas.points import INDEXED_FIELDS, VECTOR_NAME, payload, point_id
from schemas.products import Product
from schemas.vectors import Layout, Vector
from services.settings import QdrantSettings

SCHEMAS: Final = {"keyword": q.PayloadSchemaType.KEYWORD, "float": q.PayloadSchemaType.FLOAT}


def connect(settings: QdrantSettings) -> QdrantClient:
    """A client of the server that the settings name."""
    key = settings.qdrant_api_key.get_secret_value() if settings.qdrant_api_key else None
    return QdrantClient(url=settings.qdrant_url, api_key=key, timeout=settings.qdrant_timeout_s)


class ProductCollection:
    """One collection, made with its payload indexes where it is missing. Calls block.

    Raises LayoutMismatch when it holds vectors of another layout.
    """

    def __init__(self, client: QdrantClient, name: str, layout: Layout) -> None:
        self.client = client
        self.name = name
        self._layout = layout
        if not client.collection_exists(name):
            self._create()
        self._check()

    def upsert(self, products: Sequence[tuple[Product, Vector]]) -> None:
        """Adds or replaces products with their (width,) vectors; returns when they can be found."""
        points = [
            q.PointStruct(
                id=point_id(product.product_id),
                vector={VECTOR_NAME: vector.tolist()},
                payload=dict(payload(product, self._layout.id)),
            )
            for product, vector in products
        ]
        if points:
            self.client.upsert(self.name, points, wait=True)

    def remove(self, product_ids: Sequence[str]) -> None:
        """Removes products; unknown ones are none of its business."""
        if product_ids:
            ids: list[q.ExtendedPointId] = [point_id(product_id) for product_id in product_ids]
            self.client.delete(self.name, q.PointIdsList(points=ids), wait=True)

    def count(self) -> int:
        """Products in the collection."""
        return self.client.count(self.name, exact=True).count

    def _create(self) -> None:
        params = {VECTOR_NAME: q.VectorParams(size=self._layout.width, distance=q.Distance.DOT)}
        try:
            self.client.create_collection(self.name, vectors_config=params)
        except UnexpectedResponse as error:
            if error.status_code != 409:  # another service was a moment faster
                raise
        for field, kind in INDEXED_FIELDS.items():
            self.client.create_payload_index(self.name, field, SCHEMAS[kind])

    def _check(self) -> None:
        where = f"the Qdrant collection {self.name!r}"
        params = self.client.get_collection(self.name).config.params.vectors
        size = params[VECTOR_NAME].size if isinstance(params, dict) and VECTOR_NAME in params else None
        if size != self._layout.width:
            self._layout.require(f"of width {size}", where)
        points, _ = self.client.scroll(self.name, limit=1, with_payload=["layout"])
        for point in points:
            self._layout.require(str((point.payload or {}).get("layout")), where)
