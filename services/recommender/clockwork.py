"""What changes by time alone: rules and experiments begin and end, and popularity fades."""

import asyncio
from collections.abc import Callable
from math import inf
from typing import Final

from services.recommender.catalogue import Catalogue
from services.recommender.hub import Hub
from services.recommender.popularity import Popularity

LOOK_S: Final = 0.2  # so late at most is a change told that was put into the books before the one awaited
A_TICK_MS: Final = 1.0  # timers may ring a little early
COUNT_EVERY_S: Final = 5.0

Clock = Callable[[], float]  # Unix ms
NextChange = Callable[[float], float | None]


async def watch(next_changes: tuple[NextChange, ...], hub: Hub, clock: Clock) -> None:
    """Makes open pages anew at the very moment when a rule or experiment begins or ends, for ever."""
    seen = clock()  # all changes up to this moment have been told
    while True:
        due = min((at for each in next_changes if (at := each(seen)) is not None), default=inf)
        now = clock()
        if due <= now:
            seen = now
            hub.all_changed()
        else:
            await asyncio.sleep(min((due - now + A_TICK_MS) / 1000, LOOK_S))


async def count(popularity: Popularity, catalogue: Catalogue, hub: Hub, clock: Clock) -> None:
    """What is popular now, every few seconds, for ever."""
    while True:
        catalogue.count(popularity.counts(clock()))
        hub.popular_changed()
        await asyncio.sleep(COUNT_EVERY_S)
