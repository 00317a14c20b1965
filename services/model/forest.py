"""The learned re-ranker when it serves: regression trees as flat arrays, compiled, without LightGBM. Pure."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from schemas.objectives import ObjectiveName
from services.model.compiled import compile_code
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
    def are_in(arrays: Mapping[str, npt.NDArray[Any]], prefix: str = "trees") -> bool:
        """Whether these arrays hold any trees of that name."""
        return f"{prefix}_roots" in arrays

    @classmethod
    def of(cls, arrays: Mapping[str, npt.NDArray[Any]], prefix: str = "trees") -> Self:
        """From the arrays of an artifact."""
        return cls(*(read_only(arrays[f"{prefix}_{name}"]) for name in cls._fields))

    def arrays(self, prefix: str = "trees") -> dict[str, npt.NDArray[Any]]:
        """For an artifact."""
        return {f"{prefix}_{name}": array for name, array in self._asdict().items()}


OBJECTIVE_TREES: Final = "objective_trees"


class ObjectiveTrees(NamedTuple):
    """Trees that order for several objectives, and those that they have learned.

    Beside a candidate's features they are told what to order for, in one more column at the end: the
    objective's place in OBJECTIVES.
    """

    trees: Trees
    learned: frozenset[ObjectiveName]


@compile_code(is_entry=True)
def score_trees(trees: Trees, features: Floats) -> Floats:
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


LEAVES_MAX: Final = 32
ALL: Final = np.uint32(0xFFFFFFFF)

Masks = npt.NDArray[np.uint32]


class LeafMasks(NamedTuple):
    """Read-only. Tree t has splits from `starts[t]` to `starts[t + 1]`, and leaves from `leaf_starts[t]`.

    A row whose feature `feature[s]` is above `value[s]` keeps the leaves whose bits are set in `mask[s]`.
    """

    starts: Ints
    feature: Ints
    value: Floats
    mask: Masks
    leaf_starts: Ints
    leaves: Floats


def masks(trees: Trees) -> LeafMasks | None:
    """For trees of up to 32 leaves each; None where one has more."""
    splits: list[tuple[int, float, int]] = []
    leaves: list[float] = []
    starts, leaf_starts = [0], [0]
    for root in trees.roots.tolist():
        _add(trees, root, splits, leaves, leaf_starts[-1])
        starts.append(len(splits))
        leaf_starts.append(len(leaves))
    if max(np.diff(leaf_starts), default=0) > LEAVES_MAX:
        return None
    feature, value, mask = zip(*splits, strict=True) if splits else ((), (), ())
    arrays: tuple[npt.NDArray[Any], ...] = (
        np.array(starts, dtype=np.int32),
        np.array(feature, dtype=np.int32),
        np.array(value, dtype=np.float32),
        np.array([each & int(ALL) for each in mask], dtype=np.uint32),
        np.array(leaf_starts, dtype=np.int32),
        np.array(leaves, dtype=np.float32),
    )
    return LeafMasks(*map(read_only, arrays))


def _add(
    trees: Trees, node: int, splits: list[tuple[int, float, int]], leaves: list[float], first: int
) -> None:
    """Adds a node and what is below it, leaves from left to right; `first` is the tree's first leaf."""
    if trees.feature[node] < 0:
        leaves.append(float(trees.value[node]))
        return
    place, begin = len(splits), len(leaves) - first
    splits.append((0, 0.0, 0))  # its place comes before those below it
    _add(trees, int(trees.left[node]), splits, leaves, first)
    on_the_left = (1 << len(leaves) - first) - (1 << begin)
    splits[place] = int(trees.feature[node]), float(trees.value[node]), ~on_the_left
    _add(trees, int(trees.right[node]), splits, leaves, first)


@compile_code(is_entry=True)
def score_masked(masks: LeafMasks, features: Floats) -> Floats:
    """(n,) what the trees say of each row of (n, features), added up: to the bit what `trees.scored` says."""
    columns = features.T.copy()  # a feature of all rows side by side
    scores = np.zeros(len(features), np.float32)
    reachable = np.empty(len(features), np.uint32)
    for tree in range(len(masks.starts) - 1):
        reachable[:] = ALL
        for split in range(masks.starts[tree], masks.starts[tree + 1]):
            column, value, mask = columns[masks.feature[split]], masks.value[split], masks.mask[split]
            for row in range(len(features)):
                reachable[row] &= mask if column[row] > value else ALL
        first = masks.leaf_starts[tree]
        for row in range(len(features)):
            scores[row] += masks.leaves[first + _lowest(reachable[row])]
    return scores


@compile_code(inline=True)
def _lowest(bits: np.uint32) -> int:
    """The place of the lowest bit that is set."""
    bit = bits & (~bits + np.uint32(1))
    place = 0
    if bit & np.uint32(0xFFFF0000):
        place += 16
    if bit & np.uint32(0xFF00FF00):
        place += 8
    if bit & np.uint32(0xF0F0F0F0):
        place += 4
    if bit & np.uint32(0xCCCCCCCC):
        place += 2
    if bit & np.uint32(0xAAAAAAAA):
        place += 1
    return place
