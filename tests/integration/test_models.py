"""The recommender serves the released model: swapped under load, taken back, refused when it is broken."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import msgspec
import numpy as np
import pytest

from infra.stack.broker import Broker
from services.model import artifact
from services.model.behaviour import FEATURE_NAMES
from tests.support.models import contents, manifest, release
from tests.support.patience import eventually
from tests.support.released_models import (
    ONE,
    OTHER,
    VISITORS,
    K,
    Models,
    change_byte,
    cut_file,
    open_visited_shop,
    row,
    version,
)
from tests.support.services import KEY, RunningService, run_service
from tests.support.shop import CATALOGUE, COUNT, Json, Live, Shop, get, ids, metrics

SWAPS = 14
FOR_YOU = {"name": "for_you", "kind": "for_you", "k": K}


def start(store: Models) -> AbstractContextManager[RunningService]:
    """The recommender of the store's shop."""
    folder = store.folder.parent
    # Rows are compared to the last digit: no visit of these tests is to count in them.
    environment = {"EDDY_RECOMMENDER_MODELS": str(folder / "fetched"), "EDDY_LIVE_LEARNING_S": "0"}
    return run_service("recommender", store.shop.settings, folder / "log", environment=environment)


@pytest.fixture(scope="module")
def store(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Models:
    """The store of the module's one shop."""
    return Models(open_visited_shop(broker), tmp_path_factory.mktemp("models") / "store")


@pytest.fixture(scope="module")
def shop(store: Models) -> Shop:
    return store.shop


@pytest.fixture(scope="module")
def recommender(store: Models) -> Iterator[RunningService]:
    with start(store) as service:
        yield service


@pytest.fixture
def own(broker: Broker, tmp_path: Path) -> Models:
    """The store of a shop of the test's own, whose recommender is not started yet."""
    return Models(open_visited_shop(broker), tmp_path / "store")


def read_counter(service: RunningService, name: str) -> float:
    """A counter about models."""
    line = next(
        each for each in metrics(service).splitlines() if each.startswith(f"eddy_recommender_model_{name}")
    )
    return float(line.split()[1])


def version_served(service: RunningService) -> str | None:
    """The version that rows name."""
    found: str | None = row(service, VISITORS[0])["models"].get("behaviour")
    return found


async def serving(service: RunningService, expected: str | None) -> None:
    async def check_named() -> None:
        assert version_served(service) == expected

    await eventually(check_named)


async def test_a_release_changes_the_rows_which_name_it(
    recommender: RunningService, store: Models, shop: Shop, visitor: str
) -> None:
    await store.publish(None)
    await serving(recommender, None)
    found = store.store(ONE)
    async with shop.live(recommender, visitor, FOR_YOU) as live:
        before = await live.push_of(await shop.look_at(visitor, "p4"))
        assert before["models"] == {"text": "of the test"}
        await store.publish(found)
        await serving(recommender, found.version)
        after = await live.push_of(await shop.look_at(visitor, "p4"))
    assert after["models"] == {"text": "of the test", "behaviour": found.version}
    learned = {item["product_id"]: item for item in after["items"] if item["source"] == "behaviour"}
    assert {"p11", "p18"} <= learned.keys()
    assert learned["p11"]["why"] == "because you looked at Product 4"
    polled = row(recommender, visitor)
    assert (polled["items"], polled["models"]) == (after["items"], after["models"])
    assert f'eddy_recommender_model_served{{model="behaviour",version="{found.version}"}} 1.0' in metrics(
        recommender
    )
    assert get(recommender, "/v1/popular")["models"] == {"text": "of the test"}


async def test_another_model_s_release_is_none_of_its_business(
    recommender: RunningService, store: Models
) -> None:
    await store.publish(store.store(OTHER), name="another")
    found = store.store(ONE)
    await store.publish(found)
    await serving(recommender, found.version)


class Load:
    """What pages and back ends see while models are swapped: every answer there is."""

    def __init__(self) -> None:
        self.answers: list[tuple[str, Json]] = []
        self.versions: set[str] = set()

    def take(self, visitor: str, answer: Json) -> None:
        self.answers.append((visitor, answer))
        self.versions.add(answer["models"]["behaviour"])

    async def has_seen(self, version: str) -> None:
        async def check_seen() -> None:
            assert version in self.versions

        await eventually(check_seen)

    async def goes_on(self, answers: int) -> None:
        """Returns after so many more."""
        enough = len(self.answers) + answers

        async def check_taken() -> None:
            assert len(self.answers) >= enough

        await eventually(check_taken)

    async def poll(self, service: RunningService) -> None:
        """GET after GET, for all visitors in turn."""
        authorised = {"Authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(base_url=service.url, headers=authorised) as http:
            while True:
                for visitor in VISITORS:
                    answer = await http.get("/v1/recommendations", params={"visitor_id": visitor, "k": K})
                    self.take(visitor, answer.raise_for_status().json())

    async def listen(self, visitor: str, live: Live) -> None:
        """Push after push."""
        while True:
            message = await live.next()
            assert message["type"] == "recommendations"
            self.take(visitor, message)


@asynccontextmanager
async def under_load(service: RunningService, shop: Shop) -> AsyncIterator[Load]:
    """Two pages a visitor, whose sessions are published again and again, and a back end that asks."""
    load = Load()

    async def republish() -> None:
        while True:
            for visitor in VISITORS:
                await shop.publish(visitor)

    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        running_tasks = [tasks.create_task(load.poll(service)), tasks.create_task(republish())]
        for visitor in VISITORS * 2:
            live = await stack.enter_async_context(shop.live(service, visitor, FOR_YOU))
            running_tasks.append(tasks.create_task(load.listen(visitor, live)))
        yield load
        for task in running_tasks:
            task.cancel()


async def test_a_model_is_swapped_between_two_requests(
    recommender: RunningService, store: Models, shop: Shop
) -> None:
    releases = [store.store((ONE, OTHER)[number % 2]) for number in range(SWAPS)]
    expected: dict[str, dict[str, list[Json]]] = {}  # by version and visitor, made while nothing else goes on
    for found in releases[:2]:
        await store.publish(found)
        await serving(recommender, found.version)
        expected[found.version] = {visitor: row(recommender, visitor)["items"] for visitor in VISITORS}
    refusals = read_counter(recommender, "refused_total")
    one, other = expected.values()
    assert all(one[visitor] != other[visitor] for visitor in VISITORS)
    kinds = {found.version: (one, other)[number % 2] for number, found in enumerate(releases)}

    async with under_load(recommender, shop) as load:
        for found in releases[2:]:  # loaded while they are asked
            await store.publish(found)
            await load.has_seen(found.version)
        for found in releases[-2:] * 5:  # taken back and forth, none loaded again
            await store.publish(found)
            await load.goes_on(20)
    for visitor, answer in load.answers:
        assert answer["items"] == kinds[answer["models"]["behaviour"]][visitor]
    assert {version for version, _ in kinds.items()} - load.versions <= {releases[0].version}
    assert read_counter(recommender, "refused_total") == refusals


async def test_the_way_back_needs_neither_store_nor_cache(recommender: RunningService, store: Models) -> None:
    first, second = store.store(ONE), store.store(OTHER)
    await store.publish(first)
    await serving(recommender, first.version)
    before = row(recommender, VISITORS[0])
    await store.publish(second)
    await serving(recommender, second.version)
    for folder in (store.folder, store.folder.parent / "fetched"):
        shutil.rmtree(folder)
    await store.publish(first)
    await serving(recommender, first.version)
    assert row(recommender, VISITORS[0])["items"] == before["items"]


def missing(folder: Path) -> None:
    (folder / "products.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "file"),
    [(cut_file, "sessions_items.npy"), (change_byte, "item2vec_out.npy"), (missing, "products.json")],
)
async def test_a_broken_artifact_is_refused_by_name_while_the_old_one_serves(
    recommender: RunningService, store: Models, spoil: Callable[[Path], None], file: str
) -> None:
    good, broken = store.store(ONE), store.store_spoiled(spoil)
    await store.publish(good)
    await serving(recommender, good.version)
    before = row(recommender, VISITORS[0])
    refusals = read_counter(recommender, "refused_total")
    await store.publish(broken)
    await wait_for_refusals(recommender, refusals + 1)
    line = recommender.log.read_text().split("model refused")[-1]
    assert all(told in line for told in (broken.version, file, good.version))
    assert row(recommender, VISITORS[0]) == before
    later = store.store(OTHER)
    await store.publish(later)
    await serving(recommender, later.version)


async def wait_for_refusals(service: RunningService, count: float) -> None:
    async def check_told() -> None:
        assert read_counter(service, "refused_total") == count

    await eventually(check_told)


async def test_what_was_made_for_other_code_is_refused(recommender: RunningService, store: Models) -> None:
    arrays, texts = contents(ONE)
    other_features = texts | {FEATURE_NAMES: '["knn"]'}
    wide = arrays | {"item2vec_in": arrays["item2vec_in"].astype(np.float64)}
    before = version_served(recommender), read_counter(recommender, "refused_total")
    for count, found in enumerate([(arrays, other_features), (wide, texts)], 1):
        folder = store.folder / f"foreign-{count}"
        digest = artifact.write(folder, *found, manifest(version(0)))
        await store.publish(release(folder, digest, version(0)))
        await wait_for_refusals(recommender, before[1] + count)
    log = recommender.log.read_text()
    assert "made for other code: without the features" in log
    assert "item2vec_in.npy: holds float64" in log
    assert version_served(recommender) == before[0]


async def test_a_store_that_is_away_is_asked_again(recommender: RunningService, store: Models) -> None:
    good, late = store.store(ONE), store.store(OTHER)
    away = store.folder / "away"
    (store.folder / late.version).rename(away)
    await store.publish(good)
    await serving(recommender, good.version)
    attempts = read_counter(recommender, "store_away_total")
    await store.publish(late)

    async def check_asked() -> None:
        assert read_counter(recommender, "store_away_total") > attempts

    await eventually(check_asked)
    assert version_served(recommender) == good.version
    away.rename(store.folder / late.version)
    await serving(recommender, late.version)


async def test_a_tombstone_takes_the_model_out_of_service(recommender: RunningService, store: Models) -> None:
    found = store.store(ONE)
    await store.publish(found)
    await serving(recommender, found.version)
    await store.publish(None)
    await serving(recommender, None)
    without = row(recommender, VISITORS[0])
    assert {item["source"] for item in without["items"]} == {"content"}
    assert f'version="{found.version}"' not in metrics(recommender)


async def test_what_is_released_serves_from_the_first_answer_on(own: Models) -> None:
    await own.publish(own.store(OTHER))
    found = own.store(ONE)
    await own.publish(found)
    with start(own) as service:
        assert version_served(service) == found.version
        first = row(service, VISITORS[0])
    shutil.rmtree(own.folder)  # a start needs no store for what was fetched before
    with start(own) as service:
        assert row(service, VISITORS[0]) == first


async def test_a_broken_release_does_not_stop_the_start(own: Models) -> None:
    await own.publish(own.store_spoiled(cut_file))
    with start(own) as service:
        assert version_served(service) is None
        assert {item["source"] for item in row(service, VISITORS[0])["items"]} == {"content"}
        assert "sessions_items.npy" in service.log.read_text()
        assert read_counter(service, "refused_total") == 1
        found = own.store(ONE)
        await own.publish(found)
        await serving(service, found.version)


async def test_a_store_that_is_away_does_not_stop_the_start(own: Models) -> None:
    found = own.store(ONE)
    away = own.folder.rename(own.folder.parent / "away")
    await own.publish(found)
    with start(own) as service:
        assert version_served(service) is None
        away.rename(own.folder)
        await serving(service, found.version)


async def test_what_was_seen_or_is_sold_out_is_in_no_row(
    recommender: RunningService, store: Models, shop: Shop, visitor: str
) -> None:
    found = store.store(ONE)
    await store.publish(found)
    await serving(recommender, found.version)
    async with shop.live(recommender, visitor, FOR_YOU) as live:
        message = await live.push_of(await shop.look_at(visitor, "p30"))
        assert {"p37", "p44"} <= set(ids(message))
        gone = msgspec.structs.replace(CATALOGUE[37], availability="out_of_stock", updated_at=2)
        await shop.put(gone)
        message = await live.next()
        assert "p37" not in ids(message)
        assert message["models"]["behaviour"] == found.version
        message = await live.push_of(await shop.look_at(visitor, "p44"))
        assert not {"p30", "p37", "p44"} & set(ids(message))


async def test_who_looked_at_products_without_vectors_gets_what_others_looked_at(
    recommender: RunningService, store: Models, shop: Shop, visitor: str
) -> None:
    new = msgspec.structs.replace(CATALOGUE[0], product_id=f"p{COUNT}", name="New", popularity=0.0)
    await shop.put(new)
    found = store.store([[new.product_id, "p5", "p9"]] * 3)
    await store.publish(found)
    await serving(recommender, found.version)
    async with shop.live(recommender, visitor, FOR_YOU) as live:
        message = await live.push_of(await shop.look_at(visitor, new.product_id))
    learned = {item["product_id"]: item["why"] for item in message["items"] if item["source"] == "behaviour"}
    assert learned == dict.fromkeys(("p5", "p9"), "because you looked at New")
