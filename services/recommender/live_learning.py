"""Between two trainings: the visits of the last hours join the generation that serves."""

import asyncio
from collections.abc import Sequence
from time import perf_counter
from typing import Final

import msgspec
from cachetools import LRUCache

from schemas.sessions import SessionEvent, decode
from services.model.behaviour import Behaviour
from services.model.session import Tuning, visits
from services.recommender.metrics import Metrics
from services.recommender.serving_models import ServedModel

Visit = tuple[int, tuple[str, ...]]  # when its last event was, Unix ms, and its products in order


class LatestVisits:
    """Takes sessions as they are published, and keeps the visits of those that moved last."""

    def __init__(self, visitors_max: int, tuning: Tuning) -> None:
        self._tuning = tuning
        self._visits: LRUCache[str, dict[int, Visit]] = LRUCache(visitors_max)  # by when the visit began

    def put(self, visitor_id: str, published: bytes | None) -> None:
        """A visitor's session as it is on the topic; None forgets the visitor."""
        if published is None:
            self._visits.pop(visitor_id, None)
        else:
            self._take(visitor_id, published)

    def since(self, time: int) -> list[tuple[str, ...]]:
        """The products of each visit with an event after `time` (Unix ms), by the time of the last event."""
        newest = sorted(
            visit for of_visitor in self._visits.values() for visit in of_visitor.values() if visit[0] > time
        )
        return [products for _, products in newest]

    def _take(self, visitor_id: str, raw: bytes) -> None:
        try:
            events = decode(raw).events
        except msgspec.MsgspecError:
            return  # whoever shows the session's visitor something tells of it
        if events:
            began, visit = self._current(events)
            # Taken out and put back: `since` touches all in order of insertion, which so is that of moves.
            before = self._visits.pop(visitor_id, {})
            oldest = events[0].occurred_at  # what the session itself has forgotten is forgotten here
            # A visit that reaches into this one is this one: its first event came late, or was a click that
            # gave way to the view of its product.
            ended = began - self._tuning.gap_ms
            kept = {begin: each for begin, each in before.items() if begin >= oldest and each[0] < ended}
            self._visits[visitor_id] = kept | {began: visit}

    def _current(self, events: Sequence[SessionEvent]) -> tuple[int, Visit]:
        current = events[visits(events, self._tuning.gap_ms)[-1] :]
        counts = self._tuning.kind_weights
        products = tuple([event.product_id for event in current if counts[event.kind] > 0])
        return current[0].occurred_at, (current[-1].occurred_at, products)


Arrived = LRUCache[str, bytes | None]  # visitor_id → the session as it is on the topic, None for a tombstone

SHARE: Final = 0.02  # of one core at most: a large model grows less often


class LiveLearning:
    """Grows the generation by the newest visits, every so many seconds; never where that is 0.

    A grown generation is another object, built in a thread and swapped between two requests like a new
    release. What was released meanwhile wins, and grows the next time. `visits` belong to that thread alone:
    what arrives is handed over in the loop, the newest session of each of at most `visitors_max` visitors.
    """

    def __init__(
        self,
        generations: ServedModel,
        visits: LatestVisits,
        metrics: Metrics,
        *,
        every_s: float,
        visitors_max: int,
    ) -> None:
        self._generations = generations
        self._visits = visits
        self._metrics = metrics
        self._every_s = every_s
        self._visitors_max = visitors_max
        self._arrived: Arrived = LRUCache(visitors_max)

    def put(self, visitor_id: str, published: bytes | None) -> None:
        """A visitor's session as it is on the topic; None forgets the visitor."""
        if self._every_s:
            self._arrived[visitor_id] = published

    async def once(self) -> None:
        """Grows the generation that serves by all visits since its learning."""
        released = self._generations.released
        if released is None or not self._every_s:
            return
        arrived, self._arrived = self._arrived, LRUCache(self._visitors_max)
        found, grown = await asyncio.to_thread(self._grow, released, arrived)
        self._generations.grow(released, grown)
        self._metrics.live_visits.set(found)

    async def run(self) -> None:
        """Again and again, until cancelled."""
        wait = self._every_s
        while wait:
            await asyncio.sleep(wait)
            started = perf_counter()
            await self.once()
            wait = max(self._every_s, (perf_counter() - started) / SHARE)

    def _grow(self, released: Behaviour, arrived: Arrived) -> tuple[int, Behaviour]:
        for visitor_id, published in arrived.items():
            self._visits.put(visitor_id, published)
        visits = self._visits.since(released.learned_until)
        return len(visits), released.grow(visits) if visits else released
