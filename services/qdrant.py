"""The product collection on a Qdrant server: the embedder writes it, the recommender asks it.

Its name is an alias, so that `python -m services.ops index rebuild` can put a new collection in its place
between two requests. A collection of that very name, as former versions made it, serves as well.
"""

from collections.abc import Sequence
from typing import Final

from qdrant_client import QdrantClient
from qdrant_client import models as q
from qdrant_client.http.exceptions import UnexpectedResponse

from schemas.points import INDEXED_FIELDS, VECTOR_NAME, PointVersion, payload, point_id, point_version
from schemas.products import Product
from schemas.vectors import Layout, Vector, pack
from services.settings import QdrantSettings

FIRST: Final = ".first"  # the collection behind the alias, until it is rebuilt
VERSION_FIELD: Final = "version"
PAGE: Final = 1000
CONFLICT: Final = 409  # another service was a moment faster

SCHEMAS: Final = {"keyword": q.PayloadSchemaType.KEYWORD, "float": q.PayloadSchemaType.FLOAT}


def connect(settings: QdrantSettings) -> QdrantClient:
    """A client of the server that the settings name."""
    key = settings.qdrant_api_key.get_secret_value() if settings.qdrant_api_key else None
    # Without the version check, which runs in a thread and warns on stderr where the server is away.
    return QdrantClient(
        url=settings.qdrant_url, api_key=key, timeout=settings.qdrant_timeout_s, check_compatibility=False
    )


def collection_name(settings: QdrantSettings) -> str:
    """The collection of these settings: of another topic prefix there are other products."""
    return settings.topic_prefix + settings.qdrant_collection


def product_collection(settings: QdrantSettings) -> "ProductCollection":
    """The collection that the settings name, connected to. Raises LayoutMismatch, and what Qdrant raises."""
    return ProductCollection(connect(settings), collection_name(settings), settings.layout)


class ProductCollection:
    """One collection, or an alias of one, made with its payload indexes where it is missing. Calls block.

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
                payload={
                    **payload(product, self._layout.id),
                    VERSION_FIELD: point_version(product, pack(vector)).digest,
                },
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

    def versions(self) -> dict[str, PointVersion]:
        """By product, which state of it the collection has."""
        return read_versions(self.client, self.name)

    def _create(self) -> None:
        create(self.client, self.name + FIRST, self._layout)
        if alias_target(self.client, self.name) is None:  # else another service was faster, or a rebuild
            point_alias(self.client, self.name, self.name + FIRST)

    def _check(self) -> None:
        where = f"the Qdrant collection {self.name!r}"
        params = self.client.get_collection(self.name).config.params.vectors
        size = params[VECTOR_NAME].size if isinstance(params, dict) and VECTOR_NAME in params else None
        if size != self._layout.width:
            self._layout.require(f"of width {size}", where)
        points, _ = self.client.scroll(self.name, limit=1, with_payload=["layout"])
        for point in points:
            self._layout.require(str((point.payload or {}).get("layout")), where)


def read_versions(client: QdrantClient, name: str) -> dict[str, PointVersion]:
    """By product in a collection, which state of it is there. Raises what Qdrant raises."""
    found: dict[str, PointVersion] = {}
    fields = ["product_id", "updated_at", VERSION_FIELD]
    place = None
    while True:
        points, place = client.scroll(name, limit=PAGE, offset=place, with_payload=fields)
        for point in points:
            payload = point.payload or {}
            product_id = str(payload.get("product_id", point.id))
            digest = str(payload.get(VERSION_FIELD) or "")
            found[product_id] = PointVersion(int(payload.get("updated_at") or 0), digest)
        if place is None:
            return found


def create(client: QdrantClient, name: str, layout: Layout) -> None:
    """An empty collection of products; one that is there already is left alone."""
    params = {VECTOR_NAME: q.VectorParams(size=layout.width, distance=q.Distance.DOT)}
    try:
        client.create_collection(name, vectors_config=params)
    except UnexpectedResponse as error:
        if error.status_code != CONFLICT:
            raise
    for field, kind in INDEXED_FIELDS.items():
        client.create_payload_index(name, field, SCHEMAS[kind])


def alias_target(client: QdrantClient, alias: str) -> str | None:
    """The collection behind an alias; None where there is no such alias."""
    found = (each.collection_name for each in client.get_aliases().aliases if each.alias_name == alias)
    return next(found, None)


def point_alias(client: QdrantClient, alias: str, to: str) -> None:
    """Lets an alias lead to a collection: the server does so between two requests."""
    operations: list[q.AliasOperations] = [
        q.CreateAliasOperation(create_alias=q.CreateAlias(collection_name=to, alias_name=alias))
    ]
    if alias_target(client, alias) is not None:
        operations.insert(0, q.DeleteAliasOperation(delete_alias=q.DeleteAlias(alias_name=alias)))
    client.update_collection_aliases(operations)
