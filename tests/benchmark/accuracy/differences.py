"""Whether one way hits more cases than another, or whether that is chance."""

from typing import Final

import numpy as np
import numpy.typing as npt

from tests.benchmark.accuracy.figures import Difference

DRAWS: Final = 4_000
SEED: Final = 7
BLOCK: Final = 250  # draws at a time
LEVEL: Final = (2.5, 97.5)  # percentiles: an interval of 95 %

Hits = npt.NDArray[np.bool_]


def compare_pairs(first: Hits, second: Hits, sessions: npt.NDArray[np.int64]) -> Difference:
    """The difference of two hit rates on the same cases (n,), which are from the `sessions` (n,).

    The interval is that of the bootstrap (Efron 1979) over sessions, percentiles of 4,000 draws.
    """
    if not len(first):
        return Difference(0.0, 0.0, 0.0, 0, 0)
    _, which = np.unique(sessions, return_inverse=True)
    sums = np.bincount(which, first.astype(float) - second)
    counts = np.bincount(which).astype(float)
    random, uniform = np.random.default_rng(SEED), np.full(len(sums), 1 / len(sums))
    drawn = [
        (times @ sums) / (times @ counts)
        for times in (random.multinomial(len(sums), uniform, size=BLOCK) for _ in range(DRAWS // BLOCK))
    ]
    low, high = np.percentile(np.concatenate(drawn), LEVEL)
    gained, lost = int((first & ~second).sum()), int((second & ~first).sum())
    return Difference((gained - lost) / len(first), float(low), float(high), gained, lost)
