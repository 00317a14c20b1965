"""The learned re-ranker when it serves: regression trees as flat arrays, compiled, without LightGBM. Pure."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from numba import njit

from services.model.session_index import Floats, Ints, read_only


class Trees(NamedTuple):
    """A sum of trees, all nodes one after another. Read-only.

    Tree t begins at node `roots[t]`. At node n a row goes to `left[n]` if its feature `feature[n]` is at most
    `value[n]`, else to `right[n]`; where `feature[n]` is −1, `value[n]` is what the tree says.
    """

    roots: Ints
    feature: Ints
    value: Floats
    left: Ints
    right: Ints

    @staticmethod
    def are_in(arrays: Mapping[str, npt.NDArray[Any]]) -> bool:
        """Whether these arrays hold any trees."""
        return "trees_roots" in arrays

    @classmethod
    def of(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """From the arrays of an artifact."""
        return cls(*(read_only(arrays[f"trees_{name}"]) for name in cls._fields))

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """For an artifact."""
        return {f"trees_{name}": array for name, array in self._asdict().items()}


@njit(cache=True, nogil=True)
def scored(trees: Trees, features: Floats) -> Floats:
    """(n,) what the trees say of each row of (n, features), added up."""
    scores = np.zeros(len(features), np.float32)
    for root in trees.roots:  # a tree stays in the cache while all rows go through it
        for row in range(len(features)):
            node = root
            while trees.feature[node] >= 0:
                if features[row, trees.feature[node]] <= trees.value[node]:
                    node = trees.left[node]
                else:
                    node = trees.right[node]
            scores[row] += trees.value[node]
    return scores
