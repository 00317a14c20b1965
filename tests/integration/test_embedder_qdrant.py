"""The embedder's worker with a Qdrant collection, on a real broker; stand-in models, so no torch."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from qdrant_client import QdrantClient
from qdrant_client.http.exceptions import ResponseHandlingException

from schemas.points import PointVersion, point_id, point_version
from schemas.products import Product
from schemas.topics import PRODUCT_VECTORS, PRODUCTS
from schemas.vectors import Vector, unpack
from services.clock import now_ms
from services.embedder.settings import EmbedderSettings
from services.kafka.ranges import partition_of
from services.qdrant import ProductCollection
from services.settings import ServiceSettings
from tests.support.embedder_service import (
    boot,
    count_committed,
    put,
    read_dead_letters,
    read_vectors,
    wait_until_committed,
)
from tests.support.embedder_worker import working
from tests.support.kafka import forget_records, limit_size
from tests.support.patience import patiently, wait_until

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

    def versions(self) -> dict[str, PointVersion]:
        return self._collection.versions()


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

        def check_filled() -> None:
            assert other.count() == 19

        wait_until(check_filled)


class Away:
    """A server that was there when the worker looked, and takes nothing more."""

    def __init__(self, collection: ProductCollection) -> None:
        self._collection = collection

    def upsert(self, products: Sequence[tuple[Product, Vector]]) -> None:
        if products:
            raise ResponseHandlingException(OSError("refused"))

    def remove(self, product_ids: Sequence[str]) -> None:
        """Nothing is removed either."""

    def count(self) -> int:
        return self._collection.count()

    def versions(self) -> dict[str, PointVersion]:
        return self._collection.versions()


def on_topic(kafka: ServiceSettings) -> dict[str, PointVersion]:
    """By product on `product-vectors`, which state of it lies there."""
    return {
        product_id: point_version(each.product, each.content)
        for product_id, each in read_vectors(kafka).items()
        if each is not None
    }


def test_a_worker_that_ended_between_topic_and_qdrant_is_made_up_for(
    kafka: ServiceSettings, client: QdrantClient, tmp_path: Path
) -> None:
    made = collection(client)
    sold_out = boot("back", availability="out_of_stock")
    back = boot("back", updated_at=sold_out.updated_at + 1)
    with working(kafka, tmp_path, made):
        put(kafka, sold_out, boot("stays"), boot("goes"))
        wait_until_committed(kafka)
    committed = count_committed(kafka)
    with working(kafka, tmp_path, Away(made)):
        put(kafka, back, ("goes", None))

        def check_published() -> None:
            found = read_vectors(kafka)
            assert found["back"] is not None
            assert found["back"].product == back
            assert found["goes"] is None

        wait_until(check_published)
    assert count_committed(kafka) < committed + 2
    assert made.versions() != on_topic(kafka)
    with working(kafka, tmp_path, made):
        wait_until_committed(kafka)  # the messages are read again, and nothing has changed in them

        def check_repaired() -> None:
            assert made.versions() == on_topic(kafka)

        wait_until(check_repaired)
    [point] = client.retrieve("products", [point_id("back")])
    assert (point.payload or {})["availability"] == "in_stock"


def test_a_server_that_has_it_otherwise_is_repaired_at_the_next_start(
    kafka: ServiceSettings, client: QdrantClient, tmp_path: Path
) -> None:
    made = collection(client)
    with working(kafka, tmp_path, made):
        put(kafka, *(boot(f"p{number}") for number in range(6)))
        wait_until_committed(kafka)
    vector = np.ones(EmbedderSettings(text_width=6, image_width=4).layout.width, np.float32)
    made.remove(["p1"])
    made.upsert([(boot("p2"), vector), (boot("p3", price=1.0), vector), (boot("never"), vector)])
    # What a former version of this code wrote.
    client.delete_payload("products", ["version"], points=[point_id("p4")])
    with working(kafka, tmp_path, made) as worker:

        def check_repaired() -> None:
            assert made.versions() == on_topic(kafka)

        wait_until(check_repaired)
        counts = {
            what: worker._metrics.repaired.labels(what)._value.get()
            for what in ("missing", "stale", "surplus")
        }
    assert counts == {"missing": 1, "stale": 3, "surplus": 1}


def test_a_product_whose_tombstone_nobody_has_read_goes_at_the_next_start(
    kafka: ServiceSettings, client: QdrantClient, tmp_path: Path
) -> None:
    made = collection(client)
    gone = boot("gone")
    partition = partition_of(b"gone", PRODUCTS.partitions)
    others = [
        boot(name)
        for name in (f"p{number}" for number in range(20))
        if partition_of(name.encode(), PRODUCTS.partitions) != partition
    ]
    with working(kafka, tmp_path, made):
        put(kafka, gone, *others)
        wait_until_committed(kafka)
    assert "gone" in made.versions()
    forget_records(kafka, PRODUCTS, [partition])
    with working(kafka, tmp_path, made):

        def check_removed() -> None:
            assert read_vectors(kafka)["gone"] is None
            assert made.versions() == on_topic(kafka)

        wait_until(check_removed)
        assert set(made.versions()) == {each.product_id for each in others}


def test_vectors_are_kept_where_the_topic_of_products_is_lost(
    kafka: ServiceSettings, client: QdrantClient, tmp_path: Path
) -> None:
    made = collection(client)
    with working(kafka, tmp_path, made):
        put(kafka, boot("p"))
        wait_until_committed(kafka)
    forget_records(kafka, PRODUCTS, range(PRODUCTS.partitions))
    with working(kafka, tmp_path, made) as worker:

        def ready() -> None:
            assert worker.waiting_for is None

        wait_until(ready)
        put(kafka, boot("q"))

        def both() -> None:
            assert set(made.versions()) == {"p", "q"}

        wait_until(both)


def test_vectors_that_kafka_refuses_are_a_dead_letter_and_stop_nothing(
    kafka: ServiceSettings, tmp_path: Path
) -> None:
    """Not even those that are in one batch with them, which the broker refuses whole."""
    limit_size(kafka, PRODUCT_VECTORS, 8_000)
    large = boot("large", description="x" * 15_000)
    with working(kafka, tmp_path):

        @patiently(30, 0.2)
        def goes_by_its_limit() -> None:
            put(kafka, replace(large, updated_at=int(now_ms())))
            wait_until_committed(kafka)
            assert read_dead_letters(kafka)

        goes_by_its_limit()
        others = [boot(f"p{number}", description="y" * 3_000) for number in range(10)]
        put(kafka, *others[:5], replace(large, updated_at=int(now_ms())), *others[5:])
        wait_until_committed(kafka)
        found = read_vectors(kafka)
        assert all((each := found[other.product_id]) and each.product == other for other in others)
    headers = read_dead_letters(kafka)[-1][2]
    assert (headers["stage"], "for good" in headers["reason"]) == ("publish", True)


def test_nothing_is_committed_before_qdrant_has_it(
    kafka: ServiceSettings, client: QdrantClient, tmp_path: Path
) -> None:
    held = Held(collection(client))
    with working(kafka, tmp_path, held):
        put(kafka, boot("waits"))
        assert held.asked.wait(30)
        assert "waits" in read_vectors(kafka)
        assert count_committed(kafka) == 0
        held.may.set()
        wait_until_committed(kafka)
