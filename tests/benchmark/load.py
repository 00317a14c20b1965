"""The load generator: 200 open pages in one asyncio loop, and events that are due whatever the answers."""

import asyncio
import gc
import time
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Final, Self
from urllib.parse import urlsplit

import httpx
import msgspec
import numpy as np
from ulid import ULID

from tests.benchmark.arrivals import poisson
from tests.benchmark.browser import Browser, Visitor
from tests.benchmark.recording import Push, Recording, SentEvent

BREATH: Final = 16  # events after which even a late generator looks for what has arrived
QUIET_S: Final = 2.0  # so long without a push: no more will come
DRAIN_S: Final = 60.0
TELL_S: Final = 2.0  # drawing a bar takes a ms of the loop

Tell = Callable[[float], object]  # seconds of the window that are over


class Load:
    """Pages of visitors who look at random products."""

    def __init__(self, ingest_url: str, recommender_url: str, products: Sequence[str], seed: int = 7) -> None:
        self._ingest_url = ingest_url
        self._recommender_url = recommender_url
        self._addresses = {"ingest": _address(ingest_url), "recommender": _address(recommender_url)}
        self._products = products
        self._rng = np.random.default_rng(seed)
        self._browsers: list[Browser] = []
        self._pushes: list[Push] = []
        self._last_push = 0.0
        self._newest: dict[int, str] = {}  # visitor's number → the event that the page must name in the end

    async def open(self, visitors: int) -> Self:
        """Welcomes visitors and opens their pages, some at a time."""
        async with httpx.AsyncClient(base_url=self._ingest_url) as client:
            for number in range(visitors):
                answer = (await client.post("/v1/visitors")).raise_for_status()
                visitor = msgspec.json.decode(answer.content, type=Visitor)
                self._browsers.append(Browser(number, visitor, on_message=self._took, **self._addresses))
        await self._open_closed()
        return self

    async def _open_closed(self) -> None:
        closed = [browser for browser in self._browsers if not browser.is_live]
        for start in range(0, len(closed), 20):
            await asyncio.gather(*(browser.open() for browser in closed[start : start + 20]))

    def close(self) -> None:
        """Closes all pages."""
        for browser in self._browsers:
            browser.close()

    def _took(self, visitor: int, at: float, message: bytes) -> None:
        push = Push.of(visitor, at, message)
        if push is not None:
            self._pushes.append(push)
            self._last_push = at
            if self._newest.get(visitor) == push.caused_by:
                del self._newest[visitor]

    async def run(self, rate: int, seconds: float, tell: Tell) -> Recording:
        """One window, and what comes in after it until nothing more is awaited."""
        await self._open_closed()
        events, requests = self._draw(rate, seconds)
        self._pushes = []
        self._newest = {event.visitor: event.event_id for event in events}
        gc.collect()
        gc.disable()  # a collection of the generator's would be measured as the system's
        try:
            began = perf_counter() + 0.05
            offset = time.time() - perf_counter()
            for event in events:
                event.due += began
            await self._send(events, requests, began, tell)
            await self._drain(events)
        finally:
            gc.enable()
        return Recording(
            seconds,
            began,
            perf_counter(),
            offset,
            events,
            self._pushes,
            sum(not browser.is_live for browser in self._browsers),
            await self._find_remembered(events),
        )

    def _draw(self, rate: int, seconds: float) -> tuple[list[SentEvent], list[tuple[bytes, bytes]]]:
        due = poisson(rate, seconds, self._rng)
        visitors = self._rng.integers(len(self._browsers), size=len(due)).tolist()
        products = self._rng.integers(len(self._products), size=len(due)).tolist()
        events = [
            SentEvent(visitor, str(ULID()), at, product_id=self._products[product])
            for visitor, at, product in zip(visitors, due.tolist(), products, strict=True)
        ]
        requests = [
            self._browsers[event.visitor].request(event.event_id, event.product_id) for event in events
        ]
        return events, requests

    async def _send(
        self, events: list[SentEvent], requests: list[tuple[bytes, bytes]], began: float, tell: Tell
    ) -> None:
        told = 0.0
        for number, (event, (before, after)) in enumerate(zip(events, requests, strict=True)):
            if number % BREATH == 0:
                await asyncio.sleep(0)
            while (wait := event.due - perf_counter()) > 0:  # noqa: ASYNC110 - for time, nothing else
                # uvloop counts in whole ms, and would spin through less than half of one.
                await asyncio.sleep(max(wait, 0.001))
            event.occurred_at = int(time.time() * 1000)
            self._browsers[event.visitor].post(before + b"%d" % event.occurred_at + after, event)
            if event.due - told >= TELL_S:
                told = event.due
                tell(event.due - began)

    async def _drain(self, events: Sequence[SentEvent]) -> None:
        """Until every page names its newest event and every POST is answered, or nothing comes any more."""
        until = perf_counter() + DRAIN_S
        self._last_push = max(self._last_push, perf_counter())
        while self._newest or any(event.status == 0 for event in events):
            now = perf_counter()
            if now > until or now - self._last_push > QUIET_S:
                return
            await asyncio.sleep(0.05)

    async def _find_remembered(self, events: Sequence[SentEvent]) -> frozenset[str]:
        """Events of visitors whose last row names another than their newest."""
        held: set[tuple[int, str, int]] = set()
        async with httpx.AsyncClient(base_url=self._recommender_url) as client:
            for number in self._newest:
                visitor = self._browsers[number].visitor
                answer = await client.get(
                    f"/v1/visitors/{visitor.visitor_id}/profile", params={"token": visitor.token}
                )
                profile = msgspec.json.decode(answer.raise_for_status().content, type=_Profile)
                held.update((number, each.product_id, each.occurred_at) for each in profile.events)
        return frozenset(
            event.event_id for event in events if (event.visitor, event.product_id, event.occurred_at) in held
        )


class _Seen(msgspec.Struct):
    product_id: str
    occurred_at: int


class _Profile(msgspec.Struct):
    events: list[_Seen]


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "127.0.0.1", parts.port or 80
