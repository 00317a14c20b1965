"""The index beside the topic that it is made from: what is missing, too much, or older than it should be."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, Protocol

import msgspec

from schemas import vectors
from schemas.points import PointVersion, point_version
from schemas.products import Product
from schemas.topics import PRODUCT_VECTORS, PRODUCTS
from schemas.unreadable import Unreadable
from schemas.vectors import Layout, Vector, unpack
from services.kafka.messages import PRODUCT, MessageReader, vectors_of
from services.kafka.ranges import RangeReader, Span, newest_values
from services.ops import services
from services.ops.settings import OpsSettings
from services.progress import Progress

if TYPE_CHECKING:  # qdrant-client is half a second, and doctor needs none without a server
    from qdrant_client import QdrantClient


WHERE: Final = "the topic product-vectors"

Change = tuple[str, bytes | None]  # product_id and its newest vectors; None: it is gone


class Changes(Protocol):
    """A topic that is read on: each call goes from where the last one ended to the topic's end by then."""

    def waiting(self) -> int:
        """How many offsets lie between; of a compacted topic some may be gone."""

    def to_the_end(self) -> Iterator[list[Change]]:
        """The newest message of each product in each batch, in the topic's order."""


class VectorChanges:
    """`product-vectors` on the broker. Raises BrokerAway and TopicMissing."""

    def __init__(self, reader: RangeReader, layout: Layout) -> None:
        self._reader = reader
        self._kind, self._messages = vectors_of(layout), MessageReader()
        self._read: dict[int, int] = {}  # partition → the next offset

    def waiting(self) -> int:
        """Offsets that are not read yet."""
        return sum(map(len, self._spans()))

    def to_the_end(self) -> Iterator[list[Change]]:
        """Reads on."""
        spans = self._spans()
        for messages in self._reader.read(spans):
            newest = self._messages.newest(self._kind, messages)
            yield [(each.key, each.raw) for each in newest]
        self._read |= {span.partition: span.end for span in spans}

    def _spans(self) -> list[Span]:
        return [
            Span(span.topic, span.partition, max(span.start, self._read.get(span.partition, 0)), span.end)
            for span in self._reader.spans(PRODUCT_VECTORS)
        ]


class Points:
    """Points of products, as a recommender with the index in process makes them.

    A product may have changed since its vector was made: filters hold against what is known now.
    """

    def __init__(self, layout: Layout, newest: dict[str, bytes] | None = None) -> None:
        """`newest`: messages of `products` by id."""
        self._layout = layout
        self._newest = newest or {}

    def of(self, value: bytes) -> tuple[Product, Vector]:
        """The product and its (width,) vector. Raises LayoutMismatch for vectors of another layout."""
        found = vectors.decode(value)
        self._layout.require(found.layout, WHERE)
        known = self._find_product(found.product.product_id)
        newer = known is not None and known.updated_at > found.product.updated_at
        return (known if known is not None and newer else found.product), unpack(found.content)

    def _find_product(self, product_id: str) -> Product | None:
        raw = self._newest.get(product_id)
        try:
            return None if raw is None else PRODUCT.read(product_id.encode(), raw)
        except Unreadable:
            return None  # no product: the embedder has written it to products.dlq


def newest_products(reader: RangeReader) -> dict[str, bytes]:
    """The newest message of `products` by id. Raises BrokerAway and TopicMissing."""
    return newest_values(reader, PRODUCTS)


NAMED: Final = 20  # products named of each kind

Versions = Mapping[str, PointVersion]  # by product_id


class IndexState(msgspec.Struct, frozen=True, kw_only=True):
    """What the index has of what is on the topic.

    `kind`: a Qdrant server's collection, or the index in the recommender's process, of which only the number
    of products is known (`in_index`; None where it does not answer). The lists name the first ones.
    """

    kind: Literal["server", "in_process"]
    where: str
    on_topic: int
    in_index: int | None
    missing: int = 0
    surplus: int = 0
    stale: int = 0
    named: dict[str, list[str]] = {}
    trouble: str | None = None
    topic: str = PRODUCT_VECTORS.name  # with its prefix

    @property
    def counts(self) -> str:
        """How many products each has; one that has more is no part of the other."""
        there = "an unknown number" if self.in_index is None else f"{self.in_index:,}"
        if self.in_index is not None and self.in_index > self.on_topic:
            return f"{self.where} has {there} products, the topic {self.topic} {self.on_topic:,}"
        return f"{there} of {self.on_topic:,} products in {self.where}"

    @property
    def agrees(self) -> bool:
        """Whether nothing is to be done."""
        return (
            self.trouble is None
            and self.in_index == self.on_topic
            and not (self.missing or self.surplus or self.stale)
        )


class TopicState:
    """By product on `product-vectors`, which state of it lies there; `read_on` takes what came since.

    Raises BrokerAway, TopicMissing, LayoutMismatch.
    """

    def __init__(self, reader: RangeReader, layout: Layout) -> None:
        self._changes = VectorChanges(reader, layout)
        self._layout = layout
        self.versions: dict[str, PointVersion] = {}
        self.in_stock: set[str] = set()

    def read_on(self, progress: Progress) -> None:
        """To the topic's end."""
        progress.stage("reading product-vectors", self._changes.waiting())
        for batch in self._changes.to_the_end():
            for product_id, value in batch:
                if value is None:
                    self.versions.pop(product_id, None)
                    self.in_stock.discard(product_id)
                else:
                    read = vectors.decode(value)
                    self._layout.require(read.layout, WHERE)
                    self.versions[product_id] = point_version(read.product, read.content)
                    if read.product.availability == "in_stock":
                        self.in_stock.add(product_id)
                    else:
                        self.in_stock.discard(product_id)
            progress.advance(len(batch))


def compare(where: str, topic: Versions, index: Versions) -> IndexState:
    """A collection against the topic. A product in the index may be newer: it counts as of `products`.

    Stale is what differs otherwise, were it by the time of change the same: an embedder that was killed
    between topic and index leaves such a product behind.
    """
    missing = sorted(topic.keys() - index.keys())
    surplus = sorted(index.keys() - topic.keys())
    stale = sorted(
        each
        for each in topic.keys() & index.keys()
        if index[each].digest != topic[each].digest and index[each].updated_at <= topic[each].updated_at
    )
    kinds = {"missing": missing, "surplus": surplus, "stale": stale}
    return IndexState(
        kind="server",
        where=where,
        on_topic=len(topic),
        in_index=len(index),
        missing=len(missing),
        surplus=len(surplus),
        stale=len(stale),
        named={kind: ids[:NAMED] for kind, ids in kinds.items() if ids},
    )


def check_server(settings: OpsSettings, client: "QdrantClient", topic: TopicState) -> IndexState:
    """The state of the collection that serves. Raises what Qdrant raises."""
    from services.qdrant import collection_name, count_in_stock, read_versions  # noqa: PLC0415

    name = collection_name(settings)
    where = f"collection {name} at {settings.qdrant_url}"
    if not client.collection_exists(name):
        return IndexState(
            kind="server",
            where=where,
            on_topic=len(topic.versions),
            in_index=0,
            trouble="there is no such collection",
        )
    if trouble := _other_layout(client, name, settings.layout):
        return IndexState(
            kind="server",
            where=where,
            on_topic=len(topic.versions),
            in_index=client.count(name).count,
            trouble=trouble,
        )
    index = read_versions(client, name)
    state = compare(where, topic.versions, index)
    if not state.agrees:
        return state
    # Of a product that the index has newer than the topic, nobody here knows whether it is in stock.
    newer = {each for each, known in topic.versions.items() if index[each].updated_at > known.updated_at}
    least, found = len(topic.in_stock - newer), count_in_stock(client, name)
    if least <= found <= least + len(newer):
        return state
    return msgspec.structs.replace(
        state,
        trouble=f"it has all, but a filter finds {found:,} products in stock where the topic has "
        f"{len(topic.in_stock):,}: its payload indexes are broken, and products are hidden",
    )


def _other_layout(client: "QdrantClient", name: str, layout: Layout) -> str | None:
    points, _ = client.scroll(name, limit=1, with_payload=["layout"])
    found = {str((point.payload or {}).get("layout")) for point in points} - {layout.id}
    return f"it holds vectors of layout {found.pop()}, but the settings make {layout.id}" if found else None


def check_recommender(settings: OpsSettings, topic: TopicState) -> IndexState:
    """The state of the index in a recommender's process, as it tells at /readyz."""
    found = services.health(settings, "recommender")
    trouble = None if found.ready else f"the recommender {found.summary}"
    if found.ready and (found.products or 0) > len(topic.versions):
        trouble = "it may read topics of another EDDY_TOPIC_PREFIX: set EDDY_RECOMMENDER_URL to one of this"
    return IndexState(
        kind="in_process",
        where=f"the recommender at {found.url}",
        on_topic=len(topic.versions),
        in_index=found.products,
        trouble=trouble,
        topic=settings.topic(PRODUCT_VECTORS),
    )


def index_probe(settings: OpsSettings) -> Callable[[TopicState], IndexState]:
    """Looks at the index of these settings, whichever it is."""
    if settings.qdrant_url is None:
        return partial(check_recommender, settings)
    from services.qdrant import connect  # noqa: PLC0415

    return partial(check_server, settings, connect(settings))
