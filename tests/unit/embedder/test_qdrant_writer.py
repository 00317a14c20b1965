"""The Qdrant server's writer, on qdrant-client's own memory mode and on a server that fails."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx
import numpy as np
import pytest
from qdrant_client import QdrantClient
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from schemas.points import PointVersion
from schemas.products import Product
from schemas.vectors import Layout, LayoutMismatch, Vector
from services.embedder.metrics import Metrics
from services.embedder.qdrant_writer import Collection, QdrantRefuses, ServerIndex
from services.qdrant import ProductCollection
from tests.support.embedding import LAYOUT, product
from tests.support.patience import patiently

Start = Callable[[Callable[[], Collection]], ServerIndex]


@pytest.fixture
def start() -> Iterator[Start]:
    made: list[ServerIndex] = []

    def start_index(open_collection: Callable[[], Collection]) -> ServerIndex:
        made.append(ServerIndex(open_collection, Metrics()))
        made[-1].start()
        return made[-1]

    yield start_index
    for each in made:
        each.stop(5)


def point(**fields: Any) -> tuple[Product, Vector]:
    return product(**fields), np.ones(LAYOUT.width, dtype=np.float32)


@patiently(10, 0.01)
def wait_for_calls(server: ServerIndex, done: list[str], expected: list[str]) -> None:
    server.serve()
    assert done == expected


@pytest.mark.filterwarnings("ignore:Payload indexes have no effect")
def test_products_go_in_and_out_in_their_order(start: Start) -> None:
    client = QdrantClient(":memory:")
    collection = ProductCollection(client, "products", LAYOUT)
    server = start(lambda: collection)
    done: list[str] = []
    server.put("p", point(price=1.0), lambda: done.append("first"))
    server.put("p", point(price=2.0), lambda: done.append("newer"))
    server.put("q", point(product_id="q"), lambda: done.append("q"))
    server.put("q", None, lambda: done.append("gone"))
    wait_for_calls(server, done, ["first", "newer", "q", "gone"])
    assert collection.count() == 1
    [found], _ = client.scroll("products")
    assert (found.payload or {})["price"] == 2.0
    client.close()


class Failing:
    """A collection whose first writes fail."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.written: list[str] = []

    def upsert(self, products: Sequence[tuple[Product, Vector]]) -> None:
        if self._errors:
            raise self._errors.pop(0)
        self.written += [each.product_id for each, _ in products]

    def remove(self, product_ids: Sequence[str]) -> None:
        """Nothing to remove."""

    def count(self) -> int:
        return 0

    def versions(self) -> dict[str, PointVersion]:
        return {}


def answer(status: int) -> UnexpectedResponse:
    return UnexpectedResponse(status, "", b"", httpx.Headers())


def test_a_server_that_is_away_is_waited_for(start: Start) -> None:
    collection = Failing(ResponseHandlingException(OSError("refused")), answer(503))
    server = start(lambda: collection)
    done: list[str] = []
    server.put("p", point(), lambda: done.append("p"))
    wait_for_calls(server, done, ["p"])
    assert collection.written == ["p"]


@patiently(10, 0.01)
def failure(server: ServerIndex) -> Exception:
    """What the owner is told."""
    try:
        server.serve()
    except Exception as error:  # noqa: BLE001 - whichever it is
        return error
    raise AssertionError("the owner is told of no failure")


@pytest.mark.parametrize("error", [LayoutMismatch("v0", LAYOUT.id, "there"), KeyError("bug")])
def test_what_will_not_pass_is_raised_to_the_owner(start: Start, error: Exception) -> None:
    server = start(lambda: Failing(error))
    server.put("p", point(), lambda: None)
    assert failure(server) is error


def test_what_the_server_refuses_is_raised_in_words(start: Start) -> None:
    server = start(lambda: Failing(answer(400)))
    server.put("p", point(), lambda: None)
    error = failure(server)
    assert isinstance(error, QdrantRefuses)
    assert "refuses the request (400" in str(error)


def test_a_collection_of_another_layout_is_not_written(start: Start) -> None:
    mismatch = LayoutMismatch(Layout.of(7, 4).id, LAYOUT.id, "the Qdrant collection")

    def raise_mismatch() -> Collection:
        raise mismatch

    server = start(raise_mismatch)
    assert failure(server) is mismatch
    assert server.products is None
