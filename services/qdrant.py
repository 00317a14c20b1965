"""The product collection on a Qdrant server: the embedder writes it, the recommender asks it.

Its name is an alias, so that `python -m services.ops index rebuild` can put a new collection in its place
between two requests. A collection of that very name, as former versions made it, serves as well.
"""

import ssl
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, Self, TypeVar

import structlog
from qdrant_client import AsyncQdrantClient, QdrantClient
from qdrant_client import models as q

from schemas.points import INDEXED_FIELDS, VECTOR_NAME, PointVersion, payload, point_id, point_version
from schemas.products import Product
from schemas.vectors import Layout, Vector, pack
from services.qdrant_failures import FAILURES
from services.settings import QdrantSettings

log = structlog.get_logger()

FIRST: Final = ".first"  # the collection behind the alias, until it is rebuilt
VERSION_FIELD: Final = "version"
PAGE: Final = 1000
BATCH_MAX: Final = 1000  # products in one request, in strict mode; the embedder sends 256
LIMIT_MAX: Final = 20_000  # products in one answer, in strict mode; a row of 100 asks for 264, then for more
OVERSAMPLING_MAX: Final = 10.0

Client = TypeVar("Client", QdrantClient, AsyncQdrantClient)

SCHEMAS: Final = {"keyword": q.PayloadSchemaType.KEYWORD, "float": q.PayloadSchemaType.FLOAT}

# gRPC waits up to two minutes before it tries again, and notices a silent network after hours.
CHANNEL: Final = {
    "grpc.initial_reconnect_backoff_ms": 200,
    "grpc.min_reconnect_backoff_ms": 1_000,
    "grpc.max_reconnect_backoff_ms": 2_000,
    "grpc.keepalive_time_ms": 30_000,
    "grpc.keepalive_timeout_ms": 5_000,
}


def connect(settings: QdrantSettings) -> QdrantClient:
    """A client of the server that the settings name, whose calls block. Raises OSError for the CA's file."""
    return _connect(QdrantClient, settings)


def connect_in_loop(settings: QdrantSettings) -> AsyncQdrantClient:
    """The same for one event loop, in which it has to be asked first."""
    return _connect(AsyncQdrantClient, settings)


def _connect(kind: type[Client], settings: QdrantSettings) -> Client:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Api key is used with an insecure connection")  # logged instead
        return kind(**_client_options(settings))


def _client_options(settings: QdrantSettings) -> dict[str, Any]:
    url = settings.qdrant_url or ""
    options: dict[str, Any] = {
        "url": url,
        "timeout": settings.qdrant_timeout_s,
        "prefer_grpc": settings.qdrant_prefer_grpc,
        "grpc_port": settings.qdrant_grpc_port,
        "grpc_options": dict(CHANNEL),
        # Without the version check, which runs in a thread and warns on stderr where the server is away.
        "check_compatibility": False,
    }
    if settings.qdrant_api_key is not None:
        options["api_key"] = settings.qdrant_api_key.get_secret_value()
        if url.startswith("http://"):
            log.warning("the Qdrant server's key is sent unencrypted: use https://", url=url)
    if settings.qdrant_ca_file is not None and url.startswith("https://"):
        options["grpc_options"]["root_certificates"] = settings.qdrant_ca_file.read_bytes()
        options["verify"] = ssl.create_default_context(cafile=settings.qdrant_ca_file)
    return options


def collection_name(settings: QdrantSettings) -> str:
    """The collection of these settings: of another topic prefix there are other products."""
    return settings.topic_prefix + settings.qdrant_collection


def product_collection(settings: QdrantSettings) -> "ProductCollection":
    """The collection that the settings name, connected to. Raises LayoutMismatch, and what Qdrant raises."""
    return ProductCollection(
        connect(settings), collection_name(settings), settings.layout, CollectionShape.of(settings)
    )


def open_for_writing(settings: QdrantSettings) -> "ProductCollection":
    """The same for who writes: where products of another layout serve, the one that is to follow them."""
    return SucceedingCollection(
        connect(settings), collection_name(settings), settings.layout, CollectionShape.of(settings)
    )


@dataclass(frozen=True, slots=True)
class CollectionShape:
    """How a collection is laid out when it is made; None leaves a choice to the server."""

    shards: int | None = None
    replicas: int | None = None
    write_consistency: int | None = None
    int8: bool = False
    vectors_on_disk: bool = False
    payload_on_disk: bool | None = None
    edges: int | None = None
    build_candidates: int | None = None
    strict: bool = False

    @classmethod
    def of(cls, settings: QdrantSettings) -> Self:
        """Of the settings."""
        return cls(
            shards=settings.qdrant_shards,
            replicas=settings.qdrant_replicas,
            write_consistency=settings.qdrant_write_consistency,
            int8=settings.qdrant_quantization == "int8",
            vectors_on_disk=settings.qdrant_vectors_on_disk,
            payload_on_disk=settings.qdrant_payload_on_disk,
            edges=settings.qdrant_hnsw_m,
            build_candidates=settings.qdrant_hnsw_ef_construct,
            strict=settings.qdrant_strict,
        )

    def arguments(self, layout: Layout) -> dict[str, Any]:
        """Of `create_collection`."""
        vectors = q.VectorParams(
            size=layout.width, distance=q.Distance.DOT, on_disk=self.vectors_on_disk or None
        )
        arguments: dict[str, Any] = {
            "vectors_config": {VECTOR_NAME: vectors},
            "shard_number": self.shards,
            "replication_factor": self.replicas,
            "write_consistency_factor": self.write_consistency,
            "on_disk_payload": self.payload_on_disk,
        }
        if self.edges is not None or self.build_candidates is not None:
            arguments["hnsw_config"] = q.HnswConfigDiff(m=self.edges, ef_construct=self.build_candidates)
        if self.int8:
            config = q.ScalarQuantizationConfig(type=q.ScalarType.INT8, always_ram=True)
            arguments["quantization_config"] = q.ScalarQuantization(scalar=config)
        if self.strict:
            arguments["strict_mode_config"] = q.StrictModeConfig(
                enabled=True,
                unindexed_filtering_retrieve=False,
                unindexed_filtering_update=False,
                max_query_limit=LIMIT_MAX,
                upsert_max_batchsize=BATCH_MAX,
                search_max_oversampling=OVERSAMPLING_MAX,
            )
        return {name: value for name, value in arguments.items() if value is not None}


SERVERS_CHOICE: Final = CollectionShape()


class ProductCollection:
    """One collection, or an alias of one, made with its payload indexes where it is missing. Calls block.

    Raises LayoutMismatch when it holds vectors of another layout.
    """

    def __init__(
        self, client: QdrantClient, name: str, layout: Layout, shape: CollectionShape = SERVERS_CHOICE
    ) -> None:
        self.client = client
        self.name = name
        self._layout = layout
        self._shape = shape
        self._open()

    def _open(self) -> None:
        if not self.client.collection_exists(self.name):
            create(self.client, self.name + FIRST, self._layout, self._shape)
            if alias_target(self.client, self.name) is None:  # else another service was faster, or a rebuild
                point_alias(self.client, self.name, self.name + FIRST)
        require_layout(self.client, self.name, self._layout)
        index_fields(self.client, self.name)

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


class SucceedingCollection(ProductCollection):
    """What an embedder writes. Where the alias leads to vectors of another layout it is a collection of its
    own beside it, until `index rebuild` has made one for the alias.

    Which one it is, is looked up before each change: the topic has a change before the index, so a rebuild
    that moves the alias in between reads from the topic what went to the other.
    """

    def __init__(
        self, client: QdrantClient, name: str, layout: Layout, shape: CollectionShape = SERVERS_CHOICE
    ) -> None:
        self._alias = name
        self._beside = name + successor_suffix(layout)
        super().__init__(client, name, layout, shape)

    def _open(self) -> None:
        if self.client.collection_exists(self._alias) and not has_layout(
            self.client, self._alias, self._layout
        ):
            if self.name != self._beside:
                log.warning(
                    "products of another layout serve: those of this one go to a collection beside it; when "
                    "all are there run `index rebuild`, and start the recommenders with these settings",
                    collection=self._beside,
                )
            self.name = self._beside
            create(self.client, self.name, self._layout, self._shape)
            return
        self.name = self._alias
        super()._open()

    def upsert(self, products: Sequence[tuple[Product, Vector]]) -> None:
        """Adds or replaces products."""
        if products:
            self._look_up()
        super().upsert(products)

    def remove(self, product_ids: Sequence[str]) -> None:
        """Removes products."""
        if product_ids:
            self._look_up()
        super().remove(product_ids)

    def _look_up(self) -> None:
        if self.name == self._beside:
            self._open()


def successor_suffix(layout: Layout) -> str:
    """Of the collection of a layout while another one's serves."""
    return f".layout-{blake2b(layout.id.encode(), digest_size=4).hexdigest()}"


def has_layout(client: QdrantClient, name: str, layout: Layout) -> bool:
    """Whether a collection is as wide as the layout, and what it holds is of it."""
    return _find_layout(client, name, layout) == layout.id


def require_layout(client: QdrantClient, name: str, layout: Layout) -> None:
    """Raises LayoutMismatch for a collection of another layout."""
    layout.require(_find_layout(client, name, layout), f"the Qdrant collection {name!r}")


def _find_layout(client: QdrantClient, name: str, layout: Layout) -> str:
    params = client.get_collection(name).config.params.vectors
    size = params[VECTOR_NAME].size if isinstance(params, dict) and VECTOR_NAME in params else None
    if size != layout.width:
        return f"of width {size}"
    points, _ = client.scroll(name, limit=1, with_payload=["layout"])
    return next((str((point.payload or {}).get("layout")) for point in points), layout.id)


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


def count_in_stock(client: QdrantClient, name: str) -> int:
    """Products that a filter on availability lets through. Raises what Qdrant raises."""
    in_stock = q.FieldCondition(key="availability", match=q.MatchAny(any=["in_stock"]))
    return client.count(name, count_filter=q.Filter(must=[in_stock]), exact=True).count


def create(client: QdrantClient, name: str, layout: Layout, shape: CollectionShape = SERVERS_CHOICE) -> None:
    """An empty collection of products with its payload indexes; one that is there already is left alone."""
    if not client.collection_exists(name):
        try:
            client.create_collection(name, **shape.arguments(layout))
        except FAILURES:
            if not client.collection_exists(name):  # else another service was a moment faster
                raise
    index_fields(client, name)


def index_fields(client: QdrantClient, name: str) -> None:
    """Indexes what filters ask for, as far as it is not: whoever made the collection may have been killed.

    Before the first product, for the graph has edges for filters only where there was an index by then.
    """
    there = client.get_collection(name)
    missing = {field: kind for field, kind in INDEXED_FIELDS.items() if field not in there.payload_schema}
    if missing and there.payload_schema and there.points_count:
        log.warning(
            "payload indexes are missing and made now; the graph has no edges for them until `index rebuild`",
            collection=name,
            fields=sorted(missing),
        )
    for field, kind in missing.items():
        client.create_payload_index(name, field, SCHEMAS[kind], wait=True)


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
