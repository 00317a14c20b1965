"""Which visitors have been idle for so long that they are to be forgotten. Pure; time is the events' own.

Visitors lie in hours, so that a look at what is due costs nothing while no hour has passed. What is kept here
follows from the sessions: after a restart it is noted again from the recovered table.
"""

from collections import defaultdict
from collections.abc import Iterator
from itertools import chain, islice
from typing import Final

HOUR_MS: Final = 60 * 60 * 1000
# An event that comes up to a day late still finds its visitor, and so gives the session that it would have
# given in time: what lies `idle_ms` before it no longer counts anyway (services/model/session.py).
LATE_MS: Final = 24 * HOUR_MS

Place = tuple[int, int]  # partition, hour


class IdleVisitors:
    """The hour in which each visitor was last seen, and how far the events' time has come by partition.

    A partition's time is that of its newest event: one that lags behind, or a replay of last year, does not
    make its visitors look idle.
    """

    def __init__(self, idle_ms: int) -> None:
        self._kept_ms = idle_ms + LATE_MS
        self._visitors: defaultdict[int, dict[int, set[bytes]]] = defaultdict(dict)
        self._place_of: dict[bytes, Place] = {}
        self._now: dict[int, int] = {}
        self._looked: dict[int, int] = {}

    def __contains__(self, visitor: bytes) -> bool:
        return visitor in self._place_of

    def note_seen(self, visitor: bytes, partition: int, at: int, clock: float) -> None:
        """A visitor's newest event is of `at`, Unix ms; `clock` is the time on the wall.

        Time that the wall has not reached does not count: one event with a wrong date in the future would
        make everybody else look idle.
        """
        place = partition, at // HOUR_MS
        if self._place_of.get(visitor) != place:
            self.forget(visitor)
            self._place_of[visitor] = place
            self._visitors[partition].setdefault(place[1], set()).add(visitor)
        self._now[partition] = max(self._now.get(partition, 0), min(at, int(clock)))

    def forget(self, visitor: bytes) -> None:
        """Nothing is to be noted of a visitor any more."""
        partition, hour = self._place_of.pop(visitor, (-1, -1))
        there = self._visitors[partition].get(hour)
        if there is not None:
            there.discard(visitor)
            if not there:
                del self._visitors[partition][hour]

    def due(self, partition: int, most: int) -> list[bytes]:
        """At most so many visitors of a partition who have been idle for long enough; each is named once."""
        horizon = (self._now.get(partition, 0) - self._kept_ms) // HOUR_MS  # hours before it lie too far back
        if horizon <= self._looked.get(partition, 0):
            return []
        found = list(islice(self._before(partition, horizon), most))
        if len(found) < most:
            self._looked[partition] = horizon
        for visitor in found:
            self.forget(visitor)
        return found

    def _before(self, partition: int, horizon: int) -> Iterator[bytes]:
        hours = self._visitors[partition]
        return chain.from_iterable(hours[hour] for hour in sorted(hours) if hour < horizon)
