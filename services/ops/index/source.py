"""What the topics say of the products: `product-vectors` read on, `products` beside it."""

from collections.abc import Iterator
from typing import Final, Protocol

import msgspec

from schemas import products, vectors
from schemas.products import Product
from schemas.topics import PRODUCT_VECTORS, PRODUCTS
from schemas.vectors import Layout, Vector, unpack
from services.history.partitions import BoundedReader
from services.history.past import Span

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

    def __init__(self, reader: BoundedReader) -> None:
        self._reader = reader
        self._read: dict[int, int] = {}  # partition → the next offset

    def waiting(self) -> int:
        """Offsets that are not read yet."""
        return sum(map(len, self._spans()))

    def to_the_end(self) -> Iterator[list[Change]]:
        """Reads on."""
        spans = self._spans()
        for messages in self._reader.read(spans):
            newest = {(message.key() or b"").decode(): message.value() for message in messages}
            yield list(newest.items())
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
        known = self._known(found.product.product_id)
        newer = known is not None and known.updated_at > found.product.updated_at
        return (known if known is not None and newer else found.product), unpack(found.content)

    def _known(self, product_id: str) -> Product | None:
        raw = self._newest.get(product_id)
        try:
            return None if raw is None else products.decode(raw)
        except msgspec.MsgspecError:
            return None  # no product: the embedder has written it to products.dlq


def newest_products(reader: BoundedReader) -> dict[str, bytes]:
    """The newest message of `products` by id. Raises BrokerAway and TopicMissing."""
    newest: dict[str, bytes] = {}
    for messages in reader.read(reader.spans(PRODUCTS)):
        for message in messages:
            product_id, value = (message.key() or b"").decode("utf-8", "replace"), message.value()
            if value is None:
                newest.pop(product_id, None)
            else:
                newest[product_id] = value
    return newest
