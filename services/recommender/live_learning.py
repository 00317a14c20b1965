"""Between two trainings: the visits of the last hours join the generation that serves."""

import asyncio
from time import perf_counter
from typing import Final

import structlog

from services.model.behaviour import Behaviour
from services.recommender.generations import Generations
from services.recommender.latest_visits import LatestVisits
from services.recommender.metrics import Metrics

log = structlog.get_logger()

SHARE: Final = 0.02  # of one core at most: a large model grows less often


class LiveLearning:
    """Grows the generation by the newest visits, every so many seconds; never where that is 0.

    A grown generation is another object, built in a thread and swapped between two requests like a new
    release. What was released meanwhile wins, and grows the next time.
    """

    def __init__(
        self, generations: Generations, visits: LatestVisits, metrics: Metrics, *, every_s: float
    ) -> None:
        self._generations = generations
        self._visits = visits
        self._metrics = metrics
        self._every_s = every_s

    def put(self, visitor_id: str, published: bytes | None) -> None:
        """A visitor's session as it is on the topic; None forgets the visitor."""
        if self._every_s:
            self._visits.put(visitor_id, published)

    async def once(self) -> None:
        """Grows the generation that serves by all visits since its learning."""
        released = self._generations.released
        if released is None or not self._every_s:
            return
        found, grown = await asyncio.to_thread(self._grown, released)
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

    def _grown(self, released: Behaviour) -> tuple[int, Behaviour]:
        visits = self._visits.since(released.learned_until)
        return len(visits), released.grown(visits) if visits else released
