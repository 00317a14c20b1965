"""What nobody clicked gets its vector from products like it."""

import numpy as np

from services.trainer.training import NEIGHBOURS, infer_vectors

LEARNED = np.array([[1, 0], [0, 1], [0, 0], [0, 0]], dtype=np.float32)
CLICKED = np.array([True, True, False, False])


def test_a_twin_of_a_clicked_product_gets_its_vector() -> None:
    contents = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=np.float32)
    found = infer_vectors(LEARNED, CLICKED, contents)
    assert np.allclose(found[2], LEARNED[0])


def test_between_two_neighbours_the_liker_one_weighs_more() -> None:
    contents = np.array([[1, 0, 0], [0, 1, 0], [0.8, 0.6, 0], [0, 0, 0]], dtype=np.float32)
    found = infer_vectors(LEARNED, CLICKED, contents)
    assert np.allclose(found[2], [0.8 / 1.4, 0.6 / 1.4])


def test_what_was_clicked_keeps_what_was_learned_and_what_has_no_content_keeps_zeros() -> None:
    contents = np.array([[1, 0, 0], [1, 0, 0], [1, 0, 0], [0, 0, 0]], dtype=np.float32)
    found = infer_vectors(LEARNED, CLICKED, contents)
    assert np.array_equal(found[:2], LEARNED[:2])
    assert not found[3].any()


def test_unlike_everything_it_keeps_zeros() -> None:
    contents = np.array([[1, 0, 0], [1, 0, 0], [0, 0, 1], [-1, 0, 0]], dtype=np.float32)
    assert not infer_vectors(LEARNED, CLICKED, contents)[2:].any()


def test_no_more_than_the_nearest_ten_speak() -> None:
    many = NEIGHBOURS + 5
    learned = np.zeros((many + 1, 2), np.float32)
    learned[:NEIGHBOURS], learned[NEIGHBOURS:many] = (1, 0), (0, 1)
    contents = np.ones((many + 1, 1), np.float32)
    contents[NEIGHBOURS:many] = 0.5
    clicked = np.arange(many + 1) < many
    assert np.allclose(infer_vectors(learned, clicked, contents)[many], (1, 0))
