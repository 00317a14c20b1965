"""Hashed words: always the same, of unit length, near for shared category prefixes."""

import numpy as np
import pytest

from services.model.content import category_vector, signs


def test_signs_are_the_same_everywhere_and_of_unit_length() -> None:
    assert np.allclose(signs("Boots", 32), signs(" boots", 32))
    assert np.linalg.norm(signs("boots", 32)) == pytest.approx(1)
    # Written down: vectors that are stored already must not change with a new version of the code.
    assert (signs("boots", 8) > 0).astype(int).tolist() == [1, 1, 0, 1, 1, 0, 0, 0]


def test_different_words_hardly_meet() -> None:
    vectors = np.stack([signs(f"word {number}", 64) for number in range(200)])
    cosines = (vectors @ vectors.T)[~np.eye(200, dtype=bool)]
    assert abs(cosines.mean()) < 0.01
    assert cosines.std() == pytest.approx(1 / 8, rel=0.1)


@pytest.mark.parametrize(
    ("other", "cosine"),
    [
        (("Women", "Shoes", "Boots"), 1.0),
        (("Women", "Shoes", "Sandals"), 1 / 2),
        (("Women", "Dresses", "Long"), 1 / 6),
        (("Home", "Shoes", "Boots"), 0.0),  # the same words elsewhere in the tree are another place
    ],
)
def test_categories_are_near_by_the_prefix_that_they_share(other: tuple[str, ...], cosine: float) -> None:
    boots = category_vector(("Women", "Shoes", "Boots"), 512)
    assert float(boots @ category_vector(other, 512)) == pytest.approx(cosine, abs=0.15)
    assert np.linalg.norm(boots) == pytest.approx(1, abs=1e-6)


def test_no_category_is_no_direction() -> None:
    assert not category_vector((), 64).any()
