"""Which of many byte strings were seen: 8 bytes each, so that a range of millions of events fits."""

from array import array
from functools import cached_property

import numpy as np
import numpy.typing as npt

MASK = (1 << 64) - 1


class Seen:
    """A set that only grows, by hashes: of 10 million, two are taken for one with a chance of 3 in a million.

    Add first, ask afterwards.
    """

    def __init__(self) -> None:
        self._hashes = array("Q")

    def add(self, each: bytes) -> None:
        """Takes one; the same may come again."""
        self._hashes.append(hash(each) & MASK)

    @cached_property
    def _sorted(self) -> npt.NDArray[np.uint64]:
        return np.unique(np.frombuffer(self._hashes, np.uint64)) if self._hashes else np.empty(0, np.uint64)

    def __len__(self) -> int:
        return len(self._sorted)

    def __contains__(self, each: bytes) -> bool:
        sought = np.uint64(hash(each) & MASK)
        index = int(np.searchsorted(self._sorted, sought))
        return index < len(self._sorted) and bool(self._sorted[index] == sought)
