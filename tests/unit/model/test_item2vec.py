"""Nearest products by IN · OUT."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.model.item2vec import Item2Vec, all_nearest, build_item2vec, units


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 1000))
def test_nearest_is_what_sorting_everything_gives(n: int, k: int, seed: int) -> None:
    vectors = np.random.default_rng(seed).normal(size=(n, 4)).astype(np.float32)
    k = min(k, n)
    found = all_nearest(vectors, vectors, k)
    scores = vectors @ vectors.T
    expected = -np.sort(-scores, axis=1)[:, :k]
    assert np.allclose(np.take_along_axis(scores, found, 1), expected)


def test_zeros_stay_zeros() -> None:
    found = units(np.array([[0, 0], [3, 4]], dtype=np.float32))
    assert np.allclose(found, np.array([[0, 0], [0.6, 0.8]]))


def test_it_travels_as_arrays() -> None:
    vectors = np.eye(3, dtype=np.float32)
    one = build_item2vec(vectors, 2 * vectors, k=2)
    again = Item2Vec.of(one.arrays())
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
