"""Under load: every service killed, the broker restarted. What got a 202 counts exactly once."""

import asyncio
import json
import os
import signal
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

import httpx
import pytest
from tenacity import retry, stop_after_delay, wait_fixed
from ulid import ULID
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from infra.stack.lifecycle import Stack, answers, kafka_answers
from schemas import sessions
from schemas.events import Event, decode
from schemas.sessions import SESSION_EVENTS_MAX, Session, identity
from schemas.topics import EVENTS, PRODUCT_VECTORS, SESSIONS
from schemas.vectors import Layout
from services.clock import now_ms
from services.model.session import Tuning, fold
from services.settings import ServiceSettings
from services.vector_replica import VectorReplica
from tests.support.kafka import read_topic

pytestmark = pytest.mark.timeout(600)  # it may be the first, which waits for the whole stack

LAYOUT: Final = Layout.of(384, 64)
VISITORS: Final = 80
PER_VISITOR: Final = SESSION_EVENTS_MAX  # all of them are remembered
RATE: Final = 60.0  # events a second, all visitors together
SLOT: Final = {"name": "for_you", "kind": "for_you", "k": 6}

Json = dict[str, Any]


@dataclass
class Shopper:
    """One visitor with an open page."""

    visitor_id: str
    token: str
    accepted: list[str] = field(default_factory=list)
    in_doubt: list[str] = field(default_factory=list)  # no answer, or not a 202: may or may not be there
    shown: Json = field(default_factory=dict)
    connections: int = 0


class Crowd:
    """Shoppers who click at a steady pace and watch their rows, whatever happens to the services."""

    def __init__(self, stack: Stack, products: list[str]) -> None:
        self._stack = stack
        self._products = products
        self._http = httpx.AsyncClient(base_url=stack.ingest_url, timeout=5)
        self.shoppers: list[Shopper] = []
        self._left: list[tuple[Shopper, int]] = []

    async def arrive(self) -> None:
        for _ in range(VISITORS):
            given = (await self._http.post("/v1/visitors")).json()
            self.shoppers.append(Shopper(given["visitor_id"], given["token"]))
        self._left = [(shopper, number) for number in range(PER_VISITOR) for shopper in self.shoppers]

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Every shopper's page is open; a closed socket is opened again."""
        watching = [asyncio.create_task(self._watch(shopper)) for shopper in self.shoppers]
        try:
            yield
        finally:
            for each in watching:
                each.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
            await self._http.aclose()

    async def _watch(self, shopper: Shopper) -> None:
        base = self._stack.recommender_url.replace("http", "ws")
        url = f"{base}/v1/live?visitor_id={shopper.visitor_id}&token={quote(shopper.token)}"
        async for socket in connect(url, compression=None, open_timeout=5):
            shopper.connections += 1
            with suppress(ConnectionClosed):
                await socket.send(json.dumps({"type": "subscribe", "slots": [SLOT]}))
                async for message in socket:
                    shopper.shown = json.loads(message)

    async def click_until(self, done: asyncio.Event) -> None:
        """Clicks one after the other, and at the same pace on to the end once `done` is set."""
        clicks: set[asyncio.Task[None]] = set()
        while self._left and not done.is_set():
            shopper, number = self._left.pop(0)
            clicks.add(asyncio.create_task(self._click(shopper, number)))
            await asyncio.sleep(1 / RATE)
        await asyncio.gather(*clicks)

    async def _click(self, shopper: Shopper, number: int) -> None:
        event: Json = {
            "event_id": str(ULID()),
            "type": "view_item",
            "visitor_id": shopper.visitor_id,
            "product_id": self._products[number * 7 % len(self._products)],
            "occurred_at": int(now_ms()),
        }
        shopper.in_doubt.append(event["event_id"])
        with suppress(httpx.HTTPError):
            answer = await self._http.post(
                "/v1/events", params={"token": shopper.token}, json={"events": [event]}
            )
            if answer.status_code == 202:
                shopper.in_doubt.remove(event["event_id"])
                shopper.accepted.append(event["event_id"])


async def _crash_one_after_another(stack: Stack, crowd: Crowd) -> None:
    for name in ("ingest", "session_processor", "embedder", "recommender"):
        before = stack.pid(name)
        os.kill(before, signal.SIGKILL)
        await _until_ready(stack, name, other_than=before)
        await _until_accepting(crowd)
    await asyncio.to_thread(stack.supervisor.stop, "kafka")
    await asyncio.to_thread(stack.supervisor.start, "kafka")
    await _until_accepting(crowd)


@retry(stop=stop_after_delay(60), wait=wait_fixed(0.1), reraise=True)
async def _until_ready(stack: Stack, name: str, other_than: int) -> None:
    assert stack.pid(name) not in (0, other_than)
    port = stack.ports[name]
    assert await asyncio.to_thread(answers, f"http://127.0.0.1:{port}/readyz")


async def _until_accepting(crowd: Crowd) -> None:
    """Until 50 more events were accepted: the load goes on between two crashes."""
    wanted = sum(len(shopper.accepted) for shopper in crowd.shoppers) + 50

    @retry(stop=stop_after_delay(60), wait=wait_fixed(0.05), reraise=True)
    async def accepted() -> None:
        assert sum(len(shopper.accepted) for shopper in crowd.shoppers) >= wanted

    await accepted()


async def test_every_accepted_event_counts_once_and_every_page_shows_the_right_state(stack: Stack) -> None:
    settings = ServiceSettings(kafka_bootstrap=stack.bootstrap)
    crowd = Crowd(stack, [f"p{number:04d}" for number in range(1, 500)])
    await crowd.arrive()
    async with crowd.watching():
        done = asyncio.Event()
        clicking = asyncio.create_task(crowd.click_until(done))
        await _until_accepting(crowd)
        await _crash_one_after_another(stack, crowd)
        done.set()
        await clicking
        await _all_is_folded(settings, crowd)
        await _all_is_shown(stack, settings, crowd)
    assert all(shopper.connections >= 2 for shopper in crowd.shoppers)
    assert kafka_answers(stack.bootstrap)


@retry(stop=stop_after_delay(60), wait=wait_fixed(0.5), reraise=True)
async def _all_is_folded(settings: ServiceSettings, crowd: Crowd) -> None:
    """Each session holds every accepted event once, and is what fold makes of the topic."""
    newest = await asyncio.to_thread(_newest_sessions, settings)
    on_topic = await asyncio.to_thread(_events_by_visitor, settings)
    vectors = await asyncio.to_thread(_vectors, settings)
    for shopper in crowd.shoppers:
        session = newest[shopper.visitor_id]
        held = [event.identity for event in session.events]
        assert len(held) == len(set(held))
        there = {event.event_id for event in on_topic[shopper.visitor_id]}
        assert set(shopper.accepted) <= there, "accepted, but not on the topic"
        accepted, in_doubt = (set(map(identity, ids)) for ids in (shopper.accepted, shopper.in_doubt))
        assert accepted <= set(held), "on the topic, but not in the session"
        assert set(held) <= accepted | in_doubt, "never sent"
        expected = Session(shopper.visitor_id)
        for event in on_topic[shopper.visitor_id]:
            expected = fold(expected, event, vectors, LAYOUT, Tuning())
        assert sessions.encode(session) == sessions.encode(expected)


@retry(stop=stop_after_delay(60), wait=wait_fixed(0.5), reraise=True)
async def _all_is_shown(stack: Stack, settings: ServiceSettings, crowd: Crowd) -> None:
    """Every open page shows what a page opened now would show."""
    async with httpx.AsyncClient(base_url=stack.recommender_url) as client:
        for shopper in crowd.shoppers:
            asked: Json = {"visitor_id": shopper.visitor_id, "token": shopper.token, "k": SLOT["k"]}
            now = (await client.get("/v1/recommendations", params=asked)).json()
            assert shopper.shown["items"] == now["items"]
            assert {item["source"] for item in now["items"]} <= {"content", "behaviour"}


def _newest_sessions(settings: ServiceSettings) -> dict[str, Session]:
    newest = {(each.key() or b"").decode(): each.value() for each in read_topic(settings, SESSIONS)}
    # Another test's visitor may have been forgotten: that is a tombstone.
    return {visitor_id: sessions.decode(value) for visitor_id, value in newest.items() if value is not None}


def _events_by_visitor(settings: ServiceSettings) -> dict[str, list[Event]]:
    by_visitor: defaultdict[str, list[Event]] = defaultdict(list)
    for message in read_topic(settings, EVENTS):
        event = decode(message.value() or b"")
        by_visitor[event.visitor_id].append(event)
    return by_visitor


def _vectors(settings: ServiceSettings) -> VectorReplica:
    replica = VectorReplica(LAYOUT)
    for message in read_topic(settings, PRODUCT_VECTORS):
        replica.apply((message.key() or b"").decode(), message.value())
    return replica
