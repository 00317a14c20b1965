"""Vectors as one byte a component: half of float16, and the same products come first."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.directions import form, pack, unpack
from schemas.vectors import Layout, Matrix

LAYOUT = Layout.of(text_width=384, image_width=64)
NO_LEAST = np.zeros((1, 1), dtype=np.float32)


def vectors(count: int, seed: int) -> Matrix:
    raw = np.random.default_rng(seed).normal(size=(count, LAYOUT.width)).astype(np.float32)
    return LAYOUT.normalise(raw)


def back(given: Matrix) -> Matrix:
    return unpack(pack(given, LAYOUT, NO_LEAST), LAYOUT)


def test_a_component_is_a_byte() -> None:
    assert [len(each) for each in pack(vectors(3, 1), LAYOUT, NO_LEAST)] == [LAYOUT.width] * 3


@given(st.integers(0, 1000), st.floats(1e-3, 1e6))
def test_each_segment_keeps_its_direction_whatever_its_length(seed: int, factor: float) -> None:
    given_ = vectors(1, seed)
    [found] = back(given_ * np.float32(factor))
    for name, span in LAYOUT.slices.items():
        tolerance = 1e-4 if LAYOUT.slices[name].stop - span.start > 2 else 2e-5
        assert float(found[span] @ given_[0, span]) == pytest.approx(1, abs=tolerance), name


def test_packing_again_changes_nothing() -> None:
    once = pack(vectors(5, 2), LAYOUT, NO_LEAST)
    assert pack(unpack(once, LAYOUT), LAYOUT, NO_LEAST) == once


def test_a_segment_without_direction_stays_zero() -> None:
    given_ = vectors(1, 3)
    given_[0, LAYOUT.slices["image"]] = 0
    given_[0, LAYOUT.slices["text"]] *= 1e-6  # what rounding leaves of addends that cancel each other out
    [found] = unpack(pack(given_, LAYOUT, np.full((1, 1), 1e-5, dtype=np.float32)), LAYOUT)
    assert not found[LAYOUT.slices["image"]].any()
    assert not found[LAYOUT.slices["text"]].any()
    assert found[LAYOUT.slices["brand"]].any()


def test_rankings_hardly_change() -> None:
    """Against float16: of 2,000 products the same are nearest, but for neighbours whose scores are equal."""
    products, queries = vectors(2000, 4), vectors(50, 5)
    weights = dict.fromkeys(LAYOUT.slices, 1.0)
    scores = LAYOUT.apply_weights(back(queries), weights) @ products.T
    exact = LAYOUT.apply_weights(queries.astype(np.float16).astype(np.float32), weights) @ products.T
    assert np.abs(scores - exact).max() < 0.02  # of scores within ±8
    found, wanted = np.argsort(-scores, axis=1)[:, :24], np.argsort(-exact, axis=1)[:, :24]
    overlap = np.mean([len(set(a) & set(b)) / 24 for a, b in zip(found, wanted, strict=True)])
    assert overlap > 0.98
    assert np.mean(found[:, 0] == wanted[:, 0]) > 0.95


def test_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match="reshape"):
        unpack([b"\x00" * 7], LAYOUT)


def test_the_form_is_part_of_what_readers_compare() -> None:
    assert form(LAYOUT) == f"int8/{LAYOUT.id}"
