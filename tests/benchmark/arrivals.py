"""When events are due. Open loop: the schedule is drawn before, and waits for no answer."""

import numpy as np

from tests.benchmark.spread import Seconds


def poisson(rate: float, seconds: float, rng: np.random.Generator) -> Seconds:
    """Times from 0 to `seconds` at which independent shoppers, `rate` a second altogether, send an event."""
    drawn = rng.exponential(1 / rate, int(rate * seconds + 10 * (rate * seconds) ** 0.5) + 10).cumsum()
    due: Seconds = drawn[drawn < seconds]
    return due
