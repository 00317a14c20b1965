"""The two sums of a ratio, by person: gathered where nothing is reckoned yet, and scipy not loaded."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

GROUPS: Final = 1_000
SEED: Final = 20_260_101
EXPECTED_MIN: Final = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """What a ratio's two sums are made of, a person each: both (n,)."""

    above: Floats
    below: Floats

    @property
    def ratio(self) -> float | None:
        """The ratio itself; the same in whatever order persons come."""
        below = math.fsum(self.below)
        return math.fsum(self.above) / below if below > 0 else None

    @property
    def too_few(self) -> bool:
        """Whether so few persons have anything that draws of them tell nothing."""
        return int(np.count_nonzero(self.above)) < EXPECTED_MIN

    def group(self) -> "Sums":
        """At most GROUPS groups of persons as persons, the same in whatever order they come."""
        return Sums(*group_persons(self.above, self.below))


def group_persons(*columns: Floats) -> list[Floats]:
    """At most GROUPS sums of each (n,) column, of the same persons: the same in whatever order they come."""
    order = np.random.default_rng(SEED).permutation(np.lexsort(columns[::-1]))
    if len(order) <= GROUPS:
        return [column[order] for column in columns]
    group = np.arange(len(order)) % GROUPS
    return [np.bincount(group, column[order]).astype(np.float64) for column in columns]
