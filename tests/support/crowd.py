"""Shoppers who click and watch open pages while services die, and what must be true at the end."""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from random import random
from time import monotonic
from typing import Any, Final

import aiohttp
import httpx
from ulid import ULID

from schemas import sessions
from schemas.events import Event
from schemas.sessions import SESSION_EVENTS_MAX, Session, identity
from schemas.topics import EVENTS, PRODUCT_VECTORS
from schemas.unreadable import Unreadable
from schemas.vectors import Layout
from services.clock import now_ms
from services.kafka.messages import EVENT, SESSION, decode, newest_of_topic, read_value, vectors_of
from services.kafka.ranges import open_reader
from services.model.session import Tuning, fold
from services.settings import ServiceSettings
from services.vector_replica import VectorReplica
from services.web.auth import TOKEN_HEADER
from tests.support.kafka import read_topic

LAYOUT: Final = Layout.of(384, 64)
PER_VISITOR: Final = SESSION_EVENTS_MAX  # all of them are remembered
SLOT: Final = {"name": "for_you", "kind": "for_you", "k": 6}
# As tracker.js and live.js have them.
FIRST_WAIT_S: Final = 0.5
LAST_WAIT_S: Final = 10.0
AWAY_S: Final = 8.0  # the longest wait of a page whose socket does not open
SENT_AWAY_S: Final = 20.0  # and of one whose socket opens and is closed
ANSWER_WITHIN_S: Final = 10.0
OPEN_WITHIN_S: Final = 3.0

Json = dict[str, Any]
Click = tuple[float, float]  # made, shown


@dataclass
class Shopper:
    """One visitor; the page is open until all clicks are made and another visitor takes the place."""

    visitor_id: str
    token: str
    accepted: list[str] = field(default_factory=list)
    in_doubt: list[str] = field(default_factory=list)  # no answer, or not a 202: may or may not be there
    shown: Json = field(default_factory=dict)
    connections: int = 0
    left: int = PER_VISITOR
    is_connected: bool = False
    queue: list[Json] = field(default_factory=list)  # clicks that no request has taken along yet
    waiting: dict[str, float] = field(default_factory=dict)  # made, and on no row yet: event id → when
    clicks: list[Click] = field(default_factory=list)  # that the page has shown


@dataclass
class Gaps:
    """When something last happened, and the longest time without, in seconds."""

    last: float = field(default_factory=monotonic)
    longest_s: float = 0.0

    def note(self) -> None:
        now = monotonic()
        self.longest_s, self.last = max(self.longest_s, now - self.last), now


def first_click(shopper: Shopper, since: float) -> Click | None:
    """The first click that was made since then and that the page has shown."""
    return next((each for each in shopper.clicks if each[0] >= since), None)


def backoff_s(failures: int, longest_s: float = LAST_WAIT_S) -> float:
    """How long tracker.js and live.js wait after so many failures in a row."""
    wait: float = min(longest_s, FIRST_WAIT_S * 2.0 ** (failures - 1))
    return random() * wait


class Crowd:
    """Shoppers who click at a steady pace and watch their rows, whatever happens to the services.

    With `retry` a page keeps its clicks, sends one request after the other with all that has gathered, and
    after a failure waits for longer and longer, as tracker.js does. Without, each click goes alone, and one
    that got no 202 stays in doubt.
    """

    def __init__(
        self, ingest_url: str, recommender_url: str, products: Sequence[str], *, rate: float, retry: bool
    ) -> None:
        self._ingest_url = ingest_url
        self._live_url = f"{recommender_url.replace('http', 'ws', 1)}/v1/live"
        self._products = products
        self._rate = rate
        self._retry = retry
        # aiohttp's client, as the crowd shares two cores with all services: httpx's looks through all of its
        # connections at each request. A proxy's certificate is the test's own.
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=False),
            timeout=aiohttp.ClientTimeout(total=ANSWER_WITHIN_S),
        )
        self._watching: dict[str, asyncio.Task[None]] = {}
        self.shoppers: list[Shopper] = []
        self.open: list[Shopper] = []
        self.answers = Gaps()
        self.pushes = Gaps()
        self.refusals: Counter[str] = Counter()  # why sockets did not open, or ended

    @property
    def shown(self) -> list[Click]:
        """All clicks that a page has shown."""
        return [each for shopper in self.shoppers for each in shopper.clicks]

    @property
    def accepted(self) -> int:
        """Events answered 202 so far."""
        return sum(len(shopper.accepted) for shopper in self.shoppers)

    async def arrive(self, count: int, *, since_long: bool = False) -> None:
        """So many visitors open a page. `since_long`: as if they had come one after the other, each has more
        clicks left than the one before, and they will not all leave at once.
        """
        for number in range(1, count + 1):
            await self._arrive(-(-PER_VISITOR * number // count) if since_long else PER_VISITOR)

    async def _arrive(self, clicks: int) -> None:
        given = await self._new_visitor()
        shopper = Shopper(given["visitor_id"], given["token"], left=clicks)
        self.shoppers.append(shopper)
        self.open.append(shopper)
        self._watching[shopper.visitor_id] = asyncio.create_task(self._watch(shopper))

    async def _new_visitor(self) -> Json:
        failures = 0
        while True:
            with suppress(aiohttp.ClientError, TimeoutError):
                async with self._http.post(f"{self._ingest_url}/v1/visitors", json={}) as answer:
                    if answer.ok:
                        given: Json = await answer.json()
                        return given
                    assert answer.status >= 500, await answer.text()  # else it would not help to ask again
            if not self._retry:
                raise AssertionError("ingest makes no visitors")
            failures += 1
            await asyncio.sleep(backoff_s(failures))

    async def _leave(self, shopper: Shopper) -> None:
        self.open.remove(shopper)
        watching = self._watching.pop(shopper.visitor_id)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Ends the open pages after the block; a socket that closes within it is opened again."""
        try:
            yield
        finally:
            for shopper in list(self.open):
                await self._leave(shopper)
            await self._http.close()

    async def _watch(self, shopper: Shopper) -> None:
        failures = 0
        subscribe = {"type": "subscribe", "slots": [SLOT], "token": shopper.token}
        while True:
            longest_s = AWAY_S
            try:
                async with asyncio.timeout(OPEN_WITHIN_S):
                    socket = await self._http.ws_connect(
                        self._live_url, params={"visitor_id": shopper.visitor_id}, max_msg_size=0
                    )
                async with socket:
                    longest_s = SENT_AWAY_S
                    shopper.connections += 1
                    await socket.send_json(subscribe)
                    async for message in socket:
                        failures, shopper.is_connected = 0, True
                        shopper.shown = json.loads(message.data)
                        self.pushes.note()
                        self._note_shown(shopper, shopper.shown.get("caused_by"))
                self.refusals[f"closed: {socket.close_code}"] += 1
            except aiohttp.WSServerHandshakeError as error:
                self.refusals[str(error.status)] += 1
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                self.refusals[type(error).__name__] += 1
            shopper.is_connected = False
            failures += 1
            await asyncio.sleep(backoff_s(failures, longest_s))

    def _note_shown(self, shopper: Shopper, caused_by: str | None) -> None:
        """A row that names a click shows what was clicked before it, too."""
        if caused_by not in shopper.waiting:
            return
        now = monotonic()
        for event_id in list(shopper.waiting):
            shopper.clicks.append((shopper.waiting.pop(event_id), now))
            if event_id == caused_by:
                return

    def behind(self, pages: Iterable[Shopper], since: float) -> list[Shopper]:
        """Those of the pages that are still open, and have shown no click that was made since then."""
        return [each for each in self.still_open(pages) if first_click(each, since) is None]

    def still_open(self, pages: Iterable[Shopper]) -> list[Shopper]:
        """Those of the pages whose visitor has not left."""
        there = {each.visitor_id for each in self.open}
        return [each for each in pages if each.visitor_id in there]

    async def click_until(self, done: Callable[[], bool]) -> None:
        """Clicks one visitor after the other, until `done` says so; then waits for the last answers."""
        sends: set[asyncio.Task[None]] = set()
        number = 0
        started = monotonic()
        while not done():
            shopper = self.open[number % len(self.open)]
            if shopper.left == 0:
                await self._leave(shopper)
                await self._arrive(PER_VISITOR)
                continue
            shopper.left -= 1
            event = self._click(shopper, number)
            is_at_it = bool(shopper.queue)
            if self._retry:
                shopper.queue.append(event)
            if not is_at_it:
                send = self._send_all(shopper) if self._retry else self._send_once(shopper, event)
                task = asyncio.create_task(send)
                sends.add(task)
                task.add_done_callback(sends.discard)
            number += 1
            await asyncio.sleep(max(0.0, started + number / self._rate - monotonic()))
        await asyncio.gather(*sends)

    def _click(self, shopper: Shopper, number: int) -> Json:
        event: Json = {
            "event_id": str(ULID()),
            "type": "view_item",
            "visitor_id": shopper.visitor_id,
            "product_id": self._products[number * 7 % len(self._products)],
            "occurred_at": int(now_ms()),
        }
        shopper.in_doubt.append(event["event_id"])
        shopper.waiting[event["event_id"]] = monotonic()
        return event

    async def _send_once(self, shopper: Shopper, event: Json) -> None:
        if await self._send(shopper, [event]) is None:
            self._note_accepted(shopper, [event])

    async def _send_all(self, shopper: Shopper) -> None:
        """Until nothing waits; what comes meanwhile goes with the next request."""
        failures = 0
        while batch := list(shopper.queue):
            retry_after_s = await self._send(shopper, batch)
            if retry_after_s is None:
                failures = 0
                del shopper.queue[: len(batch)]
                self._note_accepted(shopper, batch)
            else:
                failures += 1
                await asyncio.sleep(retry_after_s + backoff_s(failures))

    def _note_accepted(self, shopper: Shopper, batch: Sequence[Json]) -> None:
        for event in batch:
            shopper.in_doubt.remove(event["event_id"])
            shopper.accepted.append(event["event_id"])
        self.answers.note()

    async def _send(self, shopper: Shopper, events: Sequence[Json]) -> float | None:
        """None: answered 202. Otherwise for how long ingest asks to wait, in seconds."""
        with suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with self._http.post(
                f"{self._ingest_url}/v1/events",
                headers={TOKEN_HEADER: shopper.token},
                json={"events": events},
            ) as answer:
                return None if answer.status == 202 else float(answer.headers.get("Retry-After", 0))
        return 0.0


@dataclass(frozen=True)
class Count:
    """What the topics hold of a crowd; all but `on_topic` and `sent_twice` must be 0."""

    on_topic: int  # distinct events
    sent_twice: int  # messages whose event lies there already: sent again, counted once
    lost: int  # accepted, but not on the topic or not in the session
    double: int  # in a session twice
    foreign: int  # in a session, but never sent
    different: int  # sessions that are not what `fold` makes of the topic

    @property
    def is_whole(self) -> bool:
        """Whether every accepted event counts exactly once."""
        return not (self.lost or self.double or self.foreign or self.different)


def count(settings: ServiceSettings, shoppers: Sequence[Shopper]) -> Count:
    """Reads events, sessions and vectors, and holds every session against the fold of its events."""
    newest, on_topic, vectors = _newest_sessions(settings), _events_by_visitor(settings), _vectors(settings)
    distinct = twice = lost = double = foreign = different = 0
    for shopper in shoppers:
        events = on_topic[shopper.visitor_id]
        there = {event.event_id for event in events}
        distinct += len(there)
        twice += len(events) - len(there)
        session = newest.get(shopper.visitor_id, Session(shopper.visitor_id))
        held = [event.identity for event in session.events]
        double += len(held) - len(set(held))
        lost += sum(one not in there or identity(one) not in held for one in shopper.accepted)
        foreign += len(set(held) - set(map(identity, shopper.accepted + shopper.in_doubt)))
        expected = Session(shopper.visitor_id)
        for event in events:
            expected = fold(expected, event, vectors, LAYOUT, Tuning())
        different += sessions.encode(session) != sessions.encode(expected)
    return Count(distinct, twice, lost, double, foreign, different)


async def wrong_pages(recommender_url: str, shoppers: Sequence[Shopper]) -> list[str]:
    """The visitors whose open page shows anything else than what a page opened now would show.

    Who has just come and not clicked yet has a row of what is popular, which nothing pushes.
    """
    wrong: list[str] = []
    async with httpx.AsyncClient(base_url=recommender_url, timeout=10, verify=False) as client:
        for shopper in [each for each in shoppers if each.accepted]:
            asked: Json = {"visitor_id": shopper.visitor_id, "token": shopper.token, "k": SLOT["k"]}
            now = (await client.get("/v1/recommendations", params=asked)).json()
            sources = {item["source"] for item in now["items"]}
            if shopper.shown.get("items") != now["items"] or not sources <= {"content", "behaviour"}:
                wrong.append(shopper.visitor_id)
    return wrong


def _newest_sessions(settings: ServiceSettings) -> dict[str, Session]:
    with open_reader(settings) as reader:
        newest = newest_of_topic(reader, SESSION)
    return {key: each for key, each in newest.items() if not isinstance(each, Unreadable)}


def _events_by_visitor(settings: ServiceSettings) -> defaultdict[str, list[Event]]:
    by_visitor: defaultdict[str, list[Event]] = defaultdict(list)
    for message in read_topic(settings, EVENTS):
        if (event := read_value(EVENT, message)) is not None:
            by_visitor[event.visitor_id].append(event)
    return by_visitor


def _vectors(settings: ServiceSettings) -> VectorReplica:
    replica, kind = VectorReplica(LAYOUT), vectors_of(LAYOUT)
    for message in read_topic(settings, PRODUCT_VECTORS):
        if not isinstance(read := decode(kind, message), Unreadable):
            replica.apply(read.key, read.value)
    return replica
