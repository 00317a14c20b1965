"""Several workers behind one port: pages of all get what happens, and one that is killed comes back."""

import asyncio
import json
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from random import randrange
from uuid import uuid4

import psutil
import pytest

from infra.stack.broker import Broker
from services.web.ports import bind_shared
from tests.support.patience import eventually
from tests.support.services import RunningService, run_service
from tests.support.shop import FOR_YOU, Live, Shop, ids, metrics, open_shop

WORKERS = 2
PAGES = 12


def consecutive_ports(count: int) -> int:
    """The first of so many that nobody listens on now, where the kernel gives no connection a port."""
    while True:
        first = randrange(20_000, 32_000, count)  # its own begin at 32,768
        try:
            for port in range(first, first + count):
                bind_shared("test", "127.0.0.1", port).close()
        except SystemExit:
            continue
        return first


class Workers:
    """The workers of a running recommender, by their own ports."""

    def __init__(self, service: RunningService, first_port: int) -> None:
        self._parent = psutil.Process(service.process.pid)
        self.all = [
            RunningService(service.process, first_port + number, service.log) for number in range(WORKERS)
        ]

    async def are_ready(self) -> None:
        for worker in self.all:
            await asyncio.to_thread(worker.wait_for, "/readyz")

    def processes(self) -> list[psutil.Process]:
        """All that the parent has started."""
        return list(self._parent.children(recursive=True))

    def process(self, worker: RunningService) -> psutil.Process:
        """The one that listens on a worker's own port."""
        [found] = [each for each in self.processes() if worker.port in _listening(each)]
        return found


def _listening(process: psutil.Process) -> set[int]:
    return {each.laddr.port for each in process.net_connections("tcp") if each.status == psutil.CONN_LISTEN}


def sockets_of(worker: RunningService) -> int:
    """How many sockets a worker has."""
    [line] = [each for each in metrics(worker).splitlines() if each.startswith("eddy_recommender_sockets ")]
    return int(float(line.split()[1]))


class Pages:
    """Open pages, each of a visitor of its own."""

    def __init__(self, shop: Shop, service: RunningService, stack: AsyncExitStack) -> None:
        self._shop, self._service, self._stack = shop, service, stack
        self.all: dict[str, Live] = {}

    async def open(self, visitor: str) -> None:
        live = await self._stack.enter_async_context(self._shop.live(self._service, visitor, FOR_YOU))
        assert len(ids(await live.next())) == 6
        self.all[visitor] = live

    async def open_until_all_have_some(self, workers: Workers) -> None:
        """The kernel decides which worker a page gets."""
        while len(self.all) < PAGES or not all(map(sockets_of, workers.all)):
            await self.open(f"visitor-{len(self.all)}")

    @property
    def closed(self) -> list[str]:
        """Visitors whose sockets are gone."""
        return [visitor for visitor, page in self.all.items() if page.socket.close_code is not None]

    async def click(self, product_id: str) -> None:
        """Every visitor with an open page clicks, and the page shows it."""
        for visitor, page in self.all.items():
            if visitor not in self.closed:
                await page.push_of(await self._shop.look_at(visitor, product_id))


@pytest.fixture(scope="module")
def shop(broker: Broker) -> Shop:
    return open_shop(broker)


@contextmanager
def _recommender(shop: Shop, folder: Path, **more: str) -> Iterator[tuple[RunningService, Workers]]:
    first_port = consecutive_ports(WORKERS)
    several = {
        "EDDY_RECOMMENDER_WORKERS": str(WORKERS),
        "EDDY_RECOMMENDER_WORKER_PORT": str(first_port),
        "EDDY_RECOMMENDER_DATADIR": str(folder / "index"),
        "EDDY_STOP_DELAY_S": "0",
        **more,
    }
    with run_service("recommender", shop.settings, folder / "log", environment=several) as service:
        workers = Workers(service, first_port)
        try:
            yield service, workers
        finally:
            for worker in workers.all:
                worker.http.close()


async def test_pages_of_two_workers_get_what_happens_and_one_that_is_killed_comes_back(
    shop: Shop, tmp_path: Path
) -> None:
    with _recommender(shop, tmp_path) as (service, workers):
        await workers.are_ready()
        async with AsyncExitStack() as stack:
            pages = Pages(shop, service, stack)
            await pages.open_until_all_have_some(workers)
            assert sum(map(sockets_of, workers.all)) == len(pages.all)
            await pages.click("p4")

            first, had = workers.all[0], sockets_of(workers.all[0])
            killed = workers.process(first)
            killed.kill()

            async def are_closed() -> None:
                assert len(pages.closed) == had

            await eventually(are_closed)
            await pages.click("p7")  # the other worker's pages go on
            for visitor in pages.closed:
                await pages.open(visitor)
            await pages.click("p8")
            await workers.are_ready()
            assert workers.process(first).pid != killed.pid
            await pages.open_until_all_have_some(workers)
            await pages.click("p10")

            left = workers.processes()
            service.process.send_signal(signal.SIGTERM)
            for page in pages.all.values():
                assert (await page.wait_for_close())[0] == 1012
        assert await asyncio.to_thread(service.process.wait, 30) == -signal.SIGTERM
        _, alive = psutil.wait_procs(left, timeout=30)
        assert not alive


@pytest.fixture
def shops(broker: Broker) -> dict[str, Shop]:
    """Two, by name."""
    return {name: open_shop(broker, f"signs the tokens of the shop {name}") for name in "ab"}


async def test_each_of_two_workers_serves_each_of_two_shops(shops: dict[str, Shop], tmp_path: Path) -> None:
    entries = [
        {
            "topic_prefix": shop.settings.topic_prefix,
            "path": f"/{name}",
            "token_secret": f"signs the tokens of the shop {name}",
            "api_key": f"the API key of the shop {name}",
            "auth": "required",
        }
        for name, shop in shops.items()
    ]
    environment = {"EDDY_TENANTS": json.dumps(entries)}
    with _recommender(shops["a"], tmp_path, **environment) as (_, workers):
        await workers.are_ready()
        for worker in workers.all:
            await check_shops(worker, shops)
        assert len(folders_of_indexes(tmp_path)) == WORKERS * len(shops)


def folders_of_indexes(folder: Path) -> set[Path]:
    """No two indexes may lie in one place."""
    return {*folder.glob("index/worker-*/tenant-*/index")}


async def check_shops(worker: RunningService, shops: dict[str, Shop]) -> None:
    """A click at one shop moves its page at this worker, whose other page has its own click next."""
    visitor = f"visitor-{uuid4().hex}"
    told = await asyncio.to_thread(worker.http.get, "/metrics")
    async with AsyncExitStack() as stack:
        pages: dict[str, Live] = {}
        for name, shop in shops.items():
            assert f'eddy_recommender_products{{tenant="{shop.settings.tenant}"}}' in told.text
            door = worker.below(f"/{name}")
            stack.callback(door.http.close)
            pages[name] = await stack.enter_async_context(shop.live(door, visitor, FOR_YOU))
            assert len(ids(await pages[name].next())) == 6
            other = shops["b" if name == "a" else "a"]
            refused = await stack.enter_async_context(other.live(door, visitor))
            assert (await refused.wait_for_close())[0] == 1008
        for name, product_id in (("a", "p4"), ("b", "p5")):
            event = await shops[name].look_at(visitor, product_id)
            assert (await pages[name].next())["caused_by"] == event
