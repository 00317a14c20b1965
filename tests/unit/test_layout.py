"""The content vector's layout: one dot product of weighted segments is the weighted sum of their cosines."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.vectors import Layout, LayoutMismatch

LAYOUT = Layout.of(text_width=6, image_width=4)


def vector(seed: int) -> np.ndarray:
    return LAYOUT.normalise(np.random.default_rng(seed).normal(size=LAYOUT.width))


def test_segments_are_normalised_one_by_one() -> None:
    lengths = [np.linalg.norm(vector(1)[span]) for span in LAYOUT.slices.values()]
    assert np.allclose(lengths, 1)


def test_a_missing_segment_stays_zero() -> None:
    raw = vector(1)
    raw[LAYOUT.slices["image"]] = 0
    assert not LAYOUT.normalise(raw)[LAYOUT.slices["image"]].any()


@given(st.integers(0, 99), st.integers(0, 99), st.floats(-2, 2), st.floats(-2, 2))
def test_a_weighted_query_scores_the_weighted_cosines(a: int, b: int, text: float, brand: float) -> None:
    query, product = vector(a).astype(np.float32), vector(b).astype(np.float32)
    score = float(LAYOUT.apply_weights(query, {"text": text, "brand": brand}) @ product)
    parts = {name: float(query[span] @ product[span]) for name, span in LAYOUT.slices.items()}
    assert score == pytest.approx(text * parts["text"] + brand * parts["brand"], abs=1e-5)


def test_another_layout_is_refused_with_what_to_do() -> None:
    with pytest.raises(LayoutMismatch, match="EDDY_TEXT_WIDTH"):
        LAYOUT.require(Layout.of(7, 4).id, "the index")
