"""An index that is lost is built anew: a collection from the topic, a recommender's own by its next start."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from pydantic import SecretStr
from qdrant_client import QdrantClient

from infra.stack.broker import Broker
from schemas.points import point_id
from schemas.products import Product
from schemas.vectors import LayoutMismatch
from services import qdrant
from services.embedder.metrics import Metrics
from services.embedder.qdrant_writer import ServerIndex
from services.embedder.settings import EmbedderSettings
from services.ops.index import maintenance
from services.ops.index.query import IndexState
from services.ops.settings import OpsSettings
from services.progress import Silent
from services.qdrant import ProductCollection, collection_name, product_collection
from services.recommender.app import create_index
from services.recommender.settings import RecommenderSettings
from tests.support.operator import run_command, settings_without_services
from tests.support.patience import patiently
from tests.support.services import SECRET, run_service
from tests.support.shop import (
    CATALOGUE,
    COUNT,
    LAYOUT,
    Shop,
    content,
    get,
    metrics,
    open_shop,
    product,
    shelf,
)

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect")

STEPS = 40  # products that change while the index is built


@pytest.fixture
def shop(broker: Broker) -> Shop:
    return open_shop(broker)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[QdrantClient]:
    """qdrant-client's own memory, in the place of a server at http://qdrant.test."""
    client = QdrantClient(":memory:")
    monkeypatch.setattr(qdrant, "connect", lambda _settings: client)
    monkeypatch.setattr(maintenance, "connect", lambda _settings: client)
    yield client
    client.close()


def settings_of(shop: Shop) -> OpsSettings:
    return OpsSettings(
        kafka_bootstrap=shop.settings.kafka_bootstrap,
        topic_prefix=shop.settings.topic_prefix,
        qdrant_url="http://qdrant.test",
    )


def state(settings: OpsSettings, within_s: float = 0) -> IndexState:
    return maintenance.await_agreement(settings, within_s, Silent())


def names(client: QdrantClient) -> set[str]:
    return {each.name for each in client.get_collections().collections}


def test_what_the_embedder_writes_under_a_prefix_the_recommender_finds(client: QdrantClient) -> None:
    url, prefix = "http://qdrant.test", "shadow."
    secret = SecretStr(SECRET)
    asked = create_index(
        RecommenderSettings(qdrant_url=url, topic_prefix=prefix, token_secret=secret, api_key=secret), None
    )
    embedder = EmbedderSettings(qdrant_url=url, topic_prefix=prefix)
    written = ServerIndex(lambda: product_collection(embedder), Metrics())
    written.start()
    arrived = threading.Event()
    written.put("p1", (product(1), content(1)), arrived.set)

    @patiently(20, 0.02)
    def check_done() -> None:
        written.serve()
        assert arrived.is_set()

    check_done()
    written.stop(5)
    assert asked.count() == 1
    assert collection_name(embedder) == "shadow.products"


async def test_a_lost_collection_is_built_anew_as_the_topics_are_now(
    shop: Shop, client: QdrantClient
) -> None:
    settings = settings_of(shop)
    before = state(settings)
    assert (before.on_topic, before.in_index, before.agrees) == (COUNT, 0, False)
    # Sold out since its vector was made: filters hold against that.
    await shop.put(product(4, updated_at=2, availability="out_of_stock"))
    rebuilt = maintenance.rebuild_index(settings, Silent())
    assert rebuilt.products == COUNT
    assert state(settings).agrees
    [found] = client.retrieve(collection_name(settings), [point_id("p4")])
    assert (found.payload or {})["availability"] == "out_of_stock"
    again = maintenance.rebuild_index(settings, Silent())
    assert again.removed == (rebuilt.collection,)
    assert names(client) == {again.collection}


async def test_what_is_missing_too_much_or_old_is_found_and_mended(shop: Shop, client: QdrantClient) -> None:
    settings = settings_of(shop)
    maintenance.rebuild_index(settings, Silent())
    served = ProductCollection(client, collection_name(settings), LAYOUT)
    served.remove(["p1", "p2"])
    served.upsert([(product(500), content(500)), (product(3, updated_at=0), content(3))])
    found = state(settings)
    assert (found.missing, found.surplus, found.stale, found.agrees) == (2, 1, 1, False)
    assert found.named == {"missing": ["p1", "p2"], "surplus": ["p500"], "stale": ["p3"]}
    maintenance.rebuild_index(settings, Silent())
    assert state(settings).agrees


async def test_a_catalogue_that_changes_meanwhile_is_in_the_new_collection(
    shop: Shop, client: QdrantClient
) -> None:
    """Written as the embedder does: to the topic first, then to the collection that serves."""
    settings = settings_of(shop)
    maintenance.rebuild_index(settings, Silent())
    lock = threading.Lock()  # qdrant-client's memory takes one caller at a time; a server takes all
    served = ProductCollection(client, collection_name(settings), LAYOUT)
    began = asyncio.Event()

    async def go_on() -> None:
        for step in range(STEPS):
            changed = product(step % 7, updated_at=2 + step, price=1000.0 + step)
            await shop.embed((changed, content(step)))
            began.set()
            await asyncio.to_thread(write, changed, step)

    def write(changed: Product, step: int) -> None:
        with lock:
            served.upsert([(changed, content(step))])

    embedding = asyncio.create_task(go_on())
    await began.wait()
    locked = cast("QdrantClient", LockedClient(client, lock))
    rebuilt = await asyncio.to_thread(maintenance.rebuild_index, settings, Silent(), locked)
    await embedding
    assert names(client) == {rebuilt.collection}
    assert state(settings).agrees
    for number in range(7):
        last = max(step for step in range(STEPS) if step % 7 == number)
        [found] = client.retrieve(collection_name(settings), [point_id(f"p{number}")])
        assert (found.payload or {})["price"] == 1000.0 + last


class LockedClient:
    """One call at a time."""

    def __init__(self, client: QdrantClient, lock: threading.Lock) -> None:
        self._client = client
        self._lock = lock

    def __getattr__(self, name: str) -> object:
        method = getattr(self._client, name)

        def call(*arguments: object, **more: object) -> object:
            with self._lock:
                return method(*arguments, **more)

        return call


async def test_vectors_of_another_layout_leave_the_old_collection_where_it_is(
    shop: Shop, client: QdrantClient
) -> None:
    settings = settings_of(shop)
    first = maintenance.rebuild_index(settings, Silent())
    other = settings.model_copy(update={"text_width": 768})
    with pytest.raises(LayoutMismatch, match="EDDY_TEXT_WIDTH"):
        maintenance.rebuild_index(other, Silent())
    assert names(client) == {first.collection}
    assert state(settings).agrees


def test_a_server_that_is_away_is_said_so(shop: Shop) -> None:
    environment = settings_without_services(
        shop.settings, EDDY_QDRANT_URL=settings_without_services(shop.settings)["EDDY_INGEST_URL"]
    )
    for command in ("check", "rebuild"):
        result = run_command(environment, "index", command, status=2)
        assert "no Qdrant server answers" in result.err


def test_a_recommender_that_was_killed_has_all_again_at_its_next_start(shop: Shop, tmp_path: Path) -> None:
    folder = {"EDDY_RECOMMENDER_DATADIR": str(tmp_path / "index")}
    with run_service("recommender", shop.settings, tmp_path / "log", environment=folder) as first:
        environment = settings_without_services(shop.settings, EDDY_RECOMMENDER_URL=first.url)
        found = json.loads(run_command(environment, "index", "check", "--json").out)
        assert (found["kind"], found["on_topic"], found["in_index"]) == ("in_process", COUNT, len(CATALOGUE))
        first.kill()
        lost = run_command(environment, "index", "rebuild", status=1)
        assert "does not answer" in lost.out
        assert "index check --wait" in lost.err
        with run_service(
            "recommender",
            shop.settings,
            tmp_path / "log",
            environment=folder,
            port=first.port,
            until="/healthz",
        ):
            run_command(environment, "index", "check", "--wait", "60")
            told = run_command(environment, "index", "rebuild")
            assert "nothing is to be rebuilt" in told.out


async def test_a_recommender_that_was_killed_goes_on_from_its_copy_of_the_products(
    shop: Shop, tmp_path: Path
) -> None:
    environment = {"EDDY_RECOMMENDER_DATADIR": str(tmp_path / "index"), "EDDY_SNAPSHOT_PRODUCTS": "1"}
    log = tmp_path / "log"
    with run_service("recommender", shop.settings, log, environment=environment) as first:

        @patiently(30)
        def is_kept() -> None:
            assert "eddy_recommender_snapshot_timestamp_seconds 0.0" not in metrics(first)

        is_kept()
        first.kill()
    changed = product(4, updated_at=2, price=99.0)
    await shop.put(changed)
    await shop.embed((changed, content(5)))
    await shop.delete("p7")
    with run_service("recommender", shop.settings, log, environment=environment) as second:
        assert "products are known from a copy" in log.read_text()
        settings = settings_without_services(shop.settings, EDDY_RECOMMENDER_URL=second.url)
        run_command(settings, "index", "check", "--wait", "60")
        wanted = [f"p{number}" for number in range(COUNT)]
        shown = get(second, "/v1/products", product_id=wanted)["items"]
        prices = {each.product_id: each.price for each in CATALOGUE} | {"p4": 99.0}
        del prices["p7"]
        assert {item["product_id"]: item["price"] for item in shown} == prices
        near = get(second, "/v1/products/p4/similar", k=5)["items"]
        assert {shelf(item["product_id"]) for item in near} == {shelf("p5")}
