"""Trees as masks say what the walk through them says, to the bit."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.model.candidates import FEATURES
from services.model.forest import LEAVES_MAX, Trees, masks, score_masked, score_trees
from services.model.session_index import Floats


def grow(sizes: list[int], random: np.random.Generator) -> Trees:
    """Trees of so many leaves each, of any form, with few thresholds: so that some features equal them."""
    feature: list[int] = []
    value: list[float] = []
    left: list[int] = []
    right: list[int] = []

    def add(leaves: int) -> int:
        node = len(feature)
        feature.append(-1 if leaves == 1 else int(random.integers(len(FEATURES))))
        value.append(float(random.normal()) if leaves == 1 else float(random.integers(3)))
        left.append(0)
        right.append(0)
        if leaves > 1:
            on_the_left = int(random.integers(1, leaves))
            left[node], right[node] = add(on_the_left), add(leaves - on_the_left)
        return node

    roots = [add(leaves) for leaves in sizes]
    ints = [np.array(each, dtype=np.int32) for each in (roots, feature, left, right)]
    return Trees(ints[0], ints[1], np.array(value, dtype=np.float32), ints[2], ints[3])


def rows(count: int, random: np.random.Generator) -> Floats:
    halves = random.integers(0, 6, size=(count, len(FEATURES)))
    return halves.astype(np.float32) / np.float32(2)


@given(st.lists(st.integers(1, LEAVES_MAX), max_size=6), st.integers(0, 40), st.integers(0, 1_000))
def test_both_ways_give_the_same_scores(sizes: list[int], count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    trees, features = grow(sizes, random), rows(count, random)
    as_masks = masks(trees)
    assert as_masks is not None
    assert np.array_equal(score_masked(as_masks, features), score_trees(trees, features))


def test_trees_of_too_many_leaves_have_no_masks() -> None:
    assert masks(grow([LEAVES_MAX + 1], np.random.default_rng(1))) is None
