"""The embedder's worker with a Qdrant collection, on a real broker; stand-in models, so no torch."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import QdrantClient

from schemas.points import point_id
from schemas.products import Product
from schemas.vectors import Vector, unpack
from services.embedder.settings import EmbedderSettings
from services.qdrant import ProductCollection
from services.settings import ServiceSettings
from tests.support.embedder_service import (
    boot,
    committed_count,
    eventually,
    put,
    read_vectors,
    wait_until_committed,
)
from tests.support.embedder_worker import working

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect")


class Held:
    """A collection whose writes wait until they may."""

    def __init__(self, collection: ProductCollection) -> None:
        self._collection = collection
        self.asked = threading.Event()
        self.may = threading.Event()

    def upsert(self, products: Sequence[tuple[Product, Vector]]) -> None:
        self.asked.set()
        assert self.may.wait(60)
        self._collection.upsert(products)

    def remove(self, product_ids: Sequence[str]) -> None:
        self._collection.remove(product_ids)

    def count(self) -> int:
        return self._collection.count()


@pytest.fixture
def client() -> Iterator[QdrantClient]:
    client = QdrantClient(":memory:")
    yield client
    client.close()


def collection(client: QdrantClient, name: str = "products") -> ProductCollection:
    return ProductCollection(client, name, EmbedderSettings(text_width=6, image_width=4).layout)


def test_qdrant_gets_what_the_topic_gets(
    kafka: ServiceSettings, client: QdrantClient, tmp_path: Path
) -> None:
    made = collection(client)
    with working(kafka, tmp_path, made):
        put(kafka, *(boot(f"p{number}") for number in range(20)), ("p3", None))
        put(kafka, boot("p4", price=1.0, updated_at=boot("p4").updated_at + 1))
        wait_until_committed(kafka)
    assert made.count() == 19
    [found] = client.retrieve("products", [point_id("p4")], with_vectors=True)
    assert (found.payload or {})["price"] == 1.0
    on_topic = read_vectors(kafka)["p4"]
    assert on_topic is not None
    assert isinstance(found.vector, dict)
    assert np.allclose(np.array(found.vector["content"]), unpack(on_topic.content), atol=1e-6)
    # A server that starts empty gets everything, without a model.
    other = collection(client, "other")
    with working(kafka, tmp_path, other):

        def filled() -> None:
            assert other.count() == 19

        eventually(filled)


def test_nothing_is_committed_before_qdrant_has_it(
    kafka: ServiceSettings, client: QdrantClient, tmp_path: Path
) -> None:
    held = Held(collection(client))
    with working(kafka, tmp_path, held):
        put(kafka, boot("waits"))
        assert held.asked.wait(30)
        assert "waits" in read_vectors(kafka)
        assert committed_count(kafka) == 0
        held.may.set()
        wait_until_committed(kafka)
