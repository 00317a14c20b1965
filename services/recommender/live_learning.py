"""Between two trainings: the visits of the last hours join the generation that serves."""

import asyncio
from time import perf_counter
from typing import Final

from cachetools import LRUCache

from services.model.behaviour import Behaviour
from services.recommender.generations import Generations
from services.recommender.latest_visits import LatestVisits
from services.recommender.metrics import Metrics

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
        generations: Generations,
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
        found, grown = await asyncio.to_thread(self._grown, released, arrived)
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

    def _grown(self, released: Behaviour, arrived: Arrived) -> tuple[int, Behaviour]:
        for visitor_id, published in arrived.items():
            self._visits.put(visitor_id, published)
        visits = self._visits.since(released.learned_until)
        return len(visits), released.grown(visits) if visits else released
