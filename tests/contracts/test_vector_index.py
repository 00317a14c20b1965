"""One contract for every VectorIndex: qdrant-edge, qdrant-client, and a server: a real one where it is given.

EDDY_QDRANT_URL names it, and its neighbours (EDDY_QDRANT_API_KEY, _CA_FILE, _GRPC_PORT) the way to it; it is
asked by gRPC and by REST. Where none is given a stand-in is asked by gRPC.
"""

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from uuid import uuid4

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import QdrantClient

from schemas.products import Availability, Product
from schemas.vectors import Layout, LayoutMismatch, Vector
from services.qdrant import CollectionShape, ProductCollection, connect, connect_in_loop
from services.recommender.catalogue import Catalogue
from services.recommender.index.cached import CachedIndex
from services.recommender.index.port import AVAILABLE, RemoteIndex, VectorIndex, Where
from services.recommender.index.qdrant_edge import EdgeIndex
from services.recommender.index.qdrant_server import SearchTuning, ServerIndex
from services.settings import QdrantSettings
from tests.support.examples import examples
from tests.support.machine import QdrantServer
from tests.support.qdrant import StandIn

# qdrant-client's local mode takes payload indexes, and says that it has no use for them.
pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning")

LAYOUT = Layout.of(text_width=6, image_width=4)
CATEGORIES = (("Women", "Shoes", "Boots"), ("Women", "Shoes"), ("Women",), ("Home", "Women"), ())
AVAILABILITIES: tuple[Availability, ...] = ("in_stock", "out_of_stock", "preorder")


ON_A_SERVER = ("stand-in", "strict", "grpc", "rest")


@pytest.fixture(params=["edge", "remembered", "client", *ON_A_SERVER])
def index(
    request: pytest.FixtureRequest, tmp_path: Path, qdrant: QdrantServer | None
) -> Iterator[VectorIndex]:
    if request.param in ("edge", "remembered"):
        edge = EdgeIndex(LAYOUT, tmp_path / "index")
        yield edge if request.param == "edge" else CachedIndex(edge)
        edge.close()
        return
    name = f"test-{uuid4().hex}"
    if request.param == "client":
        client = QdrantClient(":memory:")
        yield ServerIndex(ProductCollection(client, name, LAYOUT))
        client.close()
        return
    settings = server_settings(request, qdrant)
    client = connect(settings)
    try:
        collection = ProductCollection(client, name, LAYOUT, CollectionShape.of(settings))
        yield ServerIndex(collection, connect_in_loop(settings), SearchTuning.of(settings))
    finally:
        delete_collections(client, name)
        client.close()


def server_settings(request: pytest.FixtureRequest, qdrant: QdrantServer | None) -> QdrantSettings:
    """Of the server that was given, else of the stand-in; `strict` is a collection as for production."""
    production = {
        "qdrant_shards": 2,
        "qdrant_quantization": "int8",
        "qdrant_vectors_on_disk": True,
        "qdrant_payload_on_disk": True,
        "qdrant_hnsw_m": 24,
        "qdrant_hnsw_ef_construct": 200,
        "qdrant_hnsw_ef": 128,
        "qdrant_strict": True,
    }
    more = production if request.param == "strict" else {}
    if request.param in ("grpc", "rest"):
        if qdrant is None:
            pytest.skip("no Qdrant server: give one by EDDY_QDRANT_URL to test it too")
        return qdrant.settings(qdrant_prefer_grpc=request.param == "grpc")
    if qdrant is not None:
        return qdrant.settings(**more)
    stand_in: StandIn = request.getfixturevalue("qdrant_stand_in")
    return stand_in.settings(**more)


def delete_collections(client: QdrantClient, name: str) -> None:
    """Leaves nothing of a test: its name is an alias, and deleting an alias's name deletes no collection."""
    for each in collections_of(client, name):
        client.delete_collection(each)
    assert collections_of(client, name) == []


def collections_of(client: QdrantClient, name: str) -> list[str]:
    return [each.name for each in client.get_collections().collections if each.name.startswith(name)]


def product(number: int, **fields: object) -> Product:
    made = Product(
        product_id=f"p{number}",
        name=f"Product {number}",
        price=float(number % 10) * 10,
        currency="EUR",
        availability=AVAILABILITIES[number % 3],
        updated_at=0,
        category=CATEGORIES[number % len(CATEGORIES)],
        brand=("Alma", "Bo & Co", None)[number % 3],
        type=("boot", None)[number % 2],
        tags=("red", "wool") if number % 4 == 0 else (),
        markets=("CH", "DE") if number % 5 == 0 else ("US",),
    )
    return msgspec.structs.replace(made, **fields)


def vector(seed: int) -> Vector:
    raw = np.random.default_rng(seed).normal(size=LAYOUT.width)
    return LAYOUT.normalise(raw).astype(np.float32)


PRODUCTS = [product(number) for number in range(60)]
WHERES = [
    Where(),
    Where(availability=AVAILABLE),
    Where(price_min=20, price_max=50),
    Where(price_min=90),
    Where(category=frozenset({"Women"})),
    Where(category=frozenset({"Women/Shoes"})),
    Where(category=frozenset({"Shoes"})),
    Where(brand=frozenset({"Bo & Co"})),
    Where(type=frozenset({"boot"}), tag=frozenset({"wool"})),
    Where(market=frozenset({"CH"}), availability=frozenset({"preorder"})),
    Where(exclude=frozenset({"p1", "p2", "nobody"})),
    Where(availability=AVAILABLE, price_max=40, category=frozenset({"Women"}), exclude=frozenset({"p0"})),
    Where(brand=frozenset({"Alma", "Bo & Co"}), category=frozenset({"Women/Shoes", "Home"})),
    Where(tag=frozenset({"red", "wool"})),
    Where(tag=frozenset({"red", "silk"})),
    Where(without_tag=frozenset({"red"}), without_brand=frozenset({"Alma"})),
    Where(without_category=frozenset({"Women/Shoes", "Home"}), without_type=frozenset({"boot"})),
    Where(market=frozenset({"CH", "US"}), without_brand=frozenset({"Bo & Co"}), price_min=10),
]


def fill(index: VectorIndex) -> VectorIndex:
    index.upsert([(each, vector(number)) for number, each in enumerate(PRODUCTS)])
    return index


def find_allowed(where: Where) -> set[str]:
    """What the catalogue, which knows nothing of Qdrant, lets through."""
    catalogue = Catalogue()
    for each in PRODUCTS:
        catalogue.put(each)
    return {each.product_id for each in PRODUCTS if catalogue.allows(each.product_id, where)}


def test_the_nearest_are_those_of_the_greatest_dot_product(index: VectorIndex) -> None:
    query = vector(1000)
    scores = {f"p{number}": float(query @ vector(number)) for number in range(60)}
    hits = fill(index).nearest(query, 10, Where())
    assert [hit.product_id for hit in hits] == sorted(scores, key=lambda each: -scores[each])[:10]
    assert [hit.score for hit in hits] == pytest.approx([scores[hit.product_id] for hit in hits], abs=1e-4)


def name_of(where: Where) -> str:
    """What it asks for, each set in its order: two workers call a test the same."""
    asked = {field.name: getattr(where, field.name) for field in fields(where)}
    shown = {name: sorted(each) if isinstance(each, frozenset) else each for name, each in asked.items()}
    return ", ".join(f"{name}={each}" for name, each in shown.items() if each not in ([], None)) or "all"


@pytest.mark.parametrize("where", WHERES, ids=name_of)
def test_a_filter_lets_through_what_the_catalogue_would(index: VectorIndex, where: Where) -> None:
    hits = fill(index).nearest(vector(1), len(PRODUCTS), where)
    assert {hit.product_id for hit in hits} == find_allowed(where)


def test_several_queries_are_answered_in_their_order(index: VectorIndex) -> None:
    fill(index)
    queries = [vector(3), vector(7)]
    together = index.nearest_many(queries, 5, Where(availability=AVAILABLE))
    assert together == [index.nearest(query, 5, Where(availability=AVAILABLE)) for query in queries]


async def test_one_on_the_network_is_asked_without_a_thread(index: VectorIndex) -> None:
    fill(index)
    if not isinstance(index, RemoteIndex):
        assert not index.remote
        return
    queries = [vector(3), vector(7)]
    for where in WHERES:
        assert await index.ask(queries, 60, where) == index.nearest_many(queries, 60, where)
        assert await index.count_allowed(where) == len(find_allowed(where))
    await index.hang_up()


def test_an_upsert_replaces_vector_and_filters(index: VectorIndex) -> None:
    fill(index)
    changed = msgspec.structs.replace(PRODUCTS[0], availability="out_of_stock", price=5.0)
    index.upsert([(changed, -vector(0))])
    assert index.count() == len(PRODUCTS)
    assert index.nearest(-vector(0), 1, Where(price_max=5, price_min=5))[0].product_id == "p0"
    assert "p0" not in {
        hit.product_id for hit in index.nearest(-vector(0), 60, Where(availability=AVAILABLE))
    }


def test_a_question_asked_again_is_answered_by_what_is_there_now(index: VectorIndex) -> None:
    fill(index)
    before = index.nearest(vector(3), 2, Where())
    assert index.nearest(vector(3), 2, Where()) == before
    index.remove([before[0].product_id])
    assert index.nearest(vector(3), 1, Where()) == before[1:]
    index.upsert([(next(each for each in PRODUCTS if each.product_id == before[0].product_id), vector(3))])
    assert index.nearest(vector(3), 2, Where()) == before


def test_a_removed_product_is_not_found_again(index: VectorIndex) -> None:
    fill(index).remove(["p3", "p4", "nobody"])
    assert index.count() == len(PRODUCTS) - 2
    assert {"p3", "p4"}.isdisjoint(hit.product_id for hit in index.nearest(vector(3), 60, Where()))


def test_an_empty_index_finds_nothing(index: VectorIndex) -> None:
    assert index.nearest(vector(1), 5, Where(availability=AVAILABLE)) == []
    assert index.count() == 0
    index.upsert([])
    index.remove([])


def test_optimising_changes_no_answer(index: VectorIndex) -> None:
    fill(index)
    before = index.nearest(vector(5), 10, Where(availability=AVAILABLE))
    index.optimise()
    assert index.nearest(vector(5), 10, Where(availability=AVAILABLE)) == before


def a_few(*values: str) -> st.SearchStrategy[frozenset[str]]:
    return st.frozensets(st.sampled_from(values), max_size=2)


a_where = st.builds(
    Where,
    availability=st.frozensets(st.sampled_from(AVAILABILITIES)),
    price_min=st.none() | st.integers(0, 90).map(float),
    price_max=st.none() | st.integers(0, 90).map(float),
    category=a_few("Women", "Women/Shoes", "Women/Shoes/Boots", "Home", "Sho"),
    brand=a_few("Alma", "Bo & Co", "Nobody"),
    type=a_few("boot", "shoe"),
    tag=a_few("red", "wool"),
    market=a_few("CH", "US"),
    without_category=a_few("Women/Shoes", "Home"),
    without_brand=a_few("Alma"),
    without_type=a_few("boot"),
    without_tag=a_few("red", "silk"),
    exclude=st.frozensets(st.integers(0, 60).map(lambda number: f"p{number}"), max_size=20),
)


def test_no_combination_of_filters_leaks(tmp_path: Path) -> None:
    edge = EdgeIndex(LAYOUT, tmp_path / "index")
    fill(edge)

    @given(a_where, st.integers(0, 99))
    @examples(200)
    def none_leaks(where: Where, seed: int) -> None:
        hits = edge.nearest(vector(seed), len(PRODUCTS), where)
        assert {hit.product_id for hit in hits} == find_allowed(where)

    none_leaks()
    edge.close()


def test_a_collection_of_another_layout_is_refused_with_what_to_do() -> None:
    client = QdrantClient(":memory:")
    collection = ProductCollection(client, "products", LAYOUT)
    collection.upsert([(PRODUCTS[0], vector(0))])
    with pytest.raises(LayoutMismatch, match="EDDY_TEXT_WIDTH"):
        ProductCollection(client, "products", Layout.of(7, 4))
    with pytest.raises(LayoutMismatch, match="products"):
        ProductCollection(client, "products", Layout.of(4, 5))
    client.close()


def test_tests_leave_no_collection_behind() -> None:
    client = QdrantClient(":memory:")
    ProductCollection(client, "test-1", LAYOUT)
    ProductCollection(client, "products", LAYOUT)
    assert len(collections_of(client, "test-1")) == 1
    delete_collections(client, "test-1")
    assert collections_of(client, "test-1") == []
    assert len(collections_of(client, "products")) == 1  # somebody's own stays
    client.close()


def test_what_a_killed_process_left_is_cleared_away(tmp_path: Path) -> None:
    killed = EdgeIndex(LAYOUT, tmp_path / "index")
    fill(killed)
    anew = EdgeIndex(LAYOUT, tmp_path / "index")
    assert anew.count() == 0
    anew.close()
