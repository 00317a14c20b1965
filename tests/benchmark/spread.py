"""How measured times spread: p50, p90, p99 and the greatest, in milliseconds."""

from typing import Self

import msgspec
import numpy as np
import numpy.typing as npt

Seconds = npt.NDArray[np.float64]


class Spread(msgspec.Struct, frozen=True):
    """Percentiles of `count` values (linear between ranks, numpy's default)."""

    count: int
    p50: float
    p90: float
    p99: float
    max: float

    @classmethod
    def of(cls, seconds: Seconds) -> Self:
        """From seconds; all zero where there is nothing to measure."""
        if not len(seconds):
            return cls(0, 0.0, 0.0, 0.0, 0.0)
        p50, p90, p99, most = (float(each) for each in np.percentile(seconds * 1000, [50, 90, 99, 100]))
        return cls(len(seconds), round(p50, 2), round(p90, 2), round(p99, 2), round(most, 2))
