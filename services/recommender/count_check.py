"""Whether the Qdrant server's filters find what the topics have: an index that lacks products hides them."""

import asyncio
from typing import Final

import numpy as np
import structlog

from services.recommender.catalogue import Catalogue
from services.recommender.index.port import IndexAway, RemoteIndex, Where
from services.recommender.metrics import Metrics
from services.vector_replica import VectorReplica

EVERY_S: Final = 60.0
AGAIN_S: Final = 3.0  # a change is on its way from the topic to the server so long at most, when all is well
LOOKS: Final = 5  # that all differ before it is told
IN_STOCK: Final = Where(availability=frozenset({"in_stock"}))

log = structlog.get_logger()


class CountCheck:
    """Counts what is in stock by the topics' newest values, and by the server's filter."""

    def __init__(
        self, catalogue: Catalogue, replica: VectorReplica, index: RemoteIndex, metrics: Metrics
    ) -> None:
        self._catalogue = catalogue
        self._replica = replica
        self._index = index
        self._metrics = metrics
        self._differed = False

    async def run(self) -> None:
        """At the start, and then every minute, for ever."""
        while True:
            await self.look()
            await asyncio.sleep(EVERY_S)

    async def look(self, looks: int = LOOKS, again_s: float = AGAIN_S) -> int | None:
        """The server's count less the topics', once both agree or at last; None while the server is away."""
        here = there = 0
        for look in range(looks):
            if look:
                await asyncio.sleep(again_s)
            before = self._count()
            try:
                there = await self._index.count_allowed(IN_STOCK)
            except IndexAway as error:
                log.warning("the index's products cannot be counted", error=str(error))
                return None
            here = self._count()
            if min(before, here) <= there <= max(before, here):
                here = there
                break
        self._tell(here, there)
        return there - here

    def _count(self) -> int:
        """In stock, and with a vector: others are in no index."""
        numbers = np.arange(len(self._catalogue.numbers), dtype=np.int32)
        allowed = self._catalogue.filter(IN_STOCK).mask(numbers)
        return int(np.count_nonzero(allowed & self._replica.has_vectors(numbers)))

    def _tell(self, here: int, there: int) -> None:
        self._metrics.index_count_difference.set(there - here)
        if here != there:
            log.warning(
                "the Qdrant server's filter finds another number of products in stock than the topics have: "
                "python -m services.ops index check --wait 60, then index rebuild",
                on_topics=here,
                on_server=there,
            )
        elif self._differed:
            log.info("the Qdrant server's filter finds what the topics have", products=there)
        self._differed = here != there
