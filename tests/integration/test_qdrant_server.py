"""A Qdrant server over the wire, as a stand-in speaks it: keys, TLS, kills, strict mode, rebuilds."""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from qdrant_client import QdrantClient
from qdrant_client.models import PayloadSchemaType

from infra.stack.broker import Broker
from schemas.points import INDEXED_FIELDS, point_id
from schemas.vectors import Layout, Vector
from services.embedder.metrics import Metrics as EmbedderMetrics
from services.embedder.qdrant_writer import QdrantRefuses
from services.embedder.qdrant_writer import ServerIndex as Writer
from services.ops.index.rebuild import QdrantAlias
from services.qdrant import (
    BATCH_MAX,
    LIMIT_MAX,
    CollectionShape,
    ProductCollection,
    SucceedingCollection,
    alias_target,
    connect,
    connect_in_loop,
    create,
    index_fields,
    open_for_writing,
    product_collection,
)
from services.qdrant_failures import FAILURES, describe, may_pass
from services.recommender.catalogue import Catalogue
from services.recommender.count_check import CountCheck
from services.recommender.index.port import AVAILABLE, IndexAway, Where
from services.recommender.index.qdrant_server import SearchTuning, ServerIndex
from services.recommender.metrics import Metrics
from tests.support.launcher import run_module
from tests.support.machine import free_ports
from tests.support.operator import run_command, settings_without_services
from tests.support.patience import patiently, wait_until
from tests.support.qdrant import StandIn, sign
from tests.support.services import KEY as BACK_END_KEY
from tests.support.services import SECRET, run_service
from tests.support.shop import CATALOGUE, LAYOUT, content, get, metrics, open_shop, product, replica

KEY = "the key of the server"
SMALL = Layout.of(6, 4)
POINTS = [(each, content(number).astype(np.float32)) for number, each in enumerate(CATALOGUE)]


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """With a key, and a certificate of an authority that nobody knows."""
    folder = tmp_path_factory.mktemp("tls")
    server = StandIn(folder / "server", key=KEY, tls=sign(folder / "certificates")).start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    server = StandIn(tmp_path_factory.mktemp("qdrant")).start()
    yield server
    server.kill()


@pytest.fixture
def server(stand_in: StandIn) -> Iterator[StandIn]:
    """Empty; a test may kill it."""
    yield stand_in
    client = connect(stand_in.start().settings())
    for each in client.get_collections().collections:
        client.delete_collection(each.name)
    client.close()


@pytest.fixture
def client(server: StandIn) -> Iterator[QdrantClient]:
    client = connect(server.settings())
    yield client
    client.close()


def failure_of(server: StandIn, **settings: object) -> str:
    with pytest.raises(FAILURES) as failed:
        product_collection(server.settings(qdrant_timeout_s=2, **settings))
    assert not may_pass(failed.value)
    return describe(failed.value)


def test_a_key_and_an_authority_of_ones_own_open_the_server_nothing_else_does(
    tls_server: StandIn,
) -> None:
    assert product_collection(tls_server.settings()).count() == 0
    assert "set EDDY_QDRANT_API_KEY" in failure_of(tls_server, qdrant_api_key="another")
    assert "set EDDY_QDRANT_API_KEY" in failure_of(tls_server, qdrant_api_key=None)
    assert "set EDDY_QDRANT_CA_FILE" in failure_of(tls_server, qdrant_ca_file=None)


def test_tls_where_there_is_none_is_said_so(server: StandIn) -> None:
    url = server.settings().qdrant_url or ""
    told = failure_of(server, qdrant_url=url.replace("http:", "https:"))
    assert "EDDY_QDRANT_URL has to begin with http://" in told


def test_an_embedder_with_a_wrong_key_ends_and_says_what_to_set(tls_server: StandIn) -> None:
    settings = tls_server.settings(qdrant_api_key="another")
    writer = Writer(lambda: open_for_writing(settings), EmbedderMetrics())
    writer.start()

    @patiently(30, 0.02)
    def find_failure() -> str:
        try:
            writer.serve()
        except QdrantRefuses as error:
            return str(error)
        raise AssertionError("it goes on")

    assert "EDDY_QDRANT_API_KEY" in find_failure()
    writer.stop(5)


def test_a_recommender_with_a_wrong_key_does_not_start_and_says_what_to_set(tls_server: StandIn) -> None:
    wrong = tls_server.environment | {
        "EDDY_QDRANT_API_KEY": "another",
        "EDDY_RECOMMENDER_PORT": str(free_ports(1)[0]),
        "EDDY_TOKEN_SECRET": SECRET,
        "EDDY_API_KEY": BACK_END_KEY,
    }
    ended = run_module("services.recommender", environment=os.environ | wrong)
    assert ended.returncode == 1
    assert "does not start" in ended.stderr
    assert "set EDDY_QDRANT_API_KEY" in ended.stderr


def test_a_killed_server_costs_neighbours_until_it_is_back(
    broker: Broker, server: StandIn, tmp_path: Path
) -> None:
    """Rows go on, out of what is popular; then the server answers, with what it had."""
    shop = open_shop(broker)
    environment = server.environment | {"EDDY_QDRANT_TIMEOUT_S": "1"}
    filled = product_collection(server.settings(topic_prefix=shop.settings.topic_prefix))
    filled.upsert(POINTS)
    with run_service("recommender", shop.settings, tmp_path / "log", environment=environment) as recommender:
        path = "/v1/products/{}/similar"
        assert "fallback" not in get(recommender, path.format("p1"), k=4)
        wait_until(lambda: "eddy_recommender_index_count_difference 0.0" in metrics(recommender))
        server.kill()
        assert get(recommender, path.format("p2"), k=4)["fallback"] == "index_away"
        server.start()

        @patiently(30)
        def is_back() -> None:
            assert "fallback" not in get(recommender, path.format("p2"), k=4)

        is_back()
    filled.client.close()


def test_changes_of_a_killed_server_arrive_when_it_is_back(server: StandIn) -> None:
    settings = server.settings(qdrant_timeout_s=2)
    writer = Writer(lambda: open_for_writing(settings), EmbedderMetrics())
    writer.start()
    done: list[str] = []

    def put(number: int) -> None:
        writer.put(f"p{number}", POINTS[number], lambda: done.append(f"p{number}"))

    @patiently(30, 0.02)
    def wait_for(expected: list[str]) -> None:
        writer.serve()
        assert done == expected

    put(1)
    wait_for(["p1"])
    server.kill()
    put(2)
    writer.serve()
    assert done == ["p1"]
    server.start()
    wait_for(["p1", "p2"])
    writer.stop(5)
    assert product_collection(settings).count() == 2


def test_a_collection_is_made_as_the_settings_say(server: StandIn, client: QdrantClient) -> None:
    settings = server.settings(
        qdrant_shards=3,
        qdrant_replicas=2,
        qdrant_write_consistency=2,
        qdrant_quantization="int8",
        qdrant_vectors_on_disk=True,
        qdrant_payload_on_disk=True,
        qdrant_hnsw_m=24,
        qdrant_hnsw_ef_construct=200,
        qdrant_strict=True,
    )
    product_collection(settings)
    found = client.get_collection("products")
    params, hnsw, strict = found.config.params, found.config.hnsw_config, found.config.strict_mode_config
    assert (params.shard_number, params.replication_factor, params.write_consistency_factor) == (3, 2, 2)
    assert (params.on_disk_payload, hnsw.m, hnsw.ef_construct) == (True, 24, 200)
    assert isinstance(params.vectors, dict)
    assert params.vectors["content"].on_disk
    assert found.config.quantization_config is not None
    assert found.config.quantization_config.scalar.always_ram  # type: ignore[union-attr]
    assert strict is not None
    assert strict.enabled
    assert (strict.max_query_limit, strict.upsert_max_batchsize) == (LIMIT_MAX, BATCH_MAX)
    assert strict.unindexed_filtering_retrieve is False
    assert set(found.payload_schema) == set(INDEXED_FIELDS)


def test_without_settings_the_server_chooses(server: StandIn, client: QdrantClient) -> None:
    assert set(CollectionShape.of(server.settings()).arguments(LAYOUT)) == {"vectors_config"}
    product_collection(server.settings())
    assert set(client.get_collection("products").payload_schema) == set(INDEXED_FIELDS)


def test_indexes_that_a_killed_service_did_not_make_are_made_before_the_first_product(
    server: StandIn, client: QdrantClient
) -> None:
    client.create_collection("products.first", **CollectionShape().arguments(LAYOUT))
    client.create_payload_index("products.first", "brand", PayloadSchemaType.KEYWORD)
    assert set(product_collection(server.settings()).client.get_collection("products").payload_schema) == set(
        INDEXED_FIELDS
    )
    assert alias_target(client, "products") == "products.first"


async def test_strict_mode_refuses_a_filter_without_an_index_in_words(
    server: StandIn, client: QdrantClient
) -> None:
    settings = server.settings(qdrant_strict=True)
    collection = product_collection(settings)
    collection.upsert(POINTS)
    index = ServerIndex(collection, connect_in_loop(settings), SearchTuning.of(settings))
    where = Where(availability=AVAILABLE)
    assert len((await index.ask([POINTS[0][1]], LIMIT_MAX + 1, where))[0]) == len(POINTS)
    client.delete_payload_index("products", "availability")
    for ask in (index.ask([POINTS[0][1]], 5, where), index.count_allowed(where)):
        with pytest.raises(IndexAway, match=r"strict mode refuses.*availability.*index rebuild"):
            await ask
    index_fields(client, "products")
    assert await index.count_allowed(where) == len(POINTS)
    await index.hang_up()


async def test_a_filter_that_misses_products_is_told(server: StandIn, client: QdrantClient) -> None:
    """What a broken payload index would do: all points are there, and a filter does not find two of them."""
    here = replica()
    catalogue, told = Catalogue(here.numbers), Metrics()
    for each in CATALOGUE:
        catalogue.put(each)
    settings = server.settings()
    collection = product_collection(settings)
    collection.upsert(POINTS)
    index = ServerIndex(collection, connect_in_loop(settings), SearchTuning.of(settings))
    check = CountCheck(catalogue, here, index, told)
    assert await check.look(again_s=0.0) == 0
    hide(collection, "p1", "p2")
    assert await check.look(again_s=0.0) == -2
    assert told.index_count_difference._value.get() == -2
    sold = msgspec.structs.replace(product(1), availability="out_of_stock", updated_at=2)
    catalogue.put(sold)
    assert await check.look(again_s=0.0) == -1
    server.kill()
    assert await check.look(again_s=0.0) is None
    await index.hang_up()


def hide(collection: ProductCollection, *product_ids: str) -> None:
    """Takes from points what a filter looks for."""
    ids = [point_id(each) for each in product_ids]
    collection.client.delete_payload(collection.name, ["availability"], points=[*ids])


def test_index_check_tells_what_a_filter_misses_and_a_rebuild_mends_it(
    broker: Broker, server: StandIn, client: QdrantClient
) -> None:
    shop = open_shop(broker)
    environment = settings_without_services(shop.settings, **server.environment)
    rebuilt = run_command(environment, "index", "rebuild")
    assert "which serves now" in rebuilt.out
    name = f"{shop.settings.topic_prefix}products"
    hide(ProductCollection(client, name, LAYOUT), "p1", "p2")
    found = run_command(environment, "index", "check", status=1)
    assert "payload indexes are broken" in " ".join(found.out.split())
    assert "index rebuild" in found.err
    run_command(environment, "index", "rebuild")
    assert len(client.get_collections().collections) == 1
    run_command(environment, "index", "check")


def vectors(layout: Layout, number: int) -> Vector:
    return layout.normalise(np.random.default_rng(number).normal(size=layout.width)).astype(np.float32)


def test_vectors_of_new_models_go_beside_those_that_serve_until_the_alias_moves(client: QdrantClient) -> None:
    other = Layout.of(8, 4)
    ProductCollection(client, "products", SMALL).upsert([(product(1), vectors(SMALL, 1))])
    writer = SucceedingCollection(client, "products", other)
    writer.upsert([(product(number), vectors(other, number)) for number in range(3)])
    assert ProductCollection(client, "products", SMALL).count() == 1, "what serves is left alone"
    again = SucceedingCollection(client, "products", other)  # the embedder was killed
    assert set(again.versions()) == {"p0", "p1", "p2"}
    alias = QdrantAlias(client, "products", other)
    made = alias.beside("20261129T000000Z-aaaa")
    made.upsert([(product(number), vectors(other, number)) for number in range(3)])
    alias.switch(made.name)
    writer.upsert([(product(3), vectors(other, 3))])
    assert ProductCollection(client, "products", other).count() == 4, "it follows the alias"
    for name in alias.list_leftovers():
        alias.drop(name)
    assert [each.name for each in client.get_collections().collections] == [made.name]
    writer.remove(["p3"])
    assert writer.count() == 3


def test_what_an_embedder_of_other_models_writes_is_no_leftover(client: QdrantClient) -> None:
    ProductCollection(client, "products", SMALL)
    SucceedingCollection(client, "products", Layout.of(8, 4)).upsert(
        [(product(1), vectors(Layout.of(8, 4), 1))]
    )
    assert QdrantAlias(client, "products", SMALL).list_leftovers() == []
    create(client, "products.first", SMALL)
    assert QdrantAlias(client, "products", SMALL).list_leftovers() == []
