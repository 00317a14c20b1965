"""The replica gives back what the topic holds, as exact as float16, and forgets what is gone."""

import numpy as np

from schemas.products import Product
from schemas.vectors import Layout
from services.vector_replica import STEPS, VectorReplica

LAYOUT = Layout.of(text_width=384, image_width=64)


def product(product_id: str, *category: str) -> Product:
    return Product(
        product_id=product_id,
        name="x",
        price=1.0,
        currency="EUR",
        availability="in_stock",
        updated_at=0,
        category=category,
    )


def content(seed: int) -> np.ndarray:
    return LAYOUT.normalise(np.random.default_rng(seed).normal(size=LAYOUT.width)).astype(np.float16)


def fill(count: int) -> VectorReplica:
    replica = VectorReplica(LAYOUT)
    for number in range(count):
        replica.put(product(f"p{number}", f"category {number}"), content(number))
    return replica


def test_a_component_is_off_by_half_a_step_at_most() -> None:
    replica = fill(1)
    vector = replica.vector("p0")
    assert vector is not None
    assert np.abs(vector - content(0).astype(np.float32)).max() <= 0.51 / STEPS
    [row], known = replica.matrix(["p0"])
    assert known == [True]
    assert np.allclose(row / STEPS, vector, atol=1e-7)


def test_the_greatest_and_the_least_component_keep_their_sign() -> None:
    replica = VectorReplica(LAYOUT)
    extremes = np.resize(np.array([1, -1, 0, 1.001], dtype=np.float16), LAYOUT.width)
    replica.put(product("p"), extremes)
    vector = replica.vector("p")
    assert vector is not None
    assert vector[:4].tolist() == [1, -1, 0, 1]


def test_an_unknown_product_has_a_row_of_zeros_and_no_category() -> None:
    rows, known = fill(3).matrix(["p2", "never seen", "p0"])
    assert known == [True, False, True]
    assert [bool(row.any()) for row in rows] == known
    assert fill(3).top_categories(["p2", "never seen"]) == ["category 2", None]


def test_no_products_are_no_rows() -> None:
    assert fill(1).matrix([])[0].shape == (0, LAYOUT.width)


def test_more_products_than_rows_make_it_grow() -> None:
    replica = fill(1500)
    [row], _ = replica.matrix(["p1499"])
    assert np.allclose(row / STEPS, content(1499), atol=1e-4)


def test_a_removed_product_is_gone_and_its_row_serves_another() -> None:
    replica = fill(2)
    replica.remove("p0")
    replica.remove("p0")
    replica.put(product("new"), content(9))
    assert replica.matrix(["p0", "new", "p1"])[1] == [False, True, True]
    assert len(replica) == 2
