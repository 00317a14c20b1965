"""Keeps the time between events: each is due when its share of the range's time has passed."""

import time
from array import array
from collections.abc import Callable
from typing import Final

import numpy as np

LOOK_EVERY_S: Final = 0.5  # while nothing is due: at the processes that are fed


def _nothing() -> None: ...


class Pace:
    """Waits for what is due. A speed of None waits for nothing.

    Each time is counted from the first one, so that what was late once delays nothing after it. `meanwhile`
    is called at least twice a second of waiting.
    """

    def __init__(
        self,
        speed: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        meanwhile: Callable[[], object] = _nothing,
    ) -> None:
        self._speed = speed
        self._clock = clock
        self._sleep = sleep
        self._meanwhile = meanwhile
        self._first: tuple[float, int] | None = None  # the clock, and Unix ms
        self._newest = 0
        self._late = array("f")

    def wait_for(self, at: int) -> None:
        """Returns when an event of `at`, Unix ms, is due; one older than one before it is due at once."""
        if self._speed is None:
            return
        if self._first is None:
            self._first = self._clock(), at
        self._newest = max(self._newest, at)
        began, first = self._first
        due = began + (self._newest - first) / 1000 / self._speed
        while (left := due - self._clock()) > 0:
            self._sleep(min(left, LOOK_EVERY_S))
            self._meanwhile()
        self._late.append(-left)

    @property
    def is_max(self) -> bool:
        """Whether nothing is waited for."""
        return self._speed is None

    @property
    def late_p99_s(self) -> float | None:
        """What 99 % of the events were not later than; None where there was nothing to wait for."""
        return float(np.quantile(np.frombuffer(self._late, np.float32), 0.99)) if self._late else None
