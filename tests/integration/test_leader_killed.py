"""Three brokers, and the one that leads is killed under load: every 202 counts once, pushes go on."""

import asyncio
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from confluent_kafka import KafkaException
from ulid import ULID

from infra.stack.broker import LIBS
from schemas import sessions
from schemas.sessions import SESSION_EVENTS_MAX, identity
from schemas.topics import EVENTS, SESSIONS, TOPICS
from services.clock import now_ms
from services.kafka import admin
from services.kafka.admin import KafkaAdmin
from services.kafka.ranges import partition_of
from services.ops.topics.command import apply_fixes, find_differences
from services.settings import ServiceSettings, TopicSettings
from tests.support.cluster import run_cluster
from tests.support.kafka import read_topic
from tests.support.machine import skip_or_fail
from tests.support.patience import patiently, wait_until
from tests.support.services import KEY, RunningService, run_service
from tests.support.shop import CATALOGUE, COUNT, FOR_YOU, Live, Shop

pytestmark = pytest.mark.timeout(300)

VISITORS: Final = 12
PACE_S: Final = 0.05  # 20 events a second, all visitors together
PUSHES_WITHIN_S: Final = 15.0
PUSHES_AFTER: Final = 5  # so many more are awaited once it was killed
LOG_LINES: Final = 20  # of each service, when pushes do not come

Json = dict[str, Any]


class ServiceEnded(Exception):
    """Nobody starts it again here, so no push will come."""


class Load:
    """Visitors who click one after the other through ingest, and one page that is open."""

    def __init__(self, services: Mapping[str, RunningService], visitor: str) -> None:
        self._services = services
        self.visitors = [visitor, *(f"{visitor}-{number}" for number in range(1, VISITORS))]
        self.sent: dict[str, list[str]] = {each: [] for each in self.visitors}
        self.accepted: dict[str, list[str]] = {each: [] for each in self.visitors}
        self.in_doubt: dict[str, list[str]] = {each: [] for each in self.visitors}
        self.pushed_at: list[float] = []

    async def click(self, stopping: asyncio.Event) -> None:
        """Until it is told to stop, however slow the machine is: without clicks there are no pushes."""
        clicks: list[asyncio.Task[None]] = []
        async with httpx.AsyncClient(base_url=self._services["ingest"].url, timeout=30) as client:
            while not stopping.is_set():
                clicks.append(asyncio.create_task(self._click(client, len(clicks))))
                await asyncio.sleep(PACE_S)
            await asyncio.gather(*clicks)

    async def _click(self, client: httpx.AsyncClient, number: int) -> None:
        visitor = self.visitors[number % VISITORS]
        event: Json = {
            "event_id": str(ULID()),
            "type": "view_item",
            "visitor_id": visitor,
            "product_id": f"p{number * 7 % COUNT}",
            "occurred_at": int(now_ms()),
        }
        self.sent[visitor].append(event["event_id"])
        try:
            answer = await client.post(
                "/v1/events", headers={"Authorization": f"Bearer {KEY}"}, json={"events": [event]}
            )
        except httpx.HTTPError:
            answer = None
        of = self.accepted if answer is not None and answer.status_code == 202 else self.in_doubt
        of[visitor].append(event["event_id"])

    async def watch(self, live: Live) -> None:
        while True:
            await live.socket.recv()
            self.pushed_at.append(time.monotonic())

    @patiently(60, 0.05, despite=AssertionError)
    async def pushes_until(self, count: int) -> None:
        for name, service in self._services.items():
            if service.process.poll() is not None:
                raise ServiceEnded(f"{name} has ended with {service.process.poll()}")
        assert len(self.pushed_at) >= count

    @contextmanager
    def explain(self, settings: ServiceSettings) -> Iterator[None]:
        """Prints where events stand, and what the services said last, when the block fails."""
        began = time.monotonic()
        try:
            yield
        except BaseException:
            pushed = [round(at - began, 1) for at in self.pushed_at]
            print(f"pushes at {pushed} s, now {time.monotonic() - began:.1f} s")
            for name in ("sent", "accepted", "in_doubt"):
                print(f"{name}: {sum(map(len, getattr(self, name).values()))}")
            for topic in (EVENTS, SESSIONS):
                try:
                    keys = [each.key() or b"" for each in read_topic(settings, topic)]
                    of_page = keys.count(self.visitors[0].encode())
                    print(f"on {topic.name}: {len(keys)}, of the visitor of the page {of_page}")
                except (AssertionError, KafkaException) as error:
                    print(f"on {topic.name}: {error}")
            for name, service in self._services.items():
                lines = service.log.read_text(errors="replace").splitlines()[-LOG_LINES:]
                print(f"{name}, ended with {service.process.poll()}:", *lines, sep="\n  ")
            raise


async def test_the_leader_is_killed_under_load(tmp_path: Path, visitor: str) -> None:
    if shutil.which("java") is None or not LIBS.is_dir():
        skip_or_fail("a cluster needs Java 17 and the jars of `make setup`")
    with ExitStack() as stack:
        cluster, settings = await asyncio.to_thread(stack.enter_context, run_cluster(tmp_path / "kafka"))
        await asyncio.to_thread(create_topics, settings)
        shop = Shop(settings)
        await shop.put(*CATALOGUE)
        await shop.put_vectors(*range(COUNT))

        def start(name: str) -> RunningService:
            replicated = {"EDDY_TOPIC_REPLICAS": "3"}
            return stack.enter_context(run_service(name, settings, tmp_path / name, environment=replicated))

        names = ("ingest", "recommender", "session_processor")
        started = await asyncio.gather(*(asyncio.to_thread(start, name) for name in names))
        services = dict(zip(names, started, strict=True))
        load, stopping = Load(services, visitor), asyncio.Event()
        stack.enter_context(load.explain(settings))
        async with shop.live(services["recommender"], visitor, FOR_YOU) as live:
            watching = asyncio.create_task(load.watch(live))
            clicking = asyncio.create_task(load.click(stopping))
            await load.pushes_until(5)
            partition = partition_of(visitor.encode(), EVENTS.partitions)
            leader = await asyncio.to_thread(cluster.leader, settings.topic(EVENTS), partition)
            await asyncio.to_thread(cluster.kill, leader)
            killed_at, before = time.monotonic(), len(load.pushed_at)
            await load.pushes_until(before + PUSHES_AFTER)
            stopping.set()
            await clicking
            watching.cancel()
        times = [killed_at, *(at for at in load.pushed_at if at > killed_at)]
        longest = max(after - before for before, after in pairwise(times))
        print(f"longest wait for a push: {longest:.1f} s")
        assert longest < PUSHES_WITHIN_S
        await asyncio.to_thread(wait_until, lambda: every_accepted_event_counts_once(settings, load))


def create_topics(settings: TopicSettings) -> None:
    """With three replicas, of which two are needed; what is set otherwise is told, and mended."""
    created = admin.create(settings, replication=settings.topic_replicas)
    assert len(created) == len(TOPICS)
    # Nobody else is there: what a broker says of replicas that are still being made is over soon.
    wait_until(lambda: no_differences(settings))
    KafkaAdmin(settings).set_config(settings.topic(EVENTS), "min.insync.replicas", "1")

    def check_told() -> None:
        [found] = find_differences(settings)
        assert (found.topic, found.alter) == (settings.topic(EVENTS), ("min.insync.replicas", "2"))
        assert found.is_drift
        apply_fixes(settings, [found])

    wait_until(check_told)
    wait_until(lambda: no_differences(settings))


def no_differences(settings: TopicSettings) -> None:
    try:
        assert find_differences(settings) == []
    except KafkaException as error:
        raise AssertionError(str(error)) from None


def every_accepted_event_counts_once(settings: ServiceSettings, load: Load) -> None:
    """Of those that a session still remembers: on a slow machine a visitor may click more often."""
    newest = {(each.key() or b"").decode(): each.value() for each in read_topic(settings, SESSIONS)}
    for visitor in load.visitors:
        held = [event.identity for event in sessions.decode(newest[visitor] or b"").events]
        accepted = set(map(identity, load.accepted[visitor]))
        remembered = accepted & set(map(identity, load.sent[visitor][-SESSION_EVENTS_MAX:]))
        assert len(held) == len(set(held))
        assert remembered <= set(held) <= accepted | set(map(identity, load.in_doubt[visitor]))
