"""Numbers on a half circle."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.model.content import point, price_point


@given(st.floats(0, 1e7))
def test_a_point_has_unit_length_whatever_the_price(price: float) -> None:
    assert np.linalg.norm(price_point(price)) == pytest.approx(1, abs=1e-6)


def test_prices_are_near_by_their_ratio() -> None:
    low, high = price_point(10) @ price_point(20), price_point(100) @ price_point(200)
    assert low == pytest.approx(high)
    assert float(price_point(1) @ price_point(10_000)) == pytest.approx(-1)
    assert float(price_point(10) @ price_point(100)) == pytest.approx(np.cos(np.pi / 4))
    near, far = price_point(50) @ price_point(60), price_point(50) @ price_point(500)
    assert near > far


def test_the_point_of_one_asks_for_more() -> None:
    products = [float(point(1) @ point(share)) for share in np.linspace(0, 1, 11)]
    assert all(less < more for less, more in pairwise(products))


def test_what_lies_beyond_the_ends_is_held_to_them() -> None:
    assert np.allclose(price_point(0), price_point(0.5))
    assert np.allclose(price_point(1e6), price_point(10_000))
